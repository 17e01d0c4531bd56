"""autograd.Function against PyTorch: each program runs under both.

A program takes the module `torch` and returns tensors and plain values (see conftest.py).
"""

import pytest

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def leafs(torch, *values):
    return [torch.tensor(v, requires_grad=True) for v in values]


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


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_the_same_as_pytorch(function, agree):
    agree(function)
