"""What a run computes, what it keeps, what it lets go."""

import gc
import threading
import tracemalloc
import weakref
from collections import Counter

import numpy as np
import pytest

import chainrule as torch
from chainrule import config, interpreter, nn
from chainrule.errors import OutOfRange
from chainrule.graph import Node, leaf
from chainrule.interpreter import run, run_later
from chainrule.ops import elementwise as ew
from chainrule.tensor import run_tensors

F = nn.functional


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(config, "jit", "0")


@pytest.fixture
def evaluated(monkeypatch):
    """Count how often each node is computed; the nodes are kept, so that none is another's id."""
    counts = Counter()
    evaluate = interpreter.evaluate

    def counting(node, inputs):
        counts[node] += 1
        return evaluate(node, inputs)

    monkeypatch.setattr(interpreter, "evaluate", counting)
    return counts


# --------------------------------------------------------------------------- running
def test_run_gives_the_values_in_the_order_of_the_outputs():
    x = leaf(np.array([1.0, 4.0]))
    root, negative = ew.sqrt(x), ew.neg(x)
    values = run(negative, root, x, negative)
    assert [v.tolist() for v in values] == [[-1, -4], [1, 2], [1, 4], [-1, -4]]


def test_a_value_that_is_known_is_not_computed_again(evaluated):
    y = ew.exp(leaf(np.ones(3)))
    (first,), (second,) = run(y), run(y)
    assert first is second and set(evaluated.values()) == {1}


def test_an_error_names_the_line_that_recorded_the_node():
    table, rows = torch.ones(3, 2), torch.tensor([0, 6]) + 1
    line = test_an_error_names_the_line_that_recorded_the_node.__code__.co_firstlineno + 3
    picked = table[rows]
    later = picked * 2
    with pytest.raises(OutOfRange) as error:
        later.sum().item()
    assert "got 7" in str(error.value)
    assert f"recorded at test_interpreter.py:{line}" in str(error.value)
    with pytest.raises(OutOfRange):  # and the graph is as it was
        later.sum().item()


def test_outputs_that_share_a_part_compute_it_once(evaluated):
    x = leaf(np.ones(3))
    shared = ew.exp(x)
    run(shared + 1.0, shared * 2.0)
    assert evaluated[shared] == 1


# --------------------------------------------------------------------------- what is kept
def test_outputs_and_what_a_handle_holds_are_kept():
    x = torch.ones(3)
    held = x.exp()
    out = (held + 1).log()
    between = out.node.inputs[0]
    del between
    inner = out.node.inputs[0]
    name = weakref.ref(inner)
    del inner
    out.tolist()
    assert out.node.value is not None and held.node.value is not None
    assert name() is None  # nobody held it: it went with the edge


def test_what_nobody_holds_is_dropped_while_the_graph_runs():
    n = 1 << 20
    y = torch.zeros(n, dtype=torch.float64)
    for _ in range(30):
        y = -y
    tracemalloc.start()
    y.sum().item()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 8 * n


def test_values_for_the_backward_pass_are_kept_and_no_others():
    x = torch.randn(4, requires_grad=True)
    loss = ((x.exp() + 1) * 2).tanh().sum()
    loss.item()
    nodes = {n.name: n for n in torch.backprop(loss).order if n.op is not None}
    assert nodes["exp"].value is not None  # exp' = exp
    assert nodes["tanh"].value is not None  # tanh' = 1 - tanh^2
    assert nodes["add"].value is None and nodes["mul"].value is None  # d(2 x) = 2 dx


def test_what_another_graph_refers_to_is_kept(evaluated):
    x = torch.randn(4)
    shared = x.exp() + 1
    one, other = shared.sin(), shared.cos()
    node = shared.node
    del shared
    one.tolist()
    other.tolist()
    assert evaluated[node] == 1


def test_without_history_no_inputs_are_held():
    x = torch.ones(3)
    below = weakref.ref(x.node)
    y = x * 2
    y.tolist()
    del x
    assert below() is None and y.tolist() == [2, 2, 2]


def test_shallow_outputs_are_computed_first(monkeypatch):
    order = []
    evaluate = interpreter.evaluate
    monkeypatch.setattr(
        interpreter, "evaluate", lambda n, v: (order.append(n.name), evaluate(n, v))[1]
    )
    x = leaf(np.ones(3))
    run(ew.exp(ew.sin(ew.cos(x))), ew.neg(x))
    assert order == ["neg", "cos", "sin", "exp"]


# --------------------------------------------------------------------------- nothing runs twice
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.GELU(), nn.Dropout(0.3), nn.Linear(7, 3)
    )


def looks_at_gradients(model):
    for p in model.parameters():
        p.grad.sum().item()


def data():
    return torch.randn(4, 5), torch.tensor([0, 1, 2, 1])


def item_before_backward():
    model, (x, y) = mlp(), data()
    loss = F.cross_entropy(model(x), y)
    loss.item()
    loss.backward()
    looks_at_gradients(model)
    loss.item()


def an_intermediate_is_printed():
    model, (x, y) = mlp(), data()
    hidden = model[:2](x)
    str(hidden)
    loss = F.cross_entropy(model[2:](hidden), y)
    str(loss)
    loss.backward()
    looks_at_gradients(model)


def the_graph_is_retained():
    model, (x, y) = mlp(), data()
    loss = F.cross_entropy(model(x), y)
    loss.backward(retain_graph=True)
    looks_at_gradients(model)
    loss.backward()
    looks_at_gradients(model)


def a_convolutional_net():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.Flatten(),
        nn.Linear(18, 3),
    )
    loss = F.cross_entropy(model(torch.randn(2, 1, 8, 8)), torch.tensor([0, 2]))
    loss.item()
    loss.backward()
    looks_at_gradients(model)


def a_transformer():
    table = nn.Embedding(10, 4)
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    loss = layer(table(torch.tensor([[1, 2, 3]])))[:, -1].pow(2).sum()
    loss.item()
    loss.backward()
    looks_at_gradients(nn.ModuleList([table, layer]))


def indices_and_extremes():
    x = torch.randn(5, 4, requires_grad=True)
    h = x.tanh()
    rows, places = torch.tensor([0, 2, 1]), torch.tensor([[0], [1], [2], [3], [0]])
    parts = [h[rows], h.gather(1, places), h.max(1)[0], h.clamp(0, 1), h.cumsum(0).prod(1)]
    loss = sum(p.sum() for p in parts)
    loss.item()
    loss.backward()
    x.grad.tolist()


def second_derivatives():
    x = torch.randn(3, requires_grad=True)
    y = (x.exp() * x.sin()).sum()
    y.item()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    g.tolist()
    g.pow(2).sum().backward()
    x.grad.tolist()


@pytest.mark.parametrize(
    "program",
    [
        item_before_backward, an_intermediate_is_printed, the_graph_is_retained,
        a_convolutional_net, a_transformer, indices_and_extremes, second_derivatives,
    ],
)
def test_nothing_is_computed_twice(program, evaluated):
    program()
    assert [n for n, count in evaluated.items() if count > 1] == []


def test_printing_an_intermediate_changes_no_later_bit():
    def gradients(look):
        model, (x, y) = mlp(), (torch.ones(4, 5), torch.tensor([0, 1, 2, 1]))
        hidden = model[:4](x)
        if look:
            str(hidden), hidden.sum().item(), str(torch.backprop(hidden.sum()))
        loss = F.cross_entropy(model[4:](hidden), y)
        if look:
            loss.item()
        loss.backward()
        return [loss.item()] + [p.grad.tolist() for p in model.parameters()]

    assert gradients(look=False) == gradients(look=True)


# --------------------------------------------------------------------------- what is let go
def test_after_backward_everything_is_let_go():
    model, (x, y) = mlp(), data()
    hidden = model[:4](x)
    loss = F.cross_entropy(model[4:](hidden), y)
    nodes = [weakref.ref(n) for n in torch.backprop(loss).order if n.op is not None]
    loss.backward()
    run_tensors([p.grad for p in model.parameters()])
    gc.collect()
    alive = {n() for n in nodes} - {None}
    assert alive == {hidden.node, loss.node}  # the two that have a handle
    assert hidden.node.inputs == () and loss.node.inputs == ()


@pytest.mark.parametrize("given", [False, True])
def test_a_held_loss_does_not_hold_the_graph(given):
    x = torch.randn(3, requires_grad=True)
    hidden = weakref.ref((h := x.exp()).node)
    loss = (h * h).sum() + 1  # the derivatives need no value of the loss itself
    del h
    loss.backward(torch.tensor(2.0) if given else None)
    x.grad.tolist()
    assert hidden() is None
    assert loss.node.value is not None and loss.item() > 1


def test_a_loss_that_nobody_holds_is_not_computed(evaluated):
    x = torch.randn(3, requires_grad=True)
    loss = (x * 2).sum()
    loss.backward()
    del loss
    assert x.grad.tolist() == [2, 2, 2]
    assert not any(n.name == "sum" for n in evaluated)


def test_run_later_joins_the_next_run():
    x, y = ew.exp(leaf(np.ones(3))), ew.sin(leaf(np.ones(3)))
    run_later(x)
    assert x.value is None
    run(y)
    assert x.value is not None


def test_retained_graphs_stay_until_the_last_backward():
    x = torch.randn(3, requires_grad=True)
    y = x.exp()
    kept = weakref.ref(y.node)
    loss = y.sum()
    del y
    loss.backward(retain_graph=True)
    x.grad.tolist()
    assert kept() is not None
    loss.backward()
    x.grad.tolist()
    assert kept() is None


def nodes_alive():
    gc.collect()
    return sum(isinstance(o, Node) for o in gc.get_objects())


def add_in_place(total, loss):
    total += loss
    return total


def add_anew(total, loss):
    return total + loss


@pytest.mark.parametrize("add", [add_in_place, add_anew])
def test_a_running_total_of_losses_holds_a_value(add):
    w = torch.ones(100, requires_grad=True)
    total, before = torch.zeros(()), nodes_alive()
    most = 0
    for i in range(20_000):
        loss = (w * w).sum()
        loss.backward()
        w.grad = None
        total = add(total, loss)
        if i % 4_000 == 3_999:
            most = max(most, nodes_alive() - before)
    assert total.item() == 2_000_000
    assert most < 4 * config.MAX_PENDING_DEPTH and nodes_alive() - before < 50


def test_counting_hits_beside_a_training_step_keeps_no_logits():
    w = torch.ones(10, requires_grad=True)
    table = torch.ones(10, 20_000)
    optimizer = torch.optim.SGD([w], lr=1e-9)
    hits = 0
    tracemalloc.start()
    for _ in range(250):
        optimizer.zero_grad()
        logits = w.expand(32, 10) @ table  # 2.5 MB
        logits.logsumexp(1).mean().backward()
        optimizer.step()
        hits = hits + (logits.argmax(1) == 0).sum()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 2**20
    assert hits.item() == 250 * 32


# --------------------------------------------------------------------------- threads
def train(seed, steps, record):
    stream = torch.Generator().manual_seed(seed)
    w = torch.randn(6, 4, generator=stream).requires_grad_()
    b = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.SGD([w, b], lr=0.05, momentum=0.9)
    total = torch.zeros(())
    for step in range(steps):
        x = torch.randn(8, 6, generator=stream)
        y = torch.randint(0, 4, (8,), generator=stream)
        optimizer.zero_grad()
        with torch.no_grad():
            scaled = x / x.std()
        loss = F.cross_entropy(torch.tanh(scaled @ w + b), y)
        loss.backward()
        optimizer.step()
        total += loss.detach()
        if step % 3 == 0:
            record.append(loss.item())
    record += [total.item(), *w.detach().flatten().tolist()]


def test_two_threads_train_without_disturbing_each_other():
    alone = [[], []]
    for seed in (0, 1):
        train(seed, 40, alone[seed])
    together = [[], []]
    threads = [threading.Thread(target=train, args=(s, 40, together[s])) for s in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert together == alone


def test_threads_may_run_one_graph_at_once():
    x = torch.randn(50, 50)
    shared = (x @ x).tanh()
    results = [shared * k for k in range(1, 9)]
    found = {}
    threads = [
        threading.Thread(target=lambda k=k, r=r: found.update({k: r.sum().item()}))
        for k, r in enumerate(results, 1)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {k: pytest.approx(k * shared.sum().item(), rel=1e-4) for k in range(1, 9)}


def test_a_grad_mode_belongs_to_its_thread():
    seen = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: seen.append(torch.is_grad_enabled()))
        thread.start()
        thread.join()
        assert not torch.is_grad_enabled()
    assert seen == [True]


def test_a_node_that_is_asked_for_twice_makes_no_other_graph(monkeypatch):
    """So the first step after parameters were filled in place counts as a sight of the second."""
    keys = []
    monkeypatch.setattr(interpreter, "compiled", lambda: lambda key, *rest: keys.append(key))
    for times in (1, 2):
        node = ew.exp(leaf(np.ones(3)))
        run(*[node] * times)
    assert keys[0] == keys[1]
