"""Graph to graph: every bit of the result stays; batching is tested with vmap (test_func.py)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
from chainrule import nn
from chainrule.autodiff import grad
from chainrule.dtypes import float32, float64
from chainrule.errors import GradError
from chainrule.graph import leaf, structural_key, toposort, verify
from chainrule.interpreter import evaluate, run
from chainrule.ops import elementwise as ew
from chainrule.ops import logic
from chainrule.ops import movement as mv
from chainrule.ops.op import Op, cast, expand, nondifferentiable, reshape, sum_
from chainrule.rewrite import again, batch, rebuild, recorded_as, rewrite, share, simplify

PASSES = [simplify, share, rewrite]


def values(outputs):
    """The values of the outputs, computed without keeping any on a node."""
    known = {}
    with np.errstate(all="ignore"):
        for n in toposort(outputs):
            known[n] = n.value if n.value is not None else evaluate(n, [known[x] for x in n.inputs])
    return [known[n] for n in outputs]


def same_bits(a, b):
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def size(outputs):
    return len(toposort(outputs))


def a_leaf(value=(1.0, -2.0, 0.5)):
    return leaf(np.array(value))


# --------------------------------------------------------------------------- random graphs
STRANGE = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324, 1e308, 0.1]
UNARY = {
    "neg": ew.neg, "clone": ew.clone, "detach": ew.detach, "exp": ew.exp, "abs": ew.abs_,
    "sign": ew.sign, "tanh": ew.tanh, "log": ew.log,
    "times one": lambda x: x * ew.fill(x, 1.0),
    "one times": lambda x: ew.fill(x, 1.0) * x,
    "over one": lambda x: x / ew.fill(x, 1.0),
    "plus zero": lambda x: x + ew.fill(x, 0.0),
    "to itself": lambda x: cast(x, dtype=x.dtype),
    "there and back": lambda x: cast(cast(x, dtype=float32), dtype=float64),
    "reshape": lambda x: reshape(x, shape=x.shape[::-1]),
    "flat": lambda x: reshape(x, shape=(6,)),
    "high": lambda x: reshape(x, shape=(3, 2)),
    "turn": lambda x: mv.permute(x, axes=tuple(range(x.ndim))[::-1]),
    "stay": lambda x: mv.permute(x, axes=tuple(range(x.ndim))),
    "whole": lambda x: mv.slice_(x, bounds=tuple((0, n, 1) for n in x.shape)),
    "expand": lambda x: expand(x, shape=x.shape),
    "flip": lambda x: mv.flip(x, axes=(0,)),
}
BINARY = {
    "add": ew.add, "sub": ew.sub, "mul": ew.mul, "div": ew.div, "maximum": ew.maximum,
    "reattach": lambda x, y: ew.reattach(x, y),
}


@st.composite
def random_graphs(draw):
    numbers = st.lists(st.sampled_from(STRANGE), min_size=6, max_size=6)
    nodes = [leaf(np.array(draw(numbers)).reshape(2, 3), requires_grad=True) for _ in range(2)]
    for _ in range(draw(st.integers(1, 12))):
        x = draw(st.sampled_from(nodes))
        like = [n for n in nodes if n.shape == x.shape]
        if draw(st.booleans()):
            nodes.append(draw(st.sampled_from(sorted(UNARY.items())))[1](x))
        else:
            nodes.append(draw(st.sampled_from(sorted(BINARY.items())))[1](
                x, draw(st.sampled_from(like))))
    return draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=4))


@pytest.mark.parametrize("a_pass", PASSES)
@settings(max_examples=150, deadline=None)
@given(outputs=random_graphs())
def test_every_bit_stays(a_pass, outputs):
    before = values(outputs)
    keys = structural_key(outputs)[0]
    new = a_pass(outputs)
    verify(new)
    assert [n.spec for n in new] == [n.spec for n in outputs]
    assert all(map(same_bits, values(new), before))
    assert size(new) <= size(outputs)
    assert structural_key(outputs)[0] == keys  # the old graph is as it was


@settings(max_examples=50, deadline=None)
@given(outputs=random_graphs())
def test_a_second_time_changes_nothing(outputs):
    once = rewrite(outputs)
    assert structural_key(rewrite(once))[0] == structural_key(once)[0]


def training_step():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3))
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    return [loss.node, *[p.grad.node for p in net.parameters()]]


def test_a_training_step_becomes_smaller_and_keeps_its_bits():
    outputs = training_step()
    before = values(outputs)
    simple, shared, both = simplify(outputs), share(outputs), rewrite(outputs)
    for new in (simple, shared, both):
        verify(new)
        assert all(map(same_bits, values(new), before))
    # What remains twice stands on numbers of the user's, which may differ the next time.
    assert size(both) < size(simple) < size(outputs)


# --------------------------------------------------------------------------- simplify
def removed(make):
    """Whether make(x) is simplified to x itself."""
    x = a_leaf()
    return simplify([make(x)]) == [x]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x * ew.fill(x, 1.0),
        lambda x: ew.fill(x, 1.0) * x,
        lambda x: x / ew.fill(x, 1.0),
        lambda x: -(-x),
        lambda x: ew.detach(ew.clone(x)),
        lambda x: cast(x, dtype=float64),
        lambda x: reshape(reshape(x, shape=(1, 3)), shape=(3,)),
        lambda x: mv.permute(mv.permute(reshape(x, shape=(3,)), axes=(0,)), axes=(0,)),
        lambda x: expand(x, shape=(3,)),
        lambda x: mv.slice_(x, bounds=((0, 3, 1),)),
        lambda x: ew.reattach(a_leaf(), x),
    ],
)
def test_what_does_nothing_is_removed(make):
    assert removed(make)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x + ew.fill(x, 0.0),  # -0.0 + 0.0 is 0.0
        lambda x: x - ew.fill(x, 0.0) * x,
        lambda x: x * 1.0,  # a number of the user's: an argument of the program
        lambda x: cast(cast(x, dtype=float32), dtype=float64),
        lambda x: reshape(x, shape=(1, 3)),
        lambda x: mv.slice_(x, bounds=((0, 3, 2),)),
        lambda x: reshape(x, shape=(3, 1)) * ew.fill(x, 1.0),  # it broadcasts
    ],
)
def test_what_does_something_stays(make):
    assert not removed(make)


def test_two_reshapes_and_two_permutations_become_one():
    x = leaf(np.arange(24.0).reshape(2, 3, 4))
    (once,) = simplify([reshape(reshape(x, shape=(6, 4)), shape=(4, 6))])
    assert once.op is reshape and once.inputs == (x,)
    (turned,) = simplify([mv.permute(mv.permute(x, axes=(1, 2, 0)), axes=(1, 2, 0))])
    assert turned.op is mv.permute and turned.inputs == (x,)
    assert turned.attrs["axes"] == (2, 0, 1)
    (back,) = simplify([mv.permute(turned, axes=(1, 2, 0))])
    assert back is x


def test_a_negation_of_bools():
    x = leaf(np.array([True, False]))
    assert simplify([logic.logical_not(logic.logical_not(x))]) == [x]


def test_what_is_computed_already_is_a_leaf():
    x = a_leaf()
    inner = -x
    run(inner)
    outer = -inner
    assert simplify([outer]) == [outer]  # to take x would save nothing, and x may be let go
    assert rebuild([inner], lambda node, inputs: pytest.fail("a leaf is not made again")) == [inner]


# --------------------------------------------------------------------------- share
def test_equal_applications_are_computed_once():
    x, y = a_leaf(), a_leaf()
    new = share([ew.exp(x * y) + ew.exp(x * y), ew.exp(x * y)])
    assert size(new) == 5
    assert new[0].inputs == (new[1], new[1])


def test_what_differs_is_not_shared():
    x, y = a_leaf(), a_leaf()
    differ = [x - y, y - x, x * y, ew.power(x, exponent=2), ew.power(x, exponent=3)]
    assert size(share(differ)) == size(differ)
    # Two numbers of the user's may be equal now and differ the next time.
    assert size(share([x * 2.0, x * 2.0])) == 5


# --------------------------------------------------------------------------- where and how
def test_new_nodes_stand_where_the_old_ones_stood():
    x = leaf(np.ones(3), requires_grad=True)
    y = ew.exp(-(-x))
    (new,) = simplify([y])
    assert new is not y and new.where == y.where and new.scope is y.scope
    assert new.requires_grad and grad(new, [x])[0] is not None


def test_no_history_is_added():
    x = leaf(np.ones(3), requires_grad=True)
    with torch.no_grad():
        y = ew.exp(x)
    with recorded_as(y):
        assert not again(y, [leaf(np.ones(3), requires_grad=True)]).requires_grad
    z = ew.exp(x)
    with recorded_as(z):
        assert again(z, [leaf(np.ones(3), requires_grad=True)]).requires_grad
    assert again(z, [x]) is z


# --------------------------------------------------------------------------- batch
def test_only_what_depends_on_an_example_is_batched():
    one, other = a_leaf(), a_leaf()
    one.value = None
    whole = leaf(np.ones((5, 3)))
    inner = ew.exp(other)
    (product, flag), (alone, plain) = batch([one * inner, inner], {one: whole})
    assert flag and product.shape == (5, 3) and product.inputs[0] is whole
    assert not plain and alone is inner


def test_no_gradient_is_added_by_batching():
    one = leaf(np.ones(3), requires_grad=True)
    whole = leaf(np.ones((5, 3)), requires_grad=True)
    with torch.no_grad():
        cut = ew.exp(one)
    ((product, _),) = batch([cut * one], {one: whole})
    (g,) = grad(sum_(product, axis=(0, 1)), [whole])
    assert run(g)[0].tolist() == np.full((5, 3), np.e).tolist()


def test_an_op_without_a_batching_rule_is_named():
    odd = Op("odd", "library", lambda x: x.spec, lambda x: x, nondifferentiable, None, None, None)
    one = a_leaf()
    one.value = None
    with pytest.raises(GradError) as error:
        batch([odd(one)], {one: leaf(np.ones((5, 3)))})
    assert "vmap requires ops with a batching rule, got odd" in str(error.value)
