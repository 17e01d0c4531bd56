"""Equations are read back: what their text says, computed in NumPy, is the gradients."""

import random
import re
from fractions import Fraction
from math import inf, pi, prod

import numpy as np
import pytest
from scipy import special

import chainrule as torch
from chainrule import nn
from chainrule.graph import toposort
from chainrule.interpreter import evaluate

F = torch.nn.functional

# ------------------------------------------------------------------------------ reading back
# The grammar of view/equations/text.py, and what it means in NumPy.  Knows no graph and no
# derivative.

SIGNS = {">": np.greater, "<": np.less, "≥": np.greater_equal, "≤": np.less_equal,
         "=": np.equal, "≠": np.not_equal}  # fmt: skip
BIG = {"Σ": sum, "max": max, "min": min, "prod": np.prod}
SPECIAL = {"erf": special.erf, "lgamma": special.gammaln, "digamma": special.digamma,
           "sigmoid": special.expit}  # fmt: skip


class Row(np.ndarray):
    """A vector lying down."""


def softmax(x, axis=(-1,)):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def place_of(function):
    return lambda x, axis: np.expand_dims(function(x, axis[0]), axis[0])


FUNCTIONS = {
    **{name: getattr(np, name) for name in
       "exp log tanh sin cos tan sinh cosh sign floor log1p expm1 log2 log10 where".split()},
    "abs": np.abs, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "pow": np.power, **SPECIAL,
    "relu": lambda x: np.maximum(x, 0), "not": lambda x: 1 - np.asarray(x, float),
    "max": lambda x, *y: np.maximum(x, *y) if y else x.max(),
    "min": lambda x, *y: np.minimum(x, *y) if y else x.min(),
    "sum": np.sum, "prod": np.prod, "norm": np.linalg.norm,
    "sum_rows": lambda x: x.sum(0), "sum_columns": lambda x: x.sum(1),
    "max_rows": lambda x: x.max(0), "max_columns": lambda x: x.max(1),
    "min_rows": lambda x: x.min(0), "min_columns": lambda x: x.min(1),
    "softmax": softmax, "log_softmax": lambda x, axis=(-1,): np.log(softmax(x, axis)),
    "reshape": np.reshape, "broadcast": np.broadcast_to, "permute": np.transpose,
    "argmax": place_of(np.argmax), "argmin": place_of(np.argmin),
    "cumprod": lambda x, axis: np.cumprod(x, axis[0]),
}  # fmt: skip


def turned(x):
    x = np.asarray(x)
    return x.view(Row) if x.ndim == 1 else np.swapaxes(x, -1, -2)


def times(a, b):
    """Side by side: scaled, or the product of matrices, in which vectors are columns."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if isinstance(b, Row):
        return np.multiply.outer(np.asarray(a), np.asarray(b))
    return np.asarray(np.matmul(np.asarray(a), np.asarray(b)))


class Parser:
    """A line's right side as a tree of tuples, by recursive descent."""

    def __init__(self, text, names):
        self.text, self.at = text, 0
        self.names = sorted(names, key=len, reverse=True)

    def take(self, what):
        found = self.text.startswith(what, self.at)
        self.at += len(what) * found
        return found

    def match(self, pattern):
        found = re.compile(pattern).match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found

    def need(self, what):
        assert self.take(what), f"{what!r} expected at {self.text[self.at:]!r} in {self.text!r}"

    def whole(self):
        tree = self.sum()
        assert self.at == len(self.text), f"{self.text[self.at:]!r} left of {self.text!r}"
        return tree

    def sum(self):
        tree = ("-", ("number", 0.0), self.product()) if self.take("-") else self.product()
        while found := self.match(r" ([-+]) "):
            tree = (found.group(1), tree, self.product())
        return tree

    def product(self):
        tree = self.chain()
        while found := self.match(r" ([⊙/]) "):
            tree = (found.group(1), tree, self.chain())
        return tree

    def chain(self):
        tree = self.atom()
        while self.match(r" (?![-+⊙/><=≠≤≥] )"):
            tree = (" ", tree, self.atom())
        return tree

    def atom(self):
        if found := self.match(r"(Σ|max|min|prod)_(\{[^}]*\}|\w) "):
            return ("big", found.group(1), letters_of(found.group(2)), self.product())
        tree = self.bare()
        while True:
            if found := self.match("[ᵀ²³]"):
                tree = (found.group(), tree)
            elif found := self.match(r"\^(\d+|\(-?[\d./e-]+\))"):
                tree = ("^", tree, float(Fraction(found.group(1).strip("()"))))
            elif self.take("["):
                tree = ("at", tree, self.separated(self.place, ",", "]"))
            elif found := self.match(r"_(\{[^}]*\})"):
                tree = ("array", letters_of(found.group(1)), tree)
            else:
                return tree

    def separated(self, part, comma, end):
        found = []
        while not self.take(end):
            found.append(part())
            self.take(comma)
        return found

    def bare(self):
        if found := self.match(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:/\d+)?"):
            return ("number", float(Fraction(found.group())))
        if self.take("∞"):
            return ("number", inf)
        if self.take("√"):
            return ("^", self.bare(), 0.5)
        for bar in "‖|":
            if self.take(bar):
                inside = self.sum()
                self.need(bar)
                return (bar, inside)
        if self.take("("):
            inside = self.sum()
            self.need(")")
            return inside
        if self.take("["):
            left = self.side(r" [><=≠≤≥] ")
            sign = self.match(" (.) ").group(1)
            return ("truth", sign, left, self.side("]", self.need))
        return self.named()

    def side(self, end, leave=lambda end: None):
        """One side of a comparison: an expression, or an index."""
        start = self.at
        tree = self.sum()
        if not re.compile(end).match(self.text, self.at):
            self.at = start
            tree = self.place()
        leave(end)
        return tree

    def named(self):
        for name in self.names:
            rest = self.text[self.at + len(name):]
            if self.text.startswith(name, self.at) and not re.match(r"[^\W²³ᵀ]|\.\w|\(|/d", rest):
                self.at += len(name)
                return ("name", name)
        if found := self.match(r"([A-Za-z_0-9]+)\("):
            return self.call(found.group(1))
        letter = self.match(r"[a-z]\d*")
        assert letter, f"a name expected at {self.text[self.at:]!r} in {self.text!r}"
        return ("letter", letter.group())

    def call(self, name):
        args, attrs = [], {}
        while not self.take(")"):
            args.append(self.sum())
            if found := self.match(r"; ([^)]*)"):
                attrs = {k: tuple(map(int, v.split("×")))
                         for k, v in re.findall(r"(\w+)=([^,]+)", found.group(1))}
            self.take(", ")
        return ("call", name, args, attrs)

    def place(self):
        """An index: 2i+k-1, (i-k)/2, y[i]."""
        tree = ("number", Fraction(0))
        while not re.compile(r"[],) ]").match(self.text, self.at):
            sign = -1 if self.match("[-+]?").group() == "-" else 1
            found = self.match(r"\d+")
            term = ("number", Fraction(sign * int(found.group() if found else 1)))
            if self.take("("):
                term = (" ", term, self.place())
                self.need(")")
            elif not re.compile(r"[-+/,) \]]|$").match(self.text, self.at):
                term = (" ", term, self.atom())
            tree = term if tree == ("number", 0) else ("+", tree, term)
            if self.take("/"):
                tree = (" ", tree, ("number", Fraction(1, int(self.match(r"\d+").group()))))
        return tree


def letters_of(text):
    """The letters of {i,k<3}, and what each runs over if that is said."""
    parts = [part.partition("<") for part in text.strip("{}").split(",")]
    return {letter: int(bound) if bound else None for letter, _, bound in parts}


class Evaluator:
    """What a tree says, given what its names are."""

    def __init__(self, known):
        self.known = known

    def value(self, tree, letters):
        return getattr(self, NAMES.get(tree[0], tree[0]))(*tree[1:], letters)

    def number(self, value, letters):
        return value

    def name(self, name, letters):
        return self.known[name]

    def letter(self, name, letters):
        return letters[name]

    def binary(self, sign):
        return lambda a, b, letters: OPERATIONS[sign](self.value(a, letters),
                                                      self.value(b, letters))

    def __getattr__(self, sign):
        if sign in OPERATIONS:
            return self.binary(sign)
        if sign in UNARY:
            return lambda a, letters: UNARY[sign](self.value(a, letters))
        raise AttributeError(sign)

    def power(self, base, exponent, letters):
        return np.power(self.value(base, letters), exponent)

    def truth(self, sign, a, b, letters):
        return SIGNS[sign](self.value(a, letters), self.value(b, letters)).astype(float)

    def call(self, name, args, attrs, letters):
        return FUNCTIONS[name](*[self.value(a, letters) for a in args], **attrs)

    def at(self, array, places, letters):
        array = np.asarray(self.value(array, letters))
        places = [Fraction(self.value(p, letters)) for p in places]
        if any(p.denominator > 1 or not 0 <= p < n for p, n in zip(places, array.shape)):
            return np.zeros(array.shape[len(places):])[()]
        return array[tuple(map(int, places))]

    def big(self, name, new, body, letters):
        sizes = self.sizes(new, body, letters)
        return BIG[name]([self.value(body, {**letters, **dict(zip(new, place))})
                          for place in np.ndindex(*sizes)])

    def array(self, new, body, letters):
        sizes = self.sizes(new, body, letters)
        found = [self.value(body, {**letters, **dict(zip(new, place))})
                 for place in np.ndindex(*sizes)]
        return np.reshape(found, sizes)

    def sizes(self, new, body, letters):
        """How far each letter runs: to its bound, or along the axis that it is the index of."""
        return [1 if k == "0" else n or self.length(k, body, {**dict.fromkeys(new, 0), **letters})
                for k, n in new.items()]

    def length(self, letter, tree, letters):
        if tree[0] == "big":
            letters = {**dict.fromkeys(tree[2], 0), **letters}
        if tree[0] == "array":
            letters = {**dict.fromkeys(tree[1], 0), **letters}
        if tree[0] == "at":
            shape = np.shape(self.value(tree[1], letters))
            for place, n in zip(tree[2], shape):
                if place in (("letter", letter), (" ", ("number", 1), ("letter", letter))):
                    return n
        for part in tree[1:]:
            for inner in part if isinstance(part, list) else [part]:
                if isinstance(inner, tuple) and (n := self.length(letter, inner, letters)):
                    return n
        return None


OPERATIONS = {"+": np.add, "-": np.subtract, "⊙": np.multiply, "/": np.divide, " ": times}
UNARY = {"ᵀ": turned, "²": np.square, "³": lambda x: np.power(x, 3), "|": np.abs,
         "‖": lambda x: np.sqrt(np.sum(np.square(x)))}  # fmt: skip
NAMES = {"^": "power"}


def read_equations(lines, values, shapes):
    """The values of the left sides, one line after the other."""
    known = {"π": pi, **values}
    for line in lines:
        left, right = line.split(" = ", 1)
        name, _, index = left.partition("[")
        tree, shape = Parser(right, known).whole(), shapes[name]
        evaluator = Evaluator(known)
        if index:
            letters = index.rstrip("]").split(",")
            found = np.array([evaluator.value(tree, dict(zip(letters, place)))
                              for place in np.ndindex(*shape)]).reshape(shape)
        else:
            found = np.asarray(evaluator.value(tree, {}), float)
            small = found.size != prod(shape)
            found = np.broadcast_to(found, shape) if small else found.reshape(shape)
        known[name] = found
    return known


# ------------------------------------------------------------------------------ random models


SMOOTH = [
    torch.tanh, torch.sigmoid, torch.relu, F.gelu, F.softplus, F.silu, F.elu, torch.sin, torch.exp,
    F.leaky_relu, torch.abs, F.mish, torch.atan, F.hardtanh, F.selu,
    lambda x: x.clamp(-0.5, 0.5), lambda x: 1 / (1 + x * x), lambda x: x / (1 + x.abs()),
    lambda x: (x * x + 1).sqrt(), lambda x: (x * x + 1).log(),
]  # fmt: skip


def leaves(*shapes):
    return [torch.randn(*shape, requires_grad=True) for shape in shapes]


def layers(r):
    """Linear layers, activations, a batch, a loss, weight decay."""
    n = [r.randint(1, 4) for _ in range(r.randint(2, 4))]
    parts = []
    for a, b in zip(n, n[1:]):
        parts += [nn.Linear(a, b, bias=r.random() < 0.7),
                  r.choice([nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU, nn.SiLU])()]
    net, N = nn.Sequential(*parts), r.randint(1, 4)
    x, y = torch.randn(N, n[0]), torch.randn(N, n[-1])
    out = net(x)
    loss = r.choice([
        lambda: F.mse_loss(out, y), lambda: ((out - y) ** 2).sum() / N,
        lambda: F.cross_entropy(out, torch.randint(0, n[-1], (N,))),
        lambda: F.smooth_l1_loss(out, y),
        lambda: F.binary_cross_entropy_with_logits(out, torch.sigmoid(y)),
    ])()
    lam = 0.1
    if r.random() < 0.5:
        loss = loss + lam / 2 * sum((p**2).sum() for p in net.parameters())
    return loss, locals()


def by_hand(r):
    """Matrices and a vector."""
    n, m, k = (r.randint(1, 4) for _ in range(3))
    W, b, V, x = leaves((m, n), (m,), (k, m), (n,))
    h = r.choice(SMOOTH)(W @ x + b)
    o = r.choice(SMOOTH)(V @ h)
    if r.random() < 0.5:
        o = o * o + h.sum()
    loss = r.choice([
        (o**2).mean, o.norm, lambda: torch.logsumexp(o, 0), lambda: (o @ o) / 2,
        lambda: o.max() + o.sum(), lambda: o.softmax(0) @ o,
    ])()
    return loss, locals()


def chains(r):
    """Elementwise functions in a row, with forks and broadcasting."""
    x, w, s = leaves((3, 2), (2,), ())
    z = x
    for _ in range(r.randint(1, 4)):
        f = r.choice(SMOOTH)(z)
        z = r.choice([f, f * w, f + x, s * f - w, f / (1 + s * s)])
    loss = r.choice([z.sum, z.mean, z.var, lambda: (z * z).sum(0).max(), lambda: z.prod(0).sum(),
                     lambda: z.amax(1).sum(), z.std])()
    return loss, locals()


def norms(r):
    N, C, L = r.randint(2, 3), 2 * r.randint(1, 2), r.randint(2, 3)
    (x,) = leaves((N, C, L))
    layer = r.choice([
        lambda: nn.BatchNorm1d(C), lambda: nn.LayerNorm(L), lambda: nn.GroupNorm(2, C),
        lambda: nn.LayerNorm((C, L)), lambda: nn.InstanceNorm1d(C, affine=True),
        lambda: nn.RMSNorm(L),
    ])()
    for p in layer.parameters():
        p.data = torch.randn(*p.shape)
    y, t = r.choice(SMOOTH)(layer(x)), torch.randn(N, C, L)
    loss = ((y - t) ** 2).mean()
    return loss, locals()


def convolutions(r):
    N, C, D = (r.randint(1, 2) for _ in range(3))
    k, s, p, d = r.randint(1, 3), r.randint(1, 2), r.randint(0, 1), r.randint(1, 2)
    if r.random() < 0.5:
        layer, (x,) = nn.Conv1d(C, D, k, s, p, d), leaves((N, C, 6))
        pools = [lambda y: y, lambda y: F.max_pool1d(y, 2, 1), lambda y: F.avg_pool1d(y, 2)]
    else:
        layer, (x,) = nn.Conv2d(C, D, k, s, p), leaves((N, C, 4, 3))
        pools = [lambda y: y, lambda y: F.max_pool2d(y, 2), lambda y: F.adaptive_avg_pool2d(y, 1)]
    y = layer(x)
    h = r.choice([torch.tanh, torch.relu])(y)
    h = r.choice(pools)(h) if min(y.shape[2:]) > 1 else h
    loss = (h**2).sum() if r.random() < 0.5 else h.flatten(1).logsumexp(1).mean()
    return loss, locals()


def attention(r):
    B, T, C, H = r.randint(1, 2), r.randint(2, 3), 4, 2
    (x,) = leaves((B, T, C))
    kind = r.randint(0, 2)
    if kind == 0:
        q, k, v = leaves((B, T, C), (B, T, C), (B, T, C))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=r.random() < 0.5)
    elif kind == 1:
        W = nn.Linear(C, 3 * C, bias=False)
        q, k, v = (z.view(B, T, H, C // H).transpose(1, 2) for z in W(x).split(C, dim=2))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        o = o.transpose(1, 2).reshape(B, T, C)
    else:
        attn = nn.MultiheadAttention(C, H, batch_first=True)
        o, _ = attn(x, x, x)
    loss = (o**2).sum()
    return loss, locals()


def indexing(r):
    E, W, t = nn.Embedding(5, 3), nn.Linear(3, 2), torch.randint(0, 5, (2, 4))
    h = r.choice(SMOOTH)(E(t))
    out = W(h).mean(1) if r.random() < 0.5 else W(h)[:, -1]
    loss = F.cross_entropy(out, torch.randint(0, 2, (2,)))
    return loss, locals()


def recurrences(r):
    W, U = leaves((3, 3), (3, 2))
    h, xs = torch.zeros(3), torch.randn(3, 2)
    for t in range(3):
        h = torch.tanh(W @ h + U @ xs[t])
    loss = (h * h).sum()
    return loss, locals()


def moves(r):
    x, y = leaves((3, 4), (2, 4))
    z = r.choice([
        lambda: torch.cat([x, y]).cumsum(0), lambda: ((x.unsqueeze(1) - y) ** 2).sum(-1),
        lambda: torch.stack([x.sum(0), y.mean(0)]) ** 2,
        lambda: torch.einsum("ik,jk->ij", x, y) * torch.einsum("ik,jk->j", x, y),
        lambda: x.T @ x + (y.T @ y).T, lambda: x[1:, ::2] * y[:, :2],
        lambda: (F.pad(x, (1, 1)).flip(1) * 2).t() @ x, lambda: F.normalize(x, dim=1) @ y.T,
        lambda: F.cosine_similarity(x, x + 1, dim=1),
    ])()
    loss = (z * z).mean() if r.random() < 0.5 else torch.sin(z).sum()
    return loss, locals()


KINDS = [layers, by_hand, chains, norms, convolutions, attention, indexing, recurrences, moves]


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def values_of(nodes):
    """Values computed aside: the graph is to be differentiated afterwards."""
    found = {}
    for n in toposort(nodes):
        found[n] = n.value if n.value is not None else evaluate(n, [found[x] for x in n.inputs])
    return [found[n] for n in nodes]


def close(got, wanted, line):
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11, err_msg=line)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", KINDS)
def test_the_text_says_the_values_and_the_gradients(kind, seed, float64):
    torch.manual_seed(seed)
    loss, variables = kind(random.Random(seed))
    found = torch.equations(loss, names=variables)
    nodes = {name: found.node(name) for name in found.shapes}
    values = dict(zip(nodes, values_of(list(nodes.values())))) | found.numbers
    for e in found.forward:
        close(read_equations([e.text], values, found.shapes)[e.name], values[e.name], e.text)
    (top,) = (name for name, node in nodes.items() if node is loss.node)
    back = torch.backprop(loss)
    known, shapes = values, {f"d{top}/d{name}": shape for name, shape in found.shapes.items()}
    for e in found.backward:
        known = read_equations([e.text], known, shapes)
        close(known[f"d{top}/d{e.name}"], back.gradient(e.node).numpy(), e.text)
    loss.backward()
    for name, tensor in variables.items():
        if isinstance(tensor, torch.Tensor) and tensor.is_leaf and tensor.grad is not None:
            close(known[f"d{top}/d{name}"], tensor.grad.numpy(), name)
        if isinstance(tensor, nn.Module):
            said = {id(found.node(e.name)) for e in found.backward}
            assert all(id(p.node) in said for p in tensor.parameters() if p.grad is not None)
