"""Recognising graphs: what is remembered by a key of bytes is what the longer way would find."""

import gc
import random
import weakref

import pytest

import chainrule as torch
from chainrule import config, graph, interpreter, recognise, repeat, tiers
from chainrule.graph import Node, leaf, survey
from chainrule.jit import tier, walk
from chainrule.ops import elementwise as ew
from chainrule.recognise import BACKWARD, RUN, glance
from chainrule.template import Template


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Graphs are walked natively from the first on, and compiled at their second sight."""
    tiers._loaded or tiers._compute()
    monkeypatch.setattr(config, "jit", "auto")
    monkeypatch.setattr(tiers, "_WORTH", 0)


def key(*outputs, mode=RUN):
    found = glance(list(outputs), mode)
    return None if found is None else found.key


def tracked(value=1.0):
    return torch.tensor([value], requires_grad=True)


# --------------------------------------------------------------------------- the key
def test_the_order_is_that_of_the_survey():
    x, y = leaf(1.0), leaf(2.0)
    a = ew.add(x, y)
    outputs = [ew.mul(a, ew.power(a, exponent=2)), ew.sub(y, a)]
    found, known = glance(outputs, RUN), survey(outputs)
    assert found.order == known.order and found.calls == known.calls == []


def test_the_order_of_back_propagation_is_that_of_the_longer_way():
    w = tracked()
    loss = (w * 2 - w.detach()) ** 2
    found = glance([loss.node], BACKWARD)
    assert found.order == repeat._forward([loss.node])[1]


GRAPHS = {
    "one op": lambda x, y: ew.add(x, y),
    "another op": lambda x, y: ew.sub(x, y),
    "other wiring": lambda x, y: ew.add(x, x),
    "swapped inputs": lambda x, y: ew.add(ew.neg(x), y),
    "swapped inputs of the other": lambda x, y: ew.add(y, ew.neg(x)),
    "an attribute": lambda x, y: ew.power(x, exponent=2),
    "another attribute": lambda x, y: ew.power(x, exponent=3),
    "another shape": lambda x, y: ew.add(leaf([1.0, 2.0]), y),
    "another dtype": lambda x, y: ew.add(leaf(1), leaf(2)),
    "a value": lambda x, y: x,
}


@pytest.mark.parametrize("mode", [RUN, BACKWARD])
def test_every_other_structure_has_another_key(mode):
    def keys():
        x, y = leaf(1.0, requires_grad=True), leaf(2.0, requires_grad=True)
        return [key(make(x, y), mode=mode) for make in GRAPHS.values()]

    found = keys()
    assert len(set(found)) == len(GRAPHS) and found == keys()


def test_other_values_have_the_same_key():
    assert key(ew.add(leaf(1.0), leaf(2.0))) == key(ew.add(leaf(3.0), leaf(4.0)))


def test_what_may_be_differentiated_and_who_holds_it_is_in_the_key():
    def made(freed=False, requires_grad=False, hold=False):
        x = leaf(1.0, requires_grad=requires_grad)
        inner = ew.neg(x)
        inner.freed = freed
        outer = ew.neg(inner)
        held = [inner] if hold else []
        del inner
        return key(outer), held

    plain, _ = made()
    others = [made(freed=True), made(requires_grad=True), made(hold=True)]
    assert len({plain, *[k for k, _ in others]}) == 4
    assert made()[0] == plain


def test_hooks_and_freed_graphs_are_left_to_the_longer_way():
    w = tracked()
    loss = w * 2
    assert key(loss.node, mode=BACKWARD)
    loss.register_hook(lambda g: None)
    assert key(loss.node, mode=BACKWARD) is None
    again = w * 2
    again.backward()
    assert key(again.node, mode=BACKWARD) is None or not again.node.freed


def test_long_graphs_are_left_to_the_longer_way():
    node = leaf(1.0)
    for _ in range(walk.MOST + 10):
        node = ew.neg(node)
    assert key(node) is None
    x = leaf(1.0)
    wide = ew.neg(x)
    for _ in range(walk.MOST // 2):
        wide = ew.add(wide, leaf(1.0))
    assert key(wide) is None
    assert key(ew.neg(x)), "and the next one is read as ever"


def test_a_flag_that_is_no_bool_is_left_to_the_longer_way():
    node = ew.neg(leaf(1.0))
    node.requires_grad = 1
    assert key(node) is None


def test_without_slots_where_they_are_looked_for_nothing_is_walked(monkeypatch):
    monkeypatch.setattr(walk, "_offset", lambda cls, name: None)
    walk.native_walk.cache_clear()
    assert walk.native_walk() is None
    monkeypatch.undo()
    walk.native_walk.cache_clear()
    assert walk.native_walk() is not None


def test_a_sample_that_is_read_wrongly_is_noticed():
    assert not walk._agrees(lambda outputs, order, calls, attrs, mode: b"")
    assert not walk._agrees(lambda outputs, order, calls, attrs, mode: b"12345678")


def test_nothing_is_walked_when_the_jit_is_off_or_a_nan_is_sought(monkeypatch):
    node = ew.neg(leaf(1.0))
    assert key(node)
    with monkeypatch.context() as m:
        m.setattr(config, "jit", "0")
        assert key(node) is None
    with monkeypatch.context() as m:
        m.setattr(config, "anomaly", True)
        assert key(node) is None


def test_a_script_without_a_loop_does_without(monkeypatch):
    monkeypatch.setattr(tiers, "_WORTH", 1_000)
    monkeypatch.setattr(tiers, "_walkers", [])
    monkeypatch.setattr(tiers, "_glances", 0)
    assert key(ew.neg(leaf(1.0))) is None


def test_a_mark_is_of_the_nodes_it_was_made_from_only():
    node = ew.neg(leaf(1.0))
    mark = glance([node], RUN).mark()
    assert mark.is_of(survey([node]).order)
    assert not mark.is_of(survey([ew.neg(leaf(1.0))]).order)


# --------------------------------------------------------------------------- the same results
def both(script, monkeypatch, times=6):
    """What the script gives, recognised and looked at the longer way, each from nothing."""
    found = []
    for way in (tiers._walker, lambda: None):
        for table in (interpreter._plans, repeat._passes, tier._programs, tier._seen):
            table.clear()
        with monkeypatch.context() as m:
            m.setattr(recognise, "walker", way)
            torch.manual_seed(0)
            found.append([x for x in script(times)])
    return found


def one_weight(times):
    """Row R1's script."""
    w = tracked()
    for _ in range(times):
        for x, y in (1.0, 2.0), (2.0, 4.0), (3.0, 6.0):
            loss = (x * w - y) ** 2
            loss.backward()
            yield w.grad.item()
            w.data = w.data - 0.01 * w.grad.data
            w.grad.data.zero_()
            yield loss.item()


def held_now_and_then(times):
    w, kept = tracked(0.5), []
    for i in range(times):
        inner = w * 3
        loss = (inner - 1) ** 2
        if i % 2:
            kept.append(inner)
        del inner
        loss.backward()
        yield loss.item()
        w.data -= 0.1 * w.grad
    yield [k.item() for k in kept]
    yield [k.requires_grad for k in kept]


def looked_at_before_backward(times):
    w = tracked(0.5)
    for i in range(times):
        loss = (torch.tanh(w) * w).sum()
        if i % 3:
            yield loss.item()
        loss.backward()
        yield w.grad.tolist()
        if i % 2:
            w.grad = None


def with_retained_graphs(times):
    w = tracked(0.5)
    for i in range(times):
        loss = (w * w * w).sum()
        loss.backward(retain_graph=bool(i % 2))
        yield loss.item()
        try:
            loss.backward()
            yield w.grad.item()
        except RuntimeError as error:
            yield "freed" in str(error)


def with_hooks_later(times):
    w = tracked(0.5)
    for i in range(times):
        inner = w * 2
        loss = inner * inner
        if i == 3:
            inner.register_hook(lambda g: g * 10)
        if i == 4:
            inner.retain_grad()
        if i == 5:
            w.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(2))
        loss.backward()
        yield w.grad.item(), None if inner.grad is None else inner.grad.item()


def with_other_numbers(times):
    w = tracked(0.5)
    for i in range(times):
        for n in (2, 3):
            loss = (w**n - i).sum()
            loss.backward()
            yield w.grad.item(), loss.item()


def of_other_shapes(times):
    for _ in range(times):
        for n in (1, 2):
            w = torch.ones(n, requires_grad=True)
            (w * w).sum().backward()
            yield w.grad.tolist()


def without_gradients_in_between(times):
    w = tracked(0.5)
    for i in range(times):
        with torch.set_grad_enabled(i % 3 != 2):
            y = w * w
        yield y.requires_grad
        if y.requires_grad:
            y.backward()
            yield w.grad.item()


def two_stages_of_one_leaf(times):
    """A leaf written between its uses stands in the graph as two nodes; their sum is gathered."""
    w = tracked(0.3)
    for _ in range(times):
        y = w * 3
        w.data = w.data * 1.1
        z = (y * w).sum()
        z.backward()
        yield w.grad.item()


def a_leaf_that_dies(times):
    v = tracked(2.0)
    for i in range(times):
        w = tracked(0.3)
        y = w * v
        if i % 2:
            del w
        y.backward()
        yield v.grad.item()


def micrograd(times):
    """A neuron of scalars, one tensor each."""
    a, b, c = (torch.tensor(v, requires_grad=True) for v in (0.5, -1.5, 2.0))
    for i in range(times):
        out = torch.tanh(a * float(i) + b * c) + torch.relu(b) * 2
        loss = (out - 1.0) ** 2
        loss.backward()
        with torch.no_grad():
            for p in (a, b, c):
                p -= 0.1 * p.grad
                p.grad = None
        yield loss.item(), a.item(), b.item(), c.item()


def a_small_network(times):
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.rand(4, 2), torch.rand(4, 1)
    for i in range(times):
        opt.zero_grad()
        out = net(x)
        loss = torch.nn.functional.mse_loss(out, y)
        if i % 2:
            yield out.sum().item()
        loss.backward()
        opt.step()
        yield loss.item()
    yield [p.tolist() for p in net.parameters()]


def of_a_line(times):
    w, b = tracked(), tracked(0.0)
    opt = torch.optim.SGD([w, b], lr=0.01, momentum=0.5)
    x = torch.tensor([1.0, 2.0, 3.0])
    for _ in range(times):
        opt.zero_grad()
        loss = ((x * w + b - 2 * x) ** 2).mean()
        loss.backward()
        opt.step()
        yield loss.item(), w.item()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, ct):
        return ct * 2


def a_function_of_ones_own(times):
    w = tracked(0.5)
    for _ in range(times):
        loss = (Doubled.apply(w) * w).sum()
        loss.backward()
        yield w.grad.item()


SCRIPTS = [
    one_weight, held_now_and_then, looked_at_before_backward, with_retained_graphs,
    with_hooks_later, with_other_numbers, of_other_shapes, without_gradients_in_between,
    two_stages_of_one_leaf, a_leaf_that_dies, micrograd, a_small_network, of_a_line,
    a_function_of_ones_own,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.__name__)
def test_recognised_or_not_the_same_bits(script, monkeypatch):
    recognised, longer = both(script, monkeypatch)
    assert repr(recognised) == repr(longer)


@pytest.mark.parametrize("seed", range(6))
def test_random_scripts_keep_free_and_give_the_same(seed, monkeypatch):
    """Also which nodes have values, which are freed, and which hold inputs is the same."""
    recognised, longer = both(lambda times: random_script(seed, times), monkeypatch)
    assert repr(recognised) == repr(longer)


def random_script(seed, times):
    leaves = [torch.tensor([0.5, -0.3], requires_grad=i < 2) for i in range(3)]
    for _ in range(times):
        choose = random.Random(seed)  # the same step each time
        made, held = list(leaves), []
        for _ in range(choose.randint(4, 9)):
            x, y = choose.choice(made), choose.choice(made)
            made.append(choose.choice(OPERATIONS)(x, y))
            if choose.random() < 0.3:
                held.append(made[-1])
            if choose.random() < 0.1:
                yield made[-1].sum().item()
        loss = sum(m.sum() for m in made[-3:])
        del made
        if loss.requires_grad:
            loss.backward()
        yield loss.item()
        yield [t.grad.tolist() for t in leaves if t.grad is not None]
        nodes = [h.node for h in held]
        yield [(n.value is not None, n.freed, len(n.inputs)) for n in nodes]
        yield [h.tolist() for h in held]


OPERATIONS = [
    lambda x, y: x * y, lambda x, y: x + 0.5, lambda x, y: x - y, lambda x, y: torch.tanh(x),
    lambda x, y: x**2, lambda x, y: x.detach() * y, lambda x, y: (x + y).sum() * x,
]


@pytest.mark.parametrize("script", [one_weight, of_a_line], ids=lambda s: s.__name__)
def test_what_was_met_before_is_not_looked_at_the_longer_way(script, monkeypatch):
    steps = script(1_000)
    for _ in range(60):
        next(steps)
    for module, name in (interpreter, "survey"), (repeat, "_forward"):
        monkeypatch.setattr(module, name, lambda *args: pytest.fail("not recognised"))
    for _ in range(60):
        next(steps)


def test_a_call_that_is_given_one_node_twice_has_it_once_in_its_order():
    x, y, out = leaf(1.0), leaf(2.0), leaf(3.0)
    template = Template([x, y, out], [ew.mul(ew.add(x, y), out)])
    z = leaf(4.0)
    (result,) = template.call([z, leaf(5.0), z])
    found = survey([result])
    assert len(found.order) == 3 and glance([result], RUN).order == found.order
    assert interpreter.run(result)[0] == 36.0


# --------------------------------------------------------------------------- what it is not
def test_a_second_backward_through_a_recognised_graph_is_refused():
    w = tracked()
    for _ in range(5):
        loss = (w * w).sum()
        loss.backward()
        w.grad.item()
    loss = (w * w).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="backward requires the values saved for"):
        loss.backward()


def test_the_gradients_of_recognised_passes_can_be_asked_for_their_history():
    w = tracked()
    for _ in range(6):
        loss = (w * 3) ** 2
        loss.backward()
        w.grad.item()
        w.grad = None
    loss = (w * 3) ** 2
    loss.backward()
    node = w.grad.node
    assert node.op is not None and node.where.filename == __file__
    assert w.grad.item() == 18.0


def test_the_default_dtype_is_part_of_what_is_remembered():
    w = tracked()
    for dtype in (torch.float32, torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        try:
            for _ in range(4):
                loss = w * 2
                loss.backward()
                assert w.grad.dtype is torch.float32 and w.grad.item() == 2.0
                w.grad = None
        finally:
            torch.set_default_dtype(torch.float32)


def test_what_nobody_holds_is_not_kept():
    w = tracked()

    def step(look=False):
        inner = w * 3
        seen = weakref.ref(inner.node)
        loss = (inner - 1) ** 2
        del inner
        loss.backward()
        w.grad.item()
        w.grad = None
        return seen() if look else None

    for _ in range(8):
        step()
    assert step(look=True) is None


def test_the_number_of_nodes_stays_the_same():
    def nodes():
        gc.collect()
        return sum(isinstance(o, Node) for o in gc.get_objects())

    steps = one_weight(10_000)
    for _ in range(100):
        next(steps)
    before = nodes()
    for _ in range(600):
        next(steps)
    assert nodes() <= before + 2
    assert graph.backlog.limit - graph.backlog.floor == config.MAX_PENDING_DEPTH
