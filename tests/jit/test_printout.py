"""What programs print of themselves, and that looking at them changes nothing."""

import io
import random
import re
from pathlib import Path

import numpy as np
import pytest

import chainrule as torch
from chainrule import config, interpreter
from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.graph import toposort
from chainrule.jit import printout, tier
from chainrule.jit.engine import CompileError, Engine
from chainrule.jit.measure import measure
from chainrule.jit.program import Program
from chainrule.jit.step import Cost

README = (Path(__file__).parent.parent.parent / "README.md").read_text()


def program_of(*tensors):
    outputs = [t.node for t in tensors]
    leaves = [n for n in toposort(outputs) if n.value is not None]
    return Program(outputs, leaves), [n.value for n in leaves]


def costs(*tensors):
    program, _ = program_of(*tensors)
    return sum([step.cost() for step in program.steps], Cost(0, 0, 0))


def shown(*args, **kwargs):
    out = io.StringIO()
    torch.show(*args, kernels=kwargs.pop("kernels", True), file=out, **kwargs)
    return out.getvalue()


def mlp(x):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(x, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Dropout(0.5),
        torch.nn.Linear(16, 4))
    return net


# ------------------------------------------------------------------------------ counts and costs
def graphs():
    x, w = torch.rand(8, 6), torch.rand(6, 5, requires_grad=True)
    h = torch.softmax(x @ w, 1)
    yield h, torch.autograd.grad((h * h).sum(), w)[0]
    yield (torch.cat([x[:, i : i + 1] for i in range(6)] * 4, 1).exp(),)
    yield torch.sort(x * 2)[0] + 1, torch.linalg.inv(x[:6] + torch.eye(6))
    yield (x[:0].sum(0) + x.cumsum(0)[3],)
    yield (torch.zeros(9, 6).index_add(0, torch.arange(8), x) * 2,)


@pytest.mark.parametrize("i", range(5))
def test_every_node_is_in_one_kernel_or_inlined(i):
    program, _ = program_of(*list(graphs())[i])
    n = printout.count(program)
    nodes = [x for x in toposort(program.outputs) if x.value is None]
    members = [m.node for s in program.steps for m in s.kernel.members if m.node in nodes]
    assert len(members) == len(set(members)) == n.computed + n.interpreted
    inlined = {x for s in program.steps for x in s.inlined()} - set(members)
    assert len(inlined) == n.inlined
    assert n.computed + n.inlined + n.interpreted + n.idle == len(nodes)
    assert n.idle == len(set(nodes) - set(members) - inlined)


def test_costs_of_simple_graphs():
    x, y = torch.rand(1000), torch.rand(1000)
    assert costs(x + y) == Cost(8000, 4000, 1000)
    assert costs(x * x) == Cost(4000, 4000, 1000)
    assert costs(x.sum()).read == 4000
    assert costs(x[100:200] * 2).read == 404  # what is read, and the number
    assert costs(x.double()) == Cost(4000, 8000, 0)
    a, b = torch.rand(8, 16), torch.rand(16, 4)
    assert costs(a @ b) == Cost(4 * (8 * 16 + 16 * 4), 4 * 8 * 4, 2 * 8 * 16 * 4)
    assert costs(a @ a.T) == Cost(4 * 8 * 16, 4 * 8 * 8, 2 * 8 * 8 * 16)
    table, rows = torch.rand(1000, 4), torch.tensor([3, 1, 2])
    assert costs(table[rows] + 0.5).read == 4 * 3 * 4 + 3 * 8 + 4
    assert costs(torch.argsort(x)) == Cost(4000, 8000, 0)


# ------------------------------------------------------------------------------ texts
def test_a_program_prints_itself():
    net, x = mlp(8).eval(), torch.rand(32, 8)
    program, values = program_of(net(x).exp())
    assert re.fullmatch(r"Program\(\d+ nodes, \d+ kernels?, \d+ levels?, [\d.]+ k?B arena\)",
                        repr(program))
    assert len(repr(program.steps[0])) <= 200 and "\n" not in repr(program.steps[0])
    assert "parallel" in str(program.steps[0])
    text = str(program)
    assert text.startswith(f"program of {len(program.steps)} kernel")
    assert "Sequential.4.linear test_printout.py" in text
    assert "contract" in text and "GFLOP/s" not in text
    names = {program.leaves[0]: "images", program.outputs[0]: "scores"}
    full = printout.text(program, names=names, times=measure(program, values), full=True)
    assert "GFLOP/s" in full and "reads images float32[" in full and "writes scores" in full
    assert f"memory plan: {program.arena_bytes} bytes" in full
    assert full.count(" bytes  levels ") == len(program.buffers)
    assert all(len(line) <= 100 for line in full.split("Step(")[0].splitlines())


def test_machine_code_is_shown_on_request():
    program, _ = program_of(torch.rand(100) + 1)
    assert "ret" in printout.text(program, assembly=True)


def test_interpreted_nodes_say_why(monkeypatch):
    program, values = program_of(torch.sort(torch.rand(10) + 1)[0])
    assert "interpreted" in str(program) and "since argsort is computed whole" in str(program)
    assert len(measure(program, values).kernels) == len(program.steps)

    def failing(self, texts):
        texts = list(texts)
        if texts:
            raise CompileError(dict.fromkeys(texts, "no such instruction"))
        return []

    monkeypatch.setattr(Engine, "addresses", failing)
    program, _ = program_of(torch.rand(10) * 2)
    assert "since no such instruction" in str(program)


def test_nothing_to_compute():
    x = torch.rand(3)
    program = Program([x.node], [x.node])
    assert "0 kernels" in str(program)


# ------------------------------------------------------------------------------ times
def test_measuring_takes_time_and_changes_nothing():
    for tensors in graphs():
        program, values = program_of(*tensors)
        before = [v.copy() for v in values]
        outputs = program.run(values)
        times = measure(program, values)
        assert times.whole > 0 and all(us > 0 for us in times.kernels.values())
        assert set(times.kernels) == {s for s in program.steps if s.kernel.kind != "cat"}
        for a, b in zip(values, before, strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(outputs, program.run(values), strict=True):
            np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------ show
def test_show_of_a_tensor_computes_nothing_that_stays():
    w = torch.rand(6, 5, requires_grad=True)
    loss = (torch.rand(8, 6) @ w).exp().sum()
    text = shown(loss, names={"w": w})
    assert loss.node.value is None
    assert "w float32[6,5]" in text and "contract" in text
    loss.item()
    assert "contract" in shown(loss)  # it still has its history
    loss.backward()
    with pytest.raises(ArgumentError, match="got a value whose history is gone"):
        shown(loss)
    with pytest.raises(ArgumentError, match="got a leaf"):
        shown(w)
    with pytest.raises(ArgumentTypeError, match="requires a Tensor, a module"):
        shown(3)
    with pytest.raises(ArgumentTypeError, match="requires one Tensor"):
        torch.show(w, w)


def test_a_wrong_index_is_shown_without_times():
    x = torch.rand(3)[torch.tensor([4]) + 1] + 1
    assert "program of" in shown(x) and "GFLOP/s" not in shown(x)
    with pytest.raises(IndexError):
        x.tolist()


class Training:
    """Everything that a step may change: parameters, buffers, state, rates, streams, objects."""

    def __init__(self, compiled):
        self.net = mlp(6)
        self.opt = torch.optim.Adam(self.net.parameters(), lr=0.05)
        self.rates = torch.optim.lr_scheduler.StepLR(self.opt, 2)
        self.x, self.y = torch.rand(32, 6), torch.randint(0, 4, (32,))
        self.losses, self.count, self.seen = [], 0, {"steps": 0}
        self.compiled = torch.compile(self.update) if compiled else self.update

    def update(self):
        self.opt.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.net(self.x), self.y)
        loss.backward()
        self.opt.step()
        self.rates.step()
        return loss

    def step(self):
        loss = self.compiled()
        self.losses.append(loss.item())
        self.count += 1
        self.seen["steps"] += 1
        self.seen[f"step {self.count}"] = random.random() + np.random.rand()
        return loss

    def bits(self):
        found = [*self.net.state_dict().values()]
        found += [t for s in self.opt.state.values() for t in s.values()]
        found.append(torch.rand(3))
        return [(t if isinstance(t, torch.Tensor) else torch.tensor(t)).numpy().tobytes()
                for t in found]


def trained(compiled, look):
    for table in (tier._programs, tier._seen, interpreter._plans):
        table.clear()  # as in a new process: what is seen a second time is compiled
    random.seed(0)
    np.random.seed(0)
    t = Training(compiled)
    for i in range(8):
        look(t, i)
        t.step()
    return t.losses, t.count, t.seen, t.bits(), t.rates.state_dict()["last_epoch"]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("jit", ["auto", "0", "1"])
def test_show_changes_no_bit_of_a_training(compiled, jit, monkeypatch):
    monkeypatch.setattr(config, "jit", jit)

    def look(t, i):
        if i in (0, 1, 2, 4, 6):
            text = shown(t.step)
            assert "new 0.weight" in text or "writes" in text
            shown(t.compiled)
            shown(t.net, t.x)

    assert trained(compiled, look) == trained(compiled, lambda t, i: None)


def test_show_of_a_step_names_what_it_reads_and_writes():
    t = Training(False)
    text = shown(t.update)
    assert "x float32[32,6]" in text and "new 0.weight float32[16,6]" in text
    assert "0.weight.grad" in text and "optimizer_step" in text
    assert not t.opt.state and t.net[0].weight.grad is None
    assert "program 1 of " in shown(lambda: [(t.net(t.x) + i).sum().item() for i in range(3)])


def test_show_of_a_compiled_step_runs_nothing():
    t = Training(True)
    for _ in range(6):
        t.step()
    before = t.bits()[:-1]
    text = shown(t.compiled)
    assert t.bits()[:-1] == before
    assert "new 0.weight float32[16,6]" in text and "exp_avg" in text
    assert text.count("program of ") == 1


def test_an_error_in_the_step_leaves_everything_as_it_was():
    t = Training(False)

    def broken():
        t.update()
        raise KeyError("later")

    before = [p.tolist() for p in t.net.parameters()]
    with pytest.raises(KeyError):
        shown(broken)
    assert before == [p.tolist() for p in t.net.parameters()]
    assert config.jit in ("auto", "0", "1") and not t.opt.state


def test_a_graph_made_before_is_left_as_it_is():
    w = torch.rand(3, requires_grad=True)
    y = w * 2
    loss = y.exp().sum()

    def back():
        loss.backward()
        return y + w.grad

    for _ in range(2):
        assert "new" not in shown(back)
        assert loss.node.value is None and y.node.value is None and w.grad is None
    loss.backward()
    promised = w.grad + 1
    assert "0 kernels" not in shown(lambda: promised * 2)
    np.testing.assert_array_equal(promised.numpy(), 2 * (2 * w).exp().detach().numpy() + 1)


def test_undoing_globals_closures_and_containers():
    cell, box, ring = 1, [1, [2]], {3}

    def change():
        nonlocal cell
        global COUNT
        cell, COUNT = 2, 5
        box[1].append(7)
        box.clear()
        ring.add(4)
        return torch.zeros(2) + cell

    shown(change)
    assert (cell, box, ring) == (1, [1, [2]], {3}) and "COUNT" not in globals()


def test_the_readme_shows_what_is_printed():
    """But for what depends on the machine: times, tiles, which kernel has which number."""
    section = README[README.index("### The kernels of a step"):]
    code, text = (re.search(rf"```{kind}\n(.*?)```", section, re.S).group(1)
                  for kind in ("python", "text"))
    out = io.StringIO()
    code = code.replace("kernels=True", "kernels=True, file=out")
    exec(compile(code, "train.py", "exec"), {"torch": torch, "out": out})

    def facts(text):
        arrays = re.findall(r"(?:new )?[a-z][a-z.]* [a-z]+\d+\[[\d,]*\]", text)  # not k1, out2
        columns = re.search(r"#  level .*", text)[0].split()
        return {*arrays, *columns, *re.findall(r"train.py:\d+", text)}

    assert "new weight float32[10,784]" in facts(text)
    assert facts(text) <= facts(out.getvalue())
