"""Programs compute what the interpreter computes, on random graphs of every kind of node."""

import numpy as np
import pytest

import chainrule as torch
from chainrule.graph import toposort
from chainrule.interpreter import evaluate
from chainrule.jit.program import Program

SIZES = [0, 1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33]


def interpreted(outputs):
    """The definition, node by node, without touching the nodes; and the largest number met."""
    values = {}
    with np.errstate(all="ignore"):
        for node in toposort(outputs):
            values[node] = node.value if node.value is not None else np.asarray(
                evaluate(node, [values[x] for x in node.inputs]))
    met = [abs(v[np.isfinite(v)]).max(initial=0.0) for v in values.values() if v.dtype.kind == "f"]
    return [values[n] for n in outputs], max(met, default=0.0)


def agree(got, wanted, scale):
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
        return
    rtol = 1e-12 if wanted.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * scale)


def check(*tensors):
    outputs = [t.node for t in tensors]
    order = toposort(outputs)
    leaves = [n for n in order if n.value is not None]
    program = Program(outputs, leaves)
    wanted, scale = interpreted(outputs)
    for _ in range(2):
        got = program.run([n.value for n in leaves])
        for g, w, n in zip(got, wanted, outputs):
            assert g.shape == n.shape and g.dtype == n.dtype.np
            agree(g, w, scale)
    return program


class Maker:
    """Draws random graphs over every kind of node."""

    def __init__(self, seed, dtype):
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.pool = []
        for _ in range(self.rng.integers(1, 4)):
            self.pool.append(self.leaf(self.shape()))

    def shape(self):
        return tuple(int(n) for n in self.rng.choice(SIZES, self.rng.integers(0, 4)))

    def leaf(self, shape):
        array = self.rng.uniform(0.5, 2, shape).astype(self.dtype)
        return torch.tensor(array * self.rng.choice([-1, 1], shape).astype(self.dtype))

    def any(self):
        return self.pool[self.rng.integers(len(self.pool))]

    def partner(self, x):
        """A tensor that broadcasts with x."""
        same = [t for t in self.pool if t.shape == x.shape]
        if same and self.rng.random() < 0.6:
            return same[self.rng.integers(len(same))]
        shape = [1 if self.rng.random() < 0.3 else n for n in x.shape]
        return self.leaf(tuple(shape[self.rng.integers(len(shape) + 1):]))

    def grow(self, steps):
        names = [n for n in dir(self) if n.startswith("make_")]
        for _ in range(steps):
            x = self.any()
            made = getattr(self, str(self.rng.choice(names)))(x)
            if made is not None and made.numel() < 5000:
                self.pool.append(made)
        return self

    def outputs(self):
        grown = [t for t in self.pool if t.node.value is None]
        if not grown:
            return []
        picked = self.rng.choice(len(grown), min(len(grown), 3), replace=False)
        return [grown[-1], *[grown[i] for i in picked]]

    def make_add(self, x):
        return x + self.partner(x)

    def make_mul(self, x):
        return x * self.partner(x) * 0.5

    def make_max(self, x):
        return torch.maximum(x, self.partner(x))

    def make_where(self, x):
        return torch.where(x > self.partner(x), x, -x)

    def make_scale(self, x):
        return x * float(self.rng.uniform(-1, 1)) + 1

    def make_relu(self, x):
        return x.relu()

    def make_sum(self, x):
        if x.ndim:
            axes = self.rng.choice(x.ndim, self.rng.integers(1, x.ndim + 1), replace=False)
            return x.sum(tuple(int(a) for a in axes), keepdim=bool(self.rng.random() < 0.5))

    def make_amax(self, x):
        if x.numel() and x.ndim:
            axis = int(self.rng.integers(x.ndim))
            return x.amax(axis, keepdim=bool(self.rng.random() < 0.5))

    def make_center(self, x):
        if x.numel() and x.ndim:
            axis = int(self.rng.integers(x.ndim))
            return x - x.mean(axis, keepdim=True)

    def make_permute(self, x):
        return x.permute(*[int(a) for a in self.rng.permutation(x.ndim)])

    def make_flatten(self, x):
        return x.reshape(-1) if x.numel() else None

    def make_reshape(self, x):
        n, shape = x.numel(), []
        for f in (2, 3, 4, 5):
            if n and n % f == 0 and self.rng.random() < 0.6:
                shape.append(f)
                n //= f
        return x.reshape([*shape, n]) if x.numel() else None

    def make_slice(self, x):
        cut = []
        for n in x.shape:
            start = int(self.rng.integers(0, n + 1))
            cut.append(slice(start, int(self.rng.integers(start, n + 1)),
                             int(self.rng.integers(1, 3))))
        return x[tuple(cut)]

    def make_pad(self, x):
        return torch.nn.functional.pad(x, (1, 2)) if x.ndim else None

    def make_cat(self, x):
        if x.ndim:
            axis = int(self.rng.integers(x.ndim))
            return torch.cat([x, x * 2, x + 1][: self.rng.integers(2, 4)], axis)

    def make_flip(self, x):
        return x.flip(int(self.rng.integers(x.ndim))) if x.ndim else None

    def make_assign(self, x):
        if x.ndim and x.shape[0] > 1:
            y = x.clone()
            y[1:] = y[:-1] * 3
            return y

    def make_expand(self, x):
        return x.unsqueeze(0).expand(3, *x.shape)

    def make_matmul(self, x):
        if x.ndim >= 2:
            return x @ self.leaf((x.shape[-1], int(self.rng.choice(SIZES))))

    def make_gram(self, x):
        if x.ndim >= 2:
            return x @ x.transpose(-1, -2)

    def make_take(self, x):
        if x.ndim and x.shape[0]:
            n = int(self.rng.choice(SIZES))
            return x[torch.tensor(self.rng.integers(-x.shape[0], x.shape[0], n))]

    def make_gather(self, x):
        if x.ndim == 2 and x.shape[1]:
            index = torch.tensor(self.rng.integers(0, x.shape[1], (x.shape[0], 1)))
            return x.gather(1, index)

    def make_put(self, x):
        if x.ndim and x.shape[0]:
            n = int(self.rng.choice(SIZES))
            index = torch.tensor(self.rng.integers(0, x.shape[0], n))
            new = self.leaf((n, *x.shape[1:]))
            if self.rng.random() < 0.5:
                return x.index_add(0, index, new)
            return x.index_put((index,), new) if n < 2 else x.index_put((index,), new, True)

    def make_scatter(self, x):
        if x.ndim == 2 and x.shape[1]:
            n = int(self.rng.choice(SIZES))
            index = torch.tensor(self.rng.integers(0, x.shape[1], (x.shape[0], n)))
            return x.scatter_add(1, index, self.leaf((x.shape[0], n)))

    def make_argmax(self, x):
        if x.numel() and x.ndim:
            return x.argmax(int(self.rng.integers(x.ndim))).to(x.dtype)

    def make_many(self, x):
        return torch.stack([x * float(k) for k in range(7)]) if x.numel() < 200 else None

    def make_hot(self, x):
        if x.ndim == 2 and x.shape[1]:
            index = torch.tensor(self.rng.integers(0, x.shape[1], (x.shape[0], 1)))
            return x.scatter_add(1, index, x[:, :1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", range(10))
def test_random_graphs(block, dtype):
    for seed in range(block * 20, block * 20 + 20):
        maker = Maker(seed, dtype).grow(12)
        if maker.outputs():
            try:
                check(*maker.outputs())
            except Exception as error:
                raise AssertionError(f"seed {seed}") from error
