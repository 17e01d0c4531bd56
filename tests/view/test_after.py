"""`chainrule show`, CHAINRULE_SHOW: the page of a script's last step, and nothing else changes."""

import json
import os
import re
import subprocess
import sys

import pytest

import chainrule as torch
from chainrule.view.failure import failed_node
from chainrule.view.page import page
from chainrule.view.snapshot import Snapshot

TRAIN = """
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.rand(16, 4), torch.randint(0, 3, (16,))
def step():
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss
for i in range(6):
    step()
print([p.tolist() for p in net.parameters()])
"""
BROKEN = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 500)
        self.fc2 = nn.Linear(400, 10)
    def forward(self, x):
        h = torch.sigmoid(self.fc1(x))
        return self.fc2(h)
Net()(torch.rand(5, 784))
"""


def run(folder, source, *arguments, **variables):
    (folder / "train.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "chainrule", *arguments], cwd=folder, capture_output=True,
        text=True, env={**os.environ, **variables})


def data_in(path):
    text = re.search(r'id="data">(.*?)</script>', path.read_text(), re.S).group(1)
    return json.loads(text)


@pytest.mark.parametrize("jit", ["auto", "0"])
def test_the_training_is_the_same_to_the_bit(tmp_path, jit):
    plain = run(tmp_path, TRAIN, "run", "train.py", CHAINRULE_JIT=jit)
    shown = run(tmp_path, TRAIN, "show", "train.py", CHAINRULE_JIT=jit)
    assert plain.returncode == shown.returncode == 0
    assert plain.stdout == shown.stdout and plain.stderr == ""
    assert shown.stderr == f"chainrule show: wrote {tmp_path / 'train.html'}\n"
    data = data_in(tmp_path / "train.html")
    names = {n["name"] for n in data["nodes"] if "name" in n}
    assert {"loss", "x", "y", "net.0.weight", "net.3.bias"} <= names
    assert data["title"].startswith("loss, recorded at train.py:")
    assert len(data["backward"]) > 5


def test_a_compiled_step_is_shown_too(tmp_path):
    source = TRAIN.replace("for i in", "step = torch.compile(step)\nfor i in")
    plain = run(tmp_path, source, "run", "train.py")
    shown = run(tmp_path, source, "show", "-o", "page.json", "train.py")
    assert shown.returncode == 0, shown.stderr
    # It is recorded in every call, which may round otherwise than the program of a whole step.
    for a, b in zip(json.loads(plain.stdout), json.loads(shown.stdout), strict=True):
        assert b == pytest.approx(a, rel=1e-6) if isinstance(a[0], float) else len(b) == len(a)
    assert json.loads((tmp_path / "page.json").read_text())["backward"]


def test_the_variable_does_the_same(tmp_path):
    shown = run(tmp_path, TRAIN, "run", "train.py", CHAINRULE_SHOW="out.html")
    assert shown.returncode == 0 and "wrote" in shown.stderr
    assert data_in(tmp_path / "out.html")["format"] == "chainrule.graph"


def test_the_arguments_are_the_scripts(tmp_path):
    source = "import sys; print(sys.argv)"
    shown = run(tmp_path, source, "show", "train.py", "-o", "x", "--help")
    assert shown.stdout == "['train.py', '-o', 'x', '--help']\n"
    assert shown.stderr == (
        "chainrule show: nothing to show: the script called backward() on no loss\n")


def test_a_script_that_fails_while_it_records_ends_in_a_red_node(tmp_path):
    shown = run(tmp_path, BROKEN, "show", "train.py")
    assert shown.returncode == 1 and "RefusedInput" in shown.stderr
    data = data_in(tmp_path / "train.html")
    last = data["nodes"][data["output"]]
    assert last["kind"] == "error" and "Net.fc2: Linear(400, 10)" in last["message"]
    shapes = [data["nodes"][i]["shape"] for i in last["inputs"]]
    assert [5, 500] in shapes and [10, 400] in shapes
    assert last["line"] == 11 and last["source"] == "return self.fc2(h)"
    assert "h" in {n.get("name") for n in data["nodes"]}


def test_a_script_that_fails_otherwise_shows_its_last_step(tmp_path):
    shown = run(tmp_path, TRAIN + "\nraise KeyError('x')", "show", "train.py")
    assert shown.returncode == 1 and "KeyError: 'x'" in shown.stderr
    assert data_in(tmp_path / "train.html")["backward"]
    shown = run(tmp_path, TRAIN + "\nimport sys; sys.exit(3)", "show", "-o", "a.txt", "train.py")
    assert shown.returncode == 3
    assert re.search(r"%\d+ loss += div\(", (tmp_path / "a.txt").read_text())


def test_a_place_that_cannot_be_written_is_said_and_the_training_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    shown = run(tmp_path, TRAIN, "show", "-o", "file/out.html", "train.py")
    assert shown.returncode == 0 and shown.stdout.startswith("[[")
    assert "chainrule show: cannot write" in shown.stderr and "Traceback" not in shown.stderr
    shown = run(tmp_path, TRAIN, "show", "-o", "out.gif", "train.py")
    assert shown.returncode == 0 and "requires a file that ends in .html" in shown.stderr


def test_the_page_tells_what_the_linter_met(tmp_path):
    """D7, D8: gradients that are never cleared, and a sigmoid before the cross-entropy."""
    source = """
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 500), nn.Sigmoid(), nn.Linear(500, 10), nn.Sigmoid())
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
x, y = torch.rand(5, 784), torch.arange(5)
for epoch in range(2):
    loss = nn.CrossEntropyLoss(reduction="mean")(model(x), y)
    loss.backward()
    optimizer.step()
    print("\\n loss ", loss)
"""
    shown = run(tmp_path, source, "show", "train.py")
    assert "tensor(2.3092, grad_fn=<NllLossBackward0>)" in shown.stdout
    assert "tensor(2.3007, grad_fn=<NllLossBackward0>)" in shown.stdout
    data = data_in(tmp_path / "train.html")
    assert len(data["findings"]) == 2
    texts = " ".join(f["what"] + f["why"] for f in data["findings"])
    assert "1.46115" in texts and "zero_grad" in texts + data["findings"][0]["fix"]
    ops = [data["nodes"][i]["op"] for f in data["findings"] for i in f["nodes"]]
    assert "sigmoid" in ops


def test_a_script_that_is_not_there(tmp_path):
    shown = run(tmp_path, "", "show", "nowhere.py")
    assert shown.returncode == 2 and "chainrule show: cannot open 'nowhere.py'" in shown.stderr


def test_the_node_of_a_failure_has_what_the_operation_was_given():
    with pytest.raises(RuntimeError) as caught:
        torch.cat([torch.ones(2, 3), torch.ones(3, 4)])
    node = failed_node(caught.value)
    assert {x.shape for x in node.inputs} == {(2, 3), (3, 4)}
    data = Snapshot(node, torch.view.labels.Names(), failure=caught.value).data
    assert "cat requires" in data["failure"] and "error" in page(data)
    try:
        raise ValueError("no tensor is near")
    except ValueError as error:
        assert failed_node(error) is None
