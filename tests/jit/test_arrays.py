"""Addresses of arrays, as native code reads them and as NumPy tells them."""

import numpy as np
import pytest

from chainrule.jit import arrays
from chainrule.jit.arrays import address, row_major


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
