"""The text of random arrays of all shapes, dtypes and magnitudes equals PyTorch's."""

import random

import ml_dtypes
import numpy as np
import pytest

from chainrule import printing

torch = pytest.importorskip("torch")

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
NON_FINITE = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0)


@pytest.fixture(autouse=True)
def default_options():
    yield
    set_both(profile="default")


def set_both(**options):
    torch.set_printoptions(**options)
    printing.set_printoptions(**options)


def text(t):
    """What chainrule prints for the values and the history of a PyTorch tensor."""
    plain = t.detach()
    if t.dtype is torch.bfloat16:
        array = plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    else:
        array = plain.numpy()
    hidden = (torch.float32,) if t.numel() == 0 else (torch.float32, torch.int64, torch.bool)
    return printing.format_tensor(
        array,
        dtype_suffix=None if t.dtype in hidden else str(t.dtype),
        requires_grad=t.requires_grad,
        grad_fn=None if t.grad_fn is None else type(t.grad_fn).__name__,
    )


def random_shape(rng):
    ndim = rng.randint(0, 5)
    lengths = (1, 1, 2, 3, 4, 5, 7, 8, 20, 1200) if ndim < 3 else (1, 2, 3, 7, 8)
    return [0 if rng.random() < 0.03 else rng.choice(lengths) for _ in range(ndim)]


def random_floats(rng, shape, dtype):
    t = torch.randn(shape, dtype=torch.float64)
    t = t * 10.0 ** rng.choice((0, 0, 0, 1, 2, 3, 5, 8, -1, -3, -5, -9, 15))
    if rng.random() < 0.3:
        t = t.round()
    if rng.random() < 0.2:
        t = t * 10.0 ** torch.randint(-4, 4, shape)
    if rng.random() < 0.2:
        t[torch.rand(shape) < rng.choice((0.3, 0.9))] = rng.choice(NON_FINITE)
    t = t.to(dtype)
    if rng.random() < 0.2:
        t.requires_grad_()
        t = rng.choice((lambda x: x, torch.sigmoid, lambda x: x * 1))(t)
    return t


def random_tensor(rng):
    shape, dtype = random_shape(rng), rng.choice(2 * FLOATS + INTEGERS + (torch.bool,))
    if dtype is torch.bool:
        return torch.rand(shape) < 0.5
    if dtype in INTEGERS:
        scale = 10 ** rng.randint(0, 4 if dtype is torch.int64 else 1)
        return (torch.randn(shape) * scale).clamp(-100, 100 * scale).to(dtype)
    return random_floats(rng, shape, dtype)


def random_options(rng):
    return dict(
        precision=rng.choice((None, 0, 1, 2, 6)),
        threshold=rng.choice((None, 10, 1000)),
        edgeitems=rng.choice((None, 1, 2, 3)),
        linewidth=rng.choice((None, 40, 80, 120)),
        profile=rng.choice((None, "default", "short", "full")),
        sci_mode=rng.choice((None, None, True, False)),
    )


def test_random_tensors():
    rng = random.Random(0)
    torch.manual_seed(0)
    for _ in range(1500):
        t = random_tensor(rng)
        assert text(t) == repr(t)


def test_random_tensors_under_random_options():
    rng = random.Random(1)
    torch.manual_seed(1)
    for _ in range(60):
        set_both(**random_options(rng))
        for _ in range(10):
            t = random_tensor(rng)
            assert text(t) == repr(t), torch._tensor_str.PRINT_OPTS


def test_every_power_of_ten():
    for exponent in np.arange(-12, 13):
        for factor in (1.0, 9.9999, 9.99999999):
            t = torch.tensor([factor * 10.0**exponent, 1.0], dtype=torch.float64)
            assert text(t) == repr(t)
            assert text(t[0]) == repr(t[0])
