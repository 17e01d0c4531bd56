"""nn.functional against PyTorch: running statistics, writing in place, heads, half precision."""

import itertools

import numpy as np
import pytest

import chainrule

torch = pytest.importorskip("torch")
LIBRARIES = (chainrule, torch)


def both(function):
    """The arrays that function(library) returns, for each library."""
    return [[np.asarray(x.detach().numpy()) for x in function(lib)] for lib in LIBRARIES]


def close(ours, theirs, tolerance=1e-6):
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs):
        assert x.shape == y.shape and x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def normal(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def double(seed, *shape):
    return normal(seed, *shape, dtype=np.float64)


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0])
def test_running_statistics(name, momentum):
    def run(lib):
        mean, var = lib.zeros(3), lib.ones(3)
        for step in range(3):
            x = lib.tensor(normal(step, 4, 3, 5))
            getattr(lib.nn.functional, name)(x, mean, var, None, None, True, momentum)
        return mean, var

    close(*both(run))


def test_embedding_shortens_rows_in_place():
    def run(lib):
        table = lib.tensor(normal(0, 6, 4), requires_grad=True)
        rows = lib.nn.functional.embedding(lib.tensor([1, 3, 3, 5]), table, max_norm=1.5)
        (rows * rows).sum().backward()
        return rows, table, table.grad

    close(*both(run))


HEADS = {
    "plain": {},
    "no weights": {"need_weights": False},
    "each head": {"average_attn_weights": False},
    "bool mask": {"attn_mask": np.triu(np.ones((4, 5), bool), 2)},
    "float mask": {"attn_mask": double(7, 4, 5), "need_weights": False},
    "mask of each head": {"attn_mask": double(7, 6, 4, 5)},
    "padding": {"key_padding_mask": np.arange(15).reshape(3, 5) % 4 == 3},
    "both masks": {
        "attn_mask": np.triu(np.ones((4, 5), bool), 2),
        "key_padding_mask": np.arange(15).reshape(3, 5) % 4 == 3,
        "need_weights": False,
    },
    "extra keys": {
        "bias_k": double(8, 1, 1, 6),
        "bias_v": double(9, 1, 1, 6),
        "add_zero_attn": True,
        "attn_mask": double(7, 4, 5),
    },
    "separate": {
        "use_separate_proj_weight": True,
        "q_proj_weight": double(10, 6, 6),
        "k_proj_weight": double(11, 6, 6),
        "v_proj_weight": double(12, 6, 6),
        "in_proj_weight": None,
    },
    "static": {"static_k": double(13, 6, 5, 3), "static_v": double(14, 6, 5, 3)},
    "dropout": {"dropout_p": 0.4},
    "dropout without weights": {"dropout_p": 0.4, "need_weights": False},
    "evaluation": {"dropout_p": 0.4, "training": False},
}
DEFAULTS = {
    "in_proj_weight": double(3, 18, 6),
    "in_proj_bias": double(4, 18),
    "bias_k": None,
    "bias_v": None,
    "add_zero_attn": False,
    "dropout_p": 0.0,
    "out_proj_weight": double(5, 6, 6),
    "out_proj_bias": double(6, 6),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("batched", [True, False])
def test_many_heads(name, batched):
    options = DEFAULTS | HEADS[name]
    if not batched and name in ("mask of each head", "padding", "both masks", "static"):
        options = {
            k: v[:2] if k != "key_padding_mask" and np.ndim(v) == 3 else v
            for k, v in options.items()
        }
        if "key_padding_mask" in options:
            options["key_padding_mask"] = options["key_padding_mask"][0]

    def run(lib):
        lib.manual_seed(0)
        given = {k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        inputs = [double(i, n, 3, 6) for i, n in enumerate((4, 5, 5))]
        inputs = [lib.tensor(x if batched else x[:, 0], requires_grad=True) for x in inputs]
        f = lib.nn.functional.multi_head_attention_forward
        out, weights = f(*inputs, 6, 2, **given)
        (out * out).sum().backward()
        static = [x for x, k in zip(inputs[1:], "kv") if "static_" + k not in given]
        found = [out, inputs[0].grad, *(x.grad for x in static)]
        return found if weights is None else [*found, weights]

    close(*both(run), 1e-10)


def test_self_attention_uses_the_packed_weight():
    def run(lib):
        x = lib.tensor(double(0, 4, 3, 6), requires_grad=True)
        given = {k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in DEFAULTS.items()}
        out, weights = lib.nn.functional.multi_head_attention_forward(x, x, x, 6, 2, **given)
        out.sum().backward()
        return out, weights, x.grad

    close(*both(run), 1e-10)


HALF = [
    "F.gelu(x)", "F.softmax(x, 1)", "F.log_softmax(x, 1)", "F.silu(x)", "F.logsigmoid(x)",
    "F.layer_norm(x, (16,))", "F.softplus(x)", "F.mish(x)", "F.elu(x)", "F.avg_pool1d(x, 2)",
    "F.conv1d(x[None], x[None, :, :3].contiguous())", "F.linear(x, x)", "F.mse_loss(x, x.flip(0))",
    "F.cross_entropy(x, torch.arange(8))", "F.smooth_l1_loss(x, x.flip(0))", "F.group_norm(x, 4)",
]  # fmt: skip


@pytest.mark.parametrize("expression, dtype", [*itertools.product(HALF, ["float16", "bfloat16"])])
def test_half_precision_is_within_one_rounding(expression, dtype):
    def run(lib):
        x = lib.tensor(normal(0, 8, 16)).to(getattr(lib, dtype))
        y = eval(expression, {"F": lib.nn.functional, "torch": lib, "x": x})
        assert repr(y.dtype) == f"torch.{dtype}"
        return [y.float()]

    close(*both(run), {"float16": 1.2e-3, "bfloat16": 1e-2}[dtype])
