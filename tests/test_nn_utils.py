"""nn.utils: clipping as part of the step, vectors, padding, and every refusal."""

import pytest

import chainrule as torch
from chainrule.nn import utils
from chainrule.nn.utils import rnn


def with_grad(*values):
    p = torch.zeros(len(values), requires_grad=True)
    (p * torch.tensor(values)).sum().backward()
    return p


def test_clipping_computes_nothing_until_the_step():
    p, q = with_grad(3.0, 0.0), with_grad(4.0)
    total = utils.clip_grad_norm_([p, q], max_norm=1.0)
    assert total.node.value is None
    torch.optim.SGD([p, q], lr=1.0).step()
    assert p.tolist() == pytest.approx([-0.6, 0.0], rel=1e-5)
    assert q.tolist() == pytest.approx([-0.8], rel=1e-5)
    assert total.item() == 5


def test_small_grads_stay_to_the_bit():
    p = with_grad(0.1, 0.2)
    before = p.grad.tolist()
    utils.clip_grad_norm_(p, 1.0)
    assert p.grad.tolist() == before


def test_clip_value():
    p = with_grad(3.0, -3.0, 0.5)
    utils.clip_grad_value_(p, 1)
    assert p.grad.tolist() == [1.0, -1.0, 0.5]


def test_vector_and_back():
    layer = torch.nn.Linear(3, 2)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (8,) and vector.requires_grad
    utils.vector_to_parameters(torch.arange(8.0), layer.parameters())
    assert layer.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and layer.bias.tolist() == [6, 7]
    assert layer.weight.is_leaf and layer.weight.requires_grad


def test_padding_a_tensor_is_its_rows():
    rows = torch.ones(2, 3)
    assert torch.equal(rnn.pad_sequence(rows, batch_first=True), rows)


def infinite():
    utils.clip_grad_norm_(with_grad(float("inf")), 1.0, error_if_nonfinite=True)


REFUSED = [
    (infinite, RuntimeError, "requires a finite norm of order 2.0, got inf"),
    (lambda: utils.vector_to_parameters([1.0], []), TypeError, "requires a Tensor, got list"),
    (lambda: utils.vector_to_parameters(torch.ones(3), [torch.ones(2)]), RuntimeError,
     "as many elements as the parameters have, 2, got 3"),
    (lambda: rnn.pad_sequence([]), RuntimeError, "at least one sequence, got none"),
    (lambda: rnn.pad_sequence([torch.ones(2), 3]), TypeError, "requires tensors, got int"),
    (lambda: rnn.pad_sequence([torch.ones(2, 3), torch.ones(2, 4)]), RuntimeError,
     "sequences (L_i, *) that agree in *, got (2, 3) and (2, 4)"),
    (lambda: rnn.pad_sequence([torch.ones(2)], padding_side="up"), ValueError,
     "padding_side 'left' or 'right', got 'up'"),
    (lambda: rnn.pack_padded_sequence(torch.ones(3, 2), [3, 4]), RuntimeError,
     "requires 2 lengths in [1, 3], longest first, got [3, 4]"),
    (lambda: rnn.pack_padded_sequence(torch.ones(3, 2), [1, 3]), RuntimeError,
     "longest first, got [1, 3]"),
    (lambda: rnn.pad_packed_sequence(rnn.pack_sequence([torch.ones(2)]), total_length=1),
     ValueError, "total_length >= 2, got 1"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, text", REFUSED)
def test_refusals(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
