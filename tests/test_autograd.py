"""autograd: what it refuses and how it says so, why a tensor has no gradient, what it holds.

That it agrees with PyTorch is tested in tests/torch/test_autograd.py.
"""

import gc
import re
import weakref

import numpy as np
import pytest

import chainrule as torch
from chainrule.autograd import Function, gradcheck, gradgradcheck
from chainrule.autograd.function import once_differentiable
from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    GradError,
    ShapeError,
    StateError,
)
from chainrule.tensor import run_tensors

functional = torch.autograd.functional


def var(value, dtype=torch.float64):
    return torch.tensor(value, dtype=dtype, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, ct):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * ct


class ReturnsWhat(Function):
    """Returns from backward what it was given as its second argument."""

    @staticmethod
    def forward(ctx, x, what):
        ctx.what = what
        return x * 1

    @staticmethod
    def backward(ctx, ct):
        return ctx.what


# --------------------------------------------------------------------------- errors
def second_backward():
    y = var(2.0).exp()
    y.backward()
    y.backward()


def saved_tensors_outside():
    class Leaks(Cube):
        @staticmethod
        def forward(ctx, x):
            Leaks.ctx = ctx
            return Cube.forward(ctx, x)

    Leaks.apply(var(2.0))
    return Leaks.ctx.saved_tensors


def saves_a_number():
    class Saves(Cube):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)

    Saves.apply(var(2.0))


class Twice(Cube):
    @staticmethod
    @once_differentiable
    def backward(ctx, ct):
        return Cube.backward(ctx, ct)


def second_derivative_of_once():
    x, w = var(2.0), var(1.0)
    (g,) = torch.autograd.grad(Twice.apply(x) * w, x, create_graph=True)
    torch.autograd.grad(g, w)


def bad(what):
    return lambda: ReturnsWhat.apply(var([1.0, 2.0]), what).sum().backward()


def a_hook(result):
    def run():
        x = var([1.0, 2.0])
        x.register_hook(lambda ct: result)
        (x * x).sum().backward()

    return run


REFUSED = {
    "second backward": (second_backward, GradError, [
        "backward requires the values saved for exp, got a graph that an earlier backward has "
        "freed",
        "retain_graph=True", "a second time"]),
    "backward of a vector": (lambda: (var([1.0, 2.0]) * 2).backward(), GradError, [
        "backward requires a scalar or a given gradient, got shape (2,)",
        "grad can be implicitly created only for scalar outputs", ".sum()"]),
    "backward without history": (lambda: torch.ones(1).backward(), GradError, [
        "backward requires a tensor that requires grad", "does not have a grad_fn",
        "hint: This tensor has no gradient"]),
    "a gradient of another shape": (
        lambda: (var([1.0, 2.0]) * 2).backward(torch.ones(3)), ShapeError,
        ["backward requires a gradient of the tensor's shape (2,), got (3,)"]),
    "a gradient that is a number": (
        lambda: (var(1.0) * 2).backward(2.0), ArgumentTypeError,
        ["requires gradients that are Tensors or None, got float"]),
    "no inputs": (lambda: (var(1.0) * 2).backward(inputs=[]), ArgumentError, [
        "backward requires inputs, got an empty list"]),
    "an input without grad": (
        lambda: torch.autograd.grad(var(1.0) * 2, torch.ones(1)), GradError,
        ["requires a tensor that requires grad, got one that does not",
         "One of the differentiated Tensors does not require grad"]),
    "unused": (lambda: torch.autograd.grad(var(1.0) * 2, var(1.0)), GradError, [
        "grad requires inputs that the outputs depend on, got one they do not",
        "allow_unused=True"]),
    "materialized and not allowed": (
        lambda: torch.autograd.grad(
            var(1.0) * 2, var(1.0), allow_unused=False, materialize_grads=True),
        ArgumentError, ["grad requires allow_unused where it materializes gradients"]),
    "hook without grad": (lambda: torch.ones(1).register_hook(print), GradError, [
        "register_hook requires a tensor that requires grad, got one that does not"]),
    "hook of another shape": (a_hook(torch.ones(3, dtype=torch.float64)), ShapeError, [
        "a hook requires a result like the gradient, float64[2], got float64[3]"]),
    "hook that gives a number": (a_hook(1.0), ArgumentTypeError, [
        "a hook requires a Tensor or None as its result, got float"]),
    "post hook on an intermediate": (
        lambda: (var(1.0) * 2).register_post_accumulate_grad_hook(print), GradError,
        ["register_post_accumulate_grad_hook requires a leaf, got the result of mul",
         "hint: use register_hook"]),
    "retain_grad without grad": (lambda: torch.ones(1).retain_grad(), GradError, [
        "retain_grad requires a tensor that requires grad"]),
    "a grad of another shape": (
        lambda: setattr(var([1.0]), "grad", torch.ones(2)), ShapeError,
        ["grad requires the tensor's shape and dtype, (1,) and torch.float64, got (2,)"]),
    "a grad that is no tensor": (
        lambda: setattr(var([1.0]), "grad", 1.0), ArgumentTypeError,
        ["grad requires a Tensor or None, got <class 'float'>"]),
    "data of another shape": (
        lambda: setattr(var([1.0]) * 2, "data", torch.ones(2)), ShapeError,
        ["data requires a tensor like float64[1], got float32[2]"]),
    "saved tensors outside": (saved_tensors_outside, StateError, [
        "saved_tensors requires a backward that is running, got none"]),
    "saving a number": (saves_a_number, ArgumentTypeError, [
        "save_for_backward requires Tensors or None, got int", "attributes of ctx"]),
    "too few gradients": (bad(torch.ones(2)), GradError, [
        "ReturnsWhat.backward requires one gradient per input of forward, 2, got 1"]),
    "too many gradients": (bad((None, None, torch.ones(2))), GradError, [
        "requires one gradient per input of forward, 2, got 3"]),
    "a gradient for a number": (bad((None, torch.ones(2))), GradError, [
        "ReturnsWhat.backward requires None for inputs that are no Tensors, got a gradient for "
        "input 1"]),
    "a gradient of the wrong shape": (bad((torch.ones(3), None)), ShapeError, [
        "ReturnsWhat.backward requires a gradient of the input's shape (2,), got (3,)"]),
    "a gradient that is no tensor": (bad((1.0, None)), ArgumentTypeError, [
        "ReturnsWhat.backward requires Tensors or None, got float"]),
    "once differentiable": (second_derivative_of_once, GradError, [
        "requires a backward that can be differentiated, got one marked @once_differentiable"]),
    "no forward": (lambda: Function.apply(var(1.0)), NotImplementedError, [
        "Function requires a static method forward"]),
    "no backward": (
        lambda: type("F", (Function,), {"forward": staticmethod(lambda c, x: x * 2)})
        .apply(var(1.0)).backward(),
        NotImplementedError, ["Function requires a static method backward"]),
    "gradcheck of nothing": (lambda: gradcheck(torch.sin, (torch.ones(1),)), ArgumentError, [
        "gradcheck requires an input that requires grad, got none"]),
    "vjp of a vector": (lambda: functional.vjp(torch.exp, torch.ones(2)), GradError, [
        "a product without a vector requires a result with one element, got (2,)"]),
    "jvp at two inputs": (
        lambda: functional.jvp(torch.add, (torch.ones(1), torch.ones(1))), GradError,
        ["a product without a vector requires an input with one element, got 2 tensors"]),
    "hessian of a vector": (lambda: functional.hessian(torch.exp, torch.ones(2)), GradError, [
        "a Hessian requires a function with one number as its result, got (2,)"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    program, kind, parts = REFUSED[name]
    with pytest.raises(kind) as error:
        program()
    for part in parts:
        assert part in str(error.value)


# --------------------------------------------------------------------------- gradcheck
class WrongSecond(Function):
    """x y, whose derivative by y is wrong in the second element."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, ct):
        x, y = ctx.saved_tensors
        return ct * y, ct * x * torch.tensor([1.0, 7.0], dtype=torch.float64)


def test_gradcheck_names_the_input_and_both_numbers():
    x, y = var([2.0, 3.0]), var([5.0, 11.0])
    with pytest.raises(GradError) as error:
        gradcheck(WrongSecond.apply, (x, y))
    text = str(error.value)
    assert "derivative of output 0 with respect to input 1 to agree with finite differences" in text
    analytic, numeric = map(float, re.search("analytic (.*?) and numeric (.*?) for", text).groups())
    assert analytic == 21 and numeric == pytest.approx(3, abs=1e-6)
    assert "for element 1 of the input" in text
    assert not gradcheck(WrongSecond.apply, (x, y), raise_exception=False)
    assert gradcheck(WrongSecond.apply, (x, y.detach()))


def test_gradcheck_finds_a_missing_gradient():
    assert not gradcheck(lambda x: x * x.detach(), var([1.0, 2.0]), raise_exception=False)


def test_gradgradcheck_finds_a_wrong_second_derivative():
    class Half(Cube):
        @staticmethod
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            return 3 * x.detach() * x * ct

    x = var([0.5, 1.5])
    assert gradcheck(Half.apply, x) and gradcheck(Cube.apply, x) and gradgradcheck(Cube.apply, x)
    with pytest.raises(GradError, match="Jacobian mismatch"):
        gradgradcheck(Half.apply, x)
    assert gradgradcheck(Cube.apply, x, torch.ones(2, dtype=torch.float64))


def test_gradcheck_leaves_the_inputs_alone():
    x = var([1.0, 2.0])
    gradcheck(torch.tanh, x)
    assert x.grad is None and x.tolist() == [1, 2]


# --------------------------------------------------------------------------- why
def line_of(test, offset):
    return f"test_autograd.py:{test.__code__.co_firstlineno + offset}"


def test_why_of_a_leaf():
    x = var(1.0)
    here = line_of(test_why_of_a_leaf, 1)
    assert x.why().startswith("This leaf requires grad since test_autograd.py:")
    assert x.why().endswith("gets a gradient when backward() passes.")
    (x * 2).backward()
    assert x.why().endswith("and has a gradient.")
    plain = torch.ones(1)
    assert "nothing it was made from at" in plain.why() and "requires grad" in plain.why()
    assert here.split(":")[0] in plain.why()


def test_why_of_an_intermediate():
    x = var(1.0)
    y = x.exp()
    here = line_of(test_why_of_an_intermediate, 2)
    assert y.why() == (
        f"This tensor requires grad: exp, recorded at {here}, depends on a leaf that requires "
        "grad; its own gradient is kept only after retain_grad()."
    )
    y.retain_grad()
    y.sin().backward()
    assert y.why().endswith("retain_grad() kept its own gradient.")


def test_why_of_what_was_cut():
    x = var([1.0, 2.0])
    detached = x.detach()
    later = (detached * 2).sin()
    with torch.no_grad():
        unrecorded = x * 2
    position = x.argmax()
    rounded = x // 1.0
    steps = [detached, later, unrecorded, position, rounded, x > 0, x.long()]
    offsets = [2, 2, 5, 6, 7, 8, 8]
    reasons = [
        "detach stops gradients", "detach stops gradients", "recorded under no_grad()",
        "argmax gives torch.int64 values", "floor_divide stops gradients",
        "gt gives torch.bool values", "cast gives torch.int64 values",
    ]
    for tensor, offset, reason in zip(steps, offsets, reasons):
        here = line_of(test_why_of_what_was_cut, offset)
        assert tensor.why() == (
            f"This tensor has no gradient: its history was cut at {here} ({reason}).")


def test_why_of_integers():
    x = torch.tensor([1, 2])
    here = line_of(test_why_of_integers, 1)
    assert x.why() == f"This tensor has no gradient: torch.int64 values have none ({here})."


# --------------------------------------------------------------------------- what is held
def test_saved_tensors_are_listed_and_let_go():
    x = var([1.0, 2.0])
    h = x * 2
    y = Cube.apply(h)
    loss = y.sum()
    (saved,) = [s for s in torch.backprop(loss).saved() if s.owner.name == "custom"]
    assert saved.node is h.node and saved.nbytes == 16
    below = weakref.ref(h.node)
    del h, saved
    loss.backward()
    run_tensors([x.grad])
    gc.collect()
    assert below() is None
    assert y.grad_fn.name() == "CubeBackward"  # the handle is as it was
    assert x.grad.tolist() == [3 * 4 * 2, 3 * 16 * 2]


def test_a_saved_tensor_is_as_it_was():
    x = var(2.0)
    h = x * 1
    y = Cube.apply(h)
    h += 5
    y.backward()
    assert x.grad.item() == 12


def test_forward_runs_once_and_backward_once():
    log = []

    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            log.append("forward")
            return x * 2, x * 3, "name"

        @staticmethod
        def backward(ctx, a, b, c):
            log.append(("backward", a.item(), b.item(), c))
            return 2 * a + 3 * b

    x = var(1.0)
    two, three, name = Both.apply(x)
    two.item()
    (two * three).backward()
    assert log == ["forward", ("backward", 3.0, 2.0, None)] and name == "name"
    assert x.grad.item() == 12


def test_outputs_that_died_count_in_the_second_derivative():
    class Pair(Function):
        @staticmethod
        def forward(ctx, x):
            root, other = x.sqrt(), x * 2
            ctx.save_for_backward(root)
            return root, other

        @staticmethod
        def backward(ctx, a, b):
            (root,) = ctx.saved_tensors
            return a / (2 * root) + 2 * b * root / root

    x = var(4.0)
    root, _ = Pair.apply(x)
    (first,) = torch.autograd.grad(root, x, create_graph=True)
    del root, _
    gc.collect()
    (second,) = torch.autograd.grad(first, x)
    assert (first.item(), second.item()) == (0.25, -1 / 32)


def test_an_error_in_backward_leaves_no_trace():
    class Fails(Cube):
        fail = True

        @staticmethod
        def backward(ctx, ct):
            if Fails.fail:
                raise KeyError("mine")
            return Cube.backward(ctx, ct)

    x = var(2.0)
    y = Fails.apply(x)
    with pytest.raises(KeyError):
        y.backward(retain_graph=True)
    assert x.grad is None and torch.is_grad_enabled()
    Fails.fail = False
    y.backward()
    assert x.grad.item() == 12


def test_a_gradient_is_recorded_not_computed():
    x = var([1.0, 2.0])
    (x * x).sum().backward()
    assert x.grad.node.value is None and x.grad.node.op is not None


def test_hooks_follow_a_leaf_that_is_written_to():
    x, seen = var(2.0), []
    x.register_hook(lambda ct: seen.append(ct.item()))
    with torch.no_grad():
        x.mul_(3)
    (x * x).backward()
    assert seen == [12.0] and x.grad.item() == 12


def test_a_handle_removes_its_hook_once():
    x, seen = var(2.0), []

    def hook(t):
        seen.append(1)

    first = x.register_post_accumulate_grad_hook(hook)
    x.register_post_accumulate_grad_hook(hook)
    first.remove()
    first.remove()
    (x * x).backward()
    assert seen == [1]


def test_anomaly_mode_as_a_function_and_as_a_context():
    x = var([-1.0])
    with torch.autograd.detect_anomaly():
        with pytest.raises(RuntimeError, match="sqrt requires a result without NaN"):
            (x.sqrt() * 0).backward(torch.ones(1, dtype=torch.float64))
    off = torch.autograd.set_detect_anomaly(True)
    with pytest.raises(RuntimeError, match="log requires a result without NaN"):
        x.log().item()
    off.__exit__()
    assert np.isnan(x.log().item())


def test_variable_is_a_tensor():
    x = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    assert x.requires_grad and torch.autograd.Variable(x) is x
