"""gradcheck, autograd.functional and checkpointing against PyTorch: each program runs under both.

A program takes the module `torch` and returns tensors and plain values (see conftest.py).
"""

import pytest

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def leafs(torch, *values):
    return [torch.tensor(v, requires_grad=True) for v in values]


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


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_the_same_as_pytorch(function, agree):
    agree(function)
