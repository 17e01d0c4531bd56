"""Rows G6, F3, F6 and F7: granularity costs nothing, derivatives of any order compile, and the
number of workers changes no bit."""

import pytest

import chainrule as torch
from chainrule import config
from chainrule.graph import toposort
from chainrule.jit.program import Program
from chainrule.nn import functional as F


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(config, "jit", "0")  # what is compiled here is compiled by hand


def program(*tensors):
    outputs = [t.node for t in tensors]
    leaves = [n for n in toposort(outputs) if n.value is not None]
    made = Program(outputs, leaves)
    return made, made.run([n.value for n in leaves])


def kernels(made):
    return len([k for k in made.fusion.kernels if k.kind != "cat"])


def traffic(made):
    """Bytes that all kernels read and write, each array once."""
    return sum(x.nbytes for s in made.steps for x in {*s.reads, *s.writes})


def with_gradients(function, *inputs):
    inputs = [x.detach().requires_grad_() for x in inputs]
    out = function(*inputs)
    return [out, *torch.autograd.grad(out, inputs, torch.ones(out.shape, dtype=out.dtype))]


# --------------------------------------------------------------------------- granularity
def layer_norm(x, w, b):
    mean = x.sum(-1, keepdim=True) / x.shape[-1]
    d = x - mean
    variance = (d * d).sum(-1, keepdim=True) / x.shape[-1]
    return d / (variance + 1e-5) ** 0.5 * w + b


def cross_entropy(x, y):
    shifted = x - x.amax(1, keepdim=True).detach()
    log_p = shifted - shifted.exp().sum(1, keepdim=True).log()
    return -log_p.gather(1, y.unsqueeze(1)).sum() / x.shape[0]


def lstm_cell(x, h, c, wi, wh, bi, bh):
    gates = x @ wi.T + bi + (h @ wh.T + bh)
    n = h.shape[1]
    i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))

    def sigma(v):
        return 1 / (1 + torch.exp(-v))

    def tanh(v):
        return 2 * sigma(2 * v) - 1

    new = sigma(f) * c + sigma(i) * tanh(g)
    return sigma(o) * tanh(new)


def built_in_cell(x, h, c, wi, wh, bi, bh):
    cell = torch.nn.LSTMCell(x.shape[1], h.shape[1]).double()
    given = dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), (wi, wh, bi, bh)))
    return torch.func.functional_call(cell, given, (x, (h, c)))[0]


def neuron(w0, x0, w1, x1, w2):
    """The sigmoid neuron as eight gates on vectors."""
    return 1 / (1 + torch.exp(-1 * (w0 * x0 + w1 * x1 + w2)))


def pairs():
    torch.manual_seed(0)

    def rand(*shape):
        return torch.randn(*shape, dtype=torch.float64)

    labels = torch.randint(0, 11, (37,))
    n, m = 5, 6
    return {
        "LayerNorm": (lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b), layer_norm,
                      [rand(33, 48), rand(48), rand(48)]),
        "cross-entropy": (lambda x: F.cross_entropy(x, labels), lambda x: cross_entropy(x, labels),
                          [rand(37, 11)]),
        "GELU": (F.gelu, lambda x: 0.5 * x * (1 + torch.erf(x * 0.5**0.5)), [rand(40, 50)]),
        "LSTM cell": (built_in_cell, lstm_cell,
                      [rand(7, m), rand(7, n), rand(7, n), rand(4 * n, m), rand(4 * n, n),
                       rand(4 * n), rand(4 * n)]),
        "neuron": (lambda w0, x0, w1, x1, w2: torch.sigmoid(w0 * x0 + w1 * x1 + w2),
                   neuron, [rand(5000) for _ in range(5)]),
    }


@pytest.mark.parametrize("name", pairs())
def test_G6_F3_written_out_it_is_the_same_work(name):
    coarse, fine, inputs = pairs()[name]
    (a, found), (b, wanted) = (
        program(*with_gradients(f, *inputs)) for f in (fine, coarse))
    for x, y in zip(found, wanted):
        assert torch.allclose(torch.tensor(x), torch.tensor(y), rtol=1e-10, atol=1e-12)
    assert not [k for k in (*a.fusion.kernels, *b.fusion.kernels) if k.kind == "host"]
    assert kernels(a) <= kernels(b)
    assert traffic(a) <= 1.1 * traffic(b)


# --------------------------------------------------------------------------- derivatives
def tanh_derivatives(t):
    """The first five derivatives of tanh where it is t."""
    s = 1 - t * t
    return [s, -2 * t * s, (6 * t**2 - 2) * s, (16 - 24 * t**2) * t * s,
            (120 * t**4 - 120 * t**2 + 16) * s]


def test_F6_five_derivatives_of_a_tanh_network_are_one_program():
    torch.manual_seed(0)
    w, b, v = (torch.randn(7, dtype=torch.float64) for _ in range(3))
    x = torch.linspace(-2, 2, 33, dtype=torch.float64).requires_grad_()
    y = (torch.tanh(x.unsqueeze(1) * w + b) * v).sum(1)
    orders = []
    for _ in range(5):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        orders.append(y)
    made, found = program(*orders)
    assert len(made.segments) == 1 and not made.fusion.refused
    inside = torch.tanh(x.detach().unsqueeze(1) * w + b)
    for n, (got, closed) in enumerate(zip(found, tanh_derivatives(inside)), 1):
        want = (closed * w**n * v).sum(1)
        assert torch.allclose(torch.tensor(got), want, rtol=1e-10, atol=1e-10), n


def test_F6_the_step_of_a_physics_informed_network_is_one_program(monkeypatch):
    torch.manual_seed(0)
    nn, grad = torch.nn, torch.autograd.grad
    net = nn.Sequential(nn.Linear(2, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 1))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    points = torch.rand(50, 2, requires_grad=True)

    def step():
        opt.zero_grad()
        u = net(points)
        du = grad(u.sum(), points, create_graph=True)[0]
        u_xx = grad(du[:, 0].sum(), points, create_graph=True)[0][:, 0]
        loss = ((du[:, 1] + u[:, 0] * du[:, 0] - 0.01 * u_xx) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    with monkeypatch.context() as patch:
        losses = [step().item() for _ in range(2)]
        patch.setattr(config, "jit", "1")
        runs = []
        run = Program.run

        def counted(self, *args):
            runs.append(self)
            return run(self, *args)

        patch.setattr(Program, "run", counted)
        loss = step()  # the update runs it all
        assert len(runs) == 1 and len(runs[0].segments) == 1
        assert [k for k in runs[0].fusion.kernels if k.kind == "host"] == []
        losses.append(loss.item())
        assert len(runs) == 1  # the loss was computed with it
    assert losses[2] < losses[1] < losses[0]


# --------------------------------------------------------------------------- workers
def trained(workers):
    """The losses and the parameters of a hundred steps on so many workers."""
    torch.set_num_threads(workers)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(100, 128), torch.nn.Sigmoid(), torch.nn.Linear(128, 10))
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.rand(64, 100), torch.randint(0, 10, (64,))

    @torch.compile
    def step():
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        return loss

    losses = [step().item() for _ in range(100)]
    return losses, [p.tolist() for p in net.parameters()]


def test_F7_any_number_of_workers_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(config, "jit", "1")
    before = torch.get_num_threads()
    found = [trained(workers) for workers in (1, 2, 3, 8)]
    torch.set_num_threads(before)
    assert found[0] == found[1] == found[2] == found[3]
