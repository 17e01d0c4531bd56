"""Bags of embeddings: what they sum, what gets a gradient, what is refused."""

import pytest

import chainrule as torch
import chainrule.nn.functional as F

W = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]])
FLAT = torch.tensor([0, 1, 1, 2])


def test_modes_and_an_empty_bag():
    starts = torch.tensor([0, 1, 1])
    sums = F.embedding_bag(FLAT, W, starts, mode="sum")
    assert sums.tolist() == [[1.0, 2.0], [0.0, 0.0], [11.0, 8.0]]
    most = F.embedding_bag(FLAT, W, starts, mode="max")
    assert most.tolist() == [[1.0, 2.0], [0.0, 0.0], [5.0, 4.0]]
    assert F.embedding_bag(FLAT.reshape(2, 2), W).tolist() == [[2.0, 3.0], [4.0, 2.0]]


def test_gradients_by_frequency_and_without_padding():
    w = W.clone().requires_grad_()
    F.embedding_bag(FLAT, w, torch.tensor([0]), mode="sum", scale_grad_by_freq=True,
                    padding_idx=2).sum().backward()
    assert w.grad.tolist() == [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]


REFUSED = {
    "mode": (lambda: F.embedding_bag(FLAT[None], W, mode="min"), "got 'min'"),
    "offsets missing": (lambda: F.embedding_bag(FLAT, W), "got (4,) without offsets"),
    "offsets": (lambda: F.embedding_bag(FLAT[None], W, FLAT), "got (1, 4) with offsets"),
    "start": (lambda: F.embedding_bag(FLAT, W, torch.tensor([1, 2])), "got [1, 2]"),
    "descending": (lambda: F.embedding_bag(FLAT, W, torch.tensor([0, 3, 1])), "got [0, 3, 1]"),
    "weights": (lambda: F.embedding_bag(FLAT[None], W, per_sample_weights=W),
                "got 'mean' and (3, 2) for (1, 4)"),
    "dtype": (lambda: F.embedding_bag(FLAT[None].float(), W), "got torch.float32"),
    "padding": (lambda: torch.nn.EmbeddingBag(3, 2, padding_idx=5), "padding_idx"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    make, part = REFUSED[name]
    with pytest.raises(RuntimeError) as caught:
        make()
    assert part in str(caught.value) and "recorded at test_embedding_bag.py:" in str(caught.value)
