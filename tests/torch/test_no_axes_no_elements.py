"""Tensors without axes, and tensors without elements: every function does what PyTorch's does."""

import warnings

import pytest

import chainrule

torch = pytest.importorskip("torch")

NO_AXES = """
x.cumsum(0)
x.cumprod(0)
x.softmax(0)
x.log_softmax(-1)
x.sum(0)
x.mean(-1)
x.max(0).values
x.argmax(0)
x.sort().values
x.topk(1).values
x.flip(0)
x.roll(1, 0)
x.gather(0, t.tensor(0))
x.index_select(0, t.tensor([0]))
x.split(1)
x.chunk(2)
x.unbind()
x.tensor_split(2)
x.narrow(0, 0, 1)
x.select(0, 0)
x.repeat_interleave(2)
t.cat([x, x])
t.stack([x, x])
x.transpose(0, 0)
x.t()
x.T
x.movedim(0, 0)
x.squeeze(0)
x.unsqueeze(0)
x.flatten()
x.unflatten(0, (1, 1))
x.diagonal()
x.tril()
x.norm()
x.logsumexp(0)
x.var()
x.std(0)
x.prod(0)
x.any(0)
x.clone().index_fill_(0, t.tensor([0]), 2.0)
x.scatter(0, t.tensor(0), 2.0)
x.nonzero()
x.unique()
x.masked_select(t.tensor(True))
x.take(t.tensor([0]))
x.expand(3)
x.repeat(2)
x @ x
t.dot(x, x)
t.outer(x, x)
x.median()
x.kthvalue(1).values
x.swapaxes(0, 0)
t.vstack([x, x])
t.bincount(x.long())
x[None]
x[...]
x[t.tensor(True)]
x[0]
x.amin(0)
x.min()
t.nn.functional.layer_norm(x, ())
t.nn.functional.one_hot(x.long(), 2)
t.nn.functional.cross_entropy(x, t.tensor(0))
t.nn.functional.linear(x, t.ones(1, 1))
t.nn.functional.pad(x, (1, 1))
x.item()
x.tolist()
""".strip().splitlines()

NO_ELEMENTS = """
t.zeros(0).max()
t.zeros(0, 3).max(0)
t.zeros(0, 3).max(1).values
t.zeros(0).mean()
t.zeros(0).sum()
t.zeros(0).prod()
t.zeros(0).argmax()
t.zeros(0, 3).softmax(0)
t.zeros(2, 0).softmax(1)
t.zeros(2, 0).logsumexp(1)
t.zeros(2, 0) @ t.zeros(0, 3)
t.cat([t.zeros(0), t.ones(2, 3)])
t.zeros(0).std()
t.ones(1).std()
t.zeros(0).all()
t.zeros(0).any()
t.nn.functional.cross_entropy(t.zeros(0, 3), t.zeros(0, dtype=t.long))
t.nn.functional.linear(t.zeros(0, 3), t.ones(2, 3))
t.nn.functional.mse_loss(t.zeros(0), t.zeros(0))
t.zeros(0).sort().values
t.zeros(0, 2).cumsum(0)
t.zeros(3).nonzero()
t.ones(3)[t.zeros(0, dtype=t.long)]
t.ones(3)[t.zeros(3) > 1]
t.nn.functional.conv2d(t.zeros(0, 1, 4, 4), t.ones(1, 1, 2, 2))
t.nn.functional.batch_norm(t.zeros(0, 3), None, None, training=True)
t.zeros(0).median()
t.zeros(0).topk(0).values
t.zeros(0, 3).view(-1)
t.zeros(0, 3).view(0, -1)
t.nn.functional.embedding(t.zeros(0, dtype=t.long), t.ones(3, 2))
t.stack([])
t.zeros(0).norm()
t.zeros(0, 2).amax(1)
t.einsum("ij,jk->ik", t.zeros(2, 0), t.zeros(0, 3))
t.zeros(2, 0).max(0).values
""".strip().splitlines()


def facts(value):
    """What can be compared of a result: shapes, dtypes and values; NaN equals NaN."""
    if isinstance(value, (tuple, list)):
        return [facts(v) for v in value]
    if hasattr(value, "tolist"):
        return repr((tuple(value.shape), str(value.dtype), value.tolist()))
    return value


def outcome(lib, line):
    """The facts of the result, or the kind of the error; chainrule's errors name the line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return facts(eval(line, {"t": lib, "x": lib.tensor(1.0)}))
    except Exception as error:
        assert lib is torch or "recorded at" in str(error), error
        return next(c for c in type(error).__mro__ if c.__module__ == "builtins")


@pytest.mark.parametrize("line", NO_AXES + NO_ELEMENTS)
def test_like_pytorch(line):
    assert outcome(chainrule, line) == outcome(torch, line)
