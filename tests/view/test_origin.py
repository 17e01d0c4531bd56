"""What the search for a NaN's origin says, what it passes over, and that it changes nothing."""

import inspect
import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
from chainrule.errors import ArgumentTypeError
from chainrule.nn import functional as F
from chainrule.view.replay import Replay
from chainrule.view.trail import Trail

inf, nan = math.inf, math.nan


def leaf(*values, dtype=None):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


# --------------------------------------------------------------------------- explanations
def test_an_explanation_names_line_inputs_mask_and_remedy():
    x = leaf(1.0, 0.0, 4.0)
    y = torch.log(x)
    loss = torch.where(x > 0, y, 0.0).sum()
    line = inspect.currentframe().f_lineno - 2
    assert str(torch.trace_nan(loss)) == (
        "the derivative of log requires a finite result, got nan at (1,), 1 of its 3 elements "
        "from its div\n"
        "  the gradient that arrives: float32[3] in [0 .. 1], there 0\n"
        "  x: float32[3] in [0 .. 4], there 0\n"
        f"  where at test_origin.py:{line + 1} leaves it out of the result, but not out of the "
        "way back: 0 x inf is nan\n"
        "  line: y = torch.log(x)\n"
        f"  recorded at test_origin.py:{line}\n"
        "  hint: choose before the operation, not only after it: give log an input that is safe "
        "where its result is not used, log(torch.where(mask, x, 1.0))")


def test_a_parameter_goes_by_its_name_and_a_module_by_its_path():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    with torch.no_grad():
        net[0].weight[1, 0] = nan
    net[0].weight.tolist()
    origin = torch.trace_nan(net(torch.ones(1, 2)).sum())
    assert str(origin).startswith(
        "net.0.weight requires finite values, got nan at (1, 0), 1 of its 4 elements\n")
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Softmax(1))
    origin = torch.trace_nan(net(torch.full((1, 2), 3e38) * 10).sum())
    assert origin.op == "mul"
    with torch.no_grad():
        net[0].weight.fill_(3e38)
    origin = torch.trace_nan(net(torch.full((1, 2), 10.0)).sum())
    assert origin.op == "contract" and ", in Sequential.0" in str(origin)


def test_it_says_where_an_infinity_became_nan():
    x = leaf(1.0, 100.0)
    e = x.exp()
    loss = (e / e).sum()
    line = inspect.currentframe().f_lineno - 1
    assert f"it becomes nan in div at test_origin.py:{line}" in str(torch.trace_nan(loss))


def test_of_a_value_whose_history_is_gone_the_op_is_told():
    x = torch.tensor([0.0, 1.0])
    y = x.log()
    y.tolist()
    w = leaf(1.0, 1.0)
    origin = torch.trace_nan((w * y).sum())
    assert (origin.op, origin.where.line) == ("log", inspect.currentframe().f_lineno - 4)
    assert str(origin).startswith(
        "y requires finite values, got -inf at (0,), 1 of its 2 elements; what log computed it "
        "from was let go")


def test_a_mean_over_no_targets_is_told_as_what_it_is():
    logits = torch.zeros(2, 3, requires_grad=True)
    origin = torch.trace_nan(F.cross_entropy(logits, torch.tensor([-100, -100])))
    assert origin.hint == "this is a mean of nothing: every target is ignored, or has the weight 0"
    assert [i.there for i in origin.inputs] == ["0", "0"]


def test_what_is_the_same_everywhere_is_said_once():
    x, y = torch.zeros(2, requires_grad=True), torch.zeros(2)
    assert "\n  y: float32[2], all 0\n" in str(torch.trace_nan((x / y).sum()))


def test_behind_what_refuses_to_compute_the_data_is_found():
    data = torch.tensor([[1.0, nan], [0.0, 1.0]])
    w = leaf(2.0)
    origin = torch.trace_nan((torch.linalg.svdvals(data * w) * 3.0).sum())
    assert (origin.op, origin.index) == ("leaf", (0, 1)) and str(origin).startswith("data requires")


def test_bfloat16_and_float64_are_looked_at_too():
    assert torch.trace_nan(leaf(0.0, dtype=torch.float64).log().sum()).op == "log"
    origin = torch.trace_nan((leaf(1e38, dtype=torch.bfloat16) * 1e38).sum())
    assert origin.op == "mul" and "bfloat16 ends at 3.39e38" in origin.hint


# --------------------------------------------------------------------------- nothing to find
def clean():
    x = leaf(0.0, 2.0)
    yield x.sum()
    yield torch.where(x > 0, torch.log(torch.where(x > 0, x, 1.0)), 0.0).sum()
    yield (torch.where(x > 0, -inf, x).exp() * 2).sum()  # exp(-inf) is 0
    yield F.softmax(x.masked_fill(torch.tensor([True, False]), -inf), 0).square().sum()
    yield torch.where(x > 0, x.detach().log(), 0.0).sum() + x.sum()  # no way back through log
    yield (x * 1e30).sum()  # its square is infinite, itself it is not
    yield torch.tensor([2**62, 1]) * 4 + x.sum()


def test_of_what_is_finite_there_is_no_origin():
    assert [torch.trace_nan(loss.sum()) for loss in clean()] == [None] * 7


def test_looking_changes_nothing():
    x = leaf(1.0, 0.0)
    y = x.log()
    loss = torch.where(x > 0, y, 0.0).sum()
    calls = []
    x.register_hook(calls.append)
    torch.manual_seed(3)
    state = torch.get_rng_state().tolist()
    assert torch.trace_nan(loss) is not None
    assert loss.node.value is None and y.node.value is None and x.grad is None
    assert calls == [] and torch.get_rng_state().tolist() == state
    loss.backward()
    assert math.isnan(x.grad[1].item()) and len(calls) == 1


def test_after_backward_only_the_forward_pass_can_be_looked_at():
    x = leaf(4.0, 0.0)
    loss = x.sqrt().sum()
    loss.backward()
    assert torch.trace_nan(loss) is None


def test_it_requires_a_tensor_or_a_switch():
    with pytest.raises(ArgumentTypeError, match="trace_nan requires a Tensor, True or False, got"):
        torch.trace_nan([1.0])


@pytest.mark.parametrize("turn", ["recorded", "promised"])
def test_a_trail_adds_no_reference_to_a_node_and_stays_whole(turn):
    x = leaf(1.0, 2.0)
    entropy = F.cross_entropy(torch.stack([x, x * 3.0]), torch.tensor([0, 1]))
    loss = (entropy + x.sum()).log()
    if turn == "promised":
        assert entropy.node.call is not None
    nodes = [x.node, loss.node, entropy.node]
    counts = [sys.getrefcount(n) for n in nodes]
    trail = Trail()
    trail.add([loss.node])
    assert [sys.getrefcount(n) for n in nodes] == counts
    del nodes
    loss.backward()
    value = loss.item()
    assert loss.node.inputs == ()
    graph = trail.graph([loss.node])
    assert x.node in graph.order and graph.ends == [len(graph.order)]
    assert Replay(graph, 1, keep=graph.order).values[graph.of(loss.node)].item() == value
    names = [n.name for n in graph.order]
    assert {"amax", "exp", "log", "sum"} <= {*names}
    assert all(graph.inputs[n] for n in graph.order if n.op is not None and n.name != "constant")


# --------------------------------------------------------------------------- whatever the program
UNARY = [torch.log, torch.sqrt, torch.exp, torch.neg, torch.relu, torch.abs, torch.square,
         torch.reciprocal, torch.tanh, lambda x: x.t(), lambda x: torch.softmax(x, 0),
         lambda x: x.sum(1, keepdim=True) + x, lambda x: x.cumsum(0), lambda x: x ** 0.5,
         lambda x: x / x.std(), lambda x: x[[1, 0, 1]], lambda x: x - x.amax(1, keepdim=True),
         lambda x: x.norm(dim=0) * x, lambda x: torch.where(x > 0, torch.log(x), x),
         lambda x: torch.cat([x[:1], x[1:] * 1e30]), lambda x: x.clamp(max=1.0), lambda x: x.acos()]
BINARY = [torch.add, torch.mul, torch.div, torch.maximum, torch.matmul, torch.pow, torch.atan2,
          lambda x, y: torch.where(x > y, x, y), lambda x, y: torch.where(y == 0, 0.0, x / y)]


@given(st.lists(st.integers(0, len(UNARY) + len(BINARY) - 1), min_size=1, max_size=8),
       st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, 90.0]), min_size=9, max_size=9),
       st.data())
@settings(max_examples=150, deadline=None)
def test_there_is_an_origin_exactly_if_something_is_not_finite(ops, numbers, data):
    x = torch.tensor(numbers, requires_grad=True)
    values = [x.view(3, 3)]
    for k in ops:
        new = data.draw(st.integers(0, len(values) - 1))
        if k < len(UNARY):
            values.append(UNARY[k](values[new]))
        else:
            values.append(BINARY[k - len(UNARY)](values[new], values[-1]))
    loss = values[-1].sum() + values[len(values) // 2].mean()
    origin = torch.trace_nan(loss)
    (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
    fine = math.isfinite(loss.item()) and bool(gradient.isfinite().all())
    assert (origin is None) == fine
    if origin is not None:
        assert not math.isfinite(origin.value) and str(origin)
        if math.isfinite(loss.item()):
            assert origin.phase == "backward"
        elif origin.phase == "forward":
            assert all("nan" not in i.there for i in origin.inputs)
