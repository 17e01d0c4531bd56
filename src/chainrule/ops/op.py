"""The op record and the kinds: every fact about an op in one place.

An op is a frozen record of plain functions.  Its kind supplies what a whole family shares: the
shape and dtype rule, broadcasting and its undoing, batching for vmap, the loop structure.  The op
supplies its own mathematics.  What does not exist is said aloud: `nondifferentiable`, None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from sys import _getframe
from typing import Any

import numpy as np

from .. import dtypes
from ..errors import DTypeError
from ..graph import COMPUTED, NO_ATTRS, Node, backlog, explain_loss, leaf, record
from ..managed import Managed
from ..scope import context, locate, own_files
from ..shapes import Spec, broadcast, spec


@dataclass(frozen=True, eq=False, repr=False)
class Op:
    """One operation: meaning, shape rule, derivative, lowering.  Call it to record a node."""

    name: str
    kind: str
    infer: Callable[..., Spec]  # (*nodes, **attrs) -> Spec; raises on the user's own line
    eval: Callable  # (*arrays, **attrs) -> array: the interpreter, what the op means
    vjp: Callable  # (ct, out, *nodes, **attrs) -> one cotangent node per input, or None
    emit: Callable | None  # (builder, *scalars, **attrs) -> scalar; None: the kind lowers it
    batch: Callable | None  # (axis-0 flags, *nodes, **attrs) -> node with a leading batch axis
    sample: Callable | None  # rng -> (arrays, attrs) where the op is smooth: feeds every test
    differentiable: bool = field(init=False)  # whether there is a vjp
    saves: Callable | None = None  # node -> the nodes its vjp refers to; None: found from the vjp
    plans: dict = field(default_factory=dict)  # elementwise: its input specs -> (spec, casts)

    def __post_init__(self) -> None:
        object.__setattr__(self, "differentiable", self.vjp is not nondifferentiable)

    def __call__(self, *inputs: Node, **attrs: Any) -> Node:
        return record(self, inputs, attrs, self.infer(*inputs, **attrs), self.differentiable)

    def __repr__(self) -> str:
        return self.name


class Elementwise(Op):
    """out[i] = f(a[i], b[i], ...) with broadcasting and type promotion.

    Called with nodes of other shapes or dtypes it records the casts; a Python number becomes a
    scalar leaf, so that another number never means another program.
    """

    def __call__(self, *inputs: Any, **attrs: Any) -> Node:
        try:
            specs = tuple([x.spec for x in inputs])
        except AttributeError:
            inputs = lift(inputs)
            specs = tuple([x.spec for x in inputs])
        # Of attrs only a dtype has a say.
        key = (*specs, attrs["dtype"]) if "dtype" in attrs else specs
        out, casts = self.plans.get(key) or self._new_plan(key, specs, attrs)
        if casts is not None:
            inputs = cast_all(inputs, casts)
        return record(self, inputs, attrs or NO_ATTRS, out, self.differentiable)

    # The next two are __call__ written out for one and two inputs: the hottest lines of
    # recording.  They are called from a Tensor method, so the user's line is two frames up.
    def unary(self, x: Node, attrs: dict[str, Any] = NO_ATTRS) -> Node:
        """The same as self(x, **attrs), of which none is a dtype."""
        spec = x.spec
        out, casts = self.plans.get(spec) or self._new_plan(spec, (spec,))
        if casts is not None:
            (x,) = cast_all((x,), casts)
        now = context.now
        tracked = x.requires_grad
        requires = tracked and now.grad_enabled and self.differentiable
        site = now.site
        if site is None:
            frame = _getframe(2)
            code = frame.f_code
            own = own_files.get(code.co_filename, True)
            site = locate() if own else (code, frame.f_lasti)
        depth = x.depth
        if depth < backlog.floor:
            depth = backlog.floor
        node = Node(self, (x,), attrs, out, requires, site, now.scope, depth + 1)
        if not requires:
            if tracked:
                explain_loss(node, tracked, self.differentiable)
            else:
                node.lost = x.lost
        return node

    def binary(self, x: Node, y: Node) -> Node:
        """The same as self(x, y)."""
        key = (x.spec, y.spec)
        out, casts = self.plans.get(key) or self._new_plan(key)
        if casts is not None:
            x, y = cast_all((x, y), casts)
        now = context.now
        tracked = x.requires_grad or y.requires_grad
        requires = tracked and now.grad_enabled and self.differentiable
        site = now.site
        if site is None:
            frame = _getframe(2)
            code = frame.f_code
            own = own_files.get(code.co_filename, True)
            site = locate() if own else (code, frame.f_lasti)
        depth = x.depth if x.depth > y.depth else y.depth
        if depth < backlog.floor:
            depth = backlog.floor
        node = Node(self, (x, y), NO_ATTRS, out, requires, site, now.scope, depth + 1)
        if not requires:
            if tracked:
                explain_loss(node, tracked, self.differentiable)
            else:
                node.lost = x.lost or y.lost
        return node

    def _new_plan(self, key, specs=None, attrs=NO_ATTRS):
        self.plans[key] = plan = plan_of(self, specs or key, attrs)
        return plan


# Numbers met before: what makes a leaf of them.  Most numbers of a program come in every step.
_numbers: dict[tuple, tuple[Spec, np.ndarray]] = {}
_MOST_NUMBERS = 1_000


def scalar(value: Any, like: Node) -> Node:
    """A Python number next to `like`, as a leaf: an argument of the program, not a constant."""
    key = (like.spec.dtype, value.__class__, value)
    found = _numbers.get(key) or _new_number(key)
    node = Node(None, (), NO_ATTRS, found[0], False, like.site, context.now.scope, COMPUTED)
    node.value = found[1]
    return node


def _new_number(key: tuple) -> tuple[Spec, np.ndarray]:
    like, _, value = key
    dtype = dtypes.with_scalar(like, value)
    found = spec((), dtype), wrapped(value, dtype.np)
    if value.__class__ is Managed:
        return found
    if len(_numbers) >= _MOST_NUMBERS:
        _numbers.clear()
    if value != 0:  # 0.0 and -0.0 are equal, and not the same
        _numbers[key] = found
    return found


def wrapped(value: Any, dtype: np.dtype) -> np.ndarray:
    """A Python number as an array without axes."""
    if value.__class__ is Managed:
        return value.array(dtype)
    try:
        return np.array(value, dtype)
    except OverflowError:  # -1 next to uint8 is 255
        return np.array(value).astype(dtype)


def forget_plans() -> None:
    """Start afresh after the default dtype has changed."""
    _numbers.clear()
    for op in ALL_OPS:
        op.plans.clear()


def lift(inputs: tuple[Any, ...]) -> tuple[Node, ...]:
    """Python numbers among `inputs` as scalar leaves of the dtype they take next to the nodes."""
    nodes = [x for x in inputs if isinstance(x, Node)]
    if len(nodes) == 1:
        (like,) = nodes
        return tuple([x if x is like else scalar(x, like) for x in inputs])
    common = dtypes.result_type([(bool(n.shape), n.dtype) for n in nodes])
    return tuple(
        x if isinstance(x, Node) else _scalar_leaf(x, dtypes.with_scalar(common, x)) for x in inputs
    )


def _scalar_leaf(value: Any, dtype: dtypes.dtype) -> Node:
    return leaf(wrapped(value, dtype.np), dtype)


def plan_of(op: Op, specs: tuple[Spec, ...], attrs: dict) -> tuple[Spec, tuple | None]:
    """The result's spec, and to which dtypes the inputs are cast first (None: to none)."""
    rule = _dtype_rules[op.infer]
    wanted, result = rule(op, specs, attrs)
    shape = broadcast(op.name, *(s.shape for s in specs))
    casts = None if all(s.dtype is d for s, d in zip(specs, wanted)) else wanted
    return spec(shape, result), casts


def cast_all(inputs: tuple[Node, ...], wanted) -> tuple[Node, ...]:
    return tuple(x if x.dtype is d else cast(x, dtype=d) for x, d in zip(inputs, wanted))


def common_dtype(specs: tuple[Spec, ...]) -> dtypes.dtype:
    return dtypes.result_type([(bool(s.shape), s.dtype) for s in specs])


def _same(op, specs, attrs):
    """The promoted dtype in, the promoted dtype out: add, maximum."""
    d = common_dtype(specs)
    return (d,) * len(specs), d


def _number(op, specs, attrs):
    """Like `_same`, but not for bool alone: neg, remainder."""
    d = common_dtype(specs)
    if d is dtypes.bool_:
        _refuse_bool(op, specs)
    return (d,) * len(specs), d


def _difference(op, specs, attrs):
    """Like `_same`, but not for any bool: sub."""
    if any(s.dtype is dtypes.bool_ for s in specs):
        _refuse_bool(op, specs)
    return _same(op, specs, attrs)


def _refuse_bool(op, specs):
    raise DTypeError(
        f"{op.name} requires numbers, got {' and '.join(str(s.dtype) for s in specs)}",
        hint="use logical_not, ~ or ^ on bool tensors",
    )


def _floating(op, specs, attrs):
    """Integers become floating point: exp, div."""
    d = common_dtype(specs)
    d = d if d.is_floating_point else dtypes.default_dtype()
    return (d,) * len(specs), d


def _test(op, specs, attrs):
    """Compared in the promoted dtype; bool out: lt, isnan."""
    return (common_dtype(specs),) * len(specs), dtypes.bool_


def _logical(op, specs, attrs):
    return (dtypes.bool_,) * len(specs), dtypes.bool_


def _integral(op, specs, attrs):
    """Bits: bitwise_and."""
    d = common_dtype(specs)
    if d.is_floating_point:
        raise DTypeError(f"{op.name} requires integers or bool, got {d}")
    return (d,) * len(specs), d


def _shifted(op, specs, attrs):
    """Integers only: left_shift."""
    if common_dtype(specs) is dtypes.bool_:
        raise DTypeError(f"{op.name} requires integers, got torch.bool")
    return _integral(op, specs, attrs)


def _select(op, specs, attrs):
    """where(condition, a, b)."""
    if specs[0].dtype is not dtypes.bool_:
        raise DTypeError(f"{op.name} requires a bool condition, got {specs[0].dtype}")
    d = common_dtype(specs[1:])
    return (dtypes.bool_, d, d), d


def _to(op, specs, attrs):
    """cast."""
    return (specs[0].dtype,), attrs["dtype"]


RULES = {
    "same": _same,
    "number": _number,
    "difference": _difference,
    "floating": _floating,
    "test": _test,
    "logical": _logical,
    "integral": _integral,
    "shifted": _shifted,
    "select": _select,
    "to": _to,
}
_dtype_rules: dict[Callable, Callable] = {}

ALL_OPS: list[Op] = []


def register(op: Op) -> Op:
    ALL_OPS.append(op)
    return op


def nondifferentiable(ct, out, *inputs, **attrs):
    """The vjp of an op without a derivative: no path to any input."""
    return (None,) * len(inputs)


# --------------------------------------------------------------------------- samples
def normal(*shapes, **attrs):
    """Samples from the standard normal distribution."""
    return lambda rng: (tuple(rng.standard_normal(s) for s in shapes), attrs)


def between(low: float, high: float, *shapes, **attrs):
    """Samples from [low, high), where the op is smooth."""
    shapes = shapes or ((2, 3),)
    return lambda rng: (tuple(rng.uniform(low, high, s) for s in shapes), attrs)


def apart(*shapes, **attrs):
    """Samples whose elements all differ by at least 0.1: away from ties and from zero."""

    def draw(rng):
        total = sum(int(np.prod(s)) for s in shapes)
        values = (rng.permutation(total) + 1.0) * 0.4 * rng.choice([-1.0, 1.0], total)
        cuts = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
        return tuple(v.reshape(s) for v, s in zip(np.split(values, cuts), shapes)), attrs

    return draw


# --------------------------------------------------------------------------- kinds
def elementwise(name, *, eval, vjp, emit, sample, result="same") -> Elementwise:
    """The kind whose ops map elements to an element.  `result` names the dtype rule."""

    def infer(*inputs: Node, **attrs) -> Spec:
        specs = tuple([x.spec for x in inputs])
        return plan_of(op, specs, attrs)[0]

    def unbroadcast(ct, out, *inputs, **attrs):
        # The one place where broadcasting is undone: stretched axes are summed.
        return tuple(
            g if g is None or g.spec.shape == x.spec.shape else sum_to(g, x.spec.shape)
            for g, x in zip(vjp(ct, out, *inputs, **attrs), inputs)
        )

    def batch(flags, *inputs, **attrs):
        rank = max(x.ndim - f for x, f in zip(inputs, flags))
        return op(*[align(x, rank) if f else x for x, f in zip(inputs, flags)], **attrs)

    _dtype_rules[infer] = RULES[result]
    rule = vjp if vjp is nondifferentiable else unbroadcast
    op = Elementwise(name, "elementwise", infer, eval, rule, emit, batch, sample)
    register(op)
    return op


def align(x: Node, rank: int) -> Node:
    """(B, *s) -> (B, 1..., *s) with `rank` axes behind the batch axis."""
    missing = rank + 1 - x.ndim
    if not missing:
        return x
    return reshape(x, shape=(x.shape[0],) + (1,) * missing + x.shape[1:])


def movement(name, *, shape, eval, vjp, batch, sample) -> Op:
    """The kind whose ops only say where each element comes from."""

    def infer(x: Node, *others: Node, **attrs) -> Spec:
        return spec(shape(x, *others, **attrs), x.spec.dtype)

    return register(Op(name, "movement", infer, eval, vjp, None, batch, sample))


def reduction(name, *, eval, vjp, sample, result=lambda d: d, keeps=False) -> Op:
    """The kind whose ops combine the elements along `axis` (an int or a tuple).

    The axes vanish; `keeps` is for scans, which leave the shape alone.
    """

    @cache  # a training step reduces the same few shapes again and again
    def reduced(x: Spec, axis) -> Spec:
        gone = (axis,) if isinstance(axis, int) else axis
        shape = x.shape
        if not keeps:
            shape = tuple([n for i, n in enumerate(shape) if i not in gone])
        return spec(shape, result(x.dtype))

    def infer(x: Node, *, axis, **attrs) -> Spec:
        return reduced(x.spec, axis)

    def batch(flags, x, *, axis, **attrs):
        moved = axis + 1 if isinstance(axis, int) else tuple(a + 1 for a in axis)
        return op(x, axis=moved, **attrs)

    op = Op(name, "reduction", infer, eval, vjp, None, batch, sample)
    return register(op)


# --------------------------------------------------------------------------- shared by vjps
def sum_to(x: Node, shape: tuple[int, ...]) -> Node:
    """Sum x over the axes along which `shape` was stretched to x.shape."""
    lead = x.ndim - len(shape)
    kept = zip(x.shape[lead:], shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, (n, m) in enumerate(kept) if m == 1 != n)
    summed = sum_(x, axis=axes) if axes else x
    return summed if summed.shape == shape else reshape(summed, shape=shape)


def expand_to(x: Node, shape: tuple[int, ...]) -> Node:
    """Stretch x to `shape`, adding axes in front."""
    if x.ndim < len(shape):
        x = reshape(x, shape=(1,) * (len(shape) - x.ndim) + x.shape)
    return x if x.shape == shape else expand(x, shape=shape)


# The ops that the kinds themselves need.  They are rows like all others; movement.py and
# reduction.py hold the rest of their families.
def _no_broadcast_back(ct, out, x, *, shape):
    axes = tuple(i for i, (n, m) in enumerate(zip(x.shape, shape)) if n != m)
    return (reshape(sum_(ct, axis=axes), shape=x.shape),)


reshape: Op = movement(
    "reshape",
    shape=lambda x, shape: shape,
    eval=lambda x, shape: x.reshape(shape),
    vjp=lambda ct, out, x, shape: (reshape(ct, shape=x.shape),),
    batch=lambda flags, x, shape: reshape(x, shape=(x.shape[0],) + shape),
    sample=normal((2, 3), shape=(3, 2)),
)
expand: Op = movement(
    "expand",
    shape=lambda x, shape: shape,
    eval=lambda x, shape: np.broadcast_to(x, shape),
    vjp=_no_broadcast_back,
    batch=lambda flags, x, shape: expand(x, shape=(x.shape[0],) + shape),
    sample=normal((2, 1, 3), shape=(2, 4, 3)),
)
# Sums are accumulated in the next wider type: adding many float32 one by one loses digits.
_WIDER = {"float32": np.float64, "float16": np.float32, "bfloat16": np.float32}


def _sum(x, axis):
    if x.dtype.kind not in "fV":
        return np.sum(x, axis=axis, dtype=np.int64)
    return np.sum(x, axis=axis, dtype=_WIDER.get(x.dtype.name)).astype(x.dtype, copy=False)


sum_ = reduction(
    "sum",
    eval=_sum,
    vjp=lambda ct, out, x, axis: (expand_to(keep_axes(ct, x.shape, axis), x.shape),),
    result=lambda d: d if d.is_floating_point else dtypes.int64,
    sample=normal((2, 3, 2), axis=(0, 2)),
)
cast: Elementwise = elementwise(
    "cast",
    result="to",
    eval=lambda x, dtype: x.astype(dtype.np),
    emit=lambda b, x, dtype: b.cast(x, dtype),
    vjp=lambda ct, out, x, dtype: (
        (cast(ct, dtype=x.dtype) if x.dtype.is_floating_point else None,)
    ),
    sample=normal((2, 3), dtype=dtypes.float64),
)


def keep_axes(x: Node, shape: tuple[int, ...], axis) -> Node:
    """Give a reduced x its axes back, with length 1."""
    gone = (axis,) if isinstance(axis, int) else axis
    return reshape(x, shape=tuple(1 if i in gone else n for i, n in enumerate(shape)))
