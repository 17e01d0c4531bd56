"""LazyLinear: its life until it is a Linear; sdpa_kernel."""

import copy

import pytest

import chainrule as torch
from chainrule import nn
from chainrule.nn.attention import SDPBackend, sdpa_kernel


def test_the_first_call_makes_a_linear():
    lazy = nn.LazyLinear(3)
    assert lazy.has_uninitialized_params() and lazy.weight.numel() == 0
    lazy.reset_parameters()
    twin = copy.deepcopy(lazy)
    torch.manual_seed(0)
    assert lazy(torch.ones(2, 5)).shape == (2, 3)
    torch.manual_seed(0)
    assert torch.equal(lazy.weight, nn.Linear(5, 3).weight)
    assert type(lazy) is nn.Linear and lazy.in_features == 5
    assert twin(torch.ones(2, 7)).shape == (2, 3)
    with pytest.raises(RuntimeError, match="in_features"):
        lazy(torch.ones(2, 4))


def test_a_state_dict_that_does_not_fit_leaves_it_lazy():
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    state = nn.Sequential(nn.Linear(5, 3), nn.Linear(4, 1)).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch for 1.weight"):
        model.load_state_dict(state)
    assert model[0].has_uninitialized_params()
    assert model(torch.ones(2, 6)).shape == (2, 1)


def test_weights_that_are_no_matrix_do_not_fit():
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        nn.LazyLinear(3).load_state_dict({"weight": torch.ones(3), "bias": torch.ones(3)})


def test_sdpa_kernel_changes_nothing():
    x = torch.arange(8.0).reshape(1, 2, 4)
    plain = nn.functional.scaled_dot_product_attention(x, x, x)
    for allowed in (SDPBackend.MATH, [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        with sdpa_kernel(allowed):
            assert torch.equal(nn.functional.scaled_dot_product_attention(x, x, x), plain)
    with pytest.raises(TypeError, match="sdpa_kernel requires SDPBackend members, got 'math'"):
        with sdpa_kernel(["math"]):
            pass
