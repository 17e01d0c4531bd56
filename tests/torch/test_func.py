"""torch.func against PyTorch: each program runs under both.

A program takes the module `torch` and returns tensors and plain values (see conftest.py).
"""

import pytest

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def xy(torch):
    return torch.tensor([1.0, 2.0, -0.5]), torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]])


def flags(tree):
    """requires_grad of every tensor in nested tuples."""
    if isinstance(tree, (tuple, list)):
        return [flags(x) for x in tree]
    return tree.requires_grad


# --------------------------------------------------------------------------- grad
@program
def grad(torch):
    x, y = xy(torch)
    found = torch.func.grad(lambda a: (a**3).sum())(x)
    return found, found.requires_grad, x.requires_grad, x.grad


@program
def grad_of_chosen_arguments(torch):
    x, y = xy(torch)

    def f(a, b, k=1.0):
        return (a * b).sum() * k

    g = torch.func.grad
    return g(f, 1)(x, y), g(f, (0, 1))(x, y, k=3.0), g(f, (1,))(x, y), g(f, -1)(x, y)


@program
def grad_of_an_argument_that_is_not_there(torch):
    return torch.func.grad(lambda a: a.sum(), 3)(torch.ones(2))


@program
def grad_of_a_vector(torch):
    return torch.func.grad(torch.exp)(torch.ones(2))


@program
def grad_of_something_unused(torch):
    return torch.func.grad(lambda a, b: b.sum())(torch.ones(2), torch.ones(3))


@program
def grad_with_aux(torch):
    x, _ = xy(torch)
    return torch.func.grad(lambda a: (a.sum() ** 2, (a * 2, {"n": a.sum()})), has_aux=True)(x)


@program
def grad_and_value(torch):
    x, _ = xy(torch)
    f = torch.func.grad_and_value
    both = f(lambda a: (a**2).sum())(x)
    return both, flags(both), f(lambda a: (a.sum(), a * 2), has_aux=True)(x)


@program
def grad_of_nested_containers(torch):
    x, y = xy(torch)
    tree = {"a": x, "b": [y, (x * 2,)]}
    return torch.func.grad(lambda t: (t["a"] * t["b"][0]).sum() + t["b"][1][0].prod())(tree)


@program
def derivatives_of_a_scalar(torch):
    f, x, found = torch.sin, torch.tensor(0.7), []
    for _ in range(4):
        f = torch.func.grad(f)
        found.append(f(x))
    return found


@program
def a_gradient_that_was_not_asked_for(torch):
    # The inner derivative is of the inner x alone: perturbations are not confused.
    g = torch.func.grad
    return g(lambda x: x * g(lambda y: x + y)(torch.tensor(1.0)))(torch.tensor(2.0))


@program
def transforms_respect_modes(torch):
    x = torch.tensor(2.0, requires_grad=True)
    g = torch.func.grad
    with torch.no_grad():
        outer = g(lambda a: a**3)(x)

    def inner(a):
        with torch.no_grad():
            c = a * a
        return a * c + a.detach() * a

    return outer, outer.requires_grad, g(inner)(x.detach())


@program
def gradients_flow_to_what_was_captured(torch):
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    x = torch.tensor([3.0, -1.0])
    g = torch.func.grad(lambda a: (torch.tanh(a * w)).sum())(x)
    (g**2).sum().backward()
    return g, g.requires_grad, w.grad


@program
def gradients_flow_to_arguments(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    g, value = torch.func.grad_and_value(lambda a: (a**3).sum())(x)
    (g.sum() + value).backward()
    return x.grad, flags([g, value])


# --------------------------------------------------------------------------- vjp and jvp
@program
def vjp(torch):
    x, y = xy(torch)
    out, pull = torch.func.vjp(lambda a, b: (a * b, {"s": a.sum()}), x, y)
    found = pull((torch.ones(2, 3), {"s": torch.tensor(2.0)}))
    return out, found, flags(found), out[0].requires_grad


@program
def vjp_of_one(torch):
    x, _ = xy(torch)
    out, pull, aux = torch.func.vjp(lambda a: (a.exp(), a.sum()), x, has_aux=True)
    return out, pull(torch.ones(3)), pull(x), aux


@program
def a_cotangent_of_another_shape(torch):
    x, _ = xy(torch)
    return torch.func.vjp(torch.exp, x)[1](torch.ones(2))


@program
def jvp(torch):
    x, y = xy(torch)
    found = torch.func.jvp(lambda a, b: (a * b, a.sum()), (x, y), (x * 0 + 1, y * 2))
    return found, flags(found), torch.func.jvp(torch.sin, (x,), (x,))


@program
def jvp_with_aux(torch):
    x, _ = xy(torch)
    return torch.func.jvp(lambda a: (a.exp(), a * 2), (x,), (torch.ones(3),), has_aux=True)


@program
def a_tangent_of_another_shape(torch):
    x, _ = xy(torch)
    return torch.func.jvp(torch.exp, (x,), (torch.ones(2),))


@program
def jvp_of_jvp(torch):
    x = torch.tensor(0.3)

    def derivative(a):
        return torch.func.jvp(torch.sin, (a,), (torch.ones(()),))[1]

    return torch.func.jvp(derivative, (x,), (torch.ones(()),))


@program
def jvp_of_grad(torch):
    x, _ = xy(torch)
    f = torch.func.grad(lambda a: (a**4).sum())
    return torch.func.jvp(f, (x,), (torch.tensor([1.0, 0.0, 2.0]),))


# --------------------------------------------------------------------------- jacobians
@program
def jacobians(torch):
    x, y = xy(torch)
    rev, fwd = torch.func.jacrev, torch.func.jacfwd

    def f(a, b):
        return a * b + b.sum()

    return [
        (j(torch.sin)(x), j(f)(x, y), j(f, 1)(x, y), j(f, (0, 1))(x, y), j(f, (1,))(x, y))
        for j in (rev, fwd)
    ]


@program
def jacobians_of_containers(torch):
    x, y = xy(torch)

    def f(t, k):
        return {"p": t["a"] * k, "q": (t["b"].sum(1), t["a"].sum())}

    tree, k = {"a": x, "b": y}, torch.tensor(2.0)
    return [j(f, n)(tree, k) for j in (torch.func.jacrev, torch.func.jacfwd) for n in (0, (0, 1))]


@program
def jacobians_with_aux(torch):
    x, _ = xy(torch)
    return [
        j(lambda a: (a**2, a.sum()), has_aux=True)(x)
        for j in (torch.func.jacrev, torch.func.jacfwd)
    ]


@program
def jacobian_of_a_jacobian(torch):
    x, _ = xy(torch)
    rev, fwd = torch.func.jacrev, torch.func.jacfwd
    return [outer(inner(lambda a: a**3))(x) for outer in (rev, fwd) for inner in (rev, fwd)]


@program
def hessian(torch):
    x, y = xy(torch)

    def f(a, b):
        return (a**2 * b).sum() + a.prod()

    h = torch.func.hessian
    return h(f)(x, y), h(f, 1)(x, y), h(f, (0, 1))(x, y)


@program
def per_sample_jacobians(torch):
    _, y = xy(torch)
    return torch.func.vmap(torch.func.jacrev(lambda a: (a**2).cumsum(0)))(y)


# --------------------------------------------------------------------------- vmap
@program
def vmap(torch):
    x, y = xy(torch)
    v = torch.func.vmap
    return (
        v(torch.dot)(y, y), v(torch.sin)(x), v(lambda a: a.sum())(y),
        v(lambda a, b: a * b, in_dims=(None, 0))(x, y),
        v(lambda a, b: a + b, in_dims=(0, 1))(x, y),
        v(lambda a: a * 2, in_dims=1)(y), v(lambda a: a * 2, in_dims=-1, out_dims=-1)(y),
        v(lambda a: (a, a.sum()), out_dims=(1, 0))(y), torch.vmap(lambda a: a * x)(y),
    )


@program
def vmap_over_containers(torch):
    x, y = xy(torch)

    def f(t, k):
        return {"p": t["a"] * k, "q": [t["b"][0] + t["a"]]}

    tree = {"a": y, "b": (x[:2], x)}
    v = torch.func.vmap
    return (
        v(f, in_dims=({"a": 0, "b": (0, None)}, None))(tree, torch.tensor(2.0)),
        v(f, in_dims=({"a": 0, "b": (0, None)}, None), out_dims={"p": 1, "q": [0]})(
            tree, torch.tensor(2.0)),
    )


@program
def vmap_of_what_does_not_depend_on_the_example(torch):
    x, y = xy(torch)
    v = torch.func.vmap
    return v(lambda a: torch.ones(2))(y), v(lambda a: (a, x), out_dims=(0, None))(y)


@program
def vmap_twice(torch):
    x, y = xy(torch)
    v = torch.func.vmap
    outer = v(v(lambda a, b: a * b, in_dims=(0, None)), in_dims=(None, 0))
    return outer(x, x), v(v(torch.sin))(y), v(v(lambda a: a, out_dims=0), in_dims=1, out_dims=1)(
        torch.ones(2, 3, 4))


@program
def vmap_of_linear_algebra(torch):
    a = torch.arange(24.0).reshape(4, 2, 3)
    b = torch.arange(12.0).reshape(3, 4)
    v = torch.func.vmap
    return (
        v(lambda m: m @ b)(a), v(torch.mm, (0, None))(a, b), v(torch.mv)(a, torch.ones(4, 3)),
        v(lambda m: torch.einsum("ij,kj->ik", m, m))(a), v(lambda m: m.T @ m)(a),
        v(torch.outer)(a[:, 0], a[:, 1]), v(torch.matmul, (None, 0))(b.T, a.mT),
    )


def rows(torch):
    torch.manual_seed(0)
    return torch.randn(3, 4, 5)


@program
def vmap_of_reductions(torch):
    x = rows(torch)
    functions = [
        lambda a: a.sum(0), lambda a: a.mean(), lambda a: a.prod(1), lambda a: a.max(0)[0],
        lambda a: a.argmax(1), lambda a: a.std(0), lambda a: a.logsumexp(1),
        lambda a: a.softmax(0), lambda a: a.cumsum(1), lambda a: a.norm(), lambda a: a.sort(0)[0],
        lambda a: a.amin((0, 1)), lambda a: (a > 0).any(1), lambda a: a.cumprod(0),
        lambda a: a.topk(2, dim=1)[0], lambda a: a.median(),
    ]
    return [torch.func.vmap(f)(x) for f in functions]


@program
def vmap_of_movements(torch):
    x = rows(torch)
    functions = [
        lambda a: a.T, lambda a: a.reshape(-1), lambda a: a[1:, ::2], lambda a: a[:, None, 0],
        lambda a: a.flip(1), lambda a: torch.cat([a, a * 2], 1), lambda a: a.unsqueeze(0),
        lambda a: a.expand(2, 4, 5), lambda a: a.roll(1, 0), lambda a: torch.stack([a[0], a[1]]),
        lambda a: a.split(2)[1], lambda a: a.tril(), lambda a: a.diagonal(),
        lambda a: a.repeat(2, 1),
        lambda a: torch.nn.functional.pad(a, (1, 2)), lambda a: a.unfold(1, 2, 1), lambda a: a[-1],
    ]
    return [torch.func.vmap(f)(x) for f in functions]


@program
def vmap_of_indexing(torch):
    x = rows(torch)
    i, j = torch.tensor([[0, 1], [2, 3], [1, 1]]), torch.tensor([[4, 0], [1, 2], [3, 3]])
    v = torch.func.vmap
    functions = [
        lambda a, i, j: a[i], lambda a, i, j: a[:, j], lambda a, i, j: a[i, j],
        lambda a, i, j: a[i][:, j], lambda a, i, j: a.index_select(1, j),
        lambda a, i, j: a.gather(0, i.unsqueeze(1).expand(2, 5)),
        lambda a, i, j: a.gather(1, j.expand(4, 2)), lambda a, i, j: a[:, :, None][:, j, 0],
        lambda a, i, j: torch.zeros(4, 2).scatter(0, i.unsqueeze(0), a[:1, :2]),
        lambda a, i, j: torch.zeros(2, 5).index_add(0, i // 3, a[:2]),
        lambda a, i, j: torch.where(a > 0, a, 0.0), lambda a, i, j: a.masked_fill(a > 0, 1.0),
        lambda a, i, j: torch.nn.functional.one_hot(i, 4),
    ]
    batched = [v(f)(x, i, j) for f in functions]
    indices_only = [v(f, (None, 0, 0))(x[0], i, j) for f in functions[:7]]
    return batched, indices_only


@program
def vmap_of_writes(torch):
    x = rows(torch)
    i = torch.tensor([[0, 1], [2, 3], [1, 0]])

    def by_slice(a):
        a = a.clone()
        a[1:3] = 0
        a[:, 0] += 1
        return a.mul_(2)

    def by_index(a, i):
        a = a * 1
        return a.index_put((i,), a[2:])

    def by_column(a, i):
        a = a * 1
        return a.index_put((torch.arange(4)[:, None], i), a[:, 3:])

    v = torch.func.vmap
    return v(by_slice)(x), v(by_index)(x, i), v(by_column)(x, i)


@program
def vmap_of_layers(torch):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 1, 6, 6)
    nn = torch.nn
    layers = [
        nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Linear(6, 2), nn.LayerNorm(6),
        nn.GELU(), nn.Softmax(-1), nn.Flatten(), nn.Upsample(scale_factor=2),
    ]
    return [torch.func.vmap(layer)(x) for layer in layers]


@program
def vmap_of_grad(torch):
    x, y = xy(torch)
    v, g = torch.func.vmap, torch.func.grad

    def f(w, a):
        return torch.tanh(w * a).sum()

    return v(g(f), (None, 0))(x, y), g(lambda w: v(f, (None, 0))(w, y).sum())(x)


@program
def vmap_of_a_gradient_through_indices(torch):
    x = rows(torch)
    i = torch.tensor([[0, 1], [2, 2], [1, 0]])
    v, g = torch.func.vmap, torch.func.grad
    return (
        v(g(lambda a, i: (a[:, i] ** 2).sum()))(x, i),
        v(g(lambda a, i: (a[i] ** 3).sum()))(x, i),
        v(g(lambda a, i: (a[i, i] ** 2).prod()))(x, i),
        v(g(lambda a, i: a.max(1)[0].prod()))(x, i),
    )


@program
def gradients_flow_through_vmap(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = torch.tensor([0.5, -1.0], requires_grad=True)

    def f(a):
        with torch.no_grad():
            scale = w.sum() * a
        return (w * a).sin().sum() * scale + a.detach()

    out = torch.func.vmap(f)(x)
    out.sum().backward()
    return out, out.requires_grad, x.grad, w.grad


@program
def vmap_under_no_grad(torch):
    x = torch.ones(2, 3, requires_grad=True)
    with torch.no_grad():
        return torch.func.vmap(torch.sin)(x).requires_grad


@program
def vmap_draws_the_same(torch):
    torch.manual_seed(0)
    f = torch.func.vmap(lambda a: a + torch.rand(2), randomness="same")
    return f(torch.zeros(3, 2)), torch.rand(1)


@program
def vmap_must_not_draw(torch):
    return torch.func.vmap(lambda a: a + torch.rand(2))(torch.zeros(3, 2))


@program
def vmap_looks_at_no_value(torch):
    return torch.func.vmap(lambda a: a.sum().item())(torch.ones(3, 2))


@program
def vmap_takes_no_branch(torch):
    return torch.func.vmap(lambda a: a if a.sum() > 0 else -a)(torch.ones(3, 2))


@program
def vmap_returns_tensors(torch):
    return torch.func.vmap(lambda a: 3.0)(torch.ones(3, 2))


@program
def vmap_over_axes_of_two_lengths(torch):
    return torch.func.vmap(torch.add)(torch.ones(3), torch.ones(2))


@program
def vmap_over_no_axis(torch):
    return torch.func.vmap(torch.sin, in_dims=(None,))(torch.ones(3))


@program
def vmap_over_an_axis_that_is_not_there(torch):
    return torch.func.vmap(torch.sin, in_dims=5)(torch.ones(3))


@program
def vmap_over_too_many_axes(torch):
    return torch.func.vmap(torch.sin, in_dims=(0, 0))(torch.ones(3))


@program
def vmap_into_too_many_axes(torch):
    return torch.func.vmap(torch.sin, out_dims=(0, 1))(torch.ones(3))


@program
def vmap_into_no_axis(torch):
    return torch.func.vmap(torch.sin, out_dims=None)(torch.ones(3))


# --------------------------------------------------------------------------- modules
def net(torch):
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def detached(module):
    return {name: p.detach() for name, p in module.named_parameters()}


@program
def functional_call(torch):
    module, x = net(torch), torch.ones(2, 3)
    doubled = {name: p * 2 for name, p in detached(module).items()}
    call = torch.func.functional_call
    return (
        call(module, doubled, (x,)), call(module, doubled, x), module(x),
        call(module, {"0.bias": torch.zeros(4)}, (x,)),
        call(module, (doubled, {}), (x,), strict=True), list(module.state_dict()),
        isinstance(module[0].weight, torch.nn.Parameter),
    )


@program
def functional_call_restores_after_an_error(torch):
    module = net(torch)
    before = module[0].weight
    try:
        torch.func.functional_call(module, {"0.weight": torch.ones(1, 1)}, torch.ones(2, 3))
    except RuntimeError:
        return module[0].weight is before


@program
def functional_call_with_keywords(torch):
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.ones(2))
            self.register_buffer("shift", torch.zeros(2))

        def forward(self, x, *, scale):
            return x * self.w * scale + self.shift

    new = {"w": torch.tensor([2.0, 3.0]), "shift": torch.tensor([1.0, 1.0])}
    return torch.func.functional_call(Scaled(), new, (torch.ones(2),), {"scale": 10.0})


def tied(torch):
    """A module one of whose weights has two names."""
    torch.manual_seed(0)
    module = torch.nn.ModuleDict(
        {"a": torch.nn.Linear(2, 2, bias=False), "b": torch.nn.Linear(2, 2, bias=False)}
    )
    module["b"].weight = module["a"].weight
    module.forward = lambda x: module["b"](module["a"](x))
    return module


@program
def functional_call_of_tied_weights(torch):
    module, eye, x = tied(torch), torch.eye(2), torch.ones(1, 2)
    call = torch.func.functional_call
    return (
        call(module, {"a.weight": 2 * eye}, (x,)), call(module, {"b.weight": 2 * eye}, (x,)),
        call(module, {"a.weight": 2 * eye}, (x,), tie_weights=False),
        call(module, {"a.weight": 2 * eye, "b.weight": 3 * eye}, (x,), tie_weights=False),
    )


@program
def functional_call_with_two_values_for_one_weight(torch):
    eye = torch.eye(2)
    return torch.func.functional_call(
        tied(torch), {"a.weight": 2 * eye, "b.weight": 3 * eye}, (torch.ones(1, 2),))


@program
def functional_call_with_a_name_in_two_dicts(torch):
    new = {"0.bias": torch.zeros(4)}
    return torch.func.functional_call(net(torch), (new, new), (torch.ones(2, 3),))


@program
def functional_call_strictly(torch):
    return torch.func.functional_call(
        net(torch), {"0.bias": torch.zeros(4)}, (torch.ones(2, 3),), strict=True)


@program
def per_sample_gradients(torch):
    module = net(torch)
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])

    def loss(params, a, b):
        out = torch.func.functional_call(module, params, (a.unsqueeze(0),))
        return torch.nn.functional.cross_entropy(out, b.unsqueeze(0))

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(detached(module), x, y)
    torch.nn.functional.cross_entropy(module(x), y).backward()
    means = {name: g.mean(0) for name, g in each.items()}
    return each, means, {name: p.grad for name, p in module.named_parameters()}


@program
def an_ensemble(torch):
    nn = torch.nn
    torch.manual_seed(0)
    models = [nn.Linear(3, 2) for _ in range(4)]
    params, buffers = torch.func.stack_module_state(models)
    base = nn.Linear(3, 2)

    def run(p, b, x):
        return torch.func.functional_call(base, (p, b), (x,))

    x = torch.ones(5, 3)
    out = torch.func.vmap(run, in_dims=(0, 0, None))(params, buffers, x)
    out.sum().backward()
    return out, {n: p.shape for n, p in params.items()}, params["weight"].grad, buffers


@program
def a_step_of_meta_learning(torch):
    w = torch.tensor([0.3, -0.2], requires_grad=True)
    x, y = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([1.0, 0.0])

    def loss(v):
        return ((x @ v - y) ** 2).mean()

    adapted = w - 0.1 * torch.func.grad(loss)(w)
    loss(adapted).backward()
    return adapted, w.grad


@program
def a_hessian_of_a_module(torch):
    torch.manual_seed(0)
    module, x = torch.nn.Linear(2, 1), torch.ones(3, 2)

    def loss(params):
        return (torch.func.functional_call(module, params, (x,)) ** 2).mean()

    return torch.func.hessian(loss)(detached(module))


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_the_same_as_pytorch(function, agree):
    agree(function)
