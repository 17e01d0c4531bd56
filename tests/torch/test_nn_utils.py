"""nn.utils against PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import chainrule as cr  # noqa: E402

SHAPES = [(5, 8), (8,), (3, 2, 4)]


def parameters(lib, scale=1.0):
    """Leaves with grads, the last one without."""
    made = []
    for i, shape in enumerate(SHAPES):
        values = np.random.default_rng(i).standard_normal((2, *shape)).astype(np.float32)
        p = lib.tensor(values[0]).requires_grad_()
        p.grad = lib.tensor(values[1]) * scale
        made.append(p)
    return [*made, lib.ones(3, requires_grad=True)]


def grads(made):
    return [x for p in made if p.grad is not None for x in p.grad.flatten().tolist()]


@pytest.mark.parametrize("max_norm", [0.1, 3, 1e4])
@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, float("inf")])
def test_clip_grad_norm(norm_type, max_norm):
    results = []
    for lib in (cr, torch):
        made = parameters(lib)
        total = lib.nn.utils.clip_grad_norm_(iter(made), max_norm, norm_type)
        results.append([total.item(), *grads(made)])
    np.testing.assert_allclose(*results, rtol=2e-6)


def test_clip_grad_norm_of_one_tensor_of_none_and_of_nonfinite():
    for lib in (cr, torch):
        p = parameters(lib)[0]
        assert lib.nn.utils.clip_grad_norm_(p, 1.0).item() > 1
        assert p.grad.norm().item() == pytest.approx(1, rel=1e-5)
        assert lib.nn.utils.clip_grad_norm_([lib.ones(2, requires_grad=True)], 1.0).item() == 0
        p.grad = p.grad * float("inf")
        assert lib.nn.utils.clip_grad_norm_([p], 1.0).item() == float("inf")
        with pytest.raises(RuntimeError):
            lib.nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
        with pytest.warns(UserWarning):
            lib.nn.utils.clip_grad_norm_((q for q in []), 1.0)
        with pytest.warns(FutureWarning):
            lib.nn.utils.clip_grad_norm(parameters(lib), 1.0)


def test_total_norm_and_scaling_in_two_calls():
    results = []
    for lib in (cr, torch):
        made = parameters(lib)
        total = lib.nn.utils.get_total_norm(p.grad for p in made[:3])
        lib.nn.utils.clip_grads_with_norm_(made, 0.5, total)
        results.append([total.item(), *grads(made)])
    np.testing.assert_allclose(*results, rtol=2e-6)


def test_clip_grad_value():
    results = []
    for lib in (cr, torch):
        made = parameters(lib)
        lib.nn.utils.clip_grad_value_(made, 0.3)
        results.append(grads(made))
    assert results[0] == results[1]


def test_parameters_as_one_vector():
    results = []
    for lib in (cr, torch):
        made = parameters(lib)
        vector = lib.nn.utils.parameters_to_vector(made)
        (gradient,) = lib.autograd.grad((vector * vector).sum(), made[0])
        lib.nn.utils.vector_to_parameters(vector.detach() * 2, made)
        assert all(p.is_leaf and p.requires_grad for p in made)
        results.append([vector.tolist(), gradient.tolist(), [p.tolist() for p in made]])
    assert results[0] == results[1]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("trailing", [(), (3,)])
def test_pad_sequence(batch_first, padding_side, trailing):
    results = []
    for lib in (cr, torch):
        sequences = [
            lib.tensor(np.random.default_rng(n).standard_normal((n, *trailing)), requires_grad=True)
            for n in (4, 2, 5, 1)
        ]
        padded = lib.nn.utils.rnn.pad_sequence(sequences, batch_first, -1.0, padding_side)
        (padded**2).sum().backward()
        results.append([padded.tolist(), [s.grad.tolist() for s in sequences]])
    assert results[0] == results[1]


def test_unpad_sequence_undoes_it():
    for lib in (cr, torch):
        sequences = [lib.arange(n) for n in (3, 1, 2)]
        lengths = lib.tensor([3, 1, 2])
        for batch_first in (True, False):
            padded = lib.nn.utils.rnn.pad_sequence(sequences, batch_first)
            back = lib.nn.utils.rnn.unpad_sequence(padded, lengths, batch_first)
            assert [s.tolist() for s in back] == [[0, 1, 2], [0], [0, 1]]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("enforce_sorted", [False, True])
@pytest.mark.parametrize("trailing", [(), (3,)])
def test_packed_sequences(batch_first, enforce_sorted, trailing):
    lengths = [5, 4, 2, 2, 1] if enforce_sorted else [2, 5, 1, 4, 2]
    results = []
    for lib in (cr, torch):
        rnn = lib.nn.utils.rnn
        x = lib.tensor(np.random.default_rng(0).standard_normal((5, 5, *trailing)))
        x.requires_grad_()
        packed = rnn.pack_padded_sequence(x, lib.tensor(lengths), batch_first, enforce_sorted)
        padded, back = rnn.pad_packed_sequence(packed, batch_first, -1.0, total_length=7)
        ((packed.data**2).sum() + (padded**3).sum()).backward()
        results.append(
            [None if part is None else part.tolist() for part in packed]
            + [padded.tolist(), back.tolist(), x.grad.tolist()]
        )
    assert results[0] == results[1]


def test_packed_lists_of_sequences():
    for lib in (cr, torch):
        rnn = lib.nn.utils.rnn
        packed = rnn.pack_sequence([lib.arange(n) for n in (1, 3, 2)], enforce_sorted=False)
        assert packed.data.tolist() == [0, 0, 0, 1, 1, 2]
        assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[0], [0, 1, 2], [0, 1]]
