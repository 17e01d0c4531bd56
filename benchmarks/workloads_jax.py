"""The workloads of workloads.py, the same mathematics, as one jitted function in JAX.

Images are (N, H, W, C), which JAX convolves fastest; ResNet-18 keeps no running statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from workloads import BATCH, HEADS, LAYERS, LENGTH, MLPS, RESNET18, VOCABULARY, WIDTH

random = np.random.default_rng(0)  # jax.random would compile a program for every shape


@dataclass
class Training:
    """Parameters, a loss of them, and the optimizer's rule for one parameter.

    rule(p, g, t, *state) -> (new p, *new state), with as many states as `slots` says.
    """

    parameters: Any
    loss: Callable[[Any], jax.Array]
    rule: Callable
    slots: int
    clip: float | None = None


def step_of(name: str) -> Callable[[], float]:
    """One full step; calling it returns the loss."""
    training = TRAININGS[name]()
    leaves, tree = jax.tree.flatten(training.parameters)
    state = [[jnp.zeros_like(p) for _ in range(training.slots)] for p in leaves]

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(leaves, state, t):
        loss, grads = jax.value_and_grad(lambda x: training.loss(tree.unflatten(x)))(leaves)
        if training.clip:
            grads = clipped(grads, training.clip)
        new = [training.rule(p, g, t, *s) for p, g, s in zip(leaves, grads, state)]
        return [p for p, *_ in new], [s for _, *s in new], t + 1, loss

    now = [leaves, state, jnp.float32(1)]

    def step():
        *now[:], loss = update(*now)
        return float(loss)

    return step


# ---------------------------------------------------------------------------- optimizers
def sgd(p, g, t, v):
    v = 0.9 * v + g
    return p - 0.01 * v, v


def adam(p, g, t, m, v, beta2=0.999, decay=0.0):
    p = p - 1e-3 * decay * p
    m, v = 0.9 * m + 0.1 * g, beta2 * v + (1 - beta2) * g * g
    root = jnp.sqrt(v / (1 - beta2**t)) + 1e-8
    return p - 1e-3 * m / (1 - 0.9**t) / root, m, v


def rmsprop(p, g, t, v):
    v = 0.99 * v + 0.01 * g * g
    return p - 1e-3 * g / (jnp.sqrt(v) + 1e-8), v


def adadelta(p, g, t, v, u):
    v = 0.9 * v + 0.1 * g * g
    d = jnp.sqrt(u + 1e-6) / jnp.sqrt(v + 1e-6) * g
    return p - d, v, 0.9 * u + 0.1 * d * d


def clipped(grads, norm: float):
    total = jnp.sqrt(sum(jnp.sum(g * g) for g in grads))
    factor = jnp.minimum(1.0, norm / (total + 1e-6))
    return [g * factor for g in grads]


# ---------------------------------------------------------------------------- parts
def uniform(*shape: int):
    return jnp.asarray(random.random(shape, np.float32))


def integers(high: int, *shape: int):
    return jnp.asarray(random.integers(0, high, shape))


def weight(*shape: int):
    """The last axis is the outputs."""
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    return jnp.asarray(random.uniform(-bound, bound, shape).astype(np.float32))


def linear(n: int, m: int):
    return weight(n, m), jnp.zeros(m)


def dense(layers, x, activation):
    for w, b in layers[:-1]:
        x = activation(x @ w + b)
    w, b = layers[-1]
    return x @ w + b


def conv(x, w, stride=1, padding="VALID"):
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (stride,) * 2, padding, dimension_numbers=axes)


def cross_entropy(logits, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1))


def normalized(x, axes, scale, shift):
    mean = x.mean(axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + shift


def norm(n: int):
    return jnp.ones(n), jnp.zeros(n)


# ---------------------------------------------------------------------------- workloads
def mlp(batch: int, widths: Sequence[int]) -> Training:
    layers = [linear(n, m) for n, m in zip(widths, widths[1:])]
    x = uniform(batch, widths[0])
    if widths[-1] == 1:
        y = uniform(batch, 1)
        return Training(
            layers, lambda P: jnp.mean((dense(P, x, jax.nn.sigmoid) - y) ** 2), sgd, 1)
    y = integers(widths[-1], batch)
    return Training(layers, lambda P: cross_entropy(dense(P, x, jax.nn.sigmoid), y), sgd, 1)


def mnist_cnn() -> Training:
    parameters = {"conv1": (weight(3, 3, 1, 32), jnp.zeros(32)),
                  "conv2": (weight(3, 3, 32, 64), jnp.zeros(64)),
                  "dense": [linear(9216, 128), linear(128, 10)]}
    x, y = uniform(64, 28, 28, 1), integers(10, 64)

    def loss(P):
        h = x
        for w, b in (P["conv1"], P["conv2"]):
            h = jax.nn.relu(conv(h, w) + b)
        window = (1, 2, 2, 1)
        h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, window, window, "VALID")
        return cross_entropy(dense(P["dense"], h.reshape(64, -1), jax.nn.relu), y)

    return Training(parameters, loss, adadelta, 2)


def resnet18() -> Training:
    def block(n, m, stride):
        found = {"conv1": weight(3, 3, n, m), "norm1": norm(m),
                 "conv2": weight(3, 3, m, m), "norm2": norm(m)}
        if (n, stride) != (m, 1):
            found |= {"down": weight(1, 1, n, m), "norm3": norm(m)}
        return found

    parameters = {"stem": weight(3, 3, 3, 64), "norm": norm(64), "head": linear(512, 10),
                  "blocks": [block(*shape) for shape in RESNET18]}
    x, y = uniform(32, 32, 32, 3), integers(10, 32)

    def batch_norm(x, p):
        return normalized(x, (0, 1, 2), *p)

    def loss(P):
        h = jax.nn.relu(batch_norm(conv(x, P["stem"], 1, "SAME"), P["norm"]))
        for p, (_, _, stride) in zip(P["blocks"], RESNET18):
            z = jax.nn.relu(batch_norm(conv(h, p["conv1"], stride, "SAME"), p["norm1"]))
            z = batch_norm(conv(z, p["conv2"], 1, "SAME"), p["norm2"])
            if "down" in p:
                h = batch_norm(conv(h, p["down"], stride, "SAME"), p["norm3"])
            h = jax.nn.relu(z + h)
        w, b = P["head"]
        return cross_entropy(h.mean((1, 2)) @ w + b, y)

    return Training(parameters, loss, sgd, 1)


def pinn() -> Training:
    layers = [linear(n, m) for n, m in ((2, 50), (50, 50), (50, 50), (50, 1))]
    xt = uniform(1000, 2)

    def loss(P):
        def u(xt):
            return dense(P, xt, jnp.tanh)[:, 0]

        def du(xt):  # on the whole batch: three times faster here than a Hessian under vmap
            return jax.grad(lambda xt: u(xt).sum())(xt)

        u_x, u_t = du(xt).T
        u_xx = jax.grad(lambda xt: du(xt)[:, 0].sum())(xt)[:, 0]
        return jnp.mean((u_t + u(xt) * u_x - 0.01 / math.pi * u_xx) ** 2)

    return Training(layers, loss, adam, 2)


def lstm() -> Training:
    def gates(n):
        return jnp.asarray(random.uniform(-1 / 8, 1 / 8, (n, 256)).astype(np.float32))

    parameters = {"x": gates(32), "h": gates(64), "b": gates(2), "head": linear(64, 1)}
    x, y = uniform(50, 16, 32), uniform(16, 1)

    def loss(P):
        def cell(state, z):
            h, c = state
            i, f, g, o = jnp.split(z + h @ P["h"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((16, 64))
        (h, _), _ = jax.lax.scan(cell, (zeros, zeros), x @ P["x"] + P["b"].sum(0))
        w, b = P["head"]
        return jnp.mean((h @ w + b - y) ** 2)

    return Training(parameters, loss, adam, 2)


def node() -> Training:
    layers, h = [linear(2, 50), linear(50, 2)], 0.05
    start, end = uniform(20, 2), uniform(20, 2)

    def loss(P):
        y = start
        for _ in range(20):
            k1 = dense(P, y**3, jnp.tanh)
            k2 = dense(P, (y + h / 2 * k1) ** 3, jnp.tanh)
            k3 = dense(P, (y + h / 2 * k2) ** 3, jnp.tanh)
            k4 = dense(P, (y + h * k3) ** 3, jnp.tanh)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return jnp.mean(jnp.abs(y - end))

    return Training(layers, loss, rmsprop, 1)


def gpt() -> Training:
    def block():
        return {"norm1": norm(WIDTH), "qkv": weight(WIDTH, 3 * WIDTH), "out": weight(WIDTH, WIDTH),
                "norm2": norm(WIDTH), "up": weight(WIDTH, 4 * WIDTH),
                "down": weight(4 * WIDTH, WIDTH)}

    parameters = {"tokens": weight(VOCABULARY, WIDTH), "places": weight(LENGTH, WIDTH),
                  "norm": norm(WIDTH), "blocks": [block() for _ in range(LAYERS)]}
    x, y = integers(VOCABULARY, BATCH, LENGTH), integers(VOCABULARY, BATCH, LENGTH)
    causal = jnp.tril(jnp.ones((LENGTH, LENGTH), bool))

    def heads(z):  # (B, T, C) -> (B, H, T, C / H)
        return z.reshape(BATCH, LENGTH, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)

    def attention(p, h):
        q, k, v = map(heads, jnp.split(h @ p["qkv"], 3, -1))
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(WIDTH // HEADS)
        z = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)) @ v
        return z.transpose(0, 2, 1, 3).reshape(BATCH, LENGTH, WIDTH) @ p["out"]

    def loss(P):
        h = P["tokens"][x] + P["places"]
        for p in P["blocks"]:
            h = h + attention(p, normalized(h, -1, *p["norm1"]))
            z = normalized(h, -1, *p["norm2"])
            h = h + jax.nn.gelu(z @ p["up"], approximate=False) @ p["down"]
        return cross_entropy(normalized(h, -1, *P["norm"]) @ P["tokens"].T, y)

    return Training(parameters, loss, partial(adam, beta2=0.99, decay=0.1), 2, clip=1.0)


TRAININGS: dict[str, Callable[[], Training]] = {
    **{name: partial(mlp, *shape) for name, shape in MLPS.items()},
    "mnist_cnn": mnist_cnn, "pinn": pinn, "lstm": lstm, "node": node, "gpt": gpt,
    "resnet18": resnet18,
}
