"""Hooks on tensors and grad modes against PyTorch: each program runs under both.

A program takes the module `torch` and returns tensors and plain values (see conftest.py).
"""

import pytest

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def leafs(torch, *values):
    return [torch.tensor(v, requires_grad=True) for v in values]


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
def retain_grad_before_a_write(torch):
    (x,) = leafs(torch, 2.0)
    h = x + 1
    seen = []
    h.register_hook(lambda g: seen.append(g.item()))
    h.retain_grad()
    h.mul_(3)
    h.register_hook(lambda g: seen.append(-g.item()))
    (h * h).backward()
    return h.grad, seen, x.grad


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


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_the_same_as_pytorch(function, agree):
    agree(function)
