"""The origin of a NaN: whatever makes one, forward or backward, is found at its node and line."""

import inspect
import math

import pytest

import chainrule as torch
from chainrule.errors import AnomalyError
from chainrule.nn import functional as F

inf, nan = math.inf, math.nan
CASES = []


def planted(op, phase, inputs=None, value=None):
    """A program that returns its loss and its leaves; the line to be found ends in `# here`."""

    def register(program):
        CASES.append(pytest.param(program, op, phase, inputs, value, id=program.__name__))
        return program

    return register


def leaf(*values, dtype=None):
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


# --------------------------------------------------------------------------- forward
@planted("sqrt", "forward", ["-4"], value=nan)
def sqrt_of_a_negative_number():
    x = leaf(1.0, -4.0, 9.0)
    y = torch.sqrt(x)  # here
    return (y * 2).sum(), [x]


@planted("log", "forward", ["0"], value=-inf)
def log_of_zero():
    p = leaf(0.5, 0.0)
    return -torch.log(p).mean(), [p]  # here


@planted("log", "forward", ["-2"], value=nan)
def log_of_a_negative_number_that_where_lets_through():
    x = leaf(-1.0, 2.0, 3.0)
    y = torch.log(-x)  # here
    return torch.where(x > 2.5, x, y).sum(), [x]


@planted("log", "forward", ["0"], value=-inf)
def entropy_of_a_sure_thing():
    p = leaf(1.0, 0.0, 0.0)
    q = torch.log(p)  # here
    return -(p * q).sum(), [p]


@planted("log", "forward", ["0"])
def cross_entropy_by_hand():
    p, y = leaf(0.9, 0.0), torch.tensor([1.0, 1.0])
    good = y * torch.log(p)  # here
    return -(good + (1 - y) * torch.log(1 - p)).mean(), [p]


@planted("div", "forward", ["0", "0"], value=nan)
def zero_by_zero():
    x = leaf(3.0, 0.0)
    return (x / x.abs()).sum(), [x]  # here


@planted("div", "forward", ["1", "0"], value=inf)
def one_by_zero_of_integers():
    x, n = leaf(1.0, 2.0), torch.tensor([1, 2])
    share = torch.tensor([1, 1]) / (n - 1)  # here
    return (x * share).sum(), [x]


@planted("floor_divide", "forward", ["1", "0"], value=inf)
def floor_division_by_zero():
    x = leaf(1.0, 1.0)
    y = torch.tensor([1.0, 1.0]) // torch.tensor([0.0, 1.0])  # here
    return (x * y).sum(), [x]


@planted("remainder", "forward", ["1", "0"], value=nan)
def remainder_of_zero():
    x = leaf(1.0, 1.0)
    return (x % torch.tensor([0.0, 1.0])).sum(), [x]  # here


@planted("exp", "forward", ["100"], value=inf)
def exp_overflows_float32():
    x = leaf(1.0, 100.0)
    return torch.exp(x).sum(), [x]  # here


@planted("exp", "forward", ["1000"], value=inf)
def softmax_by_hand():
    x = leaf(1.0, 1000.0)
    e = x.exp()  # here
    p = e / e.sum()
    return p.square().sum(), [x]


@planted("exp", "forward", ["89"], value=inf)
def softplus_by_hand():
    x = leaf(1.0, 89.0)
    return torch.log(1 + torch.exp(x)).sum(), [x]  # here


@planted("mul", "forward", ["300", "300"], value=inf)
def float16_overflows():
    x = leaf(300.0, 2.0, dtype=torch.float16)
    y = x * x  # here
    return y.float().mean(), [x]


@planted("cast", "forward", ["1e+06"], value=inf)
def a_cast_to_float16_overflows():
    x = leaf(1e6, 2.0)
    y = x.half()  # here
    return y.float().sum(), [x]


@planted("sum", "forward", ["40000"], value=inf)
def a_sum_of_float16_overflows():
    x = leaf(4e4, 4e4, dtype=torch.float16)
    return x.sum(), [x]  # here


@planted("contract", "forward", value=inf)
def a_product_of_matrices_overflows():
    x = torch.full((2, 3), 1e30)
    w = torch.full((3, 2), 1e30, requires_grad=True)
    y = x @ w  # here
    return y.mean(), [w]


@planted("sub", "forward", ["-inf", "-inf"], value=nan)
def softmax_of_a_fully_masked_row():
    scores = torch.zeros(2, 3, requires_grad=True)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    masked = scores.masked_fill(mask, -inf)
    attention = torch.softmax(masked, -1)  # here
    return attention.square().sum(), [scores]


@planted("sub", "forward", ["-inf", "-inf"], value=nan)
def cross_entropy_of_a_fully_masked_row():
    logits = torch.zeros(1, 3, requires_grad=True)
    masked = torch.where(torch.ones(1, 3, dtype=torch.bool), -inf, logits)
    return F.cross_entropy(masked, torch.tensor([1])), [logits]  # here


@planted("div", "forward", ["0"], value=nan)
def standardized_constants():
    x = leaf(2.0, 2.0, 2.0)
    z = (x - x.mean()) / x.std()  # here
    return z.square().sum() + 1, [x]


@planted("div", "forward", ["0"], value=nan)
def variance_of_one():
    x = torch.ones(1, 3, requires_grad=True)
    v = x.var(0)  # here
    return v.sum(), [x]


@planted("rsqrt", "forward", ["0"], value=inf)
def rsqrt_of_zero():
    x = leaf(0.0, 4.0)
    return torch.rsqrt(x).sum(), [x]  # here


@planted("pow", "forward", ["-8"], value=nan)
def a_root_of_a_negative_number():
    x, p = leaf(-8.0, 1.0), torch.tensor([1 / 3, 1.0])
    return (x ** p).sum(), [x]  # here


@planted("power", "forward", ["0"], value=inf)
def a_negative_power_of_zero():
    x = leaf(0.0, 1.0)
    return (x ** -1.5).sum(), [x]  # here


@planted("acos", "forward", ["1.5"], value=nan)
def acos_outside():
    x = leaf(1.5, 0.0)
    return torch.acos(x).sum(), [x]  # here


@planted("atanh", "forward", ["1"], value=inf)
def atanh_of_one():
    x = leaf(1.0, 0.0)
    return torch.atanh(x).sum(), [x]  # here


@planted("log1p", "forward", ["-1"], value=-inf)
def log1p_of_minus_one():
    x = leaf(-1.0, 0.0)
    return torch.log1p(x).sum(), [x]  # here


@planted("mul", "forward", ["0", "inf"], value=nan)
def zero_times_a_given_infinity():
    x = leaf(0.0, 1.0)
    limit = torch.tensor([inf, 1.0])
    return (x * limit).sum(), [x]  # here


@planted("cumprod", "forward", value=inf)
def a_running_product_overflows():
    x = torch.full((5,), 1e10, requires_grad=True)
    return torch.cumprod(x, 0).mean(), [x]  # here


@planted("prod", "forward", value=inf)
def a_product_overflows():
    x = torch.full((5,), 1e10, requires_grad=True)
    return torch.prod(x), [x]  # here


@planted("div", "forward", ["0"], value=nan)
def a_mean_of_nothing():
    x, mask = leaf(1.0, 2.0), torch.tensor([0.0, 0.0])
    return (x * mask).sum() / mask.sum(), [x]  # here


@planted("leaf", "forward", [], value=nan)
def data_with_a_nan():
    data = torch.tensor([[1.0, nan], [2.0, 3.0]])  # here
    w = leaf(1.0, 2.0)
    return (data @ w).sum(), [w]


@planted("leaf", "forward", [], value=inf)
def data_with_an_infinity():
    data = torch.tensor([1.0, inf])  # here
    w = leaf(1.0, 2.0)
    return (data * w).relu().sum(), [w]


@planted("leaf", "forward", [], value=nan)
def a_parameter_that_is_nan():
    w = torch.tensor([1.0, nan], requires_grad=True)  # here
    return (w * 2).sum(), [w]


@planted("where", "forward", value=-inf)
def a_target_that_is_masked():
    logits = leaf(1.0, 2.0)
    masked = torch.where(torch.tensor([True, False]), -inf, logits)  # here
    return F.cross_entropy(masked[None], torch.tensor([0])), [logits]


@planted("log", "forward", ["0"], value=-inf)
def found_behind_what_is_masked_at_another_place():
    # The -inf that is given is harmless; the one that log makes is not.
    x = leaf(0.0, 2.0, 3.0)
    y = torch.where(torch.tensor([False, False, True]), -inf, x)
    z = torch.log(y.clamp(min=0.0))  # here
    return torch.where(torch.tensor([True, True, False]), z, 1.0).sum(), [x]


@planted("custom", "backward", value=nan)
def a_function_whose_backward_is_nan():
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return (grad - grad) / (grad - grad)

    x = leaf(1.0, 2.0)
    return Bad.apply(x).sum(), [x]  # here


@planted("sqrt", "forward", ["-1"], value=nan)
def a_function_whose_forward_is_nan():
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.sqrt(-x)

        @staticmethod
        def backward(ctx, grad):
            return grad

    x = leaf(1.0, 0.0)
    return Bad.apply(x).sum(), [x]  # here


# --------------------------------------------------------------------------- backward
@planted("log", "backward", ["0", "0"], value=nan)
def log_behind_where():
    x = leaf(0.0, 2.0)
    y = torch.log(x)  # here
    return torch.where(x > 0, y, 0.0).sum(), [x]


@planted("sqrt", "backward", value=nan)
def sqrt_behind_where():
    x = leaf(0.0, 4.0)
    y = torch.sqrt(x)  # here
    return torch.where(x > 0, y, 0.0).sum(), [x]


@planted("sqrt", "backward", value=inf)
def slope_of_sqrt_at_zero():
    x = leaf(0.0, 4.0)
    return torch.sqrt(x).sum(), [x]  # here


@planted("sqrt", "backward", value=inf)
def distance_of_a_point_to_itself():
    a, b = leaf(1.0, 2.0), torch.tensor([1.0, 2.0])
    d = ((a - b) ** 2).sum().sqrt()  # here
    return d, [a]


@planted("power", "backward", value=inf)
def slope_of_a_root_at_zero():
    x = leaf(0.0, 1.0)
    return (x ** 0.5).sum(), [x]  # here


@planted("div", "backward", value=nan)
def a_ratio_behind_where():
    x, y = leaf(0.0, 1.0), leaf(0.0, 2.0)
    ratio = x / y  # here
    return torch.where(y > 0, ratio, 0.0).sum(), [x, y]


@planted("exp", "backward", ["0", "inf"], value=nan)
def exp_behind_where():
    x = leaf(1.0, 1000.0)
    y = torch.exp(x)  # here
    return torch.where(x < 10, y, x).sum(), [x]


@planted("exp", "backward", value=nan)
def an_overflow_that_the_loss_survives():
    x = leaf(1.0, 1000.0)
    e = x.exp()  # here
    return (1 / e).sum(), [x]


@planted("acos", "backward", value=inf)
def slope_of_acos_at_one():
    x = leaf(1.0, 0.5)
    return torch.acos(x).sum(), [x]  # here


@planted("reciprocal", "backward", value=nan)
def a_reciprocal_behind_where():
    x = leaf(0.0, 2.0)
    y = torch.reciprocal(x)  # here
    return torch.where(x > 0, y, 0.0).sum(), [x]


@planted("rsqrt", "backward", value=-inf)
def rsqrt_behind_where():
    x = leaf(0.0, 2.0)
    y = torch.rsqrt(x)  # here
    return torch.where(x > 0, y, 1.0).sum(), [x]


@planted("div", "backward", value=-inf)
def a_slope_overflows():
    x, y = leaf(1.0, 1.0), leaf(1e-25, 1.0)
    return (x / y).sum(), [y]  # here


@planted("mul", "backward", value=inf)
def float16_gradients_overflow():
    x = leaf(1e-3, 1e-3, dtype=torch.float16)
    y = x * 2e3  # here
    return (y.float() * 100).sum(), [x]


@planted("contract", "backward", value=inf)
def a_gradient_of_a_product_overflows():
    w = torch.full((2, 2), 1e-30, requires_grad=True)
    y = torch.full((2, 2), 1e30) @ w  # here
    return (y * 1e30).sum() * 1e-10, [w]


@planted("atan2", "backward", value=nan)
def an_angle_at_the_origin():
    x, y = leaf(0.0, 1.0), leaf(0.0, 1.0)
    return torch.atan2(y, x).sum(), [x, y]  # here


@planted("sqrt", "backward", value=nan)
def in_a_module():
    class Norm(torch.nn.Module):
        def forward(self, x):
            return x * x.square().sum().sqrt()  # here

    x = leaf(0.0, 0.0)
    return Norm()(x).sum(), [x]


@planted("log", "backward", value=nan)
def in_a_loop_at_the_second_turn():
    x = leaf(0.0, 2.0)
    y = x
    for k in range(3):
        safe = y + (1.0 if k != 1 else 0.0) * (y == 0)
        z = torch.log(safe)  # here
        y = torch.where(safe > 0, z, 0.0) * 0 + x
    return y.sum() + (z * 0).sum(), [x]


def line_of(program):
    lines, first = inspect.getsourcelines(program)
    (found,) = [first + i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    return found


def same(a, b):
    return a == b or (a != a and b != b)


def check(origin, program, op, phase, inputs, value):
    assert (origin.op, origin.phase) == (op, phase)
    assert origin.where.filename == __file__
    assert origin.where.line == line_of(program)
    assert origin.node.where == origin.where
    gone = "was let go" in str(origin)
    assert gone == (bool(inputs) and not origin.inputs)
    if inputs is not None and not gone:
        assert [i.there for i in origin.inputs][: len(inputs)] == inputs
    if value is not None:
        assert same(origin.value, value)
    assert origin.count >= 1 and len(origin.index) == origin.maker.ndim
    assert f"test_trace_nan.py:{origin.where.line}" in str(origin)
    assert "# here" in str(origin)


@pytest.mark.parametrize("program, op, phase, inputs, value", CASES)
def test_a_planted_origin_is_found_in_a_graph(program, op, phase, inputs, value):
    loss, leaves = program()
    check(torch.trace_nan(loss), program, op, phase, inputs, value)
    assert all(x.grad is None for x in leaves)


@pytest.mark.parametrize("read", [False, True], ids=["", "loss is read before"])
@pytest.mark.parametrize("program, op, phase, inputs, value", CASES)
def test_a_planted_origin_is_found_in_training(program, op, phase, inputs, value, read):
    with torch.trace_nan():
        loss, leaves = program()
        before = [x.tolist() for x in leaves]
        optimizer = torch.optim.SGD(leaves, lr=0.1)
        if read:
            loss.item()
        loss.backward()
        with pytest.raises(AnomalyError) as caught:
            optimizer.step()
    check(caught.value.origin, program, op, phase, inputs, value)
    assert f"recorded at test_trace_nan.py:{line_of(program)}" in str(caught.value)
    assert all(same(a, b) for x, old in zip(leaves, before) for a, b in zip(flat(x.tolist()),
                                                                           flat(old)))


def flat(x):
    return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


def test_there_are_fifty():
    assert len(CASES) >= 50
