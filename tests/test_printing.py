"""The text of arrays: golden strings, written down from PyTorch's own output."""

import numpy as np
import pytest

from chainrule.printing import format_tensor, get_printoptions, set_printoptions


@pytest.fixture(autouse=True)
def default_options():
    yield
    set_printoptions(profile="default")


def f32(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    "array, text",
    [
        (np.array(3), "tensor(3)"),
        (f32(2.5)[0], "tensor(2.5000)"),
        (f32(1, 2, 3), "tensor([1., 2., 3.])"),
        (f32(1.5, 2), "tensor([1.5000, 2.0000])"),
        (f32(-0.0, 1), "tensor([-0., 1.])"),
        (f32(1e-5, 1), "tensor([1.0000e-05, 1.0000e+00])"),
        (f32(1e9, 1.5), "tensor([1.0000e+09, 1.5000e+00])"),
        (f32(1, 1000), "tensor([   1., 1000.])"),
        (f32(1, 1001), "tensor([1.0000e+00, 1.0010e+03])"),
        (f32(1e8), "tensor([100000000.])"),
        (f32(np.inf, 1.5), "tensor([   inf, 1.5000])"),
        (f32(np.nan, 1), "tensor([nan, 1.])"),
        (f32(np.nan), "tensor([nan])"),
        (f32(np.inf, -np.inf, 0), "tensor([inf, -inf, 0.])"),
        (np.array([True, False]), "tensor([ True, False])"),
        (np.array([-1, 10, 100]), "tensor([ -1,  10, 100])"),
        (np.zeros(0), "tensor([])"),
        (np.zeros((0, 3)), "tensor([], size=(0, 3))"),
        (np.array([5e-324, 1e308]), "tensor([4.9407e-324, 1.0000e+308])"),
    ],
)
def test_numbers(array, text):
    assert format_tensor(np.asarray(array)) == text


def test_nested_brackets_are_separated_by_blank_lines():
    assert format_tensor(np.arange(8.0).reshape(2, 2, 2)) == (
        "tensor([[[0., 1.],\n         [2., 3.]],\n\n        [[4., 5.],\n         [6., 7.]]])"
    )


def test_a_long_array_shows_its_corners():
    assert format_tensor(np.arange(1001)) == ("tensor([   0,    1,    2,  ...,  998,  999, 1000])")
    row = "[0., 0., 0.,  ..., 0., 0., 0.]"
    margin = ",\n        "
    rows = margin.join([row] * 3 + ["..."] + [row] * 3)
    assert format_tensor(np.zeros((40, 40))) == f"tensor([{rows}])"


def test_only_shown_numbers_choose_the_notation():
    values = np.ones(2000)
    values[1000] = 1e-9
    assert format_tensor(values) == "tensor([1., 1., 1.,  ..., 1., 1., 1.])"


def test_rows_break_at_the_line_width():
    assert format_tensor(np.full(10, 0.25)) == (
        "tensor([0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2500,\n"
        "        0.2500])"
    )


def test_suffixes_follow_or_break():
    assert format_tensor(f32(1), dtype_suffix="torch.float16", requires_grad=True) == (
        "tensor([1.], dtype=torch.float16, requires_grad=True)"
    )
    assert format_tensor(np.full(6, 0.25), grad_fn="MulBackward0", requires_grad=True) == (
        "tensor([0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2500],\n       grad_fn=<MulBackward0>)"
    )
    assert format_tensor(np.zeros((3, 0), int), dtype_suffix="torch.int64") == (
        "tensor([], size=(3, 0), dtype=torch.int64)"
    )


def test_the_loss_of_a_classifier():
    text = format_tensor(np.float32(2.30918).reshape(()), grad_fn="NllLossBackward0")
    assert text == "tensor(2.3092, grad_fn=<NllLossBackward0>)"


def test_half_precision_prints_as_any_other():
    import ml_dtypes

    array = np.array([1.5, 0.1], ml_dtypes.bfloat16)
    assert format_tensor(array, dtype_suffix="torch.bfloat16") == (
        "tensor([1.5000, 0.1001], dtype=torch.bfloat16)"
    )


def test_options():
    third = np.array([1 / 3, 2.0])
    set_printoptions(precision=2)
    assert format_tensor(third) == "tensor([0.33, 2.00])"
    set_printoptions(sci_mode=True)
    assert format_tensor(third) == "tensor([3.33e-01, 2.00e+00])"
    set_printoptions(sci_mode=False)
    assert format_tensor(np.array([1e-5, 1.0])) == "tensor([0.00, 1.00])"
    set_printoptions(profile="short", threshold=4, linewidth=20)
    assert get_printoptions().sci_mode is None
    assert format_tensor(np.arange(6)) == "tensor([0, 1,  ..., 4,\n        5])"
    set_printoptions(profile="full")
    assert "..." not in format_tensor(np.zeros(2000))


def test_unknown_profile():
    with pytest.raises(ValueError) as error:
        set_printoptions(profile="tiny")
    assert str(error.value).splitlines()[0] == (
        "set_printoptions requires a profile among default, short, full, got 'tiny'"
    )
