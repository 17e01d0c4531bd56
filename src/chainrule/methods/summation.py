"""Sums of products over shared labels: einsum and tensordot, both through the one contraction."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DTypeError, ShapeError
from ..graph import Node
from ..ops.contraction import contract
from ..ops.movement import permute, reshape
from ..ops.op import sum_
from ..scope import composite
from ..tensor import Tensor
from .diagonals import diagonal
from .register import into, spread

__all__ = ["einsum", "tensordot"]

Labels = tuple[int, ...]


@composite("ViewBackward0")
def tensordot(a: Tensor, b: Tensor, dims=2, out=None) -> Tensor:
    """Sums of products over pairs of axes, or over the last of `a` and the first of `b`.

    >>> import chainrule as torch
    >>> torch.tensordot(torch.ones(2, 3), torch.ones(3, 4), dims=1).shape
    torch.Size([2, 4])
    """
    if isinstance(dims, int):
        left, right = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    left, right = [d % a.ndim for d in left], [d % b.ndim for d in right]
    shared = {d: k for k, d in enumerate(right)}
    n = len(left)
    al = tuple(left.index(d) if d in left else n + d for d in range(a.ndim))
    bl = tuple(shared[d] if d in shared else n + a.ndim + d for d in range(b.ndim))
    ol = tuple(i for i in al + bl if i >= n)
    return into(out, Tensor._from_node(_contracted([(a.node, al), (b.node, bl)], ol)))


@composite("ViewBackward0")
def einsum(equation: str, *operands) -> Tensor:
    """Einstein's summation: products, summed over the labels that the result does not have.

    `...` stands for the axes without a label; a label repeated in one operand is its diagonal.
    Raises RuntimeError where labels and shapes do not fit.

    >>> import chainrule as torch
    >>> torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.eye(3))
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    operands = spread(operands)
    terms, result = _parsed(equation, operands)
    parts = [_distinct(x.node, labels) for x, labels in zip(operands, terms)]
    return Tensor._from_node(_contracted(parts, result))


def _parsed(equation: str, operands: Sequence[Tensor]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result; axes under an ellipsis are negative."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ShapeError(
            f"einsum requires one term per operand, got {len(terms)} terms in {equation!r} for "
            f"{len(operands)} operands"
        )
    labels = [_labels(t, x.ndim, equation) for t, x in zip(terms, operands)]
    dots = sorted({i for term in labels for i in term if i < 0})
    if arrow:
        written = right.replace("...", "")
        inner = tuple(ord(c) for c in written)
        at = right.find("...")
        result = inner if at < 0 else (*inner[:at], *dots, *inner[at:])
    else:
        flat = [i for term in labels for i in term]
        result = (*dots, *sorted(i for i in set(flat) if i >= 0 and flat.count(i) == 1))
    known = {i for term in labels for i in term}
    for i in result:
        if i not in known:
            raise ShapeError(f"einsum requires output labels that occur in an operand, got "
                             f"{equation!r}")
    return labels, tuple(result)


def _labels(term: str, rank: int, equation: str) -> Labels:
    before, dots, after = term.partition("...")
    free = rank - len(before) - len(after)
    if free < 0 or (free and not dots):
        raise ShapeError(
            f"einsum requires one label per axis, got {term!r} for {rank} axes in {equation!r}"
        )
    return (*map(ord, before), *range(-free, 0), *map(ord, after))


def _distinct(x: Node, labels: Labels) -> tuple[Node, Labels]:
    """Repeated labels within one operand mean its diagonal."""
    for label in labels:
        if labels.count(label) > 1:
            a = labels.index(label)
            b = labels.index(label, a + 1)
            x = diagonal(Tensor._from_node(x), 0, a, b).node
            rest = tuple(n for i, n in enumerate(labels) if i not in (a, b))
            return _distinct(x, (*rest, label))
    return x, labels


def _contracted(parts: list[tuple[Node, Labels]], result: Labels) -> Node:
    """Contract from the left, summing each label as soon as nothing later needs it."""
    sizes: dict[int, int] = {}
    for x, labels in parts:
        for label, n in zip(labels, x.shape):
            if sizes.setdefault(label, n) != n:
                if sizes[label] != 1 and n != 1:
                    raise ShapeError(
                        f"einsum requires equal lengths for label {_letter(label)}, got "
                        f"{sizes[label]} and {n}"
                    )
                sizes[label] = max(sizes[label], n)
    x, labels = parts[0]
    for i, (y, y_labels) in enumerate(parts[1:], 1):
        later = set(result).union(*(p[1] for p in parts[i + 1 :]))
        x, labels = _pair(x, labels, y, y_labels, later, sizes)
    x, labels = _summed(x, labels, set(result))
    x = permute(x, axes=tuple(labels.index(i) for i in result)) if labels != result else x
    return x


def _letter(label: int) -> str:
    return repr(chr(label)) if label > 31 else "..."


def _summed(x: Node, labels: Labels, keep: set[int]) -> tuple[Node, Labels]:
    axes = tuple(i for i, label in enumerate(labels) if label not in keep)
    if not axes:
        return x, labels
    return sum_(x, axis=axes), tuple(label for label in labels if label in keep)


def _pair(x, xl, y, yl, later, sizes) -> tuple[Node, Labels]:
    x, xl = _summed(*_squeezed(x, xl, yl, sizes), later | set(yl))
    y, yl = _summed(*_squeezed(y, yl, xl, sizes), later | set(xl))
    # A length-1 axis that was squeezed away may leave labels of the other side alone: sum them.
    x, xl = _summed(x, xl, later | set(yl))
    ol = tuple(i for i in xl if i in later) + tuple(i for i in yl if i in later and i not in xl)
    if x.dtype is not y.dtype:
        raise DTypeError(f"einsum requires equal dtypes, got {x.dtype} and {y.dtype}")
    return contract(x, y, labels=(xl, yl, ol)), ol


def _squeezed(x: Node, labels: Labels, other: Labels, sizes) -> tuple[Node, Labels]:
    """Without the axes of length 1 that broadcast against a longer axis of the other operand."""
    gone = [
        i for i, label in enumerate(labels)
        if x.shape[i] == 1 and sizes[label] != 1 and label in other
    ]
    if not gone:
        return x, labels
    shape = tuple(n for i, n in enumerate(x.shape) if i not in gone)
    return reshape(x, shape=shape), tuple(n for i, n in enumerate(labels) if i not in gone)
