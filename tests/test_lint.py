"""The linter finds planted mistakes, says nothing of ordinary programs, and changes no bit."""

import gc
import math
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.observers import Observer, observed, observers
from chainrule.view.keep import copied
from chainrule.view.lint import Findings, examine, losses, watch
from chainrule.view.lint.bounds import bounds_of
from chainrule.view.lint.finding import finding

HERE = Path(__file__).parent / "lint"
CLEAN = sorted((HERE / "clean").glob("*.py"))
MISTAKES = sorted((HERE / "mistakes").glob("*.py"))


def run(path, space=None):
    code = compile(path.read_text(), str(path), "exec")
    exec(code, {"__name__": "__main__"} if space is None else space)


def followed(path):
    """What is found while a program runs."""
    with watch() as findings:
        run(path)
    assert findings.troubles == []
    assert observers == []
    return findings


@pytest.mark.parametrize("path", CLEAN, ids=lambda p: p.stem)
def test_nothing_is_found_in_an_ordinary_program(path):
    found = followed(path)
    assert not found, str(found)


@pytest.mark.parametrize("path", MISTAKES, ids=lambda p: p.stem)
def test_a_planted_mistake_is_found(path):
    expected = path.read_text().partition('"""')[2].partition('"""')[0]
    found = followed(path)
    assert {f.rule for f in found} == set(expected.split(" / ")), str(found)
    assert all(f.where.startswith(path.name + ":") for f in found)


# --------------------------------------------------------------------------- the command
D6 = """
import torch
from torch import nn
torch.manual_seed(0)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784, 500), nn.Sigmoid(), nn.Linear(500, 10), nn.Sigmoid())

    def forward(self, x):
        return self.layers(x)

net = Net()
criterion = nn.CrossEntropyLoss(reduction='mean')
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
x = torch.rand(5, 784)
y = torch.arange(5)
for epoch in range(2):
    loss = criterion(net(x), y)
    loss.backward()
    optimizer.step()
    print("\\n loss ", loss)
"""


def command(*args, **env):
    return subprocess.run([sys.executable, "-m", "chainrule", *args], capture_output=True,
                          text=True, env={**os.environ, **env}, timeout=300)


@pytest.fixture
def script(tmp_path):
    def write(text):
        (tmp_path / "train.py").write_text(text)
        return str(tmp_path / "train.py")

    return write


def test_a_script_without_zero_grad_and_with_a_sigmoid_too_many(script):
    done = command("run", "--lint", script(D6))
    assert done.returncode == 0
    assert done.stdout == (
        "\n loss  tensor(2.3092, grad_fn=<NllLossBackward0>)\n"
        "\n loss  tensor(2.3007, grad_fn=<NllLossBackward0>)\n")
    text = " ".join(done.stderr.split())
    assert "lint: 2 findings" in text
    assert "train.py:21: sigmoid before cross_entropy (seen 2 times)" in text
    assert "cross_entropy at train.py:21 is given sigmoid at train.py:13, in Net.layers.3" in text
    assert "cannot fall below log(1 + 9 e^-1) = 1.461150171734475" in text
    assert "train.py:22: missing zero_grad" in text
    assert "SGD.step() at train.py:23 has used already" in text
    assert "it is the sum of the old and the new one" in text


def test_the_second_gradient_is_said_to_be_the_sum():
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.0)
    with watch() as found:
        for x in (3.0, 4.0):
            (w * torch.tensor([x, 0.0])).sum().backward()
            optimizer.step()
    (only,) = found
    assert "The gradient of w had the norm 3 at the step before, and has 7 now" in only.what


ENDS = {
    "exit": ("import sys\nsys.exit(3)", 3),
    "error": ("1 / 0", 1),
    "end": ("", 0),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_exit_code_is_the_scripts_and_the_findings_are_printed_all_the_same(name, script):
    end, code = ENDS[name]
    begin = "import torch\nw = torch.ones(1, requires_grad=True)\no = torch.optim.SGD([w])\n" \
        "for _ in range(2): w.sum().backward(); o.step()\nprint('done')\n"
    done = command("run", "--lint", script(begin + end))
    assert done.returncode == code
    assert done.stdout == "done\n"
    assert "missing zero_grad" in done.stderr


def test_options_behind_the_script_are_the_scripts(script):
    path = script("import sys\nprint(sys.argv[1:])")
    done = command("run", path, "--lint")
    assert done.stdout == "['--lint']\n"
    assert done.stderr == ""
    assert "lint: no findings" in command("run", "--lint", path).stderr


# --------------------------------------------------------------------------- nothing is changed
BITS = """
import contextlib, hashlib, sys
from pathlib import Path
import chainrule as torch
from chainrule import nn
from chainrule.view.lint import watch

path, space = Path(sys.argv[1]), {"__name__": "__main__"}
with watch() if sys.argv[2] == "lint" else contextlib.nullcontext() as found:
    exec(compile(path.read_text(), str(path), "exec"), space)
h = hashlib.sha256()
for name, x in sorted(space.items(), key=lambda pair: pair[0]):
    for t in x.state_dict().values() if isinstance(x, nn.Module) else [x]:
        if isinstance(t, torch.Tensor):
            h.update(t.detach().numpy().tobytes())
h.update(torch.rand(3).numpy().tobytes())
print(h.hexdigest())
"""


@pytest.mark.parametrize("jit", ["auto", "0"])
@pytest.mark.parametrize("name", ["cnn_with_batchnorm", "gan", "gru_with_detach"])
def test_every_bit_is_the_same_with_and_without(name, jit):
    def bits(how):
        args = [sys.executable, "-c", BITS, str(HERE / "clean" / f"{name}.py"), how]
        env = {**os.environ, "CHAINRULE_JIT": jit}
        done = subprocess.run(args, capture_output=True, text=True, env=env, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    assert bits("lint") == bits("plain")


def training(steps=4):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(12, 4)
    held = []
    for _ in range(steps):
        loss = nn.functional.mse_loss(net(x), x[:, :1])
        held.append(weakref.ref(loss.node))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        del loss
        gc.collect()
        assert held[-1]() is None  # neither the linter nor a frame that it looked at keeps it


def test_no_node_is_kept_alive():
    with watch() as found:
        training()
    assert found.troubles == []


def test_an_observer_is_told_of_the_outermost_module_only():
    class Log(Observer):
        def forwarded(self, call):
            seen.append((type(call[0]).__name__, call[1].shape))

    seen = []
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    with observed(Log()):
        net(torch.ones(1, 3))
        net[0](torch.ones(4, 3))
    net(torch.ones(1, 3))
    assert seen == [("Sequential", (1, 2)), ("Linear", (4, 2))]


def test_what_goes_wrong_in_the_linter_stops_nobody(monkeypatch):
    def broken(reading):
        raise ZeroDivisionError("of the linter")

    monkeypatch.setattr(losses, "loss_rules", broken)
    with watch() as found:
        training()
    assert len(found) == 0
    assert "could not look everywhere: ZeroDivisionError: of the linter" in str(found)


# --------------------------------------------------------------------------- one loss
def test_a_loss_names_both_nodes():
    net = nn.Sequential(nn.Linear(4, 5), nn.Sigmoid())
    loss = nn.functional.cross_entropy(net(torch.rand(3, 4)), torch.arange(3))
    (only,) = torch.lint(loss)
    assert [n.name for n in only.nodes] == ["sigmoid", "div"]
    assert only.nodes[0].scope.path == "Sequential.1.sigmoid"
    order = list(copied([loss.node]).values())
    assert [order[i].name for i in only.among(order)] == ["sigmoid", "div"]
    assert only.data(order)["nodes"] == only.among(order)
    assert only.data(order)["rule"] == "sigmoid before cross_entropy"


def test_the_nodes_of_a_copied_graph_are_named_themselves():
    logits = torch.zeros(3, 4, requires_grad=True)
    loss = nn.functional.cross_entropy(logits.tanh(), torch.arange(3))
    copies = copied([loss.node])
    (only,) = examine(copies[loss.node], torch.view.labels.Names())
    assert all(n in set(copies.values()) for n in only.nodes)


class Partly(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        h = self.first(x)
        return self.third(h + h.detach())


def test_parameters_that_a_loss_does_not_reach():
    net = Partly()
    loss = net(torch.ones(2, 3)).sum()
    assert not torch.lint(loss)  # it is not known what it should reach
    (only,) = torch.lint(loss, model=net)
    assert only.rule == "unused parameters"
    assert "2 parameters of Partly: net.second.weight, net.second.bias" in only.what
    optimizer = torch.optim.SGD(net.second.parameters(), lr=0.1)
    (only,) = torch.lint(loss, optimizer=optimizer)
    assert "2 parameters of SGD" in only.what
    assert not torch.lint(loss, optimizer=torch.optim.SGD(net.first.parameters(), lr=0.1))


def test_a_cut_is_named_with_its_line():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    h = net[0](torch.ones(2, 3)).data
    loss = net[1](h).sum()
    (only,) = torch.lint(loss, model=net)
    assert only.rule == "gradient cut off"
    line = test_a_cut_is_named_with_its_line.__code__.co_firstlineno + 2
    assert only.where == f"test_lint.py:{line}"
    assert "net.0.weight, net.0.bias" in only.what
    assert "detach stops gradients" in only.what


def test_a_loss_in_evaluation_mode_with_an_optimizer():
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).eval()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = net(torch.ones(2, 3)).sum()
    (only,) = torch.lint(loss, model=net, optimizer=optimizer)
    assert only.rule == "training in evaluation mode"
    assert not torch.lint(loss, model=net)


def test_vanishing_gradients_of_a_loss_and_nothing_is_left_in_grad():
    layers = [m for _ in range(12) for m in (nn.Linear(8, 8), nn.Sigmoid())]
    net = nn.Sequential(*layers, nn.Linear(8, 1))
    (only,) = torch.lint(net(torch.randn(4, 8)).sum())
    assert only.rule == "vanishing gradients"
    assert "net.0.weight" in only.what
    assert all(p.grad is None for p in net.parameters())


# --------------------------------------------------------------------------- one step
def test_a_step_is_called_and_undone():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    calls = []

    def step(x):
        calls.append(1)
        loss = nn.functional.mse_loss(net(x), x.sum(1))
        loss.backward()
        optimizer.step()

    x = torch.randn(6, 4)
    before = [p.tolist() for p in net.parameters()], torch.get_rng_state().tolist()
    found = torch.lint(step, x, times=2)
    assert {f.rule for f in found} == {"missing zero_grad", "broadcast loss"}
    assert ([p.tolist() for p in net.parameters()], torch.get_rng_state().tolist()) == before
    assert all(p.grad is None for p in net.parameters())
    assert calls == []
    assert not optimizer.state


def test_what_is_neither_a_loss_nor_a_step_is_refused():
    with pytest.raises(ArgumentTypeError, match="lint requires a loss, or a function and its "
                                                "arguments, got int and 0 arguments"):
        torch.lint(3)
    with pytest.raises(ArgumentTypeError, match="got Tensor and 1 arguments"):
        torch.lint(torch.ones(1), 2)
    with pytest.raises(ArgumentError, match="lint requires times >= 1, got 0"):
        torch.lint(print, times=0)


# --------------------------------------------------------------------------- the floors
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("squash, width", [(torch.sigmoid, 1.0), (torch.tanh, 2.0),
                                           (lambda x: 3 * torch.sigmoid(x) - 1, 3.0)])
def test_the_floor_of_cross_entropy_is_what_no_logits_get_below(classes, squash, width):
    target = torch.arange(classes)

    def loss_of(logits):
        return nn.functional.cross_entropy(squash(logits), target)

    (only,) = torch.lint(loss_of(torch.zeros(classes, classes, requires_grad=True)))
    floor = math.log(1 + (classes - 1) * math.exp(-width))
    assert repr(floor) in only.why
    best = loss_of((torch.eye(classes, dtype=torch.float64) - 0.5) * 1e3).item()
    assert best == pytest.approx(floor, rel=1e-12)
    worse = [loss_of(torch.randn(classes, classes, dtype=torch.float64) * 9) for _ in range(50)]
    assert min(float(x) for x in worse) >= floor - 1e-12


def test_the_floor_with_logits_is_what_no_logits_get_below():
    target = np.array([0.0, 1.0, 0.25, 0.9])
    bounds = bounds_of(torch.zeros(4).sigmoid().node)
    z = np.linspace(0, 1, 100_001)[:, None]
    searched = (np.logaddexp(0, z) - target * z).min(0).mean()
    assert losses._binary_floor(bounds, target) == pytest.approx(searched, abs=1e-9)


@pytest.mark.parametrize("make", [lambda x: 20 * x.tanh(), lambda x: x.tanh() * x, torch.relu,
                                  lambda x: x.sigmoid() / 0.05])
def test_logits_that_can_be_large_are_no_mistake(make):
    logits = torch.zeros(3, 4, requires_grad=True)
    assert not torch.lint(nn.functional.cross_entropy(make(logits), torch.arange(3)))


# --------------------------------------------------------------------------- as text
def test_findings_are_counted_listed_and_falsy_when_there_are_none():
    found = Findings()
    assert not found and list(found) == []
    assert str(found) == "lint: no findings"
    site = torch.ones(1).node.where
    one = finding("rule", site, "What is wrong.", "Why it matters.", "this instead.")
    found.add(one)
    assert str(found) == (
        f"lint: 1 finding\n\n{site}: rule\n  What is wrong.\n  Why it matters.\n"
        "  Write: this instead.")
    found.add(finding("rule", site, "What is wrong, with other numbers.", "", ""))
    assert len(found) == 1 and found.times(one) == 2
    assert f"{site}: rule  (seen 2 times)" in repr(found)
    assert found[0] is one


def test_names_of_the_users_are_text():
    site = torch.ones(1).node.where
    made = finding("rule", site, "a\x1b[31m<b>\nc", "", "")
    assert made.what == "a?[31m<b>?c"


def test_a_watch_may_end_with_an_error():
    with pytest.raises(KeyError), watch() as found:
        w = torch.ones(1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        for _ in range(3):
            w.sum().backward()
            optimizer.step()
        raise KeyError("the user's own")
    assert [f.rule for f in found] == ["missing zero_grad"]
    assert observers == []
