"""From expressions to lines: where parentheses go, what stands in front, what is a product.

The two dialects - text, LaTeX - supply the signs (`Dialect`); the order of things is the same.
Levels, from loose to tight: a sum, a product (elementwise factors, denominators), a chain (scalars
and matrices side by side), an atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from .algebra import HALF, Algebra
from .expression import COMPARISONS, ELEMENTWISE, ONE, Expr, Number, bare, is_truth, size_of, split
from .indices import Indexer, is_indexed

SUM, PRODUCT, CHAIN, ATOM = range(4)
Written = tuple[str, int]  # a text and its level


class Dialect:
    """The signs of one way to write mathematics."""

    def number(self, value: Number) -> str: raise NotImplementedError
    def symbol(self, name: str) -> str: raise NotImplementedError
    def gradient(self, name: str) -> str: raise NotImplementedError
    def paren(self, inside: str) -> str: raise NotImplementedError
    def raised(self, base: str, exponent: Number) -> str: raise NotImplementedError
    def root(self, inside: str) -> str: raise NotImplementedError
    def transposed(self, base: str) -> str: raise NotImplementedError
    def fraction(self, top: str, bottom: str, alone: bool) -> Written: raise NotImplementedError
    def call(self, name: str, args: Sequence[str], attrs: tuple) -> str: raise NotImplementedError
    def element(self, array: str, index: Sequence[str]) -> str: raise NotImplementedError
    def big(self, name: str, letters: Sequence[tuple], body: str) -> str: raise NotImplementedError
    def array(self, body: str, letters: Sequence[tuple]) -> str: raise NotImplementedError
    def truth(self, left: str, sign: str, right: str) -> str: raise NotImplementedError
    def norm(self, inside: str, of_matrix: bool) -> str: raise NotImplementedError
    def absolute(self, inside: str) -> str: raise NotImplementedError
    def equation(self, left: str, right: str) -> str: raise NotImplementedError

    hadamard = ""


@dataclass
class Line:
    """A right side, and the letters that its left side needs."""

    text: str
    letters: list[str]


class Writer:
    """Writes expressions in one dialect."""

    def __init__(self, algebra: Algebra, dialect: Dialect, taken: set[str]):
        self.algebra, self.dialect, self.taken = algebra, dialect, taken
        self.indexer = Indexer(algebra, taken)
        self._written: dict[Expr, Written] = {}

    # ------------------------------------------------------------------ whole lines
    def line(self, x: Expr) -> Line:
        """The right side of an equation: whole arrays where that can be said, else elements."""
        x = self.algebra.factored(x)
        shown = _loose(x)
        self.indexer = Indexer(self.algebra, self.taken)
        self._written = {}
        if is_plain(shown):
            return Line(self.write(shown, SUM), [])
        letters = self.indexer.letters(x.shape)
        body = self.algebra.factored(self.indexer.at(x, letters))
        names = [k.data[0] if k.kind == "index" else "0" for k in letters]
        return Line(self.write(body, SUM), names)

    def write(self, x: Expr, level: int = SUM) -> str:
        """x, in parentheses if it binds less tightly than `level`."""
        if x not in self._written:
            self._written[x] = self._write(x)
        text, own = self._written[x]
        return text if own >= level else self.dialect.paren(text)

    def _write(self, x: Expr) -> Written:
        if x.shape and not is_plain(x):
            return self._as_array(x)
        return getattr(self, f"_{x.kind}")(x)

    def _as_array(self, x: Expr) -> Written:
        """An array by its elements, inside of something else."""
        if x.kind in ("expand", "reshape") and is_plain(x.args[0]):
            return getattr(self, f"_{x.kind}")(x)
        letters = self.indexer.letters(x.shape)
        body = self.indexer.at(x, letters)
        if body.kind == "at" and body.args[0] is x:  # nothing better is known
            return getattr(self, f"_{x.kind}")(x)
        named = [k.data if k.kind == "index" else (self.indexer.name(), 1) for k in letters]
        return self.dialect.array(self.write(body), self._bounded(named, body)), ATOM

    # ------------------------------------------------------------------ kinds
    def _number(self, x: Expr) -> Written:
        text = self.dialect.number(x.data)
        return text, ATOM if x.data >= 0 else SUM

    def _symbol(self, x: Expr) -> Written:
        return self.dialect.symbol(x.data), ATOM

    def _gradient(self, x: Expr) -> Written:
        return self.dialect.gradient(x.data), ATOM

    def _index(self, x: Expr) -> Written:
        return x.data[0], ATOM

    def _add(self, x: Expr) -> Written:
        # Gradients stand in front, as far as signs let them.
        terms = sorted(x.args, key=lambda t: not t.graded)
        first = next((i for i, t in enumerate(terms) if split(t)[0] > 0), 0)
        terms.insert(0, terms.pop(first))
        text = self.write(terms[0], SUM if split(terms[0])[0] < 0 else PRODUCT)
        for term in terms[1:]:
            coef, factors = split(term)
            positive = self.algebra._scaled(size_of(term), factors)
            text += f" {'+' if coef > 0 else '-'} {self.write(positive, PRODUCT)}"
        return text, SUM

    def _mul(self, x: Expr) -> Written:
        above = [f for f in x.args if not _is_below(f)]
        below = [self.algebra.power(f.args[0], -f.data) for f in x.args if _is_below(f)]
        coef = x.data
        sign = "-" if coef < 0 else ""
        coef = abs(coef)
        if below and isinstance(coef, Fraction) and coef.denominator > 1 and not above:
            below.insert(0, self.algebra.number(Fraction(coef.denominator)))
            coef = Fraction(coef.numerator)
        top, level = self._chain(coef, above, bool(below))
        if below:
            bottom = self._chain(ONE, below, True)
            top, level = self._over(top, level, bottom)
        return sign + top, SUM if sign else level

    def _over(self, top: str, level: int, bottom: Written) -> Written:
        text, own = bottom
        return self.dialect.fraction(
            top if level >= PRODUCT else self.dialect.paren(top),
            text if own == ATOM else self.dialect.paren(text), own == ATOM)

    def _chain(self, coef: Number, factors: list[Expr], followed: bool) -> Written:
        """Scalars side by side in front, then arrays with Hadamard's sign between them."""
        scalars = self._one_root([f for f in factors if not f.shape])
        arrays = [f for f in factors if f.shape]
        arrays.sort(key=_rank)
        scalars.sort(key=lambda f: (f.kind in ("big", "contract"), _rank(f)))
        parts = [] if coef == 1 and factors else [self.dialect.number(coef)]
        for f in scalars:
            # A product or a sum that takes all that follows can only stand at the end.
            open_end = f is scalars[-1] and not arrays and not (followed and f.kind == "big")
            loose = f.kind in ("big", "contract") and open_end
            parts.append(self.write(f, PRODUCT if loose else ATOM))
        if arrays:
            parts.append(self.write(arrays[0], CHAIN))
        chain = " ".join(parts)
        level = ATOM if len(parts) == 1 and self._is_atom([*scalars, *arrays]) else CHAIN
        if scalars and scalars[-1].kind == "big" and not arrays:
            level = PRODUCT
        for f in arrays[1:]:
            chain += f" {self.dialect.hadamard} {self.write(f, CHAIN)}"
            level = PRODUCT
        return chain, level

    def _one_root(self, factors: list[Expr]) -> list[Expr]:
        """√a √b as √(a b)."""
        roots = [f for f in factors if f.kind == "power" and f.data == HALF]
        if len(roots) < 2:
            return factors
        inside = self.algebra.mul(*[f.args[0] for f in roots])
        joined = self.algebra.make("power", (inside,), HALF, ())
        return [joined, *[f for f in factors if f not in roots]]

    def _is_atom(self, factors: list[Expr]) -> bool:
        return not factors or self._written[factors[0]][1] == ATOM or (
            self._written[factors[0]][1] < CHAIN)

    def _power(self, x: Expr) -> Written:
        (base,), p = x.args, x.data
        if p < 0:
            return self._mul(self.algebra.make("mul", (x,), ONE, x.shape))
        if p == HALF:
            return self.dialect.root(self.write(base)), ATOM
        text = self.write(base, ATOM)
        if base.kind in ("gradient", "power") or (base.kind == "number") or _ends_raised(base):
            text = self.dialect.paren(text)
        return self.dialect.raised(text, p), ATOM

    def _at(self, x: Expr) -> Written:
        array, *index = x.args
        text = self.write(array)
        if array.kind not in ("symbol", "gradient", "call", "reduce", "expand", "reshape"):
            text = self.dialect.paren(text)
        return self.dialect.element(text, [self._place(i) for i in index]), ATOM

    def _place(self, i: Expr) -> str:
        """An index: 2i+k-1, (i-k)/2."""
        i = self._distributed(i)
        terms = [split(t) for t in (i.args if i.kind == "add" else (i,))]
        common = lcm(*[Fraction(c).denominator for c, _ in terms])
        terms.sort(key=lambda term: (term[0] < 0, not term[1]))
        text = ""
        for coef, factors in terms:
            whole = int(coef * common)
            name = "".join(self.write(f, ATOM) for f in factors)
            size = str(abs(whole)) if abs(whole) != 1 or not factors else ""
            text += ("-" if whole < 0 else "+" if text else "") + size + name
        if common == 1:
            return text
        return f"({text})/{common}" if len(terms) > 1 else f"{text}/{common}"

    def _distributed(self, i: Expr) -> Expr:
        """A multiple of a sum as a sum of multiples."""
        if i.kind == "add":
            return self.algebra.add(*map(self._distributed, i.args))
        if i.kind == "mul" and len(i.args) == 1 and i.args[0].kind == "add":
            coef = self.algebra.number(i.data)
            return self.algebra.add(*[self._distributed(self.algebra.mul(coef, t))
                                      for t in i.args[0].args])
        return i

    def _big(self, x: Expr) -> Written:
        name, letters = x.data
        (body,) = x.args
        inside = self.write(body, PRODUCT)
        return self.dialect.big(name, self._bounded(letters, body), inside), PRODUCT

    def _bounded(self, letters: Sequence[tuple], body: Expr) -> list[tuple]:
        """Each letter with its bound, unless an index of the body shows it."""
        shown = _plain_letters(body)
        return [(k, None if k in shown else n) for k, n in letters]

    def _contract(self, x: Expr) -> Written:
        found = as_product(x)
        if found is None:
            return self._summed_products(x)
        left, left_turned, right, right_turned = found
        return f"{self._operand(left, left_turned, True)} " \
            f"{self._operand(right, right_turned, False)}", CHAIN

    def _operand(self, x: Expr, turned: bool, first: bool) -> str:
        if turned:
            text = self.write(x, ATOM)
            if x.kind in ("gradient", "power"):
                text = self.dialect.paren(text)
            return self.dialect.transposed(text)
        return self.write(x, CHAIN if first and x.kind == "contract" else ATOM)

    def _summed_products(self, x: Expr) -> Written:
        """sum over b of a[b]' c[b]: products of matrices, one for each index of the batch."""
        count, inner = as_batch(x)  # type: ignore[misc]
        letters = self.indexer.letters(x.args[0].shape[:count])
        (left, left_turned, right, right_turned) = inner
        texts = []
        for array, turned in ((left, left_turned), (right, right_turned)):
            text = self.dialect.element(self.write(array), [self.write(k) for k in letters])
            texts.append(self.dialect.transposed(text) if turned else text)
        named = [(k.data[0], None) for k in letters if k.kind == "index"]
        body = " ".join(texts)
        return (self.dialect.big("sum", named, body), PRODUCT) if named else (body, CHAIN)

    def _reduce(self, x: Expr) -> Written:
        name, axes = x.data
        return self.dialect.call(name, [self.write(x.args[0])], (("axis", axes),)), ATOM

    def _reshape(self, x: Expr) -> Written:
        (inner,) = x.args
        if inner.kind == "reduce" and is_plain(x):
            return self._reduction(inner)
        return self.dialect.call("reshape", [self.write(inner)], (("shape", x.shape),)), ATOM

    def _reduction(self, x: Expr) -> Written:
        """The sum (max ...) of all elements, or of each column or row of a matrix."""
        name, axes = x.data
        (inner,) = x.args
        whole = len(axes) == len(inner.shape)
        if whole and name == "sum" and inner.kind == "power" and inner.data == 2:
            matrix = len([n for n in inner.shape if n != 1]) > 1
            text = self.dialect.norm(self.write(inner.args[0]), matrix)
            return self.dialect.raised(text, Fraction(2)), ATOM
        what = name if whole else f"{name}_{'columns' if axes == (1,) else 'rows'}"
        return self.dialect.call(what, [self.write(inner)], ()), ATOM

    def _permute(self, x: Expr) -> Written:
        (inner,) = x.args
        rank = len(x.shape)
        if x.data == (*range(rank - 2), rank - 1, rank - 2):
            return self._operand(inner, True, True), ATOM
        return self.dialect.call("permute", [self.write(inner)], (("axes", x.data),)), ATOM

    def _expand(self, x: Expr) -> Written:
        return self.dialect.call("broadcast", [self.write(x.args[0])], (("shape", x.shape),)), ATOM

    def _call(self, x: Expr) -> Written:
        name, attrs = x.data
        if name in COMPARISONS:
            args = [self._place(a) if _is_index(a) else self.write(a) for a in x.args]
            return self.dialect.truth(args[0], COMPARISONS[name], args[1]), ATOM
        args = [self.write(a) for a in x.args]
        if name == "abs":
            return self.dialect.absolute(args[0]), ATOM
        if name in ("softmax", "log_softmax") and dict(attrs)["axis"] == (len(x.shape) - 1,):
            attrs = ()
        return self.dialect.call(name, args, attrs), ATOM


def _rank(x: Expr) -> int:
    """Numbers first, then gradients, values, sums, and conditions."""
    if x.kind == "power" and x.args[0].kind == "number":
        return 0
    if is_truth(x):
        return 4
    return 3 if x.kind == "add" else 1 if x.graded else 2


def _is_index(x: Expr) -> bool:
    return x.kind == "index" or (x.kind in ("add", "mul") and all(
        _is_index(a) or a.kind == "number" for a in x.args))


def _is_below(x: Expr) -> bool:
    return x.kind == "power" and x.data < 0


def _ends_raised(x: Expr) -> bool:
    return x.kind == "permute"


def _loose(x: Expr) -> Expr:
    """What is left to the equation's sign: stretching, and axes of length 1."""
    inner = bare(x)
    if inner.kind == "reshape" and not is_plain(inner):
        if inner is x and _unit(inner):
            return inner.args[0]
    return inner


def _unit(x: Expr) -> bool:
    """Whether a reshape only adds or drops axes of length 1."""
    (inner,) = x.args
    return [n for n in x.shape if n != 1] == [n for n in inner.shape if n != 1]


# ------------------------------------------------------------------------------ whole arrays


def is_plain(x: Expr) -> bool:
    """Whether x can be written without the indices of its elements."""
    kind = x.kind
    if kind in ("number", "symbol", "gradient", "index", "at", "big"):
        return True
    if kind == "contract":
        if as_product(x) is None and as_batch(x) is None:
            return False
    elif kind == "reshape":
        if _unit(x):
            return _is_reduction(x.args[0], x.shape)
    elif kind in ("expand", "reduce") or is_indexed(x):
        return not x.shape
    return all(map(is_plain, x.args))


def is_opaque(x: Expr) -> bool:
    """Whether an element of x is not said by elements of what it is made of."""
    if x.kind == "reduce":
        return x.data[0] not in ("sum", "max", "min", "prod")
    return x.kind == "call" and x.data[0] not in ELEMENTWISE and not is_indexed(x)


def _is_reduction(x: Expr, shape: tuple[int, ...]) -> bool:
    """Whether x, without the axes that it has summed over, has a name."""
    if x.kind != "reduce" or not is_plain(x.args[0]):
        return False
    name, axes = x.data
    rank = len(x.shape)
    if len(axes) == rank:
        return shape == () and name in ("sum", "max", "min", "prod")
    kept = tuple([n for i, n in enumerate(x.shape) if i not in axes])
    return rank == 2 and shape == kept and name in ("sum", "max", "min")


Product = tuple[Expr, bool, Expr, bool]


def as_product(x: Expr) -> Product | None:
    """(left, transposed?, right, transposed?) of a product of matrices; vectors are columns."""
    a, b = x.args
    return _product(a, x.data[0], b, x.data[1], x.data[2]) or _product(
        b, x.data[1], a, x.data[0], x.data[2])


def _product(a: Expr, al: tuple, b: Expr, bl: tuple, ol: tuple) -> Product | None:
    if len(al) == len(bl) == 1:
        if not ol:
            return (a, True, b, False) if al == bl else None
        return (a, False, b, True) if ol == al + bl else None
    if len(bl) == 1:  # a matrix, or several, with a vector
        if al[-1] == bl[0] and ol == al[:-1]:
            return a, False, b, False
        return (a, True, b, False) if len(al) == 2 and al[0] == bl[0] and ol == al[1:] else None
    if len(al) < 2:
        return None
    return _matrices(a, al, b, bl, ol)


def _matrices(a: Expr, al: tuple, b: Expr, bl: tuple, ol: tuple) -> Product | None:
    batch = ol[:-2]
    if len(ol) < 2 or al[:-2] not in (batch, ()) or bl[:-2] not in (batch, ()):
        return None
    if batch and batch not in (al[:-2], bl[:-2]):
        return None
    (i, j), left, right = ol[-2:], al[-2:], bl[-2:]
    shared = [k for k in left if k in right]
    if i not in left or j not in right or len(shared) != 1 or shared[0] in ol:
        return None
    if len(batch) != len(set(batch)):
        return None
    return a, left[0] != i, b, right[1] != j


def as_batch(x: Expr) -> tuple[int, Product] | None:
    """How many leading axes are summed over, if what is left is a product of matrices."""
    (a, b), (al, bl, ol) = x.args, x.data
    if any(z.kind not in ("symbol", "gradient") for z in (a, b)):
        return None
    count = 0
    while count < min(len(al), len(bl)) - 2 and al[count] == bl[count] not in ol:
        count += 1
    if not count or max(len(al), len(bl)) - count != 2 or min(len(al), len(bl)) - count != 2:
        return None
    inner = _product(a, al[count:], b, bl[count:], ol) or _product(b, bl[count:], a, al[count:], ol)
    return None if inner is None else (count, inner)


def _plain_letters(x: Expr) -> set[str]:
    """The letters that are the whole index of an axis somewhere, so that they run over it."""
    found: set[str] = set()
    stack = [x]
    while stack:
        e = stack.pop()
        if e.kind == "at":
            for i, n in zip(e.args[1:], e.args[0].shape):
                if i.kind == "index" and i.data[1] == n:
                    found.add(i.data[0])
        stack += e.args
    return found

