"""What a node costs: its arithmetic operations.

    contraction   2 for each product: a multiplication and an addition
    elementwise   1 for each element of the result, elementary functions included
    reduction     1 for each element that is reduced, or scanned
    indexing      1 for each element that is added to another; finding a place is free
    movement      0: it only says where an element comes from
    library       the leading term of the textbook's count, where there is one

These are the operations of the mathematics: what `show(..., kernels=True)` counts are those of a
program, which computes cheap values twice and others never.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from ..autodiff import is_leaf
from ..graph import Node
from ..shapes import size

# Elementwise in their form, but no arithmetic: the value goes through, or is written out.
FREE = frozenset({"cast", "clone", "constant", "detach", "overwrite", "reattach"})


def flops(node: Node) -> int:
    """Arithmetic operations of one node by itself; 0 for a leaf, and where nobody knows.

    >>> import chainrule as torch
    >>> x, w = torch.ones(64, 784), torch.ones(784, 256)
    >>> flops((x @ w).node), flops((x + 1).node), flops(x.T.node)
    (25690112, 50176, 0)
    """
    # What has let go of its inputs is a value, however it came about.
    if is_leaf(node) or (not node.inputs and node.name != "constant"):
        return 0
    count = _COUNTS.get(node.op.kind)
    return 0 if count is None else count(node)


def _contraction(node: Node) -> int:
    labels = node.attrs["labels"]
    lengths = {a: n for x, axes in zip(node.inputs, labels) for a, n in zip(axes, x.shape)}
    return 2 * prod(lengths.values())


def _elementwise(node: Node) -> int:
    return 0 if node.name in FREE else size(node.shape)


def _reduction(node: Node) -> int:
    return size(node.inputs[0].shape)


def _indexing(node: Node) -> int:
    if node.name == "scatter_add":
        return size(node.inputs[2].shape)
    if node.name == "put" and node.attrs["accumulate"]:
        return size(node.inputs[1].shape)
    return 0


def _library(node: Node) -> int:
    count = _DIRECT.get(node.name)
    if count is None:
        return 0
    *batch, m, n = node.inputs[0].shape
    return prod(batch) * round(count(m, n, node.shape))


_COUNTS: dict[str, Callable[[Node], int]] = {
    "contraction": _contraction,
    "elementwise": _elementwise,
    "reduction": _reduction,
    "indexing": _indexing,
    "library": _library,
}
# Of (m, n)-matrices: Golub and Van Loan, Matrix Computations, 1996.  What iterates until it is
# exact enough - eigenvalues, singular values - has no count of its own.
_DIRECT: dict[str, Callable[[int, int, tuple[int, ...]], float]] = {
    "cholesky": lambda m, n, out: n**3 / 3,
    "det": lambda m, n, out: 2 * n**3 / 3,
    "logabsdet": lambda m, n, out: 2 * n**3 / 3,
    "detsign": lambda m, n, out: 2 * n**3 / 3,
    "inv": lambda m, n, out: 2 * n**3,
    "solve": lambda m, n, out: 2 * n**3 / 3 + 2 * n**2 * out[-1],
    "orthonormal": lambda m, n, out: 4 * m * n**2 - 4 * n**3 / 3,
}


# What NumPy gives as a view, or hands through.
VIEWS = (FREE - {"cast"}) | {
    "after", "custom", "expand", "flip", "once", "part", "permute", "reshape", "slice", "window"}


def fresh_bytes(node: Node) -> int:
    """Bytes of the array that a node computes; 0 for a leaf, and for a view of another array.

    >>> import chainrule as torch
    >>> x = torch.ones(2, 3)
    >>> fresh_bytes((x + 1).node), fresh_bytes(x.T.node)
    (24, 0)
    """
    return 0 if is_leaf(node) or not node.inputs or node.name in VIEWS else node.nbytes
