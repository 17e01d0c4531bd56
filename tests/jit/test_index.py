"""Index maps: where movement ops say an element comes from is where NumPy takes it from."""

import itertools

import numpy as np
import pytest

from chainrule.graph import leaf
from chainrule.interpreter import evaluate
from chainrule.jit.index import Guard, Linear, NotLinear, Space, parts
from chainrule.ops import movement as mv
from chainrule.ops.op import expand, reshape

X = leaf(np.arange(2.0 * 3 * 4).reshape(2, 3, 4))
CASES = {
    "reshape": reshape(X, shape=(6, 4)),
    "reshape that splits": reshape(X, shape=(2, 3, 2, 2)),
    "permute": mv.permute(X, axes=(2, 0, 1)),
    "expand": expand(reshape(X, shape=(2, 3, 1, 4)), shape=(2, 3, 5, 4)),
    "flip": mv.flip(X, axes=(0, 2)),
    "slice": mv.slice_(X, bounds=((1, 2, 1), (0, 3, 2), (1, 4, 1))),
    "pad": mv.pad(X, widths=((1, 0, 0), (0, 2, 0), (1, 1, 0))),
    "cat": mv.cat(X, X, axis=1),
    "setslice": mv.setslice(X, leaf(-np.ones((1, 3, 2))), bounds=((1, 2, 1), (0, 3, 1), (1, 3, 1))),
    "window": mv.window(X, size=(2,), stride=(1,), dilation=(2,)),
    "flip of a pad": mv.flip(mv.pad(X, widths=((0, 0, 0), (1, 1, 0), (0, 0, 0))), axes=(1,)),
    "reshape of a permute of a slice": reshape(
        mv.permute(mv.slice_(X, bounds=((0, 2, 1), (0, 2, 1), (0, 4, 1))), axes=(1, 0, 2)),
        shape=(2, 8)),
}


def number(space, x, values):
    return x.offset + sum(c * values[v] for v, c in space.resolve(x).terms)


def element(space, node, index, values):
    """The element at an index, found by following the parts down to the leaf."""
    if node.value is not None:
        return node.value[tuple(number(space, i, values) for i in index)]
    for which, moved, guards in parts(space, node, index):
        if all(0 <= number(space, g.place, values) < g.size for g in guards):
            return element(space, node.inputs[which], moved, values)
    return 0.0


def meaning(node):
    if node.value is not None:
        return node.value
    return evaluate(node, [meaning(x) for x in node.inputs])


@pytest.mark.parametrize("name", CASES)
def test_every_element(name):
    node = CASES[name]
    space = Space()
    index = tuple(space.new(n) for n in node.shape)
    element_of = np.zeros(node.shape)
    parts(space, node, index)  # it may split variables: their values are found from the index
    for place in itertools.product(*map(range, node.shape)):
        values = {}
        for i, p in zip(index, place):
            for v in i.variables:
                values[v] = p
        stack = list(values)
        while stack:
            v = stack.pop()
            if v in space.splits:
                high, low, n = space.splits[v]
                values[high], values[low] = divmod(values[v], n)
                stack += [high, low]
        element_of[place] = element(space, node, index, values)
    np.testing.assert_array_equal(element_of, meaning(node))


def test_axes_that_do_not_nest_are_not_linear():
    space = Space()
    node = reshape(leaf(np.zeros((4, 6))), shape=(6, 4))
    with pytest.raises(NotLinear) as found:
        parts(space, node, tuple(space.new(n) for n in node.shape))
    assert found.value.node is node


def test_a_variable_over_two_axes_is_split():
    space = Space()
    (i,) = index = (space.new(12),)
    node = reshape(leaf(np.zeros((3, 4))), shape=(12,))
    ((_, (row, column), _),) = parts(space, node, index)
    assert space.splits and space.sizes[-2:] == [3, 4]
    assert str(space.resolve(i)) == "4 i1 + i2" and str(row) == "i1" and str(column) == "i2"


def test_how_they_print():
    assert str(Linear(3, ((0, 1), (2, -4)))) == "i0 + -4 i2 + 3"
    assert str(Linear(0)) == "0"
    assert str(Guard(Linear(-1, ((1, 1),)), 5)) == "0 <= i1 + -1 < 5"
