"""The report of a training run: right numbers, a page, logs; and the run is what it would be."""

import html
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as torch
from chainrule import demo, nn
from chainrule.observers import observers
from chainrule.view.report import Report, log
from chainrule.view.report.budget import Budget
from chainrule.view.report.curves import Curve, smoothed
from chainrule.view.report.history import History
from chainrule.view.report.logs import JsonLines
from chainrule.view.report.norms import ratio, squared
from chainrule.view.report.palette import class_of
from chainrule.view.report.scales import number_text, scale_of, written


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def steps_of(path):
    return [x for x in lines_of(path) if "metrics" not in x]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run.html"


@pytest.fixture
def lines(out):
    return lambda: steps_of(out.with_suffix(".jsonl"))


def quiet(out, **options):
    """A report that measures every step, however long that takes."""
    report = Report(out, events=False, graph=False, **options)
    report.recorder.budget.free = math.inf
    return report


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.fc2(self.fc1(x).tanh())


def problem():
    torch.manual_seed(0)
    net = Net()
    x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
    return net, x, y, optimizer, schedule


# --------------------------------------------------------------------------- right numbers
def plain_run(steps):
    """Losses, rates and norms by the plainest means."""
    net, x, y, optimizer, schedule = problem()
    found = []
    for i in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[i : i + 8]), y[i : i + 8])
        loss.backward()
        old = {n: p.detach().numpy().astype(np.float64) for n, p in net.named_parameters()}
        grads = {n: p.grad.numpy().astype(np.float64) for n, p in net.named_parameters()}
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        new = {n: p.detach().numpy().astype(np.float64) for n, p in net.named_parameters()}
        norms = {}
        for layer in ("fc1", "fc2"):
            names = [n for n in old if n.startswith(layer)]
            parts = [[d[n].ravel() for n in names] for d in (grads, old)]
            moved = np.concatenate([(new[n] - old[n]).ravel() for n in names])
            gradient, weight = (np.linalg.norm(np.concatenate(p)) for p in parts)
            norms[layer] = {"grad_norm": gradient, "weight_norm": weight,
                            "update_ratio": np.linalg.norm(moved) / weight}
        found.append((loss.item(), rate, norms))
    return found


def test_the_numbers_are_those_of_a_plain_run(out, lines):
    wanted = plain_run(12)
    net, x, y, optimizer, schedule = problem()
    with quiet(out) as report:
        for i in range(12):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x[i : i + 8]), y[i : i + 8])
            loss.backward()
            optimizer.step()
            schedule.step()
    assert [row["step"] for row in lines()] == list(range(1, 13))
    for row, (loss, rate, norms) in zip(lines(), wanted):
        assert row["loss"] == pytest.approx(loss, rel=1e-6) and row["lr"] == rate
        assert row["layers"].keys() == norms.keys()
        for layer, known in norms.items():
            assert row["layers"][layer] == pytest.approx(known, rel=1e-4)
        total = math.hypot(*[known["grad_norm"] for known in norms.values()])
        assert row["grad_norm"] == pytest.approx(total, rel=1e-5)
        assert 0 < row["seconds"] and row["time"] > 0
    data = page_data(out)
    charts = {chart["key"]: chart for chart in data["charts"]}
    (series,) = charts["loss"]["series"]
    assert series["x"] == list(range(1, 13))
    assert series["y"] == pytest.approx([loss for loss, *_ in wanted], rel=1e-5)
    assert [s["name"] for s in charts["gradient"]["series"]] == ["fc1: Linear", "fc2: Linear"]
    assert charts["gradient"]["series"][1]["y"] == pytest.approx(
        [norms["fc2"]["grad_norm"] for *_, norms in wanted], rel=1e-4)
    assert charts["ratio"]["series"][0]["y"] == pytest.approx(
        [norms["fc1"]["update_ratio"] for *_, norms in wanted], rel=1e-4)
    assert report.recorder.sampled == 12


def page_data(path):
    text = path.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found)


def test_two_optimizers_are_one_step(out, lines):
    torch.manual_seed(0)
    a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    opt_a = torch.optim.SGD(a.parameters(), lr=0.1)
    opt_b = torch.optim.SGD(b.parameters(), lr=0.2)
    x = torch.ones(3, 2)
    wanted = []
    with quiet(out):
        for _ in range(3):
            opt_a.zero_grad()
            first = a(x).square().mean()
            first.backward()
            second = (a(x) - 1).square().mean()
            second.backward()
            opt_a.step()
            opt_b.zero_grad()
            third = b(a(x).expand(3, 2)).square().mean()
            third.backward()
            opt_b.step()
            wanted.append({"first": first.item(), "second": second.item(), "third": third.item()})
    assert [row["losses"] for row in lines()] == wanted
    assert [row["lrs"] for row in lines()] == 3 * [{"SGD": 0.1, "SGD 2": 0.2}]
    assert list(lines()[0]["layers"]) == ["Linear 1", "Linear 2"]


def test_critic_steps_are_steps(out, lines):
    w, v = (torch.tensor(1.0, requires_grad=True) for _ in range(2))
    critic, generator = torch.optim.SGD([w], lr=0.1), torch.optim.SGD([v], lr=0.1)
    with quiet(out):
        for turn in range(7):
            critic.zero_grad()
            (w * w).backward()
            critic.step()
            if turn % 3 == 2:
                generator.zero_grad()
                (v * v).backward()
                generator.step()
    assert [sorted(row["lrs"]) if "lrs" in row else row["lr"] for row in lines()] == [
        0.1, 0.1, ["SGD", "SGD 2"], 0.1, 0.1, ["SGD", "SGD 2"], 0.1]


def test_losses_of_one_name_are_told_apart(out, lines):
    w = torch.tensor(2.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.0)
    with quiet(out):
        for _ in range(2):
            loss = w * 1.0
            loss.backward()
            loss = w * 3.0
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    (first, one), (second, other) = lines()[1]["losses"].items()
    assert (first, one, other) == ("loss", 2.0, 6.0)
    assert re.fullmatch(r"loss \(test_report.py:\d+\)", second)


def test_gathered_gradients_are_one_step_with_the_mean_loss(out, lines):
    w = torch.tensor(2.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.0)
    with quiet(out):
        for _ in range(2):
            for factor in (1.0, 2.0, 6.0):
                loss = w * factor
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert [row["loss"] for row in lines()] == [6.0, 6.0]
    assert lines()[0]["grad_norm"] == 9.0 and lines()[0]["update_ratio"] == 0.0


def test_the_loss_of_a_closure_is_its_first(out, lines):
    w = torch.tensor([3.0, -2.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([w], lr=1.0, max_iter=5)
    returned = []

    def closure():
        optimizer.zero_grad()
        loss = (w**2).sum() + (w**4).sum()
        loss.backward()
        return loss

    with quiet(out):
        for _ in range(3):
            returned.append(optimizer.step(closure).item())
    assert [row["loss"] for row in lines()] == pytest.approx(returned)


def test_a_loss_that_nobody_keeps_is_worked_out(out, lines):
    w = torch.tensor([1.0, 3.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.25)
    with quiet(out):
        for _ in range(2):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
    assert [row["loss"] for row in lines()] == [10.0, 2.5]


def test_a_loop_without_an_optimizer(out, lines):
    w = torch.tensor([1.0], requires_grad=True)
    with quiet(out):
        for x, y in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]:
            loss = (x * w - y) ** 2
            loss.backward()
            w.data = w.data - 0.01 * w.grad.data
            w.grad.data.zero_()
    value, wanted = 1.0, []
    for x, y in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]:
        gradient = 2 * x * (x * value - y)
        wanted.append(((x * value - y) ** 2, abs(gradient), 0.01 * abs(gradient) / value))
        value -= 0.01 * gradient
    for row, (loss, gradient, moved) in zip(lines(), wanted, strict=True):
        assert (row["loss"], row["grad_norm"]) == pytest.approx((loss, gradient), rel=1e-5)
        assert row["update_ratio"] == pytest.approx(moved, rel=1e-5)
        assert list(row["layers"]) == ["w"]


def test_compiled_steps(out, lines):
    net, x, y, optimizer, schedule = problem()

    @torch.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    returned = []
    with quiet(out):
        for i in range(12):
            returned.append(step(x[i : i + 8], y[i : i + 8]).item())
            schedule.step()
    assert [row["loss"] for row in lines()] == returned
    for row, (_, rate, norms) in zip(lines(), plain_run(12), strict=True):
        assert row["lr"] == rate
        assert row["layers"]["fc1"] == pytest.approx(norms["fc1"], rel=1e-3)


def test_a_compiled_step_that_keeps_its_loss_to_itself_is_told_of(out, lines):
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    @torch.compile
    def step():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        optimizer.step()

    with quiet(out):
        for _ in range(6):
            step()
    assert ["loss" in row for row in lines()] == [True] + 5 * [False]
    assert lines()[5]["grad_norm"] == pytest.approx(2 * math.sqrt(2) * 0.8**5, rel=1e-5)
    assert "step is compiled and does not return its loss (loss)" in out.read_text()


# --------------------------------------------------------------------------- the same bits
TRAINING = """
import hashlib
import torch
from torch import nn

def run(net, x, y, compiled):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss
    step = torch.compile(step) if compiled else step
    for i in range(18):
        at = 8 * (i % 4)
        loss = step(x[at : at + 8], y[at : at + 8])
        if i % 3:
            print(i, loss.item().hex())
        schedule.step()
    for p in net.parameters():
        print(hashlib.md5(p.detach().numpy().tobytes()).hexdigest())
    print(torch.rand(1).item())

for compiled in (False, True):
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
    y = torch.randint(0, 10, (32,))
    run(mlp, torch.randn(32, 20), y, compiled)
    cnn = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Flatten(), nn.Linear(36, 10))
    run(cnn, torch.randn(32, 1, 8, 8), y, compiled)
"""


def chainrule(*args, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "chainrule", *args], capture_output=True, text=True, cwd=cwd,
        timeout=300, env={**os.environ, **environment},
    )


@pytest.mark.parametrize("jit", ["0", "1", "auto"])
def test_training_is_the_same_to_the_last_bit(jit, tmp_path):
    (tmp_path / "train.py").write_text(TRAINING)
    plain = chainrule("run", "train.py", cwd=tmp_path, CHAINRULE_JIT=jit)
    seen = chainrule("run", "--report", "r.html", "train.py", cwd=tmp_path, CHAINRULE_JIT=jit)
    assert plain.returncode == seen.returncode == 0, plain.stderr + seen.stderr
    assert seen.stdout == plain.stdout and len(plain.stdout) > 1000
    rows = steps_of(tmp_path / "r.jsonl")
    assert len(rows) == 4 * 18 and all("loss" in row for row in rows)


# --------------------------------------------------------------------------- never in the way
SMALL = """
import torch
w = torch.tensor(2.0, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    loss = w * w
    loss.backward()
    optimizer.step()
    print(loss.item())
"""
PRINTED = "4.0\n2.5600"


def run_script(tmp_path, text, report="out/r.html", **environment):
    (tmp_path / "train.py").write_text(text)
    return chainrule("run", "--report", report, "train.py", cwd=tmp_path, **environment)


def test_a_script_gets_page_lines_and_events(tmp_path):
    done = run_script(tmp_path, SMALL)
    assert done.returncode == 0 and done.stdout.startswith(PRINTED)
    assert done.stderr == "chainrule report: 3 steps in out/r.html\n"
    found = sorted(os.listdir(tmp_path / "out"))
    assert [name for name in found if name != "r.events"] == ["r.html", "r.jsonl"]
    text = (tmp_path / "out/r.html").read_text()
    assert "<title>train.py</title>" in text and '<span class="state finished">' in text
    assert "http-equiv=\"refresh\"" not in text and "iframe" in text


def test_a_script_that_fails_keeps_its_exit_code_and_its_report(tmp_path):
    done = run_script(tmp_path, SMALL + "raise ValueError('<b>no</b> data')\n")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "ValueError: <b>no</b> data" in done.stderr
    text = (tmp_path / "out/r.html").read_text()
    assert '<span class="state failed">' in text
    assert "train.py:11  raise ValueError" in text
    assert "ValueError: &lt;b&gt;no&lt;/b&gt; data" in text


@pytest.mark.parametrize("code, state", [("0", "finished"), ("7", "failed")])
def test_a_script_that_exits(code, state, tmp_path):
    done = run_script(tmp_path, SMALL + f"raise SystemExit({code})\n")
    assert done.returncode == int(code)
    assert f'<span class="state {state}">' in (tmp_path / "out/r.html").read_text()


def test_where_nothing_can_be_written_the_training_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_script(tmp_path, SMALL, report="file/r.html")
    assert done.returncode == 0 and done.stdout.startswith(PRINTED)
    said = done.stderr.splitlines()
    assert "Traceback" not in done.stderr and 1 < len(said) <= 3
    assert all(line.startswith("chainrule report: cannot write ") for line in said)
    assert any("r.html: " in line for line in said)


def test_a_full_disk_is_said_once(out, capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JsonLines, "_write", full)
    net, x, y, optimizer, _ = problem()
    with quiet(out) as report:
        for _ in range(3):
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    said = capsys.readouterr().err
    assert said.count("cannot write") == 1 and "No space left on device" in said
    assert report.recorder.steps == 3


def test_a_failure_of_its_own_ends_the_looking_on_only(out, capsys, monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(History, "add", broken)
    net, x, y, optimizer, _ = problem()
    with quiet(out):
        for _ in range(3):
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    assert capsys.readouterr().err == (
        "chainrule report: ends early, the training goes on: ZeroDivisionError: oh\n")
    assert "The looking on ended early: ZeroDivisionError: oh" in out.read_text()


def test_a_script_without_a_step_says_so(tmp_path):
    done = run_script(tmp_path, "print('nothing')\n")
    assert (done.returncode, done.stdout) == (0, "nothing\n")
    assert "No training step was seen" in (tmp_path / "out/r.html").read_text()


def test_a_script_that_cannot_be_opened_gets_no_report(tmp_path):
    done = chainrule("run", "--report", "r.html", "none.py", cwd=tmp_path)
    assert done.returncode == 2 and "cannot open 'none.py'" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_killed_run_keeps_its_lines(tmp_path):
    (tmp_path / "train.py").write_text(SMALL.replace("range(3)", "range(10**9)"))
    command = [sys.executable, "-m", "chainrule", "run", "--report", "r.html", "train.py"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    seen = [run.stdout.readline() for _ in range(20)]
    run.send_signal(signal.SIGKILL)
    run.wait(60)
    run.stdout.close()
    rows = steps_of_killed(tmp_path / "r.jsonl")
    assert len(rows) >= len(seen) - 1
    assert [row["loss"] for row in rows[:19]] == [float(line) for line in seen[:19]]


def steps_of_killed(path):
    """All lines but one that may be half-written."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def test_the_page_is_written_while_it_runs(out, monkeypatch):
    monkeypatch.setattr("chainrule.view.report.writer.FIRST", 0.0)
    w = torch.tensor(2.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    with quiet(out):
        for _ in range(2):  # other tests have left optimizers that do not step
            loss = w * w
            loss.backward()
            optimizer.step()
        text = out.read_text()
        assert '<span class="state running">' in text and 'http-equiv="refresh"' in text
    assert '<span class="state finished">' in out.read_text()


def test_other_threads_are_not_heard(out, lines):
    def train(value, steps):
        w = torch.tensor(value, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.0)
        for _ in range(steps):
            loss = w * 1.0
            loss.backward()
            optimizer.step()

    with quiet(out):
        train(1.0, 2)
        thread = threading.Thread(target=train, args=(5.0, 3))
        thread.start()
        thread.join()
    assert [row["loss"] for row in lines()] == [1.0, 1.0]


def test_no_observer_is_left_behind(out):
    before = list(observers)
    with pytest.raises(KeyError), quiet(out):
        raise KeyError("x")
    assert observers == before and '<span class="state failed">' in out.read_text()


def test_nothing_of_the_users_graph_is_kept(out):
    import gc

    from chainrule.graph import Node

    net, x, y, optimizer, _ = problem()

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        del loss
        optimizer.zero_grad()
        gc.collect()
        return sum(isinstance(o, Node) for o in gc.get_objects())

    train(5)
    before = train(5)
    with quiet(out):
        during = [train(5), train(50)]
    assert max(during) - before <= 2 and during[1] <= during[0]


# --------------------------------------------------------------------------- the user's numbers
def test_logged_numbers(out):
    log(accuracy=1.0)  # nobody looks on
    w = torch.tensor(2.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    with quiet(out) as report:
        for i in range(2):
            loss = w * w
            loss.backward()
            optimizer.step()
            log(accuracy=0.5 + 0.1 * i, **{"half/loss": loss / 2})
            optimizer.zero_grad()
        log(step=7, accuracy=torch.tensor(0.75))
    found = [(x["step"], x["metrics"]) for x in lines_of(out.with_suffix(".jsonl"))
             if "metrics" in x]
    assert (1, {"accuracy": 0.5}) in found and (2, {"accuracy": 0.6}) in found
    assert (1, {"half/loss": 2.0}) in found and (7, {"accuracy": 0.75}) in found
    assert report.history.metrics["accuracy"].values == 3
    assert "half/loss" in out.read_text()


def test_logging_forces_no_value(out):
    w = torch.tensor(2.0, requires_grad=True)
    with quiet(out):
        value = w * 3
        log(value=value)
        assert value.node.value is None
    assert lines_of(out.with_suffix(".jsonl")) == [{"step": 0, "metrics": {"value": 6.0}}]


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from chainrule.utils.tensorboard import SummaryWriter

    w = torch.tensor(2.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    out = tmp_path / "r.html"
    own = SummaryWriter(tmp_path / "own")
    with Report(out, graph=False) as report:
        for i in range(3):
            optimizer.zero_grad()
            loss = w * w
            loss.backward()
            optimizer.step()
            own.add_scalar("mine", 10.0 * i, i)
    own.close()
    found = EventAccumulator(str(tmp_path / "r.events"), size_guidance={"tensors": 0})
    found.Reload()

    def read(tag):
        return [(e.step, pytest.approx(e.tensor_proto.float_val[0])) for e in found.Tensors(tag)]

    rows = steps_of(tmp_path / "r.jsonl")
    assert read("loss/loss") == [(row["step"], row["loss"]) for row in rows]
    assert read("gradient/w") == [(row["step"], row["grad_norm"]) for row in rows]
    assert read("update ratio/w") == [(row["step"], row["update_ratio"]) for row in rows]
    assert read("lr/SGD") == [(1, 0.1), (2, 0.1), (3, 0.1)]
    assert list(report.history.metrics) == ["mine"]  # and not what the report itself has written
    assert report.history.metrics["mine"].last == 20.0


def test_without_tensorboard_it_is_noted(out, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "chainrule.utils.tensorboard", None)
    with Report(out, graph=False):
        pass
    assert capsys.readouterr().err == "" and not out.with_suffix(".events").exists()
    assert "No TensorBoard events: the package tensorboard is not installed." in out.read_text()


# --------------------------------------------------------------------------- the page
def test_what_the_user_named_is_text(out):
    evil = "</script><img src=x onerror=alert(1)>"
    net = nn.Sequential()
    net.add_module(evil.replace(".", ""), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Report(out, title=evil, events=False):
        loss = net(torch.ones(1, 2)).sum()
        loss.backward()
        optimizer.step()
        log(**{evil: 1.0})
    text = out.read_text()
    outer = re.sub(r'srcdoc="[^"]*"', "", text)
    assert "<img src=x" not in text and outer.count("</script>") == 2
    assert html.escape(evil) in outer


def test_what_is_not_finite_is_told_of(out):
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    frozen = nn.Linear(2, 2)
    optimizer = torch.optim.SGD([w, *frozen.parameters()], lr=0.5)
    with quiet(out) as report:
        for factor in (1.0, math.inf, 1.0):
            optimizer.zero_grad()
            loss = (w * factor).sum()
            loss.backward()
            optimizer.step()
    assert [row.get("loss") for row in steps_of(out.with_suffix(".jsonl"))] == [3.0, "inf", "-inf"]
    assert report.history.events[2, "the gradient is not finite"] == ["w"]
    assert report.history.events[2, "the loss is inf"] == ["loss"]
    assert (1, "no gradient reaches") in report.history.events
    text = out.read_text()
    assert "loss is inf from step 2" in text and "no gradient" in text


def test_many_layers(out):
    torch.manual_seed(0)
    net = nn.Sequential(*[nn.Linear(4, 4) for _ in range(100)])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with quiet(out) as report:
        for _ in range(4):
            loss = net(torch.ones(1, 4)).square().sum()
            loss.backward()
            optimizer.step()
    data = page_data(out)
    (heat,) = data["heatmaps"]
    assert len(heat["names"]) == 80 and "and 20 more layers" in out.read_text()
    charts = {chart["key"]: chart for chart in data["charts"]}
    names = [s["name"] for s in charts["gradient"]["series"]]
    assert len(names) == 60 and names[0] == "0: Linear" and names[-1] == "99: Linear"
    assert len(report.history.layers) == 100


def test_the_demo_writes_it(tmp_path):
    pytest.importorskip("sklearn")
    demo.main(["--out", str(tmp_path), "--epochs", "2"])
    rows = lines_of(tmp_path / "report.jsonl")
    assert sum("loss" in row for row in rows) == 88
    assert sum("metrics" in row for row in rows) == 4
    layers = next(row["layers"] for row in rows if "layers" in row)
    assert list(layers) == ["fc1", "fc2"]
    assert "Learning scanned digits" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "graph.html").exists()


# --------------------------------------------------------------------------- the parts
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(2, 20))
def test_a_thinned_curve_keeps_means_and_ranges(values, most):
    curve = Curve(most)
    for x, y in enumerate(values):
        curve.add(x, y)
    points = list(curve.points())
    assert len(points) <= most + 1 and sum(p.size for p in points) == len(values)
    start = 0
    for p in points:
        part = values[start : start + p.size]
        assert p.x == start + p.size - 1
        assert (p.low, p.high) == (min(part), max(part))
        assert p.mean == pytest.approx(sum(part) / len(part), abs=1e-6)
        start += p.size
    assert (curve.first, curve.last) == (values[0], values[-1])


def test_a_curve_counts_what_is_not_finite():
    curve = Curve(2)
    for x, y in enumerate([1.0, math.nan, 3.0, math.inf, math.nan, 7.0]):
        curve.add(x, y)
    assert curve.not_finite == 3 and curve.first_not_finite[0] == 1
    assert (curve.lowest, curve.highest) == (1.0, 7.0)
    assert sum(p.size for p in curve.points()) == 3


def test_smoothing_skips_what_is_not_finite():
    found = smoothed([1, 2, 3], [1.0, math.nan, 3.0], 0.5)
    assert math.isnan(found[1]) and found[2] == pytest.approx(7 / 3)


def test_a_budget_is_kept():
    budget, elapsed, sampled = Budget(share=0.05, free=0.1), 0.0, 0
    for _ in range(2000):
        elapsed += 0.002
        if budget.allows(elapsed):
            budget.spend(0.004)
            elapsed += 0.004
            sampled += 1
    assert budget.spent <= 0.1 + 0.004 + 0.06 * elapsed and sampled > 60


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.complex64, np.int32])
def test_norms(dtype):
    x = np.random.default_rng(0).normal(size=(300, 301)).astype(dtype)
    wide = x.astype(np.complex128 if dtype is np.complex64 else np.float64)
    assert squared(x) == pytest.approx(np.linalg.norm(wide) ** 2, rel=1e-12)
    assert squared(x, x) == 0.0
    assert squared(x[::2], x[1::2]) == pytest.approx(
        np.linalg.norm(wide[::2] - wide[1::2]) ** 2, rel=1e-12)


def test_a_ratio_to_nothing():
    assert (ratio(0.0, 0.0), ratio(1.0, 0.0), ratio(1.0, 2.0)) == (0.0, math.inf, 0.5)


def test_scales_show_everything():
    for values in ([1.0], [0.0], [-3.0, 5.0], [1e-9, 1e9], [math.nan, 2.0], []):
        for is_log in (False, True):
            scale = scale_of(values, is_log)
            known = [v for v in values if math.isfinite(v) and (v > 0 or not is_log)]
            assert all(0 <= scale(v) <= 1 for v in known)
            assert len(scale.ticks()) <= 14 and all(0 <= scale(t) <= 1 for t in scale.ticks())
    assert written(0.0) == "0" and number_text(math.nan) == "nan"


def test_each_layer_has_a_colour():
    assert [class_of(i, 3) for i in range(3)] == ["s0", "s1", "s2"]
    assert class_of(0, 100) == "d0" and class_of(99, 100) == "d23"


def test_time_is_told_without_what_the_report_takes(out, lines, monkeypatch):
    monkeypatch.setattr(History, "add", lambda self, row: time.sleep(0.05))
    w = torch.tensor(2.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    with quiet(out):
        for _ in range(6):
            loss = w * w
            loss.backward()
            optimizer.step()
    assert min(row["seconds"] for row in lines()[2:]) < 0.04
