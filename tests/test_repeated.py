"""Programs whose functions are promised give, bit for bit, what they give when recorded."""

import pytest

import chainrule as torch
from chainrule import interpreter
from chainrule.functional import repeated
from chainrule.template import Promise

F = torch.nn.functional


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(interpreter, "compiled", lambda: None)


class Kit:
    """Weights that every program starts from, and what it notes."""

    def __init__(self):
        torch.manual_seed(0)
        self.net = torch.nn.Linear(3, 4)
        self.rnn = torch.nn.LSTM(3, 4, batch_first=True)
        self.head = torch.nn.Linear(4, 2)
        self.x, self.y = torch.rand(5, 3), torch.randint(0, 4, (5,))
        self.rows = torch.rand(2, 6, 3)
        self.notes = []

    def note(self, *tensors):
        self.notes += [t.tolist() if isinstance(t, torch.Tensor) else t for t in tensors]

    def note_grads(self):
        for module in (self.net, self.rnn, self.head):
            self.note(*[p.grad for p in module.parameters()])
            module.zero_grad()

    def loss(self):
        return F.cross_entropy(self.net(self.x), self.y)


def plain(kit, step):
    kit.loss().backward()


def value_first(kit, step):
    loss = kit.loss()
    kit.note(loss)
    loss.backward()


def value_last(kit, step):
    loss = kit.loss()
    loss.backward()
    kit.note(loss)


def twice(kit, step):
    loss = kit.loss()
    loss.backward(retain_graph=True)
    kit.note(kit.net.weight.grad)
    loss.backward()


def twice_at_once(kit, step):
    loss = kit.loss()
    loss.backward(retain_graph=True)
    loss.backward()


def behind_it_more(kit, step):
    loss = F.mse_loss(kit.net(kit.x), torch.ones(5, 4)).exp()
    (loss * loss).backward()


def one_after_the_other(kit, step):
    h = F.mse_loss(kit.net(kit.x), torch.ones(5, 4), reduction="none")
    F.cross_entropy(h.sigmoid(), kit.y).backward()


def two_losses(kit, step):
    (kit.loss() + F.mse_loss(kit.net(kit.x), torch.zeros(5, 4))).backward()


def two_backwards(kit, step):
    h = kit.net(kit.x)
    a, b = F.cross_entropy(h, kit.y), F.mse_loss(h, torch.zeros(5, 4))
    a.backward(retain_graph=True)
    b.backward()


def recurrent(kit, step):
    output, (h, c) = kit.rnn(kit.rows)
    F.mse_loss(kit.head(output[:, -1]), torch.ones(2, 2)).backward()


def recurrent_whose_state_is_held(kit, step):
    output, (h, c) = kit.rnn(kit.rows)
    F.mse_loss(kit.head(output), torch.ones(2, 6, 2)).backward()
    kit.note(c)


def recurrent_with_two_ends(kit, step):
    output, (h, c) = kit.rnn(kit.rows)
    output.sum().backward(retain_graph=True)
    c.sum().backward()


def truncated(kit, step):
    state = None
    for _ in range(3):
        output, state = kit.rnn(kit.rows, state)
        output.sum().backward()
        state = tuple(s.detach() for s in state)


def evaluation(kit, step):
    with torch.no_grad():
        kit.note(kit.loss())
    kit.note(kit.loss())
    kit.loss().backward()


def hooks(kit, step):
    h = kit.net(kit.x)
    h.register_hook(lambda g: 2 * g)
    loss = F.cross_entropy(h, kit.y)
    loss.register_hook(lambda g: kit.note(g))
    loss.backward()


def kept_gradient(kit, step):
    h = F.mse_loss(kit.net(kit.x), torch.ones(5, 4), reduction="none")
    h.retain_grad()
    F.cross_entropy(h, kit.y).backward()
    kit.note(h.grad)


def second_order(kit, step):
    loss = kit.loss()
    (g,) = torch.autograd.grad(loss, kit.net.weight, create_graph=True)
    (g * g).sum().backward()


def of_an_intermediate(kit, step):
    h = kit.net(kit.x)
    loss = F.cross_entropy(h, kit.y)
    kit.note(*torch.autograd.grad(loss, [h, kit.net.bias], retain_graph=True))
    loss.backward()


def looked_at(kit, step):
    loss = kit.loss()
    kit.note(loss.grad_fn.name(), str(loss.node.scope.path), loss.node.where.line > 0)
    loss.backward()


def an_input_twice(kit, step):
    h = kit.net(kit.x)
    F.mse_loss(h, h if step % 2 else h * 2).backward()


def in_place_after(kit, step):
    h = kit.net(kit.x)
    loss = F.mse_loss(h, torch.ones(5, 4))
    h.mul_(2)
    (loss + h.sum()).backward()


def other_shapes(kit, step):
    n = 1 + step % 3
    F.cross_entropy(kit.net(kit.x[:n]), kit.y[:n], label_smoothing=0.1 * (step % 2)).backward()


def frozen(kit, step):
    kit.net.weight.requires_grad_(step % 2 == 0)
    kit.loss().backward()


PROGRAMS = [
    plain, value_first, value_last, twice, twice_at_once, behind_it_more, one_after_the_other,
    two_losses, two_backwards, recurrent, recurrent_whose_state_is_held, recurrent_with_two_ends,
    truncated, evaluation, hooks, kept_gradient, second_order, of_an_intermediate, looked_at,
    an_input_twice, in_place_after, other_shapes, frozen,
]


def notes(program, optimizer):
    kit = Kit()
    modules = (kit.net, kit.rnn, kit.head)
    made = torch.optim.Adam([p for m in modules for p in m.parameters()]) if optimizer else None
    for step in range(7):
        program(kit, step)
        if made is not None:
            made.step()
        kit.note_grads()
    return kit.notes


@pytest.mark.parametrize("optimizer", [False, True])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_programs_agree(monkeypatch, program, optimizer):
    promised = notes(program, optimizer)
    with monkeypatch.context() as patch:
        patch.setattr(repeated, "_describe", lambda *_: False)
        assert promised == notes(program, optimizer)


def test_the_second_loss_is_promised_with_its_gradients():
    kit = Kit()
    for step in range(3):
        kit.net.zero_grad()
        loss = kit.loss()
        loss.backward()
        nodes = [loss.node, kit.net.weight.grad.node]
        assert step < 2 or all(type(n) is Promise and n.call is nodes[0].call for n in nodes)


def test_what_the_user_holds_is_computed_with_the_rest():
    kit = Kit()
    for _ in range(5):
        kit.net.zero_grad()
        h = F.layer_norm(kit.net(kit.x), (4,))
        loss = F.cross_entropy(h, kit.y)
        loss.backward()
        assert h.node.value is loss.node.value is None
        kit.net.weight.grad.tolist()
        assert h.node.value is not None and loss.node.value is not None


def test_errors_stay_where_they_were():
    kit = Kit()
    for target in (kit.y, kit.y, kit.y + 4):
        if target is kit.y:
            F.cross_entropy(kit.net(kit.x), target)
    wrong = torch.tensor([0, 1, 2, 3, 4])
    with pytest.raises(IndexError, match="requires"):
        F.cross_entropy(kit.net(kit.x), wrong)
    for _ in range(3):
        loss = kit.loss()
        loss.backward()
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
