"""backward, grad, detach and flags against PyTorch: each program runs under both.

A program takes the module `torch` and returns tensors and plain values (see conftest.py).
"""

import pytest

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


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


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_the_same_as_pytorch(function, agree):
    agree(function)
