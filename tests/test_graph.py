"""Nodes, their order, their structural key, and what verify() finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
from chainrule import nn
from chainrule.autodiff import grad
from chainrule.dtypes import float32, float64, int64
from chainrule.graph import Node, leaf, record, structural_key, toposort, users, verify
from chainrule.interpreter import run
from chainrule.ops import elementwise as ew
from chainrule.ops import movement as mv
from chainrule.ops.op import sum_
from chainrule.shapes import spec


def a_leaf(shape=(2, 3), dtype=np.float64):
    return leaf(np.ones(shape, dtype))


def key(*outputs):
    return structural_key(outputs)[0]


# --------------------------------------------------------------------------- nodes
def test_a_leaf_takes_its_array_over():
    array = np.arange(3.0)
    node = leaf(array)
    assert node.value is array and node.op is None and node.inputs == ()
    assert (node.shape, node.dtype, node.ndim, node.nbytes) == ((3,), float64, 1, 24)


def test_recording_computes_nothing():
    x = a_leaf()
    y = ew.exp(x * x)
    assert y.value is None and y.inputs[0].value is None
    assert y.op is ew.exp and y.spec is spec((2, 3), float64)
    assert y.depth == y.inputs[0].depth + 1 > x.depth


def test_a_node_prints_its_op_shape_value_and_line():
    x = leaf(np.float32(2.0))
    y = ew.exp(x)
    line = test_a_node_prints_its_op_shape_value_and_line.__code__.co_firstlineno + 2
    assert repr(y) == f"<exp float32[] at test_graph.py:{line}>"
    run(y)
    assert repr(y) == f"<exp float32[] = 7.38906 at test_graph.py:{line}>"
    assert repr(a_leaf()).startswith("<leaf float64[2,3] = array of 6 at test_graph.py:")


def test_a_node_knows_the_scope_it_was_recorded_in():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return nn.functional.softmax(self.fc(x), dim=1)

    y = Net()(torch.ones(1, 2))
    assert y.node.scope.path.startswith("Net.softmax")
    scopes = {n.scope.path for n in toposort([y.node]) if n.scope}
    assert "Net.fc.linear" in scopes


# --------------------------------------------------------------------------- order
def test_inputs_come_before_users_and_first_inputs_first():
    a, b, c = a_leaf(), a_leaf(), a_leaf()
    left, right = a * b, c * a
    out = left + right
    assert toposort([out]) == [a, b, left, c, right, out]
    assert toposort([right, out]) == [c, a, right, b, left, out]


def test_what_is_not_entered_is_left_out_with_what_lies_below():
    a, b = a_leaf(), a_leaf()
    inner = a * b
    out = inner + a
    assert toposort([out], enter=lambda n: n is not inner) == [a, out]
    assert toposort([out], enter=lambda n: n is not out) == []


def test_a_node_that_is_used_twice_comes_once():
    a = a_leaf()
    square = a * a
    out = square + square
    assert toposort([out, square, out]) == [a, square, out]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=30))
def test_the_order_is_topological(pairs):
    nodes = [a_leaf(), a_leaf()]
    for i, j in pairs:
        nodes.append(nodes[i % len(nodes)] + nodes[j % len(nodes)])
    order = toposort(nodes[-2:])
    place = {n: i for i, n in enumerate(order)}
    assert len(place) == len(order)
    assert all(place[x] < place[n] for n in order for x in n.inputs)


def test_graphs_are_deeper_than_the_stack():
    x = y = a_leaf(())
    for _ in range(50_000):
        y = ew.neg(y)
    assert len(toposort([y])) == 50_001 and toposort([y])[0] is x


def test_users_are_the_other_ends_of_the_edges():
    a, b = a_leaf(), a_leaf()
    square, out = a * a, a * b
    assert users([a, b, square, out]) == {a: [square, square, out], b: [out], square: [], out: []}
    assert users([a, out]) == {a: [out], out: []}


# --------------------------------------------------------------------------- structural key
def step(x, y, scale=2.0, exponent=3):
    return sum_(ew.power(x * y, exponent=exponent) * scale - x, axis=(0,))


def test_the_same_step_has_the_same_key():
    first = key(step(a_leaf(), a_leaf()))
    assert first == key(step(a_leaf(), a_leaf()))
    assert hash(first) == hash(key(step(a_leaf(), a_leaf())))


def test_values_are_not_in_the_key():
    x = leaf(np.full((2, 3), 7.0))
    assert key(step(x, a_leaf(), scale=0.1)) == key(step(a_leaf(), a_leaf(), scale=-5.0))


def test_a_computed_node_counts_as_a_leaf():
    x, y = a_leaf(), a_leaf()
    product = x * y
    run(product)
    assert key(product + x) == key(a_leaf() + a_leaf())


def x_and_y():
    return a_leaf(), a_leaf()


DIFFERENT = {
    "op": lambda: [ew.exp(a_leaf()), ew.log(a_leaf())],
    "attrs": lambda: [step(*x_and_y(), exponent=3), step(*x_and_y(), exponent=4)],
    "axis": lambda: [sum_(a_leaf((2, 2)), axis=(0,)), sum_(a_leaf((2, 2)), axis=(1,))],
    "dtype": lambda: [ew.exp(a_leaf()), ew.exp(a_leaf(dtype=np.float32))],
    "dtype of an input": lambda: [
        ew.cast(a_leaf(dtype=np.int64), dtype=float32), ew.cast(a_leaf(), dtype=float32)],
    "shape": lambda: [ew.exp(a_leaf()), ew.exp(a_leaf((3, 2)))],
    "sharing": lambda: [(lambda x: x * x)(a_leaf()), a_leaf() * a_leaf()],
    "order of inputs": lambda: [
        (lambda x, y: (x * y) - x)(*x_and_y()), (lambda x, y: (x * y) - y)(*x_and_y())],
    "which node is shared": lambda: [
        (lambda x, y: (x + y) * (x + y))(*x_and_y()),
        (lambda x, y: (lambda s: s * s)(x + y))(*x_and_y())],
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_structure_has_another_key(name):
    first, second = DIFFERENT[name]()
    assert key(first) != key(second)
    assert key(first) == key(DIFFERENT[name]()[0])


def test_the_outputs_are_in_the_key():
    x, y = x_and_y()
    a, b = x * y, ew.exp(x * y)
    assert len({key(a), key(b), key(a, b), key(b, a), key(a, a)}) == 5


def test_the_key_holds_no_identity_and_no_value():
    def parts(found):
        for part in found:
            yield from parts(part) if isinstance(part, tuple) else [part]

    found = list(parts(key(step(*x_and_y()))))
    assert not any(isinstance(p, (Node, np.ndarray)) for p in found)
    # Op and Spec are one object per meaning in a process; all else is plain data.
    assert {type(p).__name__ for p in found} <= {"Op", "Elementwise", "Spec", "int", "str", "tuple"}


def test_a_dropout_mask_and_a_learning_rate_are_leaves():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    x = torch.randn(5, 3)

    def training_step(rate):
        for p in net.parameters():
            p.grad = None
        net(x).pow(2).mean().backward()
        new = [p.detach() - rate * p.grad for p in net.parameters()]
        found, order = structural_key([p.node for p in new])
        run(*[p.node for p in new])
        return found, [n for n in order if n.op is None]

    (first, leaves), (second, others) = training_step(0.1), training_step(0.2)
    assert first == second
    assert [n.spec for n in leaves] == [n.spec for n in others]
    masks = [n.value for n in leaves if n.shape == (5, 4)], [
        n.value for n in others if n.shape == (5, 4)]
    assert not all(np.array_equal(a, b) for a, b in zip(*masks))
    rates = [float(n.value) for n in others if n.shape == ()]
    assert np.isclose(rates, 0.2).any()


def test_the_order_belongs_to_the_key():
    x, y = x_and_y()
    out = step(x, y)
    found, order = structural_key([out])
    assert order[0] is out and {x, y} < set(order)
    assert structural_key([out, out.inputs[0]])[0] != found


# --------------------------------------------------------------------------- verify
def test_verify_accepts_what_was_recorded():
    x = leaf(np.ones((2, 3)), requires_grad=True)
    out = sum_(ew.exp(x) * 2.0, axis=(0, 1))
    (g,) = grad(out, [x])
    verify([out, g])
    run(out, g)
    verify([out, g])


def wrong_shape():
    return [record(ew.exp, (a_leaf(),), {}, spec((3, 2), float64))]


def wrong_dtype():
    return [record(mv.reshape, (a_leaf(),), {"shape": (6,)}, spec((6,), int64))]


def no_value():
    node = a_leaf()
    node.value = None
    return [ew.exp(node)]


def value_of_another_shape():
    node = ew.exp(a_leaf())
    node.value = np.ones(5)
    return [node]


def value_of_another_dtype():
    node = ew.exp(a_leaf())
    node.value = np.ones((2, 3), np.float32)
    return [node]


@pytest.mark.parametrize(
    "make, text",
    [
        (wrong_shape, "must have float64[2,3] by its op's rule"),
        (wrong_dtype, "must have float64[6] by its op's rule"),
        (no_value, "leaf without value"),
        (value_of_another_shape, "has a value of shape (5,)"),
        (value_of_another_dtype, "holds float32"),
    ],
)
def test_verify_finds(make, text):
    with pytest.raises(AssertionError) as error:
        verify(make())
    assert text in str(error.value)


# --------------------------------------------------------------------------- where it was cut
def test_a_node_remembers_where_its_history_was_cut():
    x = leaf(np.ones(3), requires_grad=True)
    cut = ew.detach(x)
    after = ew.exp(cut) + 1.0
    assert after.lost == cut.lost and after.lost[0] == "detach stops gradients"
    with torch.no_grad():
        assert ew.exp(x).lost[0] == "recorded under no_grad()"
    assert (x > 0.0).lost[0] == "gt gives torch.bool values"
    assert ew.exp(leaf(np.ones(3))).lost is None
    assert ew.exp(x).lost is None
