"""The origin of a NaN: planted ones are found at their node and line, and clean runs stay clean."""

import inspect
import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
from chainrule import config
from chainrule.errors import AnomalyError, ArgumentTypeError
from chainrule.nn import functional as F
from chainrule.observers import observers
from chainrule.view.replay import Replay
from chainrule.view.trail import Trail

inf, nan = math.inf, math.nan
CASES = []


def planted(op, phase, inputs=None, made=1, value=None):
    """A program that returns its loss and its leaves; the line to be found ends in `# here`."""

    def register(program):
        CASES.append(pytest.param(program, op, phase, inputs, made, value, id=program.__name__))
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
    assert inspect.getsourcelines(program)[0][0].strip() and "# here" in str(origin)


@pytest.mark.parametrize("program, op, phase, inputs, made, value", CASES)
def test_a_planted_origin_is_found_in_a_graph(program, op, phase, inputs, made, value):
    loss, leaves = program()
    check(torch.trace_nan(loss), program, op, phase, inputs, value)
    assert all(x.grad is None for x in leaves)


@pytest.mark.parametrize("read", [False, True], ids=["", "loss is read before"])
@pytest.mark.parametrize("program, op, phase, inputs, made, value", CASES)
def test_a_planted_origin_is_found_in_training(program, op, phase, inputs, made, value, read):
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


# --------------------------------------------------------------------------- explanations
def test_an_explanation_names_line_inputs_mask_and_remedy():
    x = leaf(1.0, 0.0, 4.0)
    y = torch.log(x)
    loss = torch.where(x > 0, y, 0.0).sum()
    line = inspect.currentframe().f_lineno - 2
    assert str(torch.trace_nan(loss)) == (
        "the derivative of log requires a finite result, got nan at (1,), 1 of its 3 elements "
        "from its div\n"
        "  the gradient that arrives: float32[3] in [0 .. 1], there 0\n"
        "  x: float32[3] in [0 .. 4], there 0\n"
        f"  where at test_trace_nan.py:{line + 1} leaves it out of the result, but not out of the "
        "way back: 0 x inf is nan\n"
        "  line: y = torch.log(x)\n"
        f"  recorded at test_trace_nan.py:{line}\n"
        "  hint: choose before the operation, not only after it: give log an input that is safe "
        "where its result is not used, log(torch.where(mask, x, 1.0))")


def test_a_parameter_goes_by_its_name_and_a_module_by_its_path():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    with torch.no_grad():
        net[0].weight[1, 0] = nan
    net[0].weight.tolist()
    origin = torch.trace_nan(net(torch.ones(1, 2)).sum())
    assert str(origin).startswith(
        "net.0.weight requires finite values, got nan at (1, 0), 1 of its 4 elements\n")
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Softmax(1))
    origin = torch.trace_nan(net(torch.full((1, 2), 3e38) * 10).sum())
    assert origin.op == "mul"
    with torch.no_grad():
        net[0].weight.fill_(3e38)
    origin = torch.trace_nan(net(torch.full((1, 2), 10.0)).sum())
    assert origin.op == "contract" and ", in Sequential.0" in str(origin)


def test_it_says_where_an_infinity_became_nan():
    x = leaf(1.0, 100.0)
    e = x.exp()
    loss = (e / e).sum()
    line = inspect.currentframe().f_lineno - 1
    assert f"it becomes nan in div at test_trace_nan.py:{line}" in str(torch.trace_nan(loss))


def test_of_a_value_whose_history_is_gone_the_op_is_told():
    x = torch.tensor([0.0, 1.0])
    y = x.log()
    y.tolist()
    w = leaf(1.0, 1.0)
    origin = torch.trace_nan((w * y).sum())
    assert (origin.op, origin.where.line) == ("log", inspect.currentframe().f_lineno - 4)
    assert str(origin).startswith(
        "y requires finite values, got -inf at (0,), 1 of its 2 elements; what log computed it "
        "from was let go")


def test_a_mean_over_no_targets_is_told_as_what_it_is():
    logits = torch.zeros(2, 3, requires_grad=True)
    origin = torch.trace_nan(F.cross_entropy(logits, torch.tensor([-100, -100])))
    assert origin.hint == "this is a mean of nothing: every target is ignored, or has the weight 0"
    assert [i.there for i in origin.inputs] == ["0", "0"]


def test_what_is_the_same_everywhere_is_said_once():
    x, y = torch.zeros(2, requires_grad=True), torch.zeros(2)
    assert "\n  y: float32[2], all 0\n" in str(torch.trace_nan((x / y).sum()))


def test_bfloat16_and_float64_are_looked_at_too():
    assert torch.trace_nan(leaf(0.0, dtype=torch.float64).log().sum()).op == "log"
    origin = torch.trace_nan((leaf(1e38, dtype=torch.bfloat16) * 1e38).sum())
    assert origin.op == "mul" and "bfloat16 ends at 3.39e38" in origin.hint


# --------------------------------------------------------------------------- nothing to find
def clean():
    x = leaf(0.0, 2.0)
    yield x.sum()
    yield torch.where(x > 0, torch.log(torch.where(x > 0, x, 1.0)), 0.0).sum()
    yield (torch.where(x > 0, -inf, x).exp() * 2).sum()  # exp(-inf) is 0
    yield F.softmax(x.masked_fill(torch.tensor([True, False]), -inf), 0).square().sum()
    yield torch.where(x > 0, x.detach().log(), 0.0).sum() + x.sum()  # no way back through log
    yield (x * 1e30).sum()  # its square is infinite, itself it is not
    yield torch.tensor([2**62, 1]) * 4 + x.sum()


def test_of_what_is_finite_there_is_no_origin():
    assert [torch.trace_nan(loss.sum()) for loss in clean()] == [None] * 7


def test_looking_changes_nothing():
    x = leaf(1.0, 0.0)
    y = x.log()
    loss = torch.where(x > 0, y, 0.0).sum()
    calls = []
    x.register_hook(calls.append)
    torch.manual_seed(3)
    state = torch.get_rng_state().tolist()
    assert torch.trace_nan(loss) is not None
    assert loss.node.value is None and y.node.value is None and x.grad is None
    assert calls == [] and torch.get_rng_state().tolist() == state
    loss.backward()
    assert math.isnan(x.grad[1].item()) and len(calls) == 1


def test_after_backward_only_the_forward_pass_can_be_looked_at():
    x = leaf(4.0, 0.0)
    loss = x.sqrt().sum()
    loss.backward()
    assert torch.trace_nan(loss) is None


def test_it_requires_a_tensor_or_a_switch():
    with pytest.raises(ArgumentTypeError, match="trace_nan requires a Tensor, True or False, got"):
        torch.trace_nan([1.0])


# --------------------------------------------------------------------------- training
def mlp():
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    return net, lambda: torch.randn(5, 6)


def convolutional():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Dropout(0.2), torch.nn.Flatten(), torch.nn.Linear(36, 3))
    return net, lambda: torch.randn(5, 1, 8, 8)


def recurrent():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(4, 5, batch_first=True)
            self.out = torch.nn.Linear(5, 3)

        def forward(self, x):
            return self.out(self.lstm(x)[0][:, -1])

    return Net(), lambda: torch.randn(5, 3, 4)


def attentive():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = layer, torch.nn.Linear(8, 3)

        def forward(self, x):
            mask = torch.triu(torch.full((4, 4), -inf), 1)
            return self.out(self.layer(x, src_mask=mask).mean(1))

    return Net(), lambda: torch.randn(5, 4, 8)


MODELS = [mlp, convolutional, recurrent, attentive]


def trained(model, optimizer, variant, steps=5):
    torch.manual_seed(1)
    net, data = model()
    opt = optimizer(net.parameters())
    losses = []

    def step(x, y):
        opt.zero_grad()
        out = net(x)
        loss = F.cross_entropy(out, y)
        if variant == "reads":
            loss.item()
        loss.backward()
        if variant == "clips":
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        if variant == "accumulates":
            F.cross_entropy(net(x * 2), y).backward()
        opt.step()
        return loss

    step = torch.compile(step) if variant == "compiled" else step
    for _ in range(steps):
        losses.append(step(data(), torch.randint(0, 3, (5,))).item())
    state = [p.detach().numpy().tobytes() for p in (*net.parameters(), *net.buffers())]
    state += [v.numpy().tobytes() for s in opt.state.values() for v in s.values()]
    return losses, state


# Not "auto": which step is the first that is compiled depends on what was seen before.
@pytest.mark.parametrize("jit", ["0", "1"])
@pytest.mark.parametrize("variant", ["plain", "reads", "clips", "accumulates", "compiled"])
@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_training_is_the_same_to_the_last_bit(model, variant, jit, monkeypatch):
    monkeypatch.setattr(config, "jit", jit)
    plain = trained(model, lambda p: torch.optim.AdamW(p, lr=0.01), variant)
    with torch.trace_nan():
        traced = trained(model, lambda p: torch.optim.AdamW(p, lr=0.01), variant)
    assert traced == plain


@pytest.mark.parametrize("jit", ["0", "1"])
def test_momentum_is_the_same_to_the_last_bit(jit, monkeypatch):
    monkeypatch.setattr(config, "jit", jit)
    plain = trained(mlp, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "plain")
    with torch.trace_nan():
        assert trained(mlp, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "plain") == plain


@pytest.mark.parametrize("jit", ["0", "1", "auto"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_that_goes_wrong_late_is_found_with_its_parameters_unchanged(
    compiled, jit, monkeypatch
):
    monkeypatch.setattr(config, "jit", jit)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    def step(x, t):
        optimizer.zero_grad()
        p = torch.softmax(net(x), 1)[:, 0]
        loss = -torch.where(t > 0, torch.log(p * t), 0.0).mean()
        loss.backward()
        optimizer.step()
        return loss

    line = inspect.getsourcelines(step)[1] + 3
    step = torch.compile(step) if compiled else step
    with torch.trace_nan():
        for _ in range(4):
            step(torch.randn(3, 3), torch.tensor([1.0, 0.5, 2.0]))
        before = [p.tolist() for p in net.parameters()]
        with pytest.raises(AnomalyError, match="the derivative of log requires") as caught:
            step(torch.randn(3, 3), torch.tensor([1.0, 0.0, 2.0]))
    assert caught.value.origin.where.line == line and caught.value.origin.index == (1,)
    assert [p.tolist() for p in net.parameters()] == before
    assert f"where at test_trace_nan.py:{line} leaves it out" in str(caught.value)


def test_clipping_and_cleaning_count():
    x = leaf(1.0, 0.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        x.sqrt().sum().backward()
        x.grad.nan_to_num_(posinf=0.0)
        optimizer.step()  # what was infinite is not any more
        optimizer.zero_grad()
        x.square().sum().backward()
        x.grad.div_(x.grad - x.grad)
        line = inspect.currentframe().f_lineno - 1
        with pytest.raises(AnomalyError, match="div requires a finite result") as caught:
            optimizer.step()
    assert caught.value.origin.where.line == line and caught.value.origin.phase == "backward"


def test_the_first_of_accumulated_passes_is_found():
    x = leaf(1.0, 0.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        for k in range(3):
            y = x.sqrt() if k == 1 else x.square()
            y.sum().backward()
        with pytest.raises(AnomalyError, match="the derivative of sqrt"):
            optimizer.step()


def test_without_an_optimizer_it_is_found_at_the_next_backward_or_at_the_end():
    def update(x):
        x.sqrt().sum().backward()
        with torch.no_grad():
            x -= 0.0 * x.grad
        x.grad = None

    x = leaf(1.0, 0.0)
    with torch.trace_nan():
        update(x)
        with pytest.raises(AnomalyError, match="the derivative of sqrt"):
            update(x)
    x = leaf(1.0, 0.0)
    with pytest.raises(AnomalyError, match="the derivative of sqrt"), torch.trace_nan():
        update(x)


def test_an_optimizer_with_a_closure_is_stopped_before_the_update():
    x = leaf(1.0, 0.0)
    optimizer = torch.optim.SGD([x], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = x.sqrt().sum()
        loss.backward()
        return loss

    with torch.trace_nan(), pytest.raises(AnomalyError, match="the derivative of sqrt"):
        optimizer.step(closure)
    assert x.tolist() == [1.0, 0.0]


def test_a_loss_that_is_not_finite_counts_though_its_gradient_is():
    x = leaf(1.0, 2.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        (x.sum() + torch.tensor(0.0).log()).backward()
        with pytest.raises(AnomalyError, match="log requires a finite result, got -inf"):
            optimizer.step()


def test_the_learning_rate_must_be_finite():
    x = leaf(1.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    optimizer.param_groups[0]["lr"] = inf
    with torch.trace_nan():
        x.sum().backward()
        with pytest.raises(AnomalyError, match="step requires a finite learning rate, got lr=inf"):
            optimizer.step()


def test_an_update_that_overflows_is_found_a_step_later():
    w = leaf(1.0, 2.0)
    optimizer = torch.optim.SGD([w], lr=1e38)
    with torch.trace_nan():
        for k in range(2):
            (w * torch.tensor([1.0, 100.0])).sum().backward()
            if k == 1:
                break
            optimizer.step()  # here
            optimizer.zero_grad()
        with pytest.raises(AnomalyError, match="w requires finite values, got -inf at") as caught:
            optimizer.step()
    assert caught.value.origin.op == "leaf" and "lower the learning rate" in str(caught.value)
    assert caught.value.origin.where.line == line_of(
        test_an_update_that_overflows_is_found_a_step_later)


def test_it_is_a_switch_and_a_context():
    switch = torch.trace_nan()
    assert len(observers) == 1
    with torch.trace_nan(False):
        assert observers == []
    assert len(observers) == 1
    with pytest.raises(KeyError), torch.trace_nan():
        raise KeyError
    assert len(observers) == 1
    torch.trace_nan(False)
    assert observers == [] and switch is not None


def test_a_second_derivative_is_traced():
    x = leaf(0.0, 4.0)
    (g,) = torch.autograd.grad((x ** 1.5).sum(), x, create_graph=True)
    origin = torch.trace_nan(g.sum())
    assert (origin.op, origin.phase) == ("power", "backward")
    assert origin.value == inf


def test_what_a_checkpoint_has_computed_again_is_found():
    from chainrule.utils.checkpoint import checkpoint

    x = leaf(0.0, 4.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    with torch.trace_nan():
        checkpoint(lambda x: x.sqrt() * 2, x).sum().backward()
        with pytest.raises(AnomalyError, match="the derivative of sqrt"):
            optimizer.step()


@pytest.mark.parametrize("turn", ["recorded", "promised"])
def test_a_trail_adds_no_reference_to_a_node_and_stays_whole(turn):
    x = leaf(1.0, 2.0)
    entropy = F.cross_entropy(torch.stack([x, x * 3.0]), torch.tensor([0, 1]))
    loss = (entropy + x.sum()).log()
    if turn == "promised":
        assert entropy.node.call is not None
    nodes = [x.node, loss.node, entropy.node]
    counts = [sys.getrefcount(n) for n in nodes]
    trail = Trail()
    trail.add([loss.node])
    assert [sys.getrefcount(n) for n in nodes] == counts
    del nodes
    loss.backward()
    value = loss.item()
    assert loss.node.inputs == ()
    graph = trail.graph([loss.node])
    assert x.node in graph.order and graph.ends == [len(graph.order)]
    assert Replay(graph, 1, keep=graph.order).values[graph.of(loss.node)].item() == value
    names = [n.name for n in graph.order]
    assert {"amax", "exp", "log", "sum"} <= {*names}
    assert all(graph.inputs[n] for n in graph.order if n.op is not None and n.name != "constant")


# --------------------------------------------------------------------------- whatever the program
UNARY = [torch.log, torch.sqrt, torch.exp, torch.neg, torch.relu, torch.abs, torch.square,
         torch.reciprocal, torch.tanh, lambda x: x.t(), lambda x: torch.softmax(x, 0),
         lambda x: x.sum(1, keepdim=True) + x, lambda x: x.cumsum(0), lambda x: x ** 0.5,
         lambda x: x / x.std(), lambda x: x[[1, 0, 1]], lambda x: x - x.amax(1, keepdim=True),
         lambda x: x.norm(dim=0) * x, lambda x: torch.where(x > 0, torch.log(x), x),
         lambda x: torch.cat([x[:1], x[1:] * 1e30]), lambda x: x.clamp(max=1.0), lambda x: x.acos()]
BINARY = [torch.add, torch.mul, torch.div, torch.maximum, torch.matmul, torch.pow, torch.atan2,
          lambda x, y: torch.where(x > y, x, y), lambda x, y: torch.where(y == 0, 0.0, x / y)]


@given(st.lists(st.integers(0, len(UNARY) + len(BINARY) - 1), min_size=1, max_size=8),
       st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, 90.0]), min_size=9, max_size=9),
       st.data())
@settings(max_examples=150, deadline=None)
def test_there_is_an_origin_exactly_if_something_is_not_finite(ops, numbers, data):
    x = torch.tensor(numbers, requires_grad=True)
    values = [x.view(3, 3)]
    for k in ops:
        new = data.draw(st.integers(0, len(values) - 1))
        if k < len(UNARY):
            values.append(UNARY[k](values[new]))
        else:
            values.append(BINARY[k - len(UNARY)](values[new], values[-1]))
    loss = values[-1].sum() + values[len(values) // 2].mean()
    origin = torch.trace_nan(loss)
    (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
    fine = math.isfinite(loss.item()) and bool(gradient.isfinite().all())
    assert (origin is None) == fine
    if origin is not None:
        assert not math.isfinite(origin.value) and str(origin)
        if math.isfinite(loss.item()):
            assert origin.phase == "backward"
        elif origin.phase == "forward":
            assert all("nan" not in i.there for i in origin.inputs)
