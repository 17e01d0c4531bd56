"""nn.init against PyTorch: the same numbers from the same seed, and the same stream afterwards."""

import inspect
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule as cr  # noqa: E402

BITS, ROUNDING = 0, 1e-6
CASES = [
    ("uniform_", (5, 7), dict(a=-1, b=3), BITS),
    ("normal_", (5, 7), dict(mean=2.0, std=0.1), ROUNDING),
    ("trunc_normal_", (40, 7), {}, ROUNDING),
    ("trunc_normal_", (40, 7), dict(std=0.02), ROUNDING),
    ("trunc_normal_", (40, 7), dict(std=20.0), ROUNDING),
    ("trunc_normal_", (40, 7), dict(mean=5.0, std=2.0), ROUNDING),
    ("constant_", (3,), dict(val=0.5), BITS),
    ("ones_", (3,), {}, BITS),
    ("zeros_", (3,), {}, BITS),
    ("eye_", (4, 6), {}, BITS),
    ("dirac_", (6, 3, 3), {}, BITS),
    ("dirac_", (6, 2, 3, 4), dict(groups=2), BITS),
    ("dirac_", (2, 3, 3, 3, 3), {}, BITS),
    ("xavier_uniform_", (5, 7), dict(gain=2.0), ROUNDING),
    ("xavier_normal_", (5, 7, 3, 3), {}, ROUNDING),
    ("kaiming_uniform_", (5, 7, 3), dict(a=5**0.5), ROUNDING),
    ("kaiming_uniform_", (5, 7), dict(mode="fan_out", nonlinearity="tanh"), ROUNDING),
    ("kaiming_normal_", (5, 7), dict(nonlinearity="relu"), ROUNDING),
    ("kaiming_normal_", (5, 7), dict(mode="fan_out"), ROUNDING),
    ("orthogonal_", (5, 7), {}, 1e-5),
    ("orthogonal_", (7, 5, 2), dict(gain=3), 1e-5),
    ("orthogonal_", (6, 6), {}, 1e-5),
    ("sparse_", (9, 4), dict(sparsity=0.4), ROUNDING),
]


def filled(lib, name, shape, options):
    lib.manual_seed(3)
    tensor = lib.empty(shape, requires_grad=True)
    assert getattr(lib.nn.init, name)(tensor, **options) is tensor
    assert tensor.is_leaf and tensor.requires_grad
    return tensor.tolist(), lib.rand(3).tolist()


@pytest.mark.parametrize("name, shape, options, tolerance", CASES)
def test_the_same_numbers(name, shape, options, tolerance):
    ours, our_next = filled(cr, name, shape, options)
    theirs, their_next = filled(torch, name, shape, options)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    assert our_next == their_next


def test_a_generator_of_ones_own():
    drawn = []
    for lib in (cr, torch):
        generator = lib.Generator().manual_seed(5)
        drawn.append(lib.nn.init.xavier_uniform_(lib.empty(3, 4), generator=generator).tolist())
    np.testing.assert_allclose(*drawn, rtol=1e-6)


NONLINEARITIES = "linear conv2d conv_transpose3d sigmoid tanh relu leaky_relu selu"


@pytest.mark.parametrize("name", NONLINEARITIES.split())
def test_gains(name):
    assert cr.nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    if name == "leaky_relu":
        assert cr.nn.init.calculate_gain(name, 0.2) == torch.nn.init.calculate_gain(name, 0.2)


def test_names_and_arguments_are_pytorchs():
    for name in ["calculate_gain", *(n for n in torch.nn.init.__all__ if n.endswith("_"))]:
        ours, theirs = (inspect.signature(getattr(lib.nn.init, name)) for lib in (cr, torch))
        assert list(ours.parameters) == list(theirs.parameters), name
        for key, parameter in ours.parameters.items():
            assert parameter.default == theirs.parameters[key].default, (name, key)


def test_old_names_warn_alike():
    for lib in (cr, torch):
        with pytest.warns(FutureWarning):
            lib.nn.init.constant(lib.empty(2), 1.0)


def test_empty_tensors_warn_alike():
    for lib in (cr, torch):
        with pytest.warns(UserWarning):
            assert lib.nn.init.kaiming_uniform_(lib.empty(0, 3)).shape == (0, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert lib.nn.init.orthogonal_(lib.empty(0, 3)).shape == (0, 3)
