"""What nn.functional refuses, PyTorch refuses too, with an error that the same `except` catches."""

import runpy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

HERE = runpy.run_path(str(Path(__file__).parents[1] / "test_functional_errors.py"))
BAD, refused_call = HERE["BAD"], HERE["refused_call"]

# PyTorch can do the first, combines both masks in one of its kernels, and stumbles over the last.
OTHERWISE = {
    "F.interpolate(x, 3, mode='bilinear', antialias=True)",
    "A(q, q, q, ones(4, 4) > 0, is_causal=True)",
    "F.unfold(ones(2, 2), 1)",
}


@pytest.mark.parametrize("expression", sorted(BAD.keys() - OTHERWISE))
def test_the_same_input_is_refused(expression):
    # Some of its rules are mere assertions.
    with pytest.raises((BAD[expression][0], AssertionError)):
        refused_call(torch, expression)
