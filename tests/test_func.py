"""Function transforms: what holds by mathematics, and what is refused.

That they agree with PyTorch is tested in tests/torch/test_func.py.
"""

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule.errors import ArgumentError, ArgumentTypeError, GradError, ShapeError, StateError
from chainrule.func import (
    flatten,
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    map_tensors,
    vjp,
    vmap,
)
from chainrule.graph import structural_key, toposort


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-12)


# --------------------------------------------------------------------------- containers
def test_flatten_and_build():
    leaves, build = flatten({"a": (1, [2, 3]), "b": {"c": 4}, "d": []})
    assert leaves == [1, 2, 3, 4]
    assert build("wxyz") == {"a": ("w", ["x", "y"]), "b": {"c": "z"}, "d": []}


def test_named_tuples_and_other_dicts_keep_their_kind():
    pair = torch.ones(2, 3).max(1)
    again = map_tensors(lambda t: t * 2, pair)
    assert type(again) is type(pair) and again.values.tolist() == [2, 2]
    assert map_tensors(lambda t: t, {"k": 3, "t": "text"}) == {"k": 3, "t": "text"}


# --------------------------------------------------------------------------- mathematics
def f(x, y):
    """R^3 x R^2 -> R^2"""
    return torch.stack([(x**2).sum() * y[0], torch.sin(x[0] * y[1]) + x.prod()])


X, Y = (0.3, -0.7, 1.1), (0.5, 2.0)


def test_jacobians_agree_with_each_other_and_with_differences():
    x, y = vector(*X), vector(*Y)
    for i in (0, 1):
        rev, fwd = jacrev(f, i)(x, y), jacfwd(f, i)(x, y)
        close(rev, fwd)
        args = [x, y]
        for k in range(args[i].numel()):
            h = torch.zeros(args[i].shape, dtype=torch.float64)
            h[k] = 1e-6
            moved = [
                f(*[a + s * h if j == i else a for j, a in enumerate(args)]) for s in (1, -1)
            ]
            numeric = (moved[0] - moved[1]) / 2e-6
            np.testing.assert_allclose(rev[:, k].numpy(), numeric.numpy(), rtol=1e-7, atol=1e-8)


def test_vjp_and_jvp_are_the_two_sides_of_the_jacobian():
    x, y = vector(*X), vector(*Y)
    u, t = vector(1.5, -2.0), vector(0.1, 0.2, 0.3)
    jacobian = jacrev(f)(x, y)
    out, pull = vjp(lambda a: f(a, y), x)
    close(pull(u)[0], u @ jacobian)
    value, pushed = jvp(lambda a: f(a, y), (x,), (t,))
    close(pushed, jacobian @ t)
    close(out, value)
    close((u * pushed).sum(), (pull(u)[0] * t).sum())


def test_a_hessian_is_symmetric_and_is_the_jacobian_of_the_gradient():
    x = vector(*X)

    def g(a):
        return (a.prod() + a.exp().sum()).sin()

    h = hessian(g)(x)
    close(h, h.T)
    close(h, jacrev(grad(g))(x))
    close(h, jacfwd(jacfwd(g))(x))
    v = vector(1.0, 2.0, 3.0)
    close(torch.autograd.functional.hvp(g, x, v)[1], h @ v)


def test_the_derivative_of_a_composition_is_a_product():
    inner, outer = (lambda a: a.sin() * 2), (lambda a: a.cumsum(0) ** 2)
    x = vector(*X)
    close(jacrev(lambda a: outer(inner(a)))(x), jacrev(outer)(inner(x)) @ jacrev(inner)(x))


def test_vmap_is_a_loop():
    torch.manual_seed(0)
    xs, ys = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    close(vmap(f)(xs, ys), torch.stack([f(x, y) for x, y in zip(xs, ys)]))
    each = vmap(grad(lambda x, y: f(x, y).sum()))(xs, ys)
    close(each, torch.stack([grad(lambda a, y=y: f(a, y).sum())(x) for x, y in zip(xs, ys)]))


def test_vmap_records_one_graph_whatever_the_number_of_examples():
    def key_without_shapes(n):
        out = vmap(lambda a: (a * 2).sin().sum())(torch.ones(n, 3))
        return [part for part in structural_key([out.node])[0] if isinstance(part, (int, str))]

    sizes = [len(toposort([vmap(torch.sin)(torch.ones(n, 3)).node])) for n in (2, 200)]
    assert sizes[0] == sizes[1] and key_without_shapes(2) == key_without_shapes(200)


def test_the_mean_of_per_sample_gradients_is_the_gradient_of_the_mean():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    params = {name: p.detach() for name, p in net.named_parameters()}

    def loss(p, a):
        return functional_call(net, p, (a,)).pow(2).mean()

    each = vmap(grad(loss), in_dims=(None, 0))(params, x)
    whole = grad(loss)(params, x)
    for name in params:
        assert each[name].shape == (6, *params[name].shape)
        close(each[name].mean(0), whole[name])


# --------------------------------------------------------------------------- what stays outside
def test_transforms_leave_grad_alone():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    grad(lambda a: (a * w).sum())(torch.ones(2)).tolist()
    jacrev(lambda a: a * w)(w).tolist()
    assert w.grad is None and w.requires_grad


def test_results_require_grad_only_for_what_is_tracked_outside():
    x, w = torch.ones(2), torch.ones(2, requires_grad=True)
    square = lambda a: (a * a).sum()  # noqa: E731
    assert not grad(square)(x).requires_grad and grad(square)(w).requires_grad
    assert not jacrev(torch.sin)(x).requires_grad and not hessian(square)(x).requires_grad
    assert grad(lambda a: (a * w).sin().sum())(x).requires_grad
    gradient, (value, aux) = grad_and_value(lambda a: (square(a), a * w), has_aux=True)(x)
    assert not gradient.requires_grad and not value.requires_grad and aux.requires_grad
    out, pull = vjp(torch.sin, x)
    assert not out.requires_grad and not pull(x)[0].requires_grad
    assert pull(w)[0].requires_grad
    with torch.no_grad():
        assert not grad(square)(w).requires_grad
    assert "nothing it was made from" in grad(square)(x).why()


def test_perturbations_are_not_confused():
    def inner(x):
        return grad(lambda y: x * y)(torch.tensor(2.0))

    assert grad(inner)(torch.tensor(5.0)).item() == 1


def test_a_pull_can_be_used_twice():
    _, pull = vjp(torch.exp, vector(1.0))
    assert pull(vector(1.0))[0].item() == pull(vector(1.0))[0].item() == pytest.approx(np.e)


# --------------------------------------------------------------------------- what is refused
def module():
    return nn.Sequential(nn.Linear(2, 2))


def tied():
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    net["b"].weight = net["a"].weight
    return net


ONES = torch.ones(3)
REFUSED = {
    "argnums": (lambda: grad(torch.sum, 2)(ONES), ArgumentError, [
        "argnums requires positions of arguments, got 2 of 1"]),
    "vector": (lambda: grad(torch.exp)(ONES), GradError, [
        "grad requires a function with a scalar result, got (3,)"]),
    "no tensor": (lambda: grad(lambda a: 1.0)(ONES), GradError, [
        "grad requires a function with a scalar result, got float"]),
    "aux": (lambda: grad(torch.sum, has_aux=True)(ONES), ArgumentTypeError, [
        "has_aux requires a function that returns (output, aux), got Tensor"]),
    "cotangent": (lambda: vjp(torch.exp, ONES)[1](torch.ones(2)), ShapeError, [
        "vjp requires cotangents of the outputs' shapes, got [(2,)] for [(3,)]"]),
    "tangent": (lambda: jvp(torch.exp, (ONES,), (torch.ones(2),)), ShapeError, [
        "jvp requires tangents of the primals' shapes, got [(2,)] for [(3,)]"]),
    "item": (lambda: vmap(lambda a: a * a.item())(ONES), GradError, [
        "vmap requires a function that does not look at values, got one that does",
        "hint: use torch.where instead of if, and keep .item() outside of vmap",
        "recorded at test_func.py:"]),
    "if": (lambda: vmap(lambda a: a if a > 0 else -a)(ONES), GradError, [
        "does not look at values"]),
    "print": (lambda: vmap(lambda a: (str(a), a)[1])(ONES), GradError, [
        "does not look at values"]),
    "random": (lambda: vmap(lambda a: a + torch.rand(()))(ONES), GradError, [
        "vmap requires randomness='same' for random numbers, got 'error'"]),
    "different": (
        lambda: vmap(lambda a: a + torch.rand(()), randomness="different")(ONES), GradError,
        ["requires randomness='same' for random numbers, got 'different'", "draw the numbers"]),
    "number": (lambda: vmap(lambda a: 1.0)(ONES), ArgumentError, [
        "vmap requires a function that returns Tensors, got float"]),
    "lengths": (lambda: vmap(torch.add)(ONES, torch.ones(2)), ArgumentError, [
        "vmap requires mapped axes of one length, got [2, 3]"]),
    "no axis": (lambda: vmap(torch.sin, None)(ONES), ArgumentError, [
        "vmap requires mapped axes of one length, got no mapped axis"]),
    "axis": (lambda: vmap(torch.sin, 1)(ONES), ArgumentError, [
        "vmap requires in_dims in [-1, 1) for shape (3,), got 1"]),
    "in_dims": (lambda: vmap(torch.sin, (0, 0))(ONES), ArgumentError, [
        "vmap requires in_dims of the structure of the values, got (0, 0)"]),
    "out_dims": (lambda: vmap(torch.sin, 0, (0, 1))(ONES), ArgumentError, [
        "vmap requires out_dims of the structure of the values, got (0, 1)"]),
    "out_dims None": (lambda: vmap(torch.sin, 0, None)(ONES), ArgumentError, [
        "vmap requires an axis in out_dims for what differs between examples, got None"]),
    "name": (lambda: functional_call(module(), {"0.wight": ONES}, ONES), ArgumentError, [
        "functional_call requires names of parameters or buffers, got '0.wight'"]),
    "twice": (
        lambda: functional_call(module(), ({"0.bias": ONES}, {"0.bias": ONES}), ONES),
        ArgumentError, ["functional_call requires each name once, got '0.bias' in several dicts"]),
    "strict": (
        lambda: functional_call(module(), {"0.bias": ONES}, ONES, strict=True), StateError,
        ["requires all parameters and buffers where it is strict, got none for ['0.weight']"]),
    "tied": (
        lambda: functional_call(
            tied(), {"a.weight": torch.eye(2), "b.weight": torch.ones(2, 2)}, ONES),
        ArgumentError,
        ["functional_call requires one value for names that are tied, got two for 'b.weight'",
         "tie_weights=False"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    program, kind, parts = REFUSED[name]
    with pytest.raises(kind) as error:
        program()
    for part in parts:
        assert part in str(error.value)


def test_a_function_with_its_own_rule_cannot_be_mapped():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, ct):
            return ct

    with pytest.raises(GradError, match="vmap requires ops with a batching rule, got custom"):
        vmap(Square.apply)(ONES)
    rows = jacrev(Square.apply)(ONES)  # but its derivative can be taken
    assert rows.tolist() == np.eye(3).tolist()


def test_a_module_is_as_it_was_after_an_error():
    net = module()
    before = dict(net.named_parameters())
    with pytest.raises(ShapeError):
        functional_call(net, {"0.weight": torch.ones(5, 5)}, (torch.ones(1, 2),))
    assert all(p is before[name] for name, p in net.named_parameters())
