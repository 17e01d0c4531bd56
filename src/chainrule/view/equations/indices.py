"""From arrays to their elements: the expression for x[i, j, ...].

What is no matrix product is best said for one element: z[i,j] = sum over k of a[i,k] b[j,k].  Then
reductions, axes of length 1, windows and gathers need no names of their own: the index says it.
An element outside of an array, or at an index that is no whole number, is 0.

    index    data: (letter, size), a scalar that runs over 0 ... size - 1
    at       args: array, index ...; one element
    big      data: (name, ((letter, size), ...)); the sum (max, ...) of args[0] over the letters
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import prod

from .algebra import Algebra
from .expression import ELEMENTWISE, ONE, Expr, Shape, is_number, split

Index = Sequence[Expr]
_LETTERS = "ijklmnpqrstuvabcdefghowxyz"


class Indexer:
    """Writes arrays element by element, with letters that mean nothing else."""

    def __init__(self, algebra: Algebra, taken: set[str]):
        self.algebra = algebra
        self._taken = taken
        self._letters = self._fresh()

    def _fresh(self) -> Iterator[str]:
        yield from (c for c in _LETTERS if c not in self._taken)
        n = 1
        while True:
            yield f"i{n}"
            n += 1

    def name(self) -> str:
        return next(self._letters)

    def letter(self, size: int) -> Expr:
        if size == 1:
            return self.algebra.number(Fraction(0))
        return self.algebra.make("index", (), (self.name(), size), ())

    def letters(self, shape: Shape) -> list[Expr]:
        return [self.letter(n) for n in shape]

    # ------------------------------------------------------------------ elements
    def at(self, x: Expr, index: Index) -> Expr:
        """The element of x at the index."""
        if x.kind == "number":
            return x
        what = x.data[0] if x.kind == "call" else x.kind
        rule = (_FUNCTIONS if x.kind == "call" else _KINDS).get(what)
        found = None
        if rule is not None and (what in _OUTSIDE or all(map(_inside, index, x.shape))):
            found = rule(self, x, index)
        return found or self._element(x, index)

    def _function(self, x: Expr, index: Index) -> Expr:
        return self.algebra.call(x.data[0], self._each(x, index), x.data[1])

    def _element(self, x: Expr, index: Index) -> Expr:
        return self.algebra.make("at", (x, *index), None, ()) if x.shape else x

    def _sub(self, x: Expr, index: Index) -> list[Expr]:
        """The index of an operand that is stretched."""
        own = list(index)[len(index) - len(x.shape):]
        return [self.algebra.number(Fraction(0)) if n == 1 else i for i, n in zip(own, x.shape)]

    def _each(self, x: Expr, index: Index) -> list[Expr]:
        return [self.at(arg, self._sub(arg, index)) for arg in x.args]

    def _expand(self, x: Expr, index: Index) -> Expr | None:
        """What is stretched is there where the index is inside."""
        if all(map(_inside, index, x.shape)):
            return self._each(x, index)[0]
        conditions = [self._condition(i, n) for i, n in zip(index, x.shape) if not _inside(i, n)]
        if any(c is None for c in conditions):
            return None
        return self.algebra.mul(self._each(x, index)[0],
                                *[c for found in conditions for c in found or ()])

    def _condition(self, i: Expr, n: int) -> list[Expr] | None:
        """0 <= i < n, as far as it is not certain."""
        bounds = _range(i)
        if n == 1 and i.kind == "mul" and len(i.args) == 1:  # (k - m) / 2 is 0 where k - m is
            i = i.args[0]
        elif bounds is None:
            return None
        terms = list(i.args) if i.kind == "add" else [i]
        rest = self.algebra.add(*[t for t in terms if t.kind != "number"])
        offset = sum((Fraction(t.data) for t in terms if t.kind == "number"), Fraction(0))
        if n == 1:
            return [self.algebra.call("eq", [rest, self.algebra.number(-offset)])]
        found = []
        assert bounds is not None
        if bounds[0] < 0:
            found.append(self.algebra.call("ge", [rest, self.algebra.number(-offset)]))
        if bounds[1] >= n:
            found.append(self.algebra.call("lt", [rest, self.algebra.number(n - offset)]))
        return found

    def _add(self, x: Expr, index: Index) -> Expr:
        return self.algebra.add(*self._each(x, index))

    def _mul(self, x: Expr, index: Index) -> Expr:
        return self.algebra.mul(self.algebra.number(x.data), *self._each(x, index))

    def _power(self, x: Expr, index: Index) -> Expr:
        return self.algebra.power(self._each(x, index)[0], x.data)

    def _permute(self, x: Expr, index: Index) -> Expr:
        inner = dict(zip(x.data, index))
        return self.at(x.args[0], [inner[i] for i in range(len(index))])

    def sum(self, body: Expr, letters: Sequence[Expr], name: str = "sum") -> Expr:
        """The sum (max ...) of the body over the letters that are any."""
        found = tuple([k.data for k in letters if k.kind == "index"])
        if not found or is_number(body, 0):
            return body
        if name != "sum":
            return self.algebra.make("big", (body,), (name, found), ())
        outside = [self.algebra.number(body.data)] if body.kind == "mul" else []
        if outside:
            body = self.algebra.mul(*body.args)
        if body.kind == "big" and body.data[0] == "sum":
            found += body.data[1]
            body = body.args[0]
        made = self.algebra.make("big", (body,), ("sum", found), ())
        return self.algebra.mul(*outside, made)

    def _contract(self, x: Expr, index: Index) -> Expr:
        xl, yl, ol = x.data
        a, b = x.args
        size = dict(zip(xl, a.shape)) | dict(zip(yl, b.shape))
        known = dict(zip(ol, index))
        summed = [k for k in size if k not in known]
        known |= {k: self.letter(size[k]) for k in summed}
        body = self.algebra.mul(self.at(a, [known[k] for k in xl]),
                                self.at(b, [known[k] for k in yl]))
        return self.sum(body, [known[k] for k in summed])

    def _reduce(self, x: Expr, index: Index) -> Expr | None:
        name, axes = x.data
        if name not in ("sum", "max", "min", "prod"):
            return None
        (inner,) = x.args
        new = {axis: self.letter(inner.shape[axis]) for axis in axes}
        body = self.at(inner, [new.get(i, k) for i, k in enumerate(index)])
        return self.sum(body, list(new.values()), name)

    def _reshape(self, x: Expr, index: Index) -> Expr | None:
        """Several axes may have become one, but not one several."""
        (inner,) = x.args
        found = self._unshaped(index, x.shape, inner.shape)
        if found is None:
            return None
        # An axis of length 1 has no place in the other shape, but it also ends.
        ends = [self._condition(i, 1) for i, n in zip(index, x.shape)
                if n == 1 and not _inside(i, 1)]
        if any(e is None for e in ends):
            return None
        return self.algebra.mul(self.at(inner, found), *[c for e in ends for c in e or ()])

    def _unshaped(self, index: Index, shape: Shape, inner: Shape) -> list[Expr] | None:
        zero = self.algebra.number(Fraction(0))
        outer = [(i, n) for i, n in zip(index, shape) if n != 1]
        safe = all(_inside(i, n) for i, n in outer)
        if safe:
            self._part(outer, inner)
        found: list[Expr] = []
        for n in inner:
            if n == 1:
                found.append(zero)
                continue
            terms: list[Expr] = []
            size = 1
            while size < n and outer:
                i, m = outer.pop(0)
                terms = [self._times(t, m) for t in terms] + [i]
                size *= m
            if size != n or not (safe or len(terms) == 1):
                return None
            found.append(self.algebra.add(*terms))
        return found

    def _part(self, outer: list[tuple[Expr, int]], inner: Shape) -> None:
        """Take apart each index that several axes have become: 64i+j into i, j."""
        rest = [n for n in inner if n != 1]
        found: list[tuple[Expr, int]] = []
        for i, n in outer:
            sizes: list[int] = []
            while rest and prod(sizes) < n:
                sizes.append(rest.pop(0))
            parts = _digits(i, sizes) if len(sizes) > 1 and prod(sizes) == n else None
            found += zip(parts, sizes) if parts else [(i, n)]
            if prod(sizes) > n:  # one axis has become several
                rest.insert(0, sizes.pop() * prod(sizes) // n)
        outer[:] = found

    def _times(self, i: Expr, n: int) -> Expr:
        return self.algebra.mul(self.algebra.number(Fraction(n)), i)

    # ------------------------------------------------------------------ movement
    def _affine(self, i: Expr, factor: Fraction, offset: Fraction) -> Expr:
        a = self.algebra
        return a.add(a.mul(a.number(factor), i), a.number(offset))

    def _slice(self, x: Expr, index: Index) -> Expr:
        bounds = dict(x.data[1])["bounds"]
        return self.at(x.args[0], [self._affine(i, Fraction(step), Fraction(start))
                                   for i, (start, _, step) in zip(index, bounds)])

    def _pad(self, x: Expr, index: Index) -> Expr:
        widths = dict(x.data[1])["widths"]
        return self.at(x.args[0], [self._affine(i, Fraction(1, w + 1), Fraction(-low, w + 1))
                                   for i, (low, _, w) in zip(index, widths)])

    def _flip(self, x: Expr, index: Index) -> Expr:
        axes = dict(x.data[1])["axes"]
        return self.at(x.args[0], [
            self._affine(i, Fraction(-1), Fraction(n - 1)) if axis in axes else i
            for axis, (i, n) in enumerate(zip(index, x.shape))])

    def _window(self, x: Expr, index: Index) -> Expr:
        attrs = dict(x.data[1])
        rank = len(attrs["size"])
        lead = len(x.shape) - 2 * rank
        places = [
            self.algebra.add(self._times(o, s), self._times(k, d)) for o, k, s, d in zip(
                index[lead:lead + rank], index[lead + rank:], attrs["stride"], attrs["dilation"])]
        return self.at(x.args[0], [*index[:lead], *places])

    def _fold(self, x: Expr, index: Index) -> Expr:
        attrs = dict(x.data[1])
        rank = len(attrs["shape"])
        lead = len(x.shape) - rank
        (inner,) = x.args
        taps = self.letters(inner.shape[lead + rank:])
        places = [
            self.algebra.mul(self.algebra.number(Fraction(1, s)),
                             self.algebra.sub(i, self._times(k, d)))
            for i, k, s, d in zip(index[lead:], taps, attrs["stride"], attrs["dilation"])]
        return self.sum(self.at(inner, [*index[:lead], *places, *taps]), taps)

    def _cat(self, x: Expr, index: Index) -> Expr:
        axis, start = dict(x.data[1])["axis"], 0
        terms: list[Expr] = []
        for part in x.args:
            own = list(index)
            own[axis] = self._affine(index[axis], ONE, Fraction(-start))
            terms.append(self.at(part, own) if not is_number(part, 0) else part)
            start += part.shape[axis]
        return self.algebra.add(*[t for t in terms if not is_number(t, 0)])

    def _cumsum(self, x: Expr, index: Index) -> Expr:
        axis = dict(x.data[1])["axis"]
        k = self.letter(x.shape[axis])
        own = list(index)
        own[axis] = k
        body = self.algebra.mul(self.algebra.call("le", [k, index[axis]]), self.at(x.args[0], own))
        return self.sum(body, [k])

    # ------------------------------------------------------------------ indexing
    def _gather(self, x: Expr, index: Index) -> Expr:
        axis = dict(x.data[1])["axis"]
        own = list(index)
        own[axis] = self.at(x.args[1], index)
        return self.at(x.args[0], own)

    def _scatter_add(self, x: Expr, index: Index) -> Expr | None:
        axis = dict(x.data[1])["axis"]
        target, places, src = x.args
        if not _inside(index[axis], x.shape[axis]) or not src.shape or src.kind == "expand":
            if not all(map(_inside, index, x.shape)):
                return None
        k = self.letter(places.shape[axis])
        own = list(index)
        own[axis] = k
        hit = self.algebra.call("eq", [index[axis], self.at(places, own)])
        added = self.sum(self.algebra.mul(self.at(self.algebra.expand(src, places.shape), own),
                                          hit), [k])
        return added if is_number(target, 0) else self.algebra.add(self.at(target, index), added)

    def _take(self, x: Expr, index: Index) -> Expr | None:
        attrs = dict(x.data[1])
        source, *places = x.args
        axis = attrs["axis"]
        count = len(x.shape) - len(source.shape) + len(places)
        own = index[axis:axis + count]
        found = [self.at(p, self._sub(p, own)) for p in places]
        return self.at(source, [*index[:axis], *found, *index[axis + count:]])

    def _put(self, x: Expr, index: Index) -> Expr | None:
        attrs = dict(x.data[1])
        target, src, *places = x.args
        axis = attrs["axis"]
        if not attrs["accumulate"] or not is_number(target, 0):
            return None
        count = len(src.shape) - len(x.shape) + len(places)
        new = self.letters(src.shape[axis:axis + count])
        hits = [self.algebra.call("eq", [self.at(p, self._sub(p, new)), i])
                for p, i in zip(places, index[axis:])]
        own = [*index[:axis], *new, *index[axis + len(places):]]
        return self.sum(self.algebra.mul(self.at(src, own), *hits), new)


_KINDS = {kind: getattr(Indexer, f"_{kind}") for kind in
          ("expand", "add", "mul", "power", "permute", "contract", "reduce", "reshape")}
_FUNCTIONS = dict.fromkeys(ELEMENTWISE, Indexer._function) | {
    name: getattr(Indexer, f"_{name}") for name in (
        "slice", "pad", "flip", "window", "fold", "cat", "cumsum", "gather", "scatter_add",
        "take", "put")}
# What gives 0 outside of itself, if what it is made of does.
_OUTSIDE = frozenset(
    ["permute", "contract", "pad", "fold", "reshape", "scatter_add", "expand"])


def _digits(i: Expr, sizes: Sequence[int]) -> list[Expr] | None:
    """The indices that make up i as digits make a number, if each is a letter of its own."""
    terms = dict([split(t)[::-1] for t in (i.args if i.kind == "add" else (i,))])
    found = []
    for axis, n in enumerate(sizes):
        stride = Fraction(prod(sizes[axis + 1:]))
        letter = next((k for k, c in terms.items() if c == stride and len(k) == 1
                       and k[0].kind == "index" and k[0].data[1] == n), None)
        if letter is None:
            return None
        del terms[letter]
        found.append(letter[0])
    return None if terms else found


def only_splits(inner: Shape, shape: Shape) -> bool:
    """Whether a reshape only makes several axes of one."""
    outer = [n for n in shape if n != 1]
    for n in inner:
        size = 1
        while size < n and outer:
            size *= outer.pop(0)
        if size != n:
            return False
    return True


def is_indexed(x: Expr) -> bool:
    """Whether a function is best written with indices."""
    return x.kind == "call" and x.data[0] in _FUNCTIONS and x.data[0] not in ELEMENTWISE


def _inside(i: Expr, n: int) -> bool:
    """Whether an index certainly is a whole number from 0 to n - 1."""
    if i.kind == "at":  # looked up in the user's data, which has been checked
        return True
    found = _range(i)
    return found is not None and 0 <= found[0] and found[1] < n


def _range(i: Expr) -> tuple[Fraction, Fraction] | None:
    """Least and largest value of a whole-numbered index."""
    if i.kind == "number":
        return (i.data, i.data) if Fraction(i.data).denominator == 1 else None
    if i.kind == "index":
        return Fraction(0), Fraction(i.data[1] - 1)
    if i.kind not in ("add", "mul"):
        return None
    parts = [_range(x) for x in i.args]
    if any(p is None for p in parts):
        return None
    if i.kind == "add":
        return sum(p[0] for p in parts if p), sum(p[1] for p in parts if p)  # type: ignore
    if i.kind == "mul" and len(parts) == 1 and Fraction(i.data).denominator == 1:
        low, high = parts[0]  # type: ignore[misc]
        return min(low * i.data, high * i.data), max(low * i.data, high * i.data)
    return None
