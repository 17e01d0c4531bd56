"""Addresses of arrays, as native code reads them and as NumPy tells them."""

import sys

import numpy as np
import pytest

from chainrule.graph import leaf
from chainrule.jit import arrays
from chainrule.jit.arrays import address, row_major
from chainrule.jit.program import Fault, Program
from chainrule.jit.runtime import builtin, runtime
from chainrule.ops import elementwise as ew
from chainrule.ops import movement as mv
from chainrule.ops.indexing import gather


def several():
    square = np.arange(12.0).reshape(3, 4)
    return [square, square.T, np.array(3), square[1:], square[:, ::2], np.array(2.0, np.float32),
            np.broadcast_to(np.ones(3), (2, 3)), np.zeros(33, np.uint8)[1:].view(np.float64),
            np.zeros((0, 3)), np.array([True, False])]


def test_this_python_keeps_arrays_where_they_are_read():
    assert arrays._addresses() is not arrays._asked_for


@pytest.mark.parametrize("native", [True, False])
def test_every_array_becomes_row_major_and_has_its_address(native, monkeypatch):
    if not native:
        monkeypatch.setattr(arrays, "_addresses", lambda: arrays._asked_for)
    given = several()
    found = list(given)
    words = np.zeros(len(found) + 1, np.int64)
    row_major(found, address(words), words)
    for word, array, before in zip(words, found, given):
        assert array.flags.c_contiguous and array.flags.aligned
        assert not array.size or word == address(array)
        np.testing.assert_array_equal(array, before)
        assert array.shape == before.shape and array.dtype == before.dtype
        fine = before.flags.c_contiguous and before.flags.aligned
        assert (array is before) == fine
    assert words[-1] == 0


def test_no_arrays():
    words = np.zeros(1, np.int64)
    row_major([], address(words), words)


def test_where_things_lie_elsewhere_numpy_is_asked(monkeypatch):
    assert not arrays._agree(lambda found, table, words: len(found))


# ---------------------------------------------------------------------- launches
def program_of(node_of, *arrays):
    leaves = [leaf(a) for a in arrays]
    return Program(node_of(*leaves), leaves), [x.value for x in leaves]


def both_ways(program, values):
    """What it gives natively in one call, and what it gives without."""
    launched = program._launch
    assert launched is not None
    program._launch = None
    slow = program.run(values)
    program._launch = launched
    return program.run(values), slow


@pytest.mark.parametrize("strided", [False, True])
def test_a_launch_gives_the_bits_of_a_run(strided):
    x, y = np.linspace(0.1, 3, 24).reshape(4, 6), np.arange(24.0).reshape(6, 4).T
    x, y = (x[:, ::2], y[:, ::2]) if strided else (x, y.copy())
    program, values = program_of(
        lambda a, b: [ew.mul(ew.exp(a), b), ew.sub(a, b), mv.slice_(ew.add(a, b), bounds=(
            (1, 3, 1), (0, 2, 1)))], x, y)
    for fast, slow in zip(*both_ways(program, values)):
        assert fast.tobytes() == slow.tobytes() and fast.dtype == slow.dtype
        assert fast.shape == slow.shape
    assert [v is w for v, w in zip(values, (x, y))] == [True, True]  # a copy replaces none of ours


def test_each_launch_gives_arrays_of_its_own():
    program, values = program_of(lambda a: [ew.add(a, a), ew.mul(a, a)], np.array([1.0, 3.0]))
    first, second = program.run(values), program.run([np.array([5.0, 7.0])])
    assert [a.tolist() for a in first] == [[2.0, 6.0], [1.0, 9.0]]
    assert [a.tolist() for a in second] == [[10.0, 14.0], [25.0, 49.0]]


def test_an_output_that_is_given_twice_or_is_a_leaf():
    def outputs(a):
        twice = ew.mul(a, a)
        return [twice, a, twice]

    program, values = program_of(outputs, np.array([3.0]))
    fast, slow = both_ways(program, values)
    assert [a.tolist() for a in fast] == [a.tolist() for a in slow] == [[9.0], [3.0], [9.0]]


def test_places_within_arrays_move_with_them():
    program, values = program_of(lambda a, b: [mv.cat(ew.neg(a), ew.mul(b, b), axis=0)],
                            np.arange(3.0), np.arange(5.0) + 10)
    assert program._moving
    for k in range(3):
        values = [v + k for v in values]
        fast, slow = both_ways(program, values)
        assert fast[0].tolist() == slow[0].tolist() == [*-values[0], *values[1] ** 2]


def test_a_launch_tells_of_a_fault():
    index = np.array([0, 9])
    program, values = program_of(lambda a, i: [gather(a, i, axis=0)], np.arange(4.0), index)
    assert program._launch is not None
    with pytest.raises(Fault):
        program.run(values)
    index[1] = 2
    assert program.run(values)[0].tolist() == [0.0, 2.0]


def test_much_work_is_not_launched():
    program, _ = program_of(lambda a: [ew.exp(a)], np.zeros(1 << 18))
    assert program._launch is None


def test_without_native_reading_nothing_is_launched(monkeypatch):
    monkeypatch.setattr(arrays, "_addresses", lambda: arrays._asked_for)
    program, values = program_of(lambda a: [ew.add(a, a)], np.array([2.0]))
    assert program._launch is None and program.run(values)[0].tolist() == [4.0]


def test_a_builtin_keeps_what_comes_with_it():
    words = np.zeros(8, np.int64)
    before = sys.getrefcount(words)
    function = builtin(runtime().launch, "launch", words, single=True)
    assert function.__name__ == "launch" and sys.getrefcount(words) == before + 1
    del function
    assert sys.getrefcount(words) == before
