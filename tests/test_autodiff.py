"""The chain rule on nodes: what is recorded, where it ends, what it saves and frees."""

import numpy as np
import pytest

import chainrule as torch
from chainrule.autodiff import backpropagate, grad, is_leaf, saved_by, seed, vjp
from chainrule.errors import GradError
from chainrule.graph import leaf, toposort, verify
from chainrule.interpreter import run
from chainrule.ops import elementwise as ew
from chainrule.ops import movement as mv
from chainrule.ops.contraction import contract
from chainrule.ops.op import expand, sum_
from chainrule.ops.reduction import prod


def variable(value):
    return leaf(np.asarray(value, np.float64), requires_grad=True)


def constant(value):
    return leaf(np.asarray(value, np.float64))


def number(node):
    return float(run(node)[0])


# --------------------------------------------------------------------------- the chain rule
def test_a_chain_multiplies_local_derivatives():
    x = variable(0.5)
    (g,) = grad(ew.exp(ew.sin(x)), [x])
    assert number(g) == pytest.approx(np.exp(np.sin(0.5)) * np.cos(0.5), rel=1e-15)


def test_forks_add():
    x = variable(3.0)
    square = x * x
    assert number(grad(square + square * x, [x])[0]) == 2 * 3 + 3 * 9


def test_a_cotangent_is_complete_before_it_is_passed_on():
    # b is used by c twice and by the output: its vjp may run only once, after all three.
    a = variable(2.0)
    b = a + a
    c = b + b
    assert number(grad(c * b, [a])[0]) == 2 * (8 * 2)


def test_a_vector_is_summed_unless_a_cotangent_is_given():
    x = variable([1.0, 2.0, 3.0])
    y = x * x
    assert run(*grad(y, [x]))[0].tolist() == [2, 4, 6]
    assert run(*grad(y, [x], constant([1.0, 0.0, -1.0])))[0].tolist() == [2, 0, -6]


def test_several_outputs_and_inputs():
    x, y = variable(2.0), variable(3.0)
    outs = [x * y, ew.exp(x)]
    found = backpropagate(outs, [seed(o) for o in outs])
    assert number(found[x]) == pytest.approx(3 + np.exp(2))
    assert number(found[y]) == 2
    assert number(found[outs[0]]) == 1


def test_any_intermediate_can_be_asked_for():
    x = variable(0.5)
    inner = ew.sin(x)
    outer = inner * inner
    assert number(grad(outer, [inner])[0]) == 2 * np.sin(0.5)
    assert number(grad(outer, [outer])[0]) == 1


def test_no_path_is_none():
    x, y = variable(1.0), variable(1.0)
    assert grad(x * 2.0, [y]) == [None]
    assert grad(ew.detach(x) * y, [x]) == [None]
    assert grad(ew.where(x > 0.0, y, 0.0), [x]) == [None]


def test_higher_orders_are_the_same_call_again():
    x = variable(0.3)
    y = ew.tanh(x) * x
    found = [y]
    for _ in range(4):
        found += grad(found[-1], [x])
    h = 0.01
    t = np.array([k * h for k in range(-4, 5)])
    values = np.tanh(0.3 + t) * (0.3 + t)
    coefficients = np.polynomial.polynomial.polyfit(t, values, 8)
    factorials = np.cumprod([1, 1, 2, 3, 4])
    assert [number(f) for f in found] == pytest.approx(
        list(coefficients[:5] * factorials), rel=1e-5
    )


def test_deep_graphs_need_no_stack():
    x = y = variable(1.0)
    for _ in range(20_000):
        y = y * 1.0001
    assert number(grad(y, [x])[0]) == pytest.approx(1.0001**20_000)


# --------------------------------------------------------------------------- recording
def test_nothing_is_computed():
    x = variable(np.ones((3, 2)))
    out = sum_(ew.exp(x) * x, axis=(0, 1))
    (g,) = grad(out, [x])
    assert all(n.value is None for n in toposort([g, out]) if n.op is not None)
    verify([g, out])


def test_a_gradient_stands_on_the_line_of_its_forward_node():
    x = variable(1.0)
    y = ew.exp(x)
    z = ew.sin(y)
    (g,) = grad(z, [x])
    assert g.where.line == y.where.line
    assert g.scope.path == "exp_backward"
    (of_y,) = grad(z, [y])
    assert of_y.where.line == z.where.line and of_y.scope.path == "sin_backward"


def test_only_what_leads_to_wrt_is_recorded(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "chainrule.autodiff.vjp", lambda node, ct: (asked.append(node.name), vjp(node, ct))[1]
    )
    x, y = variable(1.0), variable(2.0)
    inner = ew.exp(x)
    out = inner * ew.sin(y)
    grad(out, [inner])
    assert asked == ["mul"]  # neither sin, nor exp below the node that was asked for
    asked.clear()
    grad(out, [y])
    assert asked == ["mul", "sin"]


def test_gradients_record_no_history_under_no_grad():
    x = variable(1.0)
    y = ew.exp(x)
    with torch.no_grad():
        (g,) = grad(y, [x])
    assert not g.requires_grad and grad(y, [x])[0].requires_grad


def test_it_ends_at_leaves_and_at_parameters():
    x = torch.ones(2, requires_grad=True)
    w = (torch.ones(2) * 3).requires_grad_()  # a leaf whose value is not computed yet
    assert w.node.op is not None and is_leaf(w.node) and is_leaf(x.node)
    out = (w * x).sum().node
    assert not is_leaf(out)
    assert set(backpropagate([out], [seed(out)])) >= {w.node, x.node}


# --------------------------------------------------------------------------- hooks on nodes
def test_hooks_see_the_complete_cotangent_and_may_replace_it():
    x = variable(2.0)
    y = x * 3.0
    seen = []
    y.hooks = [seen.append, lambda ct: ct * 10.0]
    out = y * y + y
    (g,) = grad(out, [x])
    assert number(seen[0]) == 2 * 6 + 1 and len(seen) == 1
    assert number(g) == 13 * 10 * 3
    found = backpropagate([out], [seed(out)], [x], hooks=False)
    assert number(found[x]) == 13 * 3 and len(seen) == 1


# --------------------------------------------------------------------------- saved values
def matrices(n, m):
    return contract(n, m, labels=((0, 1), (1, 2), (0, 2)))


square = variable(np.ones((2, 2)))
data = constant(np.ones((2, 2)))
SAVES = {
    "add": (ew.add(square, square), []),
    "exp keeps its result": (ew.exp(square), ["out"]),
    "log keeps its input": (ew.log(square), [0]),
    "tanh": (ew.tanh(square), ["out"]),
    "both factors": (ew.mul(square, variable(np.ones((2, 2)))), [0, 1]),
    "only the other factor": (ew.mul(square, data), [1]),
    "a linear layer keeps its input": (matrices(data, square), [0]),
    "a hidden layer keeps both": (matrices(square, variable(np.ones((2, 2)))), [0, 1]),
    "power": (ew.power(square, exponent=3), [0]),
    "the first power": (ew.power(square, exponent=1), []),
    "the third power after the first": (ew.power(square, exponent=3), [0]),
    "prod": (prod(square, axis=0), [0]),
    "prod of nothing": (prod(variable(np.ones((0, 2))), axis=0), []),
    "reshape": (mv.reshape(square, shape=(4,)), []),
    "a broadcast": (expand(variable(np.ones((1, 2))), shape=(2, 2)), []),
    "a condition": (ew.where(data > 0.0, square, square), [0]),
}


@pytest.mark.parametrize("name", SAVES)
def test_what_a_rule_saves_is_found_from_the_rule(name):
    node, places = SAVES[name]
    assert saved_by(node) == [node if p == "out" else node.inputs[p] for p in places]


# --------------------------------------------------------------------------- freeing
def freed_error(output, wrt):
    with pytest.raises(GradError) as error:
        backpropagate([output], [seed(output)], wrt)
    return str(error.value)


def test_a_freed_graph_is_refused():
    x = variable(1.0)
    y = ew.exp(x)
    backpropagate([y], [seed(y)], free=True)
    line = test_a_freed_graph_is_refused.__code__.co_firstlineno + 2
    text = freed_error(y, None)
    assert "requires the values saved for exp" in text
    assert f"test_autodiff.py:{line}" in text and "retain_graph=True" in text
    run(y)
    assert y.inputs == ()  # its value is all that is left
    assert "an earlier backward has freed" in freed_error(y, [x])


def test_what_saves_nothing_can_be_differentiated_again():
    x = variable(np.ones(3))
    y = mv.flip(x + x, axes=(0,)) - 1.0
    for _ in range(2):
        found = backpropagate([y], [seed(y)], free=True)
        assert run(found[x])[0].tolist() == [2, 2, 2]
        run(y)


def test_only_what_backward_passed_is_freed():
    x = variable(1.0)
    inner = ew.exp(x)
    outer = ew.sin(inner)
    backpropagate([outer], [seed(outer)], [inner], free=True)
    assert outer.freed and not inner.freed
    assert number(grad(inner, [x])[0]) == np.exp(1.0)
    freed_error(outer, [inner])


def test_a_sum_over_freed_graphs_is_let_go_with_them():
    x = variable(1.0)
    parts = [ew.exp(x), ew.sin(x)]
    total = parts[0] + parts[1]
    for p in parts:
        backpropagate([p], [seed(p)], free=True)
    run(total)
    assert total.freed and total.inputs == ()


def test_a_sum_of_a_freed_and_a_live_graph_stays():
    x, w = variable(1.0), variable(2.0)
    dead = ew.exp(x)
    total = dead + ew.sin(w)
    backpropagate([dead], [seed(dead)], free=True)
    run(total)
    assert not total.freed
    assert number(grad(total, [w])[0]) == pytest.approx(np.cos(2.0))
    freed_error(total, [x])
