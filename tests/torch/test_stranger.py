"""What first-time users' scripts ran into: the same short program on PyTorch and on chainrule."""

import numpy as np
import pytest

import chainrule

torch = pytest.importorskip("torch")


def told(value):
    """A result as it can be compared: numbers, the text of everything else."""
    if isinstance(value, (list, tuple)):
        return [told(v) for v in value]
    if hasattr(value, "detach"):
        return [str(value.dtype), list(value.shape), value.detach().double().tolist()]
    return value


def same(ours, theirs):
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, float):
        return np.allclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)
    return ours == theirs


PROGRAMS = []


def program(function):
    """Registers f(torch): a program that returns what it would print."""
    PROGRAMS.append(function)
    return function


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda f: f.__name__)
def test_program(run):
    torch.manual_seed(0)
    chainrule.manual_seed(0)
    ours, theirs = told(run(chainrule)), told(run(torch))
    assert same(ours, theirs), f"{ours} is not {theirs}"


def raised(function, *args, **kwargs):
    """The built-in class of what the call raises; None if it returns."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")
    return None


@program
def gradients_of_a_dict_of_parameters(t):
    params = dict(t.nn.Linear(3, 2).named_parameters())
    loss = sum(p.square().sum() for p in params.values())
    return t.autograd.grad(loss, params.values())


@program
def frozen_module_changes_dtype(t):
    net = t.nn.Linear(3, 2)
    net.requires_grad_(False)
    return [p.clone() for p in net.double().parameters()]


@program
def data_of_another_dtype_for_a_computed_tensor(t):
    x = t.ones(2) * 3
    x.data = t.ones(3, dtype=t.float64)
    return x


@program
def second_backward_raises_also_when_gradients_were_printed(t):
    x = t.eye(2, requires_grad=True)
    out = (x + 1).pow(2).t().sum()
    out.backward(retain_graph=True)
    first = x.grad.tolist()
    out.backward()
    return first, x.grad.tolist(), raised(out.backward)


@program
def numbers_outside_of_uint8_wrap(t):
    x = t.tensor([1, 2], dtype=t.uint8)
    both = t.where(x > 1, x, -1)
    return x - 3, x + 300, x * -2, x > -1, -1 < x, x.clamp(-1, 1), both


@program
def integers_to_negative_powers(t):
    x = t.tensor([1, 2, 4])
    return x**-0.5, x**-1.0, x**True, raised(lambda: x**-1)


@program
def gradients_of_empty_selections(t):
    x = t.ones(3, 1, requires_grad=True)
    x[[1, 2, -3], 2:].sum().backward()
    return x.grad, raised(lambda: x[[0, 1], [0, 0, 0]])


@program
def what_an_indexed_tensor_shows_as_its_history(t):
    x = t.ones(3, 4, 5, requires_grad=True) * 2
    at = t.tensor([0, 1])
    found = [
        x[0], x[0, 0], x[0, :2], x[:, 0], x[0:1, 0], x[0:2], x[None], x[0, None], x[..., 0],
        x[None, 0], x[:2, None], x[0, :], x[:, :, 0], x[:2, :], x[::2], x[at], x[0, at],
    ]
    return [y.grad_fn.name() for y in found]


@program
def values_and_indices_show_which_function_returned_them(t):
    x = t.tensor([[3.0, 1.0, 2.0], [0.5, 4.0, 4.0]])
    return [str(y) for y in (
        x.max(1), x.min(0), x.sort(), x.topk(2), x.median(1), x.mode(1), x.kthvalue(2),
    )]


@program
def median_of_what_is_not_a_number(t):
    x = t.tensor([[1.0, float("nan"), 2.0, 5.0], [3.0, 1.0, 2.0, 0.0]])
    leaf = t.tensor([3.0, 1.0, 2.0], requires_grad=True)
    leaf.median().backward()
    return x.median(), *x.median(1), *x.median(0), *t.tensor(2.0).median(0), leaf.grad


@program
def signs_and_logits_of_integers_and_of_minus_zero(t):
    i = t.tensor([3, -1, 0])
    x = t.tensor([0.0, -0.0, -2.0])
    u = t.tensor([0, 1, 2], dtype=t.uint8)
    signs = t.signbit(x), t.signbit(i), t.copysign(t.ones(3), x), t.copysign(i, -i)
    return *signs, t.logit(u), t.copysign(x, -1.0)


@program
def diagonals_and_parts_keep_their_form(t):
    mask = t.tensor([True, False])
    return mask.diag(), t.diag_embed(t.tensor([1, 2])), t.zeros(0, 3).chunk(2)


@program
def an_integer_in_a_tensor_selects_a_view(t):
    x = t.arange(12.0).reshape(3, 4)
    x[t.tensor(1)].add_(5)
    x[x.argmax() % 3, 2:].zero_()
    mapped = t.func.vmap(lambda row, i: row[i])(x, t.tensor([0, 2, 1]))
    leaf = t.ones(3, requires_grad=True)
    picked = (leaf * 2)[t.tensor(-1)]
    picked.backward()
    return x, mapped, picked.grad_fn.name(), leaf.grad, raised(lambda: x[t.tensor(3)])


@program
def integers_next_to_numbers_they_cannot_hold(t):
    x = t.tensor([1, 2], dtype=t.uint8)
    powers = 2 ** -t.tensor([1, 0]), t.tensor([1, -1, -1, 3]) ** t.tensor([-1, -1, -2, -1])
    return x / -1, t.div(x, 300), -5 / x, x.masked_fill(x > 1, -1), *powers


@program
def booleans_as_integers(t):
    mask = t.tensor([True, False])
    return t.tensor([True, False], dtype=t.int64), t.ones(2).long().fill_(True), mask.square()


@program
def reductions_of_one_number(t):
    x = t.tensor(3, dtype=t.int16)
    y = t.tensor(2.0, requires_grad=True)
    (y.cumsum(0) * y.cumprod(0) * y.prod(0, keepdim=True)).backward()
    return x.cumsum(0), x.cumprod(0), x.prod(0, keepdim=True), y.grad, *y.detach().aminmax()


@program
def deep_q_learning_with_a_soft_target(t):
    policy, target = t.nn.Linear(4, 2), t.nn.Linear(4, 2)
    target.load_state_dict(policy.state_dict())
    optimizer = t.optim.AdamW(policy.parameters(), lr=1e-2, amsgrad=True)
    losses = []
    for _ in range(4):
        state, action, reward = t.randn(8, 4), t.randint(0, 2, (8, 1)), t.rand(8)
        going_on = t.rand(8) > 0.3
        value = t.zeros(8)
        with t.no_grad():
            value[going_on] = target(state.roll(1, 0)[going_on]).max(1).values
        expected = (value * 0.99 + reward).unsqueeze(1)
        loss = t.nn.functional.smooth_l1_loss(policy(state).gather(1, action), expected)
        optimizer.zero_grad()
        loss.backward()
        t.nn.utils.clip_grad_value_(policy.parameters(), 0.1)
        optimizer.step()
        for old, new in zip(target.parameters(), policy.parameters()):
            old.data.copy_(0.1 * new.data + 0.9 * old.data)
        losses.append(loss.item())
    return losses, list(target.parameters())


@program
def adversarial_nets_with_a_gradient_penalty(t):
    maker = t.nn.Sequential(t.nn.Linear(3, 8), t.nn.LeakyReLU(0.2), t.nn.Linear(8, 2))
    critic = t.nn.Sequential(t.nn.Linear(2, 8), t.nn.SiLU(), t.nn.Linear(8, 1))
    first = t.optim.Adam(maker.parameters(), lr=1e-2, betas=(0.5, 0.9))
    second = t.optim.RMSprop(critic.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        real, fake = t.randn(6, 2) + 2, maker(t.randn(6, 3))
        mixed = t.lerp(real, fake.detach(), t.rand(6, 1)).requires_grad_()
        slope, = t.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
        loss = critic(fake.detach()).mean() - critic(real).mean() + 10 * penalty
        second.zero_grad()
        loss.backward()
        second.step()
        first.zero_grad()
        (-critic(fake).mean()).backward()
        first.step()
        losses.append(loss.item())
    return losses, [p.grad for p in maker.parameters()]


@program
def meta_learning_through_an_inner_step(t):
    net = t.nn.Sequential(t.nn.Linear(1, 8), t.nn.Tanh(), t.nn.Linear(8, 1))
    x = t.randn(6, 1)
    inner = dict(net.named_parameters())
    for _ in range(2):
        loss = (t.func.functional_call(net, inner, (x,)) - x.sin()).pow(2).mean()
        found = t.autograd.grad(loss, inner.values(), create_graph=True)
        inner = {k: p - 0.1 * g for (k, p), g in zip(inner.items(), found)}
    outer = (t.func.functional_call(net, inner, (x,)) - x.cos()).pow(2).mean()
    outer.backward()
    return outer.item(), [p.grad for p in net.parameters()]


@program
def truncated_back_propagation_with_tied_weights(t):
    table, cell = t.nn.Embedding(7, 5), t.nn.LSTM(5, 5, batch_first=True)
    head = t.nn.Linear(5, 7)
    head.weight = table.weight
    params = [*table.parameters(), *cell.parameters(), head.bias]
    optimizer = t.optim.SGD(params, lr=0.5, momentum=0.9, nesterov=True)
    text, state, losses = t.randint(0, 7, (2, 13)), None, []
    for i in range(0, 12, 4):
        state = state and tuple(s.detach() for s in state)
        out, state = cell(table(text[:, i : i + 4]), state)
        loss = t.nn.functional.cross_entropy(head(out).flatten(0, 1),
                                             text[:, i + 1 : i + 5].flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = t.nn.utils.clip_grad_norm_(params, 0.25)
        optimizer.step()
        losses.append((loss.item(), norm.item()))
    return losses, head.weight


@program
def text_of_parameter_containers_and_of_both_extremes(t):
    one, two = t.nn.ParameterList([t.zeros(2)]), t.nn.ParameterList([t.zeros(2), t.ones(1)])
    table = t.nn.ParameterDict({"a": t.zeros(2, 2)})
    net = t.nn.ModuleDict({"one": one, "two": two, "table": table})
    return repr(one), repr(two), repr(table), repr(net), repr(t.tensor([1.0, 3.0]).aminmax())
