"""Linear algebra: what NumPy computes whole, of matrices in the last two axes.

Each op gives one array.  A factorisation is therefore several ops, so that eigenvalues have a
derivative also where eigenvectors have none, and what nobody asks for is not computed.
In the derivatives dX is a small change of X, and A' is A transposed.
"""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, LinAlgError, ShapeError
from ..graph import Node, leaf
from ..shapes import Spec, spec
from .contraction import contract
from .logic import where
from .movement import permute, slice_, stack_batch
from .op import Op, expand_to, nondifferentiable, register, reshape, sum_

__all__ = [
    "LinAlgError", "cholesky", "cofactor", "complement", "detsign", "eigenvalues", "eigenvectors",
    "inv", "logabsdet", "orthonormal", "pinv", "product", "require_matrix", "require_square",
    "singular_values", "singular_vectors", "solve", "transposed",
]


# --------------------------------------------------------------------------- rules
def require_matrix(name: str, x: Node) -> Spec:
    """The spec of x, which must be matrices of float32 or float64."""
    if not x.dtype.is_floating_point or x.dtype.itemsize < 4:
        raise DTypeError(f"{name} requires float32 or float64, got {x.dtype}",
                         hint="convert first: x.float()")
    if x.ndim < 2:
        raise ShapeError(f"{name} requires matrices, got shape {x.shape} (the input tensor must "
                         "have at least 2 dimensions)")
    return x.spec


def require_square(name: str, x: Node) -> Spec:
    """The spec of x, which must be square matrices of float32 or float64."""
    found = require_matrix(name, x)
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name} requires square matrices, got shape {x.shape} (must be batches "
                         f"of square matrices)")
    return found


def _attempt(function, rule: str, fact: str):
    """`function`, whose failure says the rule and the fact."""

    def evaluate(*arrays, **attrs):
        try:
            return function(*arrays, **attrs)
        except np.linalg.LinAlgError:
            raise LinAlgError(f"{rule}, got {fact}") from None

    return evaluate


def _of_finite(name: str, function):
    """`function`, whose iteration does not end for inf and NaN."""

    def checked(x, **attrs):
        if not np.isfinite(x).all():
            raise np.linalg.LinAlgError
        return function(x, **attrs)

    return _attempt(checked, f"{name} requires finite elements", "inf or NaN")


def _op(name, infer, eval, vjp, sample) -> Op:
    def batch(flags, *inputs, **attrs):
        return op(*stack_batch(flags, inputs), **attrs)

    op = register(Op(name, "library", infer, eval, vjp, None, batch, sample))
    return op


def _matrices(*shapes, **attrs):
    """Samples of matrices whose singular values are well apart from each other and from zero."""

    def draw(rng):
        found = []
        for shape in shapes:
            u, _, v = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
            found.append(u * (1.0 + np.arange(min(shape[-2:]))) @ v)
        return tuple(found), attrs

    return draw


# --------------------------------------------------------------------------- shared by vjps
def transposed(x: Node) -> Node:
    """The last two axes exchanged."""
    n = x.ndim
    return permute(x, axes=(*range(n - 2), n - 1, n - 2))


def product(a: Node, b: Node) -> Node:
    """The matrix products; leading axes are equal."""
    n = a.ndim
    lead = tuple(range(n - 2))
    return contract(a, b, labels=((*lead, n, n + 1), (*lead, n + 1, n + 2), (*lead, n, n + 2)))


def _products(first: Node, *others: Node) -> Node:
    for x in others:
        first = product(first, x)
    return first


def _on(mask: np.ndarray, x: Node) -> Node:
    """The elements of each matrix where the mask holds; zeros elsewhere, also for inf and NaN."""
    return where(leaf(mask), x, 0.0)


def _scaled(x, columns):
    """x diag(columns)."""
    return x * reshape(columns, shape=(*columns.shape[:-1], 1, columns.shape[-1]))


def _each(numbers, like):
    """One number a matrix, next to matrices."""
    return expand_to(reshape(numbers, shape=(*numbers.shape, 1, 1)), like.shape)


def _skew(x):
    return x - transposed(x)


def _symmetric(x):
    return (x + np.swapaxes(x, -1, -2)) / 2


def _differences(values):
    """values[j] - values[i] at (i, j), and ones on the diagonal."""
    n = values.shape[-1]
    row, column = (reshape(values, shape=(*values.shape[:-1], *s)) for s in ((1, n), (n, 1)))
    return where(leaf(np.eye(n, dtype=bool)), 1.0, row - column)


def _rows(x: Node, start: int, stop: int) -> Node:
    lead = tuple((0, n, 1) for n in x.shape[:-2])
    return slice_(x, bounds=(*lead, (start, stop, 1), (0, x.shape[-1], 1)))


# --------------------------------------------------------------------------- inverses
def _inverse(x, strict):
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        if strict:
            raise
    if x.ndim == 2:
        return np.full_like(x, np.inf)
    return np.stack([_inverse(each, strict) for each in x])


def _inv_vjp(ct, out, x, *, strict):
    # d(X^-1) = -X^-1 dX X^-1
    t = transposed(out)
    return (-_products(t, ct, t),)


inv: Op = _op(  # X^-1; a singular matrix is refused, or (strict False) has the inverse inf
    "inv",
    lambda x, strict: require_square("inv", x),
    _attempt(_inverse, "inv requires invertible matrices",
             "one that is not (the input matrix is singular)"),
    _inv_vjp,
    _matrices((2, 3, 3), strict=True),
)


def _solve_spec(a: Node, b: Node) -> Spec:
    require_square("solve", a)
    require_matrix("solve", b)
    if a.dtype is not b.dtype:
        raise DTypeError(f"solve requires equal dtypes, got {a.dtype} and {b.dtype}")
    if a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(f"solve requires as many rows in B as in A, got {a.shape} and {b.shape}")
    return b.spec


def _solve_vjp(ct, out, a, b):
    # A dX = dB - dA X
    g = solve(transposed(a), ct)
    return -product(g, transposed(out)), g


solve: Op = _op(  # X with A X = B
    "solve",
    _solve_spec,
    _attempt(np.linalg.solve, "solve requires invertible matrices",
             "one that is not (the input matrix is singular)"),
    _solve_vjp,
    _matrices((2, 3, 3), (2, 3, 2)),
)


def _pinv_vjp(ct, out, x, *, rtol):
    # dP = -P dX P + P P' dX' (I - X P) + (I - P X) dX' P' P: Golub and Pereyra, 1973
    p, g = transposed(out), transposed(ct)
    left = g - _products(x, out, g)
    right = g - _products(g, out, x)
    return (_products(left, out, p) + _products(p, out, right) - _products(p, ct, p),)


pinv: Op = _op(  # the pseudoinverse; singular values up to rtol times the largest count as zero
    "pinv",
    lambda x, rtol: spec((*require_matrix("pinv", x).shape[:-2], x.shape[-1], x.shape[-2]),
                         x.dtype),
    _of_finite("pinv", lambda x, rtol: np.linalg.pinv(x, rcond=rtol)),
    _pinv_vjp,
    _matrices((2, 4, 3), rtol=1e-15),
)


# --------------------------------------------------------------------------- determinants
def _per_matrix(name: str):
    return lambda x: spec(require_square(name, x).shape[:-2], x.dtype)


det: Op = _op(
    "det",
    _per_matrix("det"),
    np.linalg.det,
    lambda ct, out, x: (_each(ct, x) * cofactor(x),),
    _matrices((2, 3, 3)),
)


def _cofactor(x):
    # det(U) det(V') U C V' with C_ii the product of the other singular values: of any matrix.
    u, s, v = np.linalg.svd(x)
    n = x.shape[-1]
    others = np.where(np.eye(n, dtype=bool), x.dtype.type(1), s[..., None, :]).prod(-1)
    sign = np.linalg.det(u) * np.linalg.det(v)
    return (u * (others * np.round(sign)[..., None])[..., None, :]) @ v


def _cofactor_vjp(ct, out, x):
    # C = det(X) Y' with Y = X^-1, so dC = tr(Y dX) C - C dX' Y'
    y = transposed(inv(x, strict=False))
    trace = sum_(ct * y, axis=(x.ndim - 2, x.ndim - 1))
    return (_each(trace, x) * out - _products(y, transposed(ct), out),)


cofactor: Op = _op(  # the derivative of det; it exists, unlike det(X) X^-1, for every matrix
    "cofactor",
    lambda x: require_square("cofactor", x),
    _of_finite("cofactor", _cofactor),
    _cofactor_vjp,
    _matrices((2, 3, 3)),
)
logabsdet: Op = _op(  # ln |det X|
    "logabsdet",
    _per_matrix("slogdet"),
    lambda x: np.linalg.slogdet(x)[1],
    lambda ct, out, x: (_each(ct, x) * transposed(inv(x, strict=False)),),
    _matrices((2, 3, 3)),
)
detsign: Op = _op(
    "detsign",
    _per_matrix("slogdet"),
    lambda x: np.linalg.slogdet(x)[0],
    nondifferentiable,
    _matrices((2, 3, 3)),
)


# --------------------------------------------------------------------------- factorisations
def _cholesky_vjp(ct, out, x):
    # dL = L P(L^-1 dX L^-T), where P takes the lower triangle and half the diagonal
    n = x.shape[-1]
    g = product(transposed(out), ct)
    half = where(leaf(np.eye(n, dtype=bool)), 0.5 * g, g)
    y = inv(out, strict=False)
    found = _products(transposed(y), _on(np.tri(n, dtype=bool), half), y)
    return (0.5 * (found + transposed(found)),)


def _positive(rng):
    x = rng.standard_normal((2, 3, 3))
    return (x @ x.transpose(0, 2, 1) + np.eye(3),), {}


cholesky: Op = _op(  # L with L L' = X, L lower triangular; of the symmetric part of X
    "cholesky",
    lambda x: require_square("cholesky", x),
    _attempt(lambda x: np.linalg.cholesky(_symmetric(x)), "cholesky requires positive-definite "
             "matrices", "one that is not (the input is not positive-definite)"),
    _cholesky_vjp,
    _positive,
)


def _eigenvectors_vjp(ct, out, x):
    # dV = V (V' dX V / (w_j - w_i)): where eigenvalues are equal there is no derivative
    turn = 0.5 * _skew(product(transposed(out), ct)) / _differences(eigenvalues(x))
    return (_products(out, turn, transposed(out)),)


def _eigenvalues_vjp(ct, out, x):
    # dw_i = v_i' dX v_i
    v = eigenvectors(x)
    return (product(_scaled(v, ct), transposed(v)),)


def _symmetric_sample(rng):
    x = rng.standard_normal((2, 3, 3))
    return (_symmetric(x) + np.diag([0.0, 5.0, 10.0]),), {}


eigenvalues: Op = _op(  # ascending; of the symmetric part of X
    "eigenvalues",
    lambda x: spec(require_square("eigh", x).shape[:-1], x.dtype),
    _of_finite("eigh", lambda x: np.linalg.eigvalsh(_symmetric(x))),
    _eigenvalues_vjp,
    _symmetric_sample,
)
eigenvectors: Op = _op(  # one a column
    "eigenvectors",
    lambda x: require_square("eigh", x),
    _of_finite("eigh", lambda x: np.linalg.eigh(_symmetric(x))[1]),
    _eigenvectors_vjp,
    _symmetric_sample,
)


def _split(pairs: Node, m: int) -> tuple[Node, Node]:
    """U and V from [U; V]."""
    return _rows(pairs, 0, m), _rows(pairs, m, pairs.shape[-2])


def _singular_values_vjp(ct, out, x):
    # ds_i = u_i' dX v_i
    u, v = _split(singular_vectors(x), x.shape[-2])
    return (product(_scaled(u, ct), transposed(v)),)


def _singular_vectors(x):
    u, _, v = np.linalg.svd(x, full_matrices=False)
    return np.concatenate((u, np.swapaxes(v, -1, -2)), -2)


def _singular_vectors_vjp(ct, out, x):
    # Townsend, Differentiating the singular value decomposition, 2016
    m, n = x.shape[-2:]
    s = singular_values(x)
    (u, v), (gu, gv) = _split(out, m), _split(ct, m)
    gaps = _differences(s * s)
    du, dv = (_skew(product(transposed(a), g)) / gaps for a, g in ((u, gu), (v, gv)))
    turn = _scaled(du, s) + transposed(_scaled(transposed(dv), s))
    found = _products(u, turn, transposed(v))
    if m > n:  # what lies outside of the columns of U
        found += product(_scaled(gu - _products(u, transposed(u), gu), 1 / s), transposed(v))
    if n > m:
        outside = gv - _products(v, transposed(v), gv)
        found += product(u, transposed(_scaled(outside, 1 / s)))
    return (found,)


def _singular_spec(rows):
    def infer(x):
        *lead, m, n = require_matrix("svd", x).shape
        return spec((*lead, *rows(m, n), min(m, n)), x.dtype)

    return infer


singular_values: Op = _op(  # descending
    "singular_values",
    _singular_spec(lambda m, n: ()),
    _of_finite("svd", lambda x: np.linalg.svd(x, compute_uv=False)),
    _singular_values_vjp,
    _matrices((2, 3, 4)),
)
singular_vectors: Op = _op(  # [U; V]: column i is the pair (u_i, v_i)
    "singular_vectors",
    _singular_spec(lambda m, n: (m + n,)),
    _of_finite("svd", _singular_vectors),
    _singular_vectors_vjp,
    _matrices((2, 4, 3)),
)


def _orthonormal_vjp(ct, out, x):
    # dQ = (I - Q Q') Z + Q (L - L') with Z = dX R^-1 and L = the lower triangle of Q' Z
    n = x.shape[-1]
    r = _on(np.tri(n, dtype=bool).T, product(transposed(out), x))
    g = product(transposed(out), ct)
    inner = _on(np.tri(n, k=-1, dtype=bool), _skew(g)) - g
    return (product(ct + product(out, inner), transposed(inv(r, strict=False))),)


orthonormal: Op = _op(  # Q with X = Q R, R upper triangular; X has at least as many rows as columns
    "orthonormal",
    lambda x: require_matrix("qr", x),
    lambda x: np.linalg.qr(x)[0],
    _orthonormal_vjp,
    _matrices((2, 4, 3)),
)


def _complement(q):
    return np.linalg.qr(q, mode="complete")[0][..., q.shape[-1] :]


complement: Op = _op(  # orthonormal columns that complete those of Q to a square matrix
    "complement",
    lambda q: spec((*require_matrix("qr", q).shape[:-1], q.shape[-2] - q.shape[-1]), q.dtype),
    _complement,
    nondifferentiable,
    lambda rng: ((np.linalg.qr(rng.standard_normal((2, 4, 3)))[0],), {}),
)
