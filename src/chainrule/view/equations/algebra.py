"""The rules that make an expression simplest first, whoever makes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import prod
from typing import Any

from .collapse import (
    extreme_of,
    is_sum_of_exp,
    log_of_softmax,
    shifted_back,
    softmax_of,
    square_root,
)
from .expression import (
    ELEMENTWISE,
    ONE,
    OPPOSITE,
    ZERO,
    Expr,
    Number,
    Shape,
    aligned,
    bare,
    broadcast,
    is_number,
    is_scatter,
    is_truth,
    number_of,
    size_of,
    split,
)

HALF = Fraction(1, 2)
# f(c x) = c f(x): what only moves elements, or adds them up.
_MOVED = frozenset(["window", "slice", "flip", "gather", "take"])
_LINEAR = frozenset(["window", "fold", "pad", "slice", "flip", "gather", "take", "cumsum"])


class Algebra:
    """Makes expressions, simplest first."""

    def __init__(self) -> None:
        self._known: dict[tuple, Expr] = {}

    def make(self, kind: str, args: Iterable[Expr], data: Any, shape: Shape) -> Expr:
        args = tuple(args)
        key = (kind, args, data, shape)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Expr(kind, args, data, shape)
        return found

    def number(self, value: Number, shape: Shape = ()) -> Expr:
        return self.expand(self.make("number", (), value, ()), shape)

    # ------------------------------------------------------------------ sums and products
    def add(self, *terms: Expr) -> Expr:
        shape = broadcast(tuple([t.shape for t in terms]))
        coefs: dict[frozenset, Number] = {}
        factors: dict[frozenset, tuple[Expr, ...]] = {}
        for term in self._flat("add", terms):
            coef, rest = split(term)
            key = frozenset(rest)
            coefs[key] = coefs.get(key, ZERO) + coef
            factors.setdefault(key, rest)
        parts = [self._scaled(c, factors[k]) for k, c in coefs.items() if c != 0]
        first = parts[:1]
        parts.sort(key=lambda part: part.kind == "number" and part not in first)
        parts = shifted_back(self, parts)
        return self.expand(log_of_softmax(self, parts) or self._sum_of(parts), shape)

    def _sum_of(self, parts: list[Expr]) -> Expr:
        if len(parts) < 2:
            return parts[0] if parts else self.number(ZERO)
        return self.make("add", parts, None, broadcast(tuple([p.shape for p in parts])))

    def sub(self, a: Expr, b: Expr) -> Expr:
        return self.add(a, self.neg(b))

    def neg(self, x: Expr) -> Expr:
        return self.mul(self.number(-ONE), x)

    def div(self, a: Expr, b: Expr) -> Expr:
        return self.mul(a, self.power(b, -ONE))

    def _flat(self, kind: str, args: Iterable[Expr]) -> Iterator[Expr]:
        """The arguments of nested sums or products; stretching is left to the end."""
        stack = list(args)[::-1]
        while stack:
            x = stack.pop()
            if x.kind == "expand":
                stack.append(x.args[0])
            elif x.kind == kind:
                if kind == "mul" and x.data != 1:
                    yield self.number(x.data)
                stack += x.args[::-1]
            else:
                yield x

    def mul(self, *factors: Expr) -> Expr:
        shape = broadcast(tuple([f.shape for f in factors]))
        coef: Number = ONE
        powers: dict[Expr, Number] = {}
        for f in self._flat("mul", factors):
            if f.kind == "number":
                coef *= f.data
            else:
                base, exponent = (f.args[0], f.data) if f.kind == "power" else (f, ONE)
                powers[base] = powers.get(base, ZERO) + exponent
        if coef == 0:
            return self.number(ZERO, shape)
        parts = []
        for base, exponent in powers.items():
            if is_truth(base) and exponent > 0:
                exponent = ONE
            if exponent == 1 and base.kind == "add":
                common, base = self._common(base)
                parts += common
            parts.append(self.power(base, exponent))
        if any(p.kind in ("mul", "number") for p in parts) or len(set(parts)) < len(parts):
            return self.expand(self.mul(self.number(coef), *parts), shape)
        return self.expand(self._product(coef, softmax_of(self, parts)), shape)

    def _product(self, coef: Number, parts: list[Expr]) -> Expr:
        if coef == -1 and len(parts) == 1 and parts[0].kind == "add":
            return self.add(*[self.mul(self.number(coef), t) for t in parts[0].args])
        return self._scaled(coef, parts)

    def _scaled(self, coef: Number, parts: Sequence[Expr]) -> Expr:
        if not parts:
            return self.make("number", (), coef, ())
        if coef == 1 and len(parts) == 1:
            return parts[0]
        return self.make("mul", parts, coef, broadcast(tuple([p.shape for p in parts])))

    def _common(self, x: Expr) -> tuple[list[Expr], Expr]:
        """What all terms of a sum share as a factor, and the sum without it."""
        shared = [f for f in split(x.args[0])[1]
                  if all(f in split(t)[1] for t in x.args[1:])]
        if not shared:
            return [], x
        rest = []
        for term in x.args:
            coef, factors = split(term)
            rest.append(self._scaled(coef, [f for f in factors if f not in shared]))
        return shared, self.add(*rest)

    def factored(self, x: Expr) -> Expr:
        """A sum as a product, where all of its terms share something."""
        if x.kind in ("expand", "reshape"):
            inner = self.factored(x.args[0])
            return self.expand(inner, x.shape) if x.kind == "expand" else self.reshape(
                inner, x.shape)
        if x.kind != "add":
            return x
        shared, rest = self._common(x)
        coefs: set[Number] = {size_of(t) for t in rest.args} if rest.kind == "add" else set()
        coef: Number = coefs.pop() if len(coefs) == 1 else ONE
        if coef == 1 and not shared:
            return x
        terms = [self.mul(self.number(1 / coef), t) for t in rest.args] if coef != 1 else [rest]
        terms = [self._exact(t) for t in terms]
        return self.expand(self._scaled(coef, [*shared, self.add(*terms)]), x.shape)

    def _exact(self, x: Expr) -> Expr:
        """x without the coefficient that rounding has left beside 1."""
        coef, factors = split(x)
        near = Fraction(round(coef))
        return self._scaled(near, factors) if abs(float(coef - near)) < 1e-12 else x

    def power(self, x: Expr, p: Number) -> Expr:
        if p == 1:
            return x
        if p == 0:
            return self.number(ONE, x.shape)
        if x.kind == "expand":
            return self.expand(self.power(x.args[0], p), x.shape)
        whole = Fraction(p).denominator == 1
        if x.kind == "number" and x.data != 0:
            if whole:
                return self.number(x.data ** int(p))
            if p in (HALF, -HALF) and isinstance(x.data, Fraction) and x.data > 0:
                return self.root(x.data if p > 0 else 1 / x.data)
            if x.data > 0:
                return self.number(number_of(float(x.data) ** float(p)))
        if x.kind == "power" and (whole or abs(x.data) in (1, HALF)):
            return self.power(x.args[0], x.data * p)
        if x.kind == "mul" and (whole or x.data > 0):
            found = self._power_of_product(x, p, whole)
            if found is not None:
                return found
        return self.make("power", (x,), p, x.shape)

    def _power_of_product(self, x: Expr, p: Number, whole: bool) -> Expr | None:
        """Numbers and scalars, and what is divided by, are raised by themselves."""
        alone = [f for f in x.args if p == -1 or (whole and not f.shape)]
        rest = [f for f in x.args if f not in alone]
        if x.data == 1 and not alone:
            return None
        parts = [self.power(f, p) for f in alone]
        if rest:
            parts.append(self.power(self._scaled(ONE, rest), p))
        return self.mul(self.power(self.number(x.data), p), *parts)

    def root(self, value: Fraction) -> Expr:
        """The square root of a positive fraction: 1/2, √2, or one over it."""
        exact = square_root(value)
        if exact is not None:
            return self.number(exact)
        if value < 1:
            root = self.root(1 / value)
            if root.kind == "power":
                return self.make("power", root.args, -HALF, ())
        return self.make("power", (self.make("number", (), value, ()),), HALF, ())

    # ------------------------------------------------------------------ over axes
    def reduce(self, name: str, x: Expr, axes: tuple[int, ...]) -> Expr:
        """The sum (max, min, product ...) along axes, which are kept with length 1."""
        axes = tuple(sorted(axes))
        shape = tuple([1 if i in axes else n for i, n in enumerate(x.shape)])
        if shape == x.shape and name in ("sum", "max", "min", "prod"):
            return x
        if name in ("sum", "max", "min", "prod") and x.kind == "reshape":
            found = self._through_reshape(name, x, axes, shape)
            if found is not None:
                return found
        if name == "sum":
            return self._sum(x, axes, shape)
        return self.make("reduce", (x,), (name, axes), shape)

    def _through_reshape(self, name: str, x: Expr, axes: tuple, shape: Shape) -> Expr | None:
        """Where the last axes were made one and that is reduced: over all of them."""
        (inner,) = x.args
        lead = len(x.shape) - 1
        if axes != (lead,) or x.shape[:lead] != inner.shape[:lead] or len(inner.shape) <= lead:
            return None
        return self.reshape(self.reduce(name, inner, tuple(range(lead, len(inner.shape)))), shape)

    def _sum(self, x: Expr, axes: tuple[int, ...], shape: Shape) -> Expr:
        if x.kind == "expand":
            inner = x.args[0]
            small = aligned(inner.shape, len(x.shape))
            times = prod([x.shape[a] for a in axes if small[a] == 1])
            inner = self.reshape(inner, small)
            rest = self.reduce("sum", inner, tuple([a for a in axes if small[a] != 1]))
            return self.expand(self.mul(self.number(Fraction(times)), rest), shape)
        if x.kind == "reduce" and x.data[0] == "sum":
            return self.reduce("sum", x.args[0], tuple({*axes, *x.data[1]}))
        if x.kind == "call" and x.data == ("softmax", (("axis", axes),)):
            return self.number(ONE, shape)
        if is_scatter(x) and dict(x.data[1])["axis"] in axes:
            return self.reduce("sum", self.expand(x.args[2], x.args[1].shape), axes)
        if x.kind == "reshape" and len(axes) == len(x.shape):  # all, in whatever shape
            inner = x.args[0]
            return self.reshape(self.reduce("sum", inner, tuple(range(len(inner.shape)))), shape)
        if x.kind == "mul":
            return self._sum_of_product(x, axes, shape)
        return self.make("reduce", (x,), ("sum", axes), shape)

    def _sum_of_product(self, x: Expr, axes: tuple[int, ...], shape: Shape) -> Expr:
        """Factors that are the same all along the axes are taken out of the sum."""
        rank = len(x.shape)
        outer = [f for f in x.args if all(aligned(f.shape, rank)[a] == 1 for a in axes)]
        inner = [f for f in x.args if f not in outer]
        if x.data == 1 and not outer:
            return self.make("reduce", (x,), ("sum", axes), shape)
        kept = broadcast(tuple([f.shape for f in inner]))
        full = tuple([n if i in axes else m for i, (n, m) in
                      enumerate(zip(x.shape, aligned(kept, rank)))])
        rest = self.expand(self._scaled(ONE, inner), full)
        return self.expand(
            self.mul(self.number(x.data), *outer, self.reduce("sum", rest, axes)), shape)

    def reshape(self, x: Expr, shape: Shape) -> Expr:
        if x.shape == shape:
            return x
        if x.kind == "reshape":
            return self.reshape(x.args[0], shape)
        if x.kind == "expand" and not x.args[0].shape:
            return self.expand(x.args[0], shape)
        coef, scalars, rest = self._outside(x)
        if rest is not x and x.shape:
            return self.mul(self.number(coef), *scalars, self.reshape(rest, shape))
        if not x.shape:
            return self.expand(x, shape)
        if not shape and x.kind == "power" and x.data == 2:  # the only element is the sum of all
            x = self.make("reduce", (x,), ("sum", tuple(range(len(x.shape)))), x.shape)
        return self.make("reshape", (x,), None, shape)

    def permute(self, x: Expr, axes: tuple[int, ...]) -> Expr:
        if axes == tuple(range(len(axes))):
            return x
        shape = tuple([x.shape[a] for a in axes])
        if x.kind == "permute":
            return self.permute(x.args[0], tuple([x.data[a] for a in axes]))
        if x.kind == "expand" and not x.args[0].shape:
            return self.expand(x.args[0], shape)
        coef, scalars, rest = self._outside(x)
        if rest is not x:
            return self.mul(self.number(coef), *scalars, self.permute(rest, axes))
        if x.kind == "contract":
            a, b, out = x.data
            left, right = x.args
            return self.contract(left, right, (a, b, tuple([out[i] for i in axes])))
        return self.make("permute", (x,), axes, shape)

    def expand(self, x: Expr, shape: Shape) -> Expr:
        if x.shape == shape:
            return x
        if x.kind == "expand":
            return self.expand(x.args[0], shape)
        if x.shape and len(x.shape) < len(shape):
            x = self.reshape(x, aligned(x.shape, len(shape)))
            if x.shape == shape:
                return x
        return self.make("expand", (x,), None, shape)

    def contract(self, x: Expr, y: Expr, labels: tuple) -> Expr:
        """The sum of products; scalars come in front, permutations go into the labels."""
        xl, yl, ol = labels
        outside: list[Expr] = []
        operands = []
        for z, zl in ((x, xl), (y, yl)):
            coef, scalars, rest = self._outside(z)
            if rest is not z:
                outside += [self.number(coef), *scalars]
                z = rest
            if z.kind == "permute":
                back = dict(zip(z.data, zl))
                z, zl = z.args[0], tuple([back[i] for i in range(len(zl))])
            operands.append((z, tuple(zl)))
        (x, xl), (y, yl) = operands
        for (z, zl), (w, wl) in ((operands[0], operands[1]), (operands[1], operands[0])):
            if is_number(z, None):
                made = self._with_ones(w, wl, zl, z.shape, ol)
                return self.mul(*outside, self.number(split(bare(z))[0]), made)
        numbers = {label: i for i, label in enumerate(dict.fromkeys(xl + yl))}
        data = tuple([tuple([numbers[k] for k in part]) for part in (xl, yl, ol)])
        size = dict(zip(xl, x.shape)) | dict(zip(yl, y.shape))
        made = self.make("contract", (x, y), data, tuple([size[k] for k in ol]))
        return self.mul(*outside, made) if outside else made

    def _with_ones(self, x: Expr, xl: tuple, yl: tuple, y_shape: Shape, ol: tuple) -> Expr:
        """The contraction of x with an array of ones."""
        size = dict(zip(yl, y_shape)) | dict(zip(xl, x.shape))
        gone = tuple([i for i, k in enumerate(xl) if k not in ol])
        left = [k for k in xl if k in ol]
        summed = self.reshape(self.reduce("sum", x, gone), tuple([size[k] for k in left]))
        inside = [k for k in ol if k in left]
        summed = self.permute(summed, tuple([left.index(k) for k in inside]))
        summed = self.reshape(summed, tuple([size[k] if k in left else 1 for k in ol]))
        return self.expand(summed, tuple([size[k] for k in ol]))

    # ------------------------------------------------------------------ functions
    def call(self, name: str, args: Sequence[Expr], attrs: tuple = (),
             shape: Shape | None = None) -> Expr:
        if shape is None:
            shape = broadcast(tuple([a.shape for a in args]))
        if name in ELEMENTWISE and any(a.kind == "expand" for a in args):
            return self.expand(self.call(name, list(map(bare, args)), attrs), shape)
        found = self._simpler(name, args, attrs, shape)
        if found is not None:
            return found
        if name in _LINEAR:
            coef, scalars, rest = self._outside(args[0])
            if rest is not args[0]:
                inner = self.call(name, [rest, *args[1:]], attrs, shape)
                return self.mul(self.number(coef), *scalars, inner)
        return self.make("call", args, (name, attrs), shape)

    def _simpler(self, name: str, args: Sequence[Expr], attrs: tuple, shape: Shape) -> Expr | None:
        if name in ("eq", "ne"):
            same = is_sum_of_exp(args[0]) and is_number(args[1], 0)
            if is_number(args[0], None) and is_number(args[1], None):
                equal = split(bare(args[0]))[0] == split(bare(args[1]))[0]
                return self.number(Fraction(equal == (name == "eq")), shape)
            return self.number(Fraction(name == "ne"), shape) if same else None
        if name in _MOVED and is_number(args[0], None):
            return self.expand(bare(args[0]), shape)
        if name in ("pad", "fold") and is_number(args[0], 0):
            return self.number(ZERO, shape)
        if name in ("softmax", "log_softmax") and args[0].kind == "reshape":
            return self._softmax_of_reshaped(name, args[0], attrs, shape)
        if name == "gt" and args[0].kind == "call" and args[0].data[0] == "relu" and is_number(
                args[1], 0):
            return self.call("gt", [args[0].args[0], args[1]])
        if name == "log" and args[0].kind == "call" and args[0].data[0] == "exp":
            return args[0].args[0]
        if name == "gather":
            return extreme_of(self, args[0], args[1], dict(attrs)["axis"])
        if name == "where":
            truth, a, b = args
            return self._where(truth, a, b, shape)
        if name == "not" and args[0].kind == "call" and args[0].data[0] in OPPOSITE:
            return self.call(OPPOSITE[args[0].data[0]], args[0].args)
        return None

    def _softmax_of_reshaped(self, name: str, x: Expr, attrs: tuple, shape: Shape) -> Expr | None:
        """Along the last axis, the other ones may have any shape."""
        (inner,) = x.args
        last = len(inner.shape) - 1
        if dict(attrs)["axis"] != (len(shape) - 1,) or inner.shape[-1:] != shape[-1:]:
            return None
        return self.reshape(self.call(name, [inner], (("axis", (last,)),), inner.shape), shape)

    def without_scalars(self, x: Expr) -> Expr:
        return self._outside(x)[2]

    def _outside(self, x: Expr) -> tuple[Number, list[Expr], Expr]:
        """Number and scalars in front of x, and x without them."""
        coef, factors = split(bare(x))
        scalars = [f for f in factors if not f.shape]
        if (coef == 1 and not scalars) or coef == 0:
            return ONE, [], x
        rest = [f for f in factors if f.shape]
        inner = self.mul(*rest) if rest else self.number(ONE)
        return coef, scalars, self.expand(inner, x.shape)

    def _where(self, truth: Expr, a: Expr, b: Expr, shape: Shape) -> Expr:
        if truth.kind == "number":
            return self.expand(a if truth.data else b, shape)
        if is_number(b, 0):
            return self.expand(self.mul(truth, a), shape)
        if is_number(a, 0):
            return self.expand(self.mul(self.call("not", [truth]), b), shape)
        return self.make("call", (truth, a, b), ("where", ()), shape)

    # ------------------------------------------------------------------ again
    def replaced(self, x: Expr, symbols: dict[Expr, Expr]) -> Expr:
        """x with a symbol for each of the expressions that has one."""
        if x in symbols:
            return symbols[x]
        args = [self.replaced(a, symbols) for a in x.args]
        if all(map(_same, args, x.args)):
            return x
        if x.kind == "call":
            return self.call(x.data[0], args, x.data[1], x.shape)
        if x.kind in ("power", "permute", "contract"):
            return getattr(self, x.kind)(*args, x.data)
        if x.kind in ("expand", "reshape"):
            return getattr(self, x.kind)(*args, x.shape)
        if x.kind == "reduce":
            return self.reduce(x.data[0], args[0], x.data[1])
        return self.add(*args) if x.kind == "add" else self.mul(self.number(x.data), *args)


def _same(x: Expr, y: Expr) -> bool:
    return x is y
