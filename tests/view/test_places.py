"""Where an element came from: of every op, no element that it depends on is left out."""

import numpy as np
import pytest

from chainrule.graph import leaf
from chainrule.ops.op import ALL_OPS
from chainrule.view.places import places_in

SAMPLED = [op for op in ALL_OPS if op.sample is not None]


def dependence(op, arrays, attrs, i, index):
    """The elements of input i that element `index` of the result depends on, by trying."""
    before = np.asarray(op.eval(*arrays, **attrs))[index]
    found = np.zeros(arrays[i].shape, bool)
    for at in np.ndindex(found.shape):
        for change in (1e-3, -0.3):
            changed = arrays[i].copy()
            changed[at] += change
            after = np.asarray(op.eval(*arrays[:i], changed, *arrays[i + 1:], **attrs))[index]
            found[at] |= bool(after != before)
    return found


@pytest.mark.parametrize("op", SAMPLED, ids=lambda op: op.name)
def test_no_element_that_matters_is_left_out(op):
    rng = np.random.default_rng(0)
    arrays, attrs = op.sample(rng)
    arrays = tuple(np.asarray(a) for a in arrays)
    inputs = [leaf(a) for a in arrays]
    node = op(*inputs, **attrs)
    if not node.dtype.is_floating_point or node.op is not op:
        return  # truth values and integers are never NaN
    for _ in range(3):
        index = tuple(int(rng.integers(n)) for n in node.shape)
        one = np.zeros(node.shape, bool)
        one[index] = True
        found = places_in(node, inputs, arrays, one)
        assert [p.shape for p in found] == [a.shape for a in arrays]
        for i, (a, places) in enumerate(zip(arrays, found)):
            if a.dtype.kind == "f":
                missed = dependence(op, arrays, attrs, i, index) & ~places
                assert not missed.any(), f"input {i} of element {index}: {np.argwhere(missed)}"
                if op.kind in ("movement", "elementwise") and op.name not in ("setslice", "cat"):
                    assert places.sum() <= 1
