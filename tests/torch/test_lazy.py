"""LazyLinear and the names around attention against PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule  # noqa: E402


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bias", [True, False])
def test_lazy_linear_trains_as_pytorchs(bias):
    losses = []
    for lib in (torch, chainrule):
        lib.manual_seed(0)
        nn = lib.nn
        model = nn.Sequential(nn.LazyLinear(8, bias=bias), nn.ReLU(), nn.LazyLinear(1, bias=bias))
        before = repr(model), list(model.state_dict())
        optimizer = lib.optim.Adam(model.parameters(), 0.01)  # before the first call
        x = lib.linspace(-1, 1, 12).reshape(4, 3)
        found = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        shapes = [(k, tuple(v.shape)) for k, v in model.state_dict().items()]
        losses.append((before, found, repr(model), shapes, type(model[0]) is nn.Linear))
    theirs, ours = losses
    np.testing.assert_allclose(ours[1], theirs[1], 1e-6)
    assert ours[0] == theirs[0] and ours[2:] == theirs[2:]


@pytest.mark.filterwarnings("ignore")
def test_lazy_linear_loads_a_state_dict():
    for lib in (torch, chainrule):
        given = lib.nn.Linear(5, 2)
        lazy = lib.nn.LazyLinear(2)
        lazy.load_state_dict(given.state_dict())
        assert lazy.weight.tolist() == given.weight.tolist()
        x = lib.ones(3, 5)
        assert lib.allclose(lazy(x), given(x))
        assert repr(lazy) == repr(given)


def test_names_of_attention():
    from torch.nn.attention import SDPBackend

    from chainrule.nn import attention

    assert {k: int(v) for k, v in SDPBackend.__members__.items()} == {
        k: int(v) for k, v in attention.SDPBackend.__members__.items()}


CELLS = {"lstm_cell": 4, "gru_cell": 3, "rnn_tanh_cell": 1, "rnn_relu_cell": 1}


@pytest.mark.parametrize("name", CELLS)
def test_cells_under_torch(name):
    found = []
    for lib in (torch, chainrule):
        rows = CELLS[name] * 3
        w_ih, w_hh = (lib.linspace(-1, 1, rows * n).reshape(rows, n) for n in (2, 3))
        x, h, b = lib.ones(4, 2), lib.full((4, 3), 0.5), lib.linspace(0, 1, rows)
        state = (h, 2 * h) if name == "lstm_cell" else h
        out = getattr(lib, name)(x, state, w_ih, w_hh, b, b)
        found.append([o.tolist() for o in out] if isinstance(out, tuple) else out.tolist())
    np.testing.assert_allclose(found[1], found[0], 1e-5, 1e-6)
