"""autograd against PyTorch: each program runs under both, and gives the same or raises the same.

A program takes the module `torch` and returns tensors and plain values.
"""

import math

import pytest

import chainrule

torch = pytest.importorskip("torch")

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def plain(result):
    """Nested plain values: what two frameworks can agree on."""
    if isinstance(result, (list, tuple)):
        return [plain(x) for x in result]
    if isinstance(result, dict):
        return {k: plain(v) for k, v in result.items()}
    if hasattr(result, "requires_grad"):
        dtype = str(result.dtype).removeprefix("torch.")
        return [dtype, tuple(result.shape), plain(result.detach().tolist())]
    return result


def assert_same(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert_same(a, b)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for k in theirs:
            assert_same(ours[k], theirs[k])
    elif isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=1e-5, abs_tol=1e-7) or (
            math.isnan(ours) and math.isnan(theirs))
    else:
        assert ours == theirs


def outcome(function, module):
    """What the program returns, or the type of what it raises."""
    try:
        return plain(function(module)), None
    except Exception as error:
        return None, error


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_as_pytorch(name):
    theirs, refused = outcome(PROGRAMS[name], torch)
    ours, error = outcome(PROGRAMS[name], chainrule)
    if refused is not None:
        kind = next(k for k in type(refused).__mro__ if k.__module__ == "builtins")
        assert isinstance(error, kind), (error, refused)
    else:
        assert error is None, error
        assert_same(ours, theirs)


def leafs(torch, *values):
    return [torch.tensor(v, requires_grad=True) for v in values]


# --------------------------------------------------------------------------- backward
@program
def backward_fills_grad(torch):
    x, y = leafs(torch, [1.0, 2.0], 3.0)
    (x * y).sum().backward()
    return x.grad, y.grad


@program
def gradients_accumulate(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    for _ in range(3):
        (x * x).sum().backward()
    return x.grad


@program
def the_grad_tensor_stays_the_same_object(torch):
    (x,) = leafs(torch, 2.0)
    (x * x).backward()
    held = x.grad
    (x * x).backward()
    return held is x.grad, held


@program
def a_given_gradient(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    (x * x).backward(torch.tensor([5.0, -1.0]))
    return x.grad


@program
def a_gradient_of_another_shape(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    (x * x).backward(torch.ones(3))


@program
def a_gradient_that_is_a_number(torch):
    (x,) = leafs(torch, 1.0)
    (x * x).backward(2.0)


@program
def backward_of_a_vector(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    (x * x).backward()


@program
def backward_of_one_element(torch):
    (x,) = leafs(torch, [[2.0]])
    (x * x).backward()
    return x.grad


@program
def backward_without_history(torch):
    torch.ones(1).backward()


@program
def a_second_backward(torch):
    (x,) = leafs(torch, 2.0)
    y = x * x
    y.backward()
    y.backward()


@program
def a_second_backward_of_a_retained_graph(torch):
    (x,) = leafs(torch, 2.0)
    y = x.exp() * x
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@program
def a_third_backward(torch):
    (x,) = leafs(torch, 2.0)
    y = x.exp() * x
    y.backward(retain_graph=True)
    y.backward()
    y.backward()


@program
def a_linear_graph_twice(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    y = (x + x).sum() - 3
    y.backward()
    y.backward()
    return x.grad


@program
def a_shared_trunk(torch):
    (x,) = leafs(torch, 2.0)
    trunk = x.exp()
    first, second = trunk * 2, trunk * 3
    first.backward()
    second.backward()


@program
def a_shared_linear_trunk(torch):
    (x,) = leafs(torch, 2.0)
    trunk = x + 1
    (trunk * trunk).backward()
    (trunk * 3).backward()
    return x.grad


@program
def create_graph_keeps_the_graph(torch):
    (x,) = leafs(torch, 2.0)
    y = x**3
    y.backward(create_graph=True)
    first = x.grad.clone()
    x.grad.backward()
    return first, x.grad, x.grad.requires_grad


@program
def backward_to_some_inputs(torch):
    x, y = leafs(torch, 2.0, 3.0)
    (x * y).backward(inputs=[x])
    return x.grad, y.grad


@program
def backward_to_an_intermediate(torch):
    (x,) = leafs(torch, 2.0)
    h = x.exp()
    (h * h).backward(inputs=[h])
    return h.grad, x.grad


@program
def backward_to_an_intermediate_that_retains(torch):
    (x,) = leafs(torch, 2.0)
    h = x.exp()
    h.retain_grad()
    (h * h).backward(inputs=[h, x])
    return h.grad, x.grad


@program
def backward_to_nothing(torch):
    (x,) = leafs(torch, 2.0)
    (x * x).backward(inputs=[])


@program
def backward_of_several_tensors(torch):
    x, y = leafs(torch, [1.0, 2.0], 3.0)
    torch.autograd.backward([x * y, y * y], [torch.tensor([1.0, 2.0]), None])
    return x.grad, y.grad


@program
def a_leaf_changed_after_the_forward_pass(torch):
    (w,) = leafs(torch, 2.0)
    loss = (w * 3) ** 2
    with torch.no_grad():
        w.data = w.data + 1
    loss.backward()
    return w.grad, w


@program
def a_leaf_used_before_and_after_its_change(torch):
    (w,) = leafs(torch, 2.0)
    before = w + w
    w.data.add_(1)
    (before * 10 + w).backward()
    return w.grad


@program
def half_and_double(torch):
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    y = torch.ones(2, dtype=torch.float16, requires_grad=True)
    (x * y * 3).sum().backward()
    return x.grad, y.grad


@program
def an_expanded_leaf(torch):
    (x,) = leafs(torch, [[1.0], [2.0]])
    (x.expand(2, 5) ** 2).sum().backward()
    return x.grad


# --------------------------------------------------------------------------- grad
@program
def grad_of_one(torch):
    (x,) = leafs(torch, 3.0)
    return torch.autograd.grad(x**2, x), x.grad


@program
def grad_of_several(torch):
    x, y = leafs(torch, [1.0, 2.0], 3.0)
    outs = [(x * y).sum(), (x * x).sum()]
    return torch.autograd.grad(outs, [x, y, x])


@program
def grad_with_cotangents(torch):
    x, y = leafs(torch, [1.0, 2.0], 3.0)
    return torch.autograd.grad([x * y, y], (x, y), [torch.ones(2), torch.tensor(4.0)])


@program
def grad_of_an_intermediate(torch):
    (x,) = leafs(torch, 2.0)
    h = x.exp()
    return torch.autograd.grad(h * h, h)


@program
def grad_of_an_intermediate_leaves_what_is_below(torch):
    (x,) = leafs(torch, 2.0)
    h = x.exp()
    (g,) = torch.autograd.grad(h * h, h)
    return g, torch.autograd.grad(h, x)


@program
def grad_of_something_unused(torch):
    x, y = leafs(torch, 2.0, 3.0)
    return torch.autograd.grad(x * x, y)


@program
def grad_allows_unused(torch):
    x, y = leafs(torch, 2.0, 3.0)
    return torch.autograd.grad(x * x, [x, y], allow_unused=True)


@program
def grad_materializes(torch):
    x, y = leafs(torch, 2.0, [3.0, 4.0])
    return torch.autograd.grad(x * x, [x, y], materialize_grads=True)


@program
def grad_materializes_what_is_not_allowed(torch):
    x, y = leafs(torch, 2.0, [3.0, 4.0])
    return torch.autograd.grad(x * x, y, materialize_grads=True, allow_unused=False)


@program
def grad_of_what_needs_none(torch):
    (x,) = leafs(torch, 2.0)
    return torch.autograd.grad(x * 2, torch.ones(1))


@program
def grad_frees_the_graph(torch):
    (x,) = leafs(torch, 2.0)
    y = x.exp()
    torch.autograd.grad(y, x)
    torch.autograd.grad(y, x)


@program
def grad_retains_the_graph(torch):
    (x,) = leafs(torch, 2.0)
    y = x.exp()
    return [torch.autograd.grad(y, x, retain_graph=True) for _ in range(2)]


@program
def four_derivatives(torch):
    (x,) = leafs(torch, 0.7)
    y, found = x.sin() * x**3, []
    for _ in range(4):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        found.append(y)
    return found, y.requires_grad


@program
def the_last_derivative_needs_no_grad(torch):
    (x,) = leafs(torch, 0.7)
    (g,) = torch.autograd.grad(x**3, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    return g.requires_grad, h.requires_grad


@program
def a_batch_of_cotangents(torch):
    (x,) = leafs(torch, [1.0, 2.0, 3.0])
    return torch.autograd.grad(x**2, x, torch.eye(3), is_grads_batched=True)


@program
def grad_of_a_leaf_that_was_written_to(torch):
    (w,) = leafs(torch, [1.0, 2.0])
    loss = (w * w).sum()
    with torch.no_grad():
        w.add_(0.0)
    return loss, w.is_leaf


@program
def gradient_penalty(torch):
    w, x = leafs(torch, [[0.5, -0.3], [0.2, 0.8]], [[1.0, 2.0]])
    score = torch.tanh(x @ w).sum()
    (g,) = torch.autograd.grad(score, x, create_graph=True)
    ((g.norm(2, dim=1) - 1) ** 2).mean().backward()
    return w.grad, x.grad


# --------------------------------------------------------------------------- hooks
@program
def a_hook_sees_the_gradient(torch):
    (x,) = leafs(torch, 2.0)
    seen = []
    h = x * 3
    h.register_hook(lambda g: seen.append(g.item()))
    (h * h).backward()
    return seen, x.grad


@program
def a_hook_changes_the_gradient(torch):
    (x,) = leafs(torch, 2.0)
    h = x * 3
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: g + 1)
    (h * h).backward()
    return x.grad


@program
def a_hook_on_a_leaf(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    handle = x.register_hook(lambda g: -g)
    (x * x).sum().backward()
    first = x.grad.clone()
    handle.remove()
    (x * x).sum().backward()
    return first, x.grad


@program
def a_hook_runs_once_the_gradient_is_complete(torch):
    (x,) = leafs(torch, 2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * x + x.exp() + x).backward()
    return seen


@program
def a_removed_hook(torch):
    (x,) = leafs(torch, 2.0)
    seen = []
    first = x.register_hook(lambda g: seen.append(1))
    x.register_hook(lambda g: seen.append(2))
    first.remove()
    first.remove()
    (x * x).backward()
    return seen


@program
def hooks_run_output_first(torch):
    (x,) = leafs(torch, 2.0)
    seen = []
    h = x.exp()
    y = h * h
    for name, t in (("x", x), ("h", h), ("y", y)):
        t.register_hook(lambda g, name=name: seen.append(name))
    y.backward()
    return seen


@program
def a_hook_as_a_context(torch):
    (x,) = leafs(torch, 2.0)
    with x.register_hook(lambda g: g * 2):
        (x * x).backward()
    first = x.grad.clone()
    (x * x).backward()
    return first, x.grad


@program
def a_hook_in_grad(torch):
    (x,) = leafs(torch, 2.0)
    h = x.exp()
    h.register_hook(lambda g: g * 2)
    both = h * h
    return [torch.autograd.grad(both, t, retain_graph=True) for t in (h, x)]


@program
def a_hook_under_create_graph(torch):
    (x,) = leafs(torch, 2.0)
    h = x**2
    h.register_hook(lambda g: g * x)
    (g,) = torch.autograd.grad(h * h, x, create_graph=True)
    return g, torch.autograd.grad(g, x)


@program
def a_hook_that_gives_another_shape(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    x.register_hook(lambda g: g.sum())
    (x * x).sum().backward()


@program
def a_hook_where_no_gradient_passes(torch):
    torch.ones(2).register_hook(lambda g: g)


@program
def a_hook_after_the_gradient_has_come(torch):
    x, y = leafs(torch, [1.0, 2.0], 3.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    for _ in range(2):
        (x * y).sum().backward()
    return seen


@program
def an_optimizer_in_the_backward_pass(torch):
    x, y = leafs(torch, [1.0, 2.0], [3.0, 1.0])

    def step(t):
        with torch.no_grad():
            t -= 0.1 * t.grad
        t.grad = None

    handles = [t.register_post_accumulate_grad_hook(step) for t in (x, y)]
    (x * y).sum().backward()
    handles[0].remove()
    (x * y).sum().backward()
    return x, y, x.grad, y.grad


@program
def a_post_hook_on_an_intermediate(torch):
    (x,) = leafs(torch, 2.0)
    (x * 2).register_post_accumulate_grad_hook(lambda t: None)


@program
def retain_grad(torch):
    (x,) = leafs(torch, 2.0)
    h = x.exp()
    h.retain_grad()
    h.retain_grad()
    (h * h).backward(retain_graph=True)
    first = h.grad.clone()
    (h * h).backward()
    return h.retains_grad, x.retains_grad, first, h.grad, h.is_leaf


@program
def retain_grad_after_hooks(torch):
    (x,) = leafs(torch, 2.0)
    h = x.exp()
    h.register_hook(lambda g: g * 2)
    h.retain_grad()
    h.register_hook(lambda g: g * 5)
    (h * 3).backward()
    return h.grad, x.grad


@program
def retain_grad_without_history(torch):
    torch.ones(1).retain_grad()


@program
def retain_grad_of_a_leaf(torch):
    (x,) = leafs(torch, 2.0)
    x.retain_grad()
    (x * x).backward()
    return x.grad, x.retains_grad


# --------------------------------------------------------------------------- grad modes
@program
def grad_modes_nest(torch):
    (x,) = leafs(torch, 2.0)
    found = []
    with torch.no_grad():
        found.append((x * 2).requires_grad)
        with torch.enable_grad():
            found.append((x * 2).requires_grad)
            with torch.set_grad_enabled(False):
                found.append((x * 2).requires_grad)
        found.append(torch.is_grad_enabled())
    found.append((x * 2).requires_grad)
    with torch.inference_mode(False):
        found.append(torch.is_grad_enabled())
    return found


@program
def grad_modes_decorate(torch):
    def mode():
        return torch.is_grad_enabled()

    decorated = [
        torch.no_grad()(mode), torch.no_grad(mode), torch.inference_mode()(mode),
        torch.inference_mode(mode), torch.inference_mode(False)(mode),
        torch.set_grad_enabled(False)(mode),
    ]
    with torch.no_grad():
        inside = [torch.enable_grad()(mode)(), torch.enable_grad(mode)(), mode()]
    return [f() for f in decorated], [f.__name__ for f in decorated], inside, mode()


@program
def a_mode_ends_with_an_error(torch):
    try:
        with torch.no_grad():
            raise KeyError
    except KeyError:
        pass

    @torch.no_grad()
    def fails():
        raise KeyError

    try:
        fails()
    except KeyError:
        return torch.is_grad_enabled()


@program
def set_grad_enabled_is_a_function_too(torch):
    found = []
    for mode in (False, True):
        torch.set_grad_enabled(mode)
        found.append(torch.is_grad_enabled())
    return found


@program
def a_mode_of_a_generator(torch):
    log = []

    @torch.no_grad()
    def numbers():
        try:
            got = yield torch.is_grad_enabled()
            log.append((got, torch.is_grad_enabled()))
            try:
                yield 2
            except KeyError:
                log.append(("thrown", torch.is_grad_enabled()))
                yield 3
        finally:
            log.append(("closed", torch.is_grad_enabled()))
        return 4

    running = numbers()
    log += [next(running), torch.is_grad_enabled(), running.send("sent"), running.throw(KeyError())]
    try:
        next(running)
    except StopIteration as end:
        log.append(end.value)
    other = numbers()
    next(other)
    other.close()
    return log, torch.is_grad_enabled()


@program
def one_mode_object_used_again(torch):
    mode, found = torch.no_grad(), []
    for _ in range(2):
        with mode:
            found.append(torch.is_grad_enabled())
        found.append(torch.is_grad_enabled())
    return found


@program
def backward_inside_of_no_grad(torch):
    (x,) = leafs(torch, 2.0)
    y = x * x
    with torch.no_grad():
        y.backward()
    return x.grad


# --------------------------------------------------------------------------- detach, data, flags
@program
def detach_cuts(torch):
    (x,) = leafs(torch, 2.0)
    d = x.detach()
    (x * d).backward()
    return x.grad, d.requires_grad, d.is_leaf, d.grad_fn is None


@program
def detach_in_place(torch):
    (x,) = leafs(torch, 2.0)
    h = x * 3
    h.detach_()
    return h.requires_grad, h.is_leaf


@program
def requires_grad_of_results(torch):
    x, plain = leafs(torch, [1.0, 2.0])[0], torch.ones(2)
    return [
        t.requires_grad
        for t in (x, plain, x + plain, plain + plain, x > 0, x.argmax(), x.long(), x.sign(),
                  x.round(), x.detach(), x.data, torch.zeros_like(x), x.new_ones(2), x.clone())
    ]


@program
def is_leaf(torch):
    (x,) = leafs(torch, 2.0)
    with torch.no_grad():
        cut = x * 2
    return [t.is_leaf for t in (x, torch.ones(1), x * 2, cut, x.detach(), (x * 2).detach())]


@program
def requires_grad_afterwards(torch):
    x = torch.ones(2)
    y = x * 3
    x.requires_grad_()
    z = x * 3
    return y.requires_grad, z.requires_grad, x.requires_grad_(False).requires_grad


@program
def integers_require_no_grad(torch):
    torch.ones(2, dtype=torch.int64).requires_grad_()


@program
def an_intermediate_keeps_requiring_grad(torch):
    (x,) = leafs(torch, 2.0)
    (x * 2).requires_grad_(False)


@program
def a_grad_of_another_shape(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    x.grad = torch.ones(3)


@program
def a_grad_that_is_no_tensor(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    x.grad = 1.0


@program
def grad_is_set_and_deleted(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    x.grad = torch.ones(2)
    (x * x).sum().backward()
    first = x.grad.clone()
    x.grad = None
    return first, x.grad


@program
def the_names_of_backward_functions(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    results = [x + 1, x * 2, x / 2, -x, x.exp(), x.sum(), x.mean(), x**2, x.relu(), x.view(2, 1),
               x[0], x.tanh(), x.sigmoid(), x.clone(), x - 1]
    return [t.grad_fn.name() for t in results], x.grad_fn


@program
def next_functions(torch):
    x, y = leafs(torch, 1.0, 2.0)
    z = x.exp() * y
    below = [f.name() for f, _ in z.grad_fn.next_functions]
    return below, (z.sin() + 1).grad_fn.next_functions[0][0].name()


# --------------------------------------------------------------------------- Function
def exponential(torch):
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    return Exp


@program
def a_function(torch):
    (x,) = leafs(torch, [0.5, 1.0])
    y = exponential(torch).apply(x)
    y.sum().backward()
    return y, x.grad, y.grad_fn.name()


@program
def a_function_three_times(torch):
    (x,) = leafs(torch, 0.5)
    y, found = exponential(torch).apply(x), []
    for _ in range(3):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        found.append(y)
    return found


@program
def a_function_after_backward(torch):
    (x,) = leafs(torch, 0.5)
    y = exponential(torch).apply(x)
    y.backward()
    y.backward()


@program
def a_function_in_the_new_style(torch):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(x, n):
            return x**n

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.n = inputs
            ctx.save_for_backward(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * ctx.n * x ** (ctx.n - 1), None

    (x,) = leafs(torch, 2.0)
    Cube.apply(x, 3).backward()
    return x.grad


def two_outputs(torch, log, materialize=True):
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.set_materialize_grads(materialize)
            product, root = x * y, y.sqrt()
            ctx.save_for_backward(x, y, None, root)
            log.append(ctx.needs_input_grad)
            return product, root

        @staticmethod
        def backward(ctx, gp, gr):
            x, y, nothing, root = ctx.saved_tensors
            log.append((nothing, None if gp is None else gp.tolist(),
                        None if gr is None else gr.tolist()))
            gp = 0 if gp is None else gp
            gr = 0 if gr is None else gr
            return gp * y, gp * x + gr / (2 * root)

    return Both


@program
def several_outputs_call_backward_once(torch):
    log, (x, y) = [], leafs(torch, [1.0, 2.0], [3.0, 4.0])
    product, root = two_outputs(torch, log).apply(x, y)
    (product * root).sum().backward()
    return log, x.grad, y.grad


@program
def one_of_several_outputs(torch):
    log, (x, y) = [], leafs(torch, [1.0, 2.0], [3.0, 4.0])
    _, root = two_outputs(torch, log).apply(x, y)
    root.sum().backward()
    return log, x.grad, y.grad


@program
def one_of_several_outputs_not_materialized(torch):
    log, (x, y) = [], leafs(torch, [1.0, 2.0], [3.0, 4.0])
    _, root = two_outputs(torch, log, materialize=False).apply(x, y)
    root.sum().backward()
    return log, y.grad


@program
def several_outputs_twice(torch):
    log, (x, y) = [], leafs(torch, [1.0, 2.0], [3.0, 4.0])
    product, root = two_outputs(torch, log).apply(x, y)
    first = torch.autograd.grad((product * root).sum(), [x, y], create_graph=True)
    return first, torch.autograd.grad(sum((g * g).sum() for g in first), [x, y])


@program
def needs_input_grad(torch):
    log, (x,) = [], leafs(torch, [1.0, 2.0])
    product, _ = two_outputs(torch, log).apply(torch.ones(2), x)
    return log, product.requires_grad


@program
def nothing_requires_grad(torch):
    log = []
    product, root = two_outputs(torch, log).apply(torch.ones(2), torch.ones(2))
    return log, product.requires_grad, root.grad_fn is None


@program
def a_function_under_no_grad(torch):
    (x,) = leafs(torch, 0.5)
    with torch.no_grad():
        return exponential(torch).apply(x).requires_grad


@program
def a_straight_through_estimator(torch):
    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, g):
            return g

    (x,) = leafs(torch, [0.2, 0.7])
    (Round.apply(x) * torch.tensor([3.0, 4.0])).sum().backward()
    return x.grad


@program
def gradient_reversal(torch):
    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, strength):
            ctx.strength = strength
            return x.view_as(x)

        @staticmethod
        def backward(ctx, g):
            return -ctx.strength * g, None

    (x,) = leafs(torch, [0.2, 0.7])
    (Reverse.apply(x, 0.5) * 3).sum().backward()
    return x.grad


@program
def the_input_itself_as_the_output(torch):
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x * x

    (x,) = leafs(torch, 3.0)
    (g,) = torch.autograd.grad(Scale.apply(x), x, create_graph=True)
    return g, torch.autograd.grad(g, x)


@program
def no_gradient_for_an_input(torch):
    class First(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g, None

    x, y = leafs(torch, 1.0, 2.0)
    First.apply(x, y).backward()
    return x.grad, y.grad


@program
def an_output_without_derivative(torch):
    class Sort(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            values, places = x.sort()
            copy = values * 1
            ctx.mark_non_differentiable(places, copy)
            ctx.save_for_backward(places)
            return values, places, copy

        @staticmethod
        def backward(ctx, g, *others):
            (places,) = ctx.saved_tensors
            return torch.zeros_like(g).scatter(0, places, g)

    (x,) = leafs(torch, [3.0, 1.0, 2.0])
    values, places, copy = Sort.apply(x)
    (values * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    return x.grad, values.requires_grad, places.requires_grad, copy.requires_grad


def bad_backward(torch, returns):
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return returns(g)

    (x,) = leafs(torch, [1.0, 2.0])
    Bad.apply(x, 1).sum().backward()
    return x.grad


@program
def too_few_gradients(torch):
    return bad_backward(torch, lambda g: g)


@program
def too_many_gradients(torch):
    return bad_backward(torch, lambda g: (g, None, g))


@program
def more_gradients_that_are_none(torch):
    return bad_backward(torch, lambda g: (g, None, None))


@program
def a_gradient_for_a_number(torch):
    return bad_backward(torch, lambda g: (g, g))


@program
def a_gradient_of_the_wrong_shape(torch):
    return bad_backward(torch, lambda g: (torch.ones(3), None))


@program
def a_gradient_that_broadcasts_down(torch):
    return bad_backward(torch, lambda g: (torch.ones(4, 2), None))


@program
def a_gradient_of_another_dtype(torch):
    return bad_backward(torch, lambda g: (g.double(), None))


@program
def an_input_written_by_forward(torch):
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 20

    (a,) = leafs(torch, [1.0, 2.0])
    y = a * 3
    z = Double.apply(y)
    (y * y).sum().backward()
    return z is y, y, a.grad


@program
def saving_what_is_no_tensor(torch):
    class Save(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    Save.apply(*leafs(torch, 1.0)).backward()


@program
def a_first_derivative_marked_once(torch):
    return marked_once(torch, second=False)


@program
def a_second_derivative_marked_once(torch):
    return marked_once(torch, second=True)


def marked_once(torch, second):
    once = __import__(f"{torch.__name__}.autograd.function", fromlist=["x"]).once_differentiable

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @once
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x**2

    x, y = leafs(torch, 2.0, 3.0)
    (g,) = torch.autograd.grad(Cube.apply(x) * y, x, create_graph=True)
    return torch.autograd.grad(g, x) if second else g


@program
def a_lambda_of_functions_and_ops(torch):
    x, w = leafs(torch, [0.1, 0.2], [0.3, 0.4])
    exp = exponential(torch)
    y = exp.apply(x * w) + exp.apply(exp.apply(w).sum())
    y.sum().backward()
    return x.grad, w.grad


# --------------------------------------------------------------------------- checks
def in_double(torch, *shapes):
    torch.manual_seed(0)
    return tuple(torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes)


@program
def gradcheck_passes(torch):
    x, y = in_double(torch, (2, 3), (3,))
    check = torch.autograd.gradcheck
    return (
        check(lambda a, b: (a * b).tanh().sum(1), (x, y)),
        check(lambda a, b: (a @ b, a.exp()), (x, y)),
        check(lambda a: a.prod(), x),
        torch.autograd.gradgradcheck(lambda a, b: (a * b).sin(), (x, y)),
    )


@program
def gradcheck_finds_what_is_wrong(torch):
    (x,) = in_double(torch, (3,))
    return torch.autograd.gradcheck(lambda a: wrong(torch).apply(a), (x,), raise_exception=False)


@program
def gradcheck_raises(torch):
    (x,) = in_double(torch, (3,))
    torch.autograd.gradcheck(lambda a: wrong(torch).apply(a), (x,))


def wrong(torch):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x

    return Wrong


@program
def gradgradcheck_finds_a_wrong_second_derivative(torch):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x.detach()

    (x,) = in_double(torch, (3,))
    check = torch.autograd.gradcheck(Square.apply, (x,))
    return check, torch.autograd.gradgradcheck(Square.apply, (x,), raise_exception=False)


@program
def gradcheck_without_inputs_to_check(torch):
    return torch.autograd.gradcheck(torch.sin, (torch.ones(2, dtype=torch.float64),))


# --------------------------------------------------------------------------- functional
def cubes(torch):
    x = torch.tensor([1.0, 2.0])
    y = torch.tensor([[0.5, -1.0]])
    return x, y


@program
def jacobian(torch):
    x, y = cubes(torch)
    f = torch.autograd.functional
    return (
        f.jacobian(lambda a: a**3, x),
        f.jacobian(lambda a, b: (a * b).sum(1), (x, y)),
        f.jacobian(lambda a, b: (a * b, a.sum()), (x, y)),
        f.jacobian(lambda a: a.sum(), x, strategy="forward-mode", vectorize=True),
        f.jacobian(torch.exp, x).requires_grad,
        f.jacobian(lambda a: a * x.requires_grad_(), x, create_graph=True).requires_grad,
    )


@program
def hessian(torch):
    x, y = cubes(torch)
    f = torch.autograd.functional
    return (
        f.hessian(lambda a: (a**3).sum(), x),
        f.hessian(lambda a, b: (a**2 * b).sum(), (x, y)),
        f.hessian(lambda a: a.prod().reshape(1), x),
    )


@program
def products_with_jacobians(torch):
    x, y = cubes(torch)
    f = torch.autograd.functional
    v = torch.tensor([1.0, -1.0])
    return (
        f.vjp(lambda a: a.exp(), x, v),
        f.vjp(lambda a, b: (a * b).sum(), (x, y)),
        f.vjp(lambda a, b: (a * b, a.sum()), (x, y), (torch.ones(1, 2), torch.tensor(2.0))),
        f.jvp(lambda a: a.exp(), x, v),
        f.jvp(lambda a, b: (a * b, a.sum()), (x, y), (v, torch.ones(1, 2))),
    )


@program
def products_with_hessians(torch):
    x, y = cubes(torch)
    f = torch.autograd.functional
    v = torch.tensor([1.0, -1.0])
    return (
        f.hvp(lambda a: (a**3).sum(), x, v),
        f.vhp(lambda a: (a**3).sum(), x, v),
        f.hvp(lambda a, b: (a**2 * b).sum(), (x, y), (v, torch.ones(1, 2))),
        f.vhp(lambda a, b: (a**2 * b).sum(), (x, y), (v, torch.ones(1, 2))),
    )


@program
def a_vjp_without_vector_of_a_vector(torch):
    return torch.autograd.functional.vjp(torch.exp, torch.ones(2))


@program
def a_jvp_without_vector_of_a_vector(torch):
    return torch.autograd.functional.jvp(torch.exp, torch.ones(2))


@program
def a_hessian_of_a_vector(torch):
    return torch.autograd.functional.hessian(torch.exp, torch.ones(2))


@program
def a_function_inside_of_a_jacobian(torch):
    return torch.autograd.functional.jacobian(exponential(torch).apply, torch.tensor([0.5, 1.0]))


@program
def create_graph_reaches_the_inputs(torch):
    (x,) = leafs(torch, [1.0, 2.0])
    f = torch.autograd.functional
    f.hessian(lambda a: (a**3).sum(), x, create_graph=True).sum().backward()
    first = x.grad.clone()
    f.vjp(torch.exp, x, torch.ones(2), create_graph=True)[1].sum().backward()
    return first, x.grad


# --------------------------------------------------------------------------- checkpoint
@program
def checkpoint(torch):
    run = __import__(f"{torch.__name__}.utils.checkpoint", fromlist=["x"])
    torch.manual_seed(0)
    first, second = torch.nn.Linear(4, 8), torch.nn.Linear(8, 4)
    x = torch.randn(3, 4, requires_grad=True)

    def block(h, scale=1.0):
        return second(torch.nn.functional.dropout(torch.tanh(first(h)), 0.5)) * scale

    y = run.checkpoint(block, x, use_reentrant=False)
    z = run.checkpoint(block, y, scale=2.0, use_reentrant=False)
    z.pow(2).sum().backward()
    return z, x.grad, [p.grad for p in (*first.parameters(), *second.parameters())]


@program
def checkpoint_a_chain(torch):
    run = __import__(f"{torch.__name__}.utils.checkpoint", fromlist=["x"])
    torch.manual_seed(0)
    chain = torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(5)])
    x = torch.randn(2, 3, requires_grad=True)
    y = run.checkpoint_sequential(chain, 2, x, use_reentrant=False)
    y.sum().backward()
    return y, x.grad, [p.grad for p in chain.parameters()]
