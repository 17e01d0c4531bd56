"""Bags of embeddings against PyTorch: values, gradients, start, text, refusals."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule  # noqa: E402

WEIGHT = np.random.default_rng(0).standard_normal((6, 3))
BAGS = [[1, 2, 5, 1], [4, 2, 0, 2], [2, 2, 2, 2]]
FLAT = [1, 2, 5, 1, 2, 2, 0]

CASES = """
F.embedding_bag(bags, w) ; F.embedding_bag(bags, w, mode='sum')
F.embedding_bag(bags, w, mode='max')
F.embedding_bag(flat, w, starts) ; F.embedding_bag(flat, w, starts, mode='sum')
F.embedding_bag(flat, w, starts, mode='max') ; F.embedding_bag(bags.int(), w, mode='sum')
F.embedding_bag(flat, w, ends, include_last_offset=True)
F.embedding_bag(bags, w, padding_idx=2) ; F.embedding_bag(bags, w, padding_idx=-4, mode='sum')
F.embedding_bag(flat, w, starts, padding_idx=2, mode='max') ; F.embedding_bag(bags, w, max_norm=0.7)
F.embedding_bag(bags, w, mode='sum', per_sample_weights=p)
F.embedding_bag(flat, w, starts, mode='sum', per_sample_weights=w[:, :2].reshape(-1)[:7])
F.embedding_bag(flat[:0], w, starts * 0) ; F.embedding_bag(flat[:0], w, starts * 0, mode='max')
"""


def rows(text):
    return [e.strip() for line in text.strip().splitlines() for e in line.split(" ; ")]


def names_of(lib):
    w = lib.tensor(WEIGHT, dtype=lib.float64, requires_grad=True)
    p = lib.tensor(WEIGHT.reshape(-1)[:12].reshape(3, 4), requires_grad=True)
    return {
        "F": lib.nn.functional, "w": w, "p": p, "bags": lib.tensor(BAGS), "flat": lib.tensor(FLAT),
        "starts": lib.tensor([0, 0, 3, 6]), "ends": lib.tensor([0, 0, 3, 7]),
    }  # fmt: skip


@pytest.mark.parametrize("expression", rows(CASES))
def test_value_and_gradient(expression):
    found = []
    for lib in (torch, chainrule):
        names = names_of(lib)
        if "max_norm" in expression:  # PyTorch cannot shorten a leaf
            names["w"].requires_grad_(False)
        value = eval(expression, names)
        if value.requires_grad:
            weights = np.cos(np.arange(value.numel(), dtype=float)).reshape(tuple(value.shape))
            (value * lib.tensor(weights)).sum().backward()
        found.append([value, names["w"].grad, names["p"].grad, names["w"]])
    for theirs, ours in zip(*found):
        assert (theirs is None) == (ours is None)
        if theirs is not None:
            assert tuple(ours.shape) == tuple(theirs.shape)
            np.testing.assert_allclose(ours.tolist(), theirs.tolist(), 1e-7, 1e-7)


@pytest.mark.parametrize("options", [
    {}, {"mode": "sum", "padding_idx": 1, "include_last_offset": True}, {"max_norm": 2.0},
    {"mode": "max", "norm_type": 1.0, "scale_grad_by_freq": False},
])
def test_module(options):
    made = []
    for lib in (torch, chainrule):
        lib.manual_seed(0)
        made.append(lib.nn.EmbeddingBag(6, 3, **options))
    theirs, ours = made
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    np.testing.assert_allclose(ours.weight.tolist(), theirs.weight.tolist(), 1e-6)
    a, b = (m(lib.tensor(BAGS)) for m, lib in ((theirs, torch), (ours, chainrule)))
    np.testing.assert_allclose(b.tolist(), a.tolist(), 1e-5, 1e-6)
    pretrained = chainrule.nn.EmbeddingBag.from_pretrained(chainrule.tensor(WEIGHT), mode="sum")
    assert not pretrained.weight.requires_grad and pretrained.mode == "sum"


@pytest.mark.parametrize("expression", rows("""
F.embedding_bag(flat, w) ; F.embedding_bag(bags, w, starts) ; F.embedding_bag(bags.double(), w)
F.embedding_bag(bags, w, mode='mean', per_sample_weights=p) ; F.embedding_bag(bags, w, mode='min')
F.embedding_bag(flat, w, starts + 1) ; F.embedding_bag(bags, w, mode='sum', per_sample_weights=w)
"""))
def test_what_is_refused(expression):
    with pytest.raises((RuntimeError, ValueError, NotImplementedError)):
        eval(expression, names_of(torch))
    with pytest.raises(RuntimeError, match="embedding_bag requires .*, got .*\n  recorded at"):
        eval(expression, names_of(chainrule))
