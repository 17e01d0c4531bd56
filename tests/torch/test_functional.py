"""Every function of nn.functional against PyTorch: values, gradients, history, dtypes."""

import warnings

import numpy as np
import pytest

import chainrule

torch = pytest.importorskip("torch")

# --------------------------------------------------------------------------- what to call
# An expression in F and the arguments a, b, c ...: a shape (drawn from the normal distribution),
# or one of the kinds below.


def ids(n, *shape):
    return lambda rng: rng.integers(0, n, shape)


def probabilities(*shape):
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def positive(*shape):
    return lambda rng: rng.uniform(0.5, 2.0, shape)


def signs(*shape):
    return lambda rng: rng.choice([-1.0, 1.0], shape)


def flags(*shape):
    # The first column is always set: no row is without a flag.
    def draw(rng):
        found = rng.random(shape) < 0.6
        found[..., 0] = True
        return found

    return draw


def simplex(*shape):
    def draw(rng):
        p = rng.random(shape)
        return p / p.sum(1, keepdims=True)

    return draw


ACTIVATIONS = [
    ("F.relu(a)", [(3, 4)]),
    ("F.sigmoid(a)", [(3, 4)]),
    ("F.tanh(a)", [(3, 4)]),
    ("F.tanhshrink(a)", [(3, 4)]),
    ("F.threshold(a, 0.3, -2.0)", [(3, 4)]),
    ("F.leaky_relu(a)", [(3, 4)]),
    ("F.leaky_relu(a, 0.3)", [(3, 4)]),
    ("F.prelu(a, b)", [(2, 3, 4), (3,)]),
    ("F.prelu(a, b[:1])", [(2, 3, 4), (3,)]),
    ("F.prelu(a, b)", [(5,), (1,)]),
    ("F.elu(a)", [(3, 4)]),
    ("F.elu(a * 100, 0.7)", [(3, 4)]),
    ("F.selu(a)", [(3, 4)]),
    ("F.celu(a)", [(3, 4)]),
    ("F.celu(a, 2.0)", [(3, 4)]),
    ("F.gelu(a)", [(3, 4)]),
    ("F.gelu(a, approximate='tanh')", [(3, 4)]),
    ("F.silu(a)", [(3, 4)]),
    ("F.mish(a)", [(3, 4)]),
    ("F.softplus(a)", [(3, 4)]),
    ("F.softplus(a * 30)", [(3, 4)]),
    ("F.softplus(a, 2.5, 1.0)", [(3, 4)]),
    ("F.logsigmoid(a)", [(3, 4)]),
    ("F.logsigmoid(a * 500)", [(3, 4)]),
    ("F.softsign(a)", [(3, 4)]),
    ("F.hardtanh(a)", [(3, 4)]),
    ("F.hardtanh(a, -0.2, 0.4)", [(3, 4)]),
    ("F.relu6(a * 5)", [(3, 4)]),
    ("F.hardsigmoid(a * 3)", [(3, 4)]),
    ("F.hardswish(a * 3)", [(3, 4)]),
    ("F.hardshrink(a)", [(3, 4)]),
    ("F.hardshrink(a, 0.1)", [(3, 4)]),
    ("F.softshrink(a)", [(3, 4)]),
    ("F.softshrink(a, 0.1)", [(3, 4)]),
    ("F.rrelu(a)", [(3, 4)]),
    ("F.rrelu(a, 0.2, 0.6)", [(3, 4)]),
    ("F.glu(a)", [(3, 4)]),
    ("F.glu(a, 0)", [(4, 3)]),
    ("F.softmax(a, 0)", [(3, 4)]),
    ("F.softmax(a * 1000, dim=-1)", [(2, 3, 4)]),
    ("F.softmax(a, 0, dtype=torch.float64)", [(3,)]),
    ("F.softmin(a, dim=1)", [(3, 4)]),
    ("F.log_softmax(a, 1)", [(3, 4)]),
    ("F.log_softmax(a * 1000, dim=0)", [(2, 3, 4)]),
    ("F.relu(a * 1, inplace=True)", [(3, 4)]),
    ("F.silu(a * 1, inplace=True)", [(3, 4)]),
    ("F.hardtanh(a * 1, inplace=True)", [(3, 4)]),
    ("F.relu_(a * 1)", [(3, 4)]),
    ("F.softmax(a, 0)", [(0, 4)]),
    ("F.log_softmax(a, 0)", [()]),
]

LINEAR = [
    ("F.linear(a, b)", [(3,), (4, 3)]),
    ("F.linear(a, b, c)", [(2, 3), (4, 3), (4,)]),
    ("F.linear(a, b)", [(2, 3), (4, 3)]),
    ("F.linear(a, b, c)", [(5, 2, 3), (4, 3), (4,)]),
    ("F.linear(a, b)", [(5, 2, 3), (4, 3)]),
    ("F.linear(a, b, c)", [(2, 5, 2, 3), (4, 3), (4,)]),
    ("F.linear(a, b, c)", [(3,), (4, 3), (4,)]),
    ("F.linear(a, b)", [(0, 3), (4, 3)]),
    ("F.bilinear(a, b, c, d)", [(5, 2), (5, 3), (4, 2, 3), (4,)]),
    ("F.bilinear(a, b, c)", [(2, 5, 2), (2, 5, 3), (4, 2, 3)]),
]

CONVOLUTIONS = [
    ("F.conv1d(a, b)", [(2, 3, 9), (4, 3, 3)]),
    ("F.conv1d(a, b, c, 2, 1, 2)", [(2, 4, 11), (6, 4, 3), (6,)]),
    ("F.conv1d(a, b, c, groups=2)", [(2, 4, 11), (6, 2, 3), (6,)]),
    ("F.conv1d(a, b, c, padding='same')", [(2, 3, 7), (4, 3, 4), (4,)]),
    ("F.conv1d(a, b, c, padding='same', dilation=2)", [(2, 3, 9), (4, 3, 4), (4,)]),
    ("F.conv1d(a, b, c)", [(3, 9), (4, 3, 3), (4,)]),
    ("F.conv2d(a, b)", [(2, 3, 6, 5), (4, 3, 3, 2)]),
    ("F.conv2d(a, b, c, (2, 1), (1, 2), (1, 2))", [(2, 3, 6, 7), (4, 3, 3, 2), (4,)]),
    ("F.conv2d(a, b, c, 3, 2)", [(2, 3, 6, 7), (4, 3, 3, 3), (4,)]),
    ("F.conv2d(a, b, c, padding='valid')", [(2, 3, 6, 7), (4, 3, 3, 3), (4,)]),
    ("F.conv2d(a, b, c, padding='same', dilation=(1, 2))", [(2, 3, 6, 7), (4, 3, 3, 3), (4,)]),
    ("F.conv2d(a, b, c, groups=4, padding=1)", [(2, 4, 6, 5), (4, 1, 3, 3), (4,)]),
    ("F.conv2d(a, b, None, 2, 1, 2, 2)", [(2, 4, 9, 8), (6, 2, 3, 3)]),
    ("F.conv2d(a, b, c)", [(3, 6, 5), (4, 3, 1, 1), (4,)]),
    ("F.conv2d(a, b, c, padding=1)", [(0, 3, 6, 5), (4, 3, 3, 3), (4,)]),
    ("F.conv3d(a, b, c, 2, 1)", [(2, 2, 4, 5, 4), (3, 2, 3, 2, 2), (3,)]),
    ("F.conv3d(a, b, groups=2)", [(1, 2, 4, 4, 4), (4, 1, 2, 2, 2)]),
    ("F.conv_transpose1d(a, b)", [(2, 3, 5), (3, 4, 3)]),
    ("F.conv_transpose1d(a, b, c, 3, 1, 2, dilation=2)", [(2, 3, 5), (3, 4, 3), (4,)]),
    ("F.conv_transpose2d(a, b, c)", [(2, 3, 4, 5), (3, 4, 3, 2), (4,)]),
    ("F.conv_transpose2d(a, b, c, 2, 1, 1)", [(2, 3, 4, 5), (3, 4, 3, 3), (4,)]),
    (
        "F.conv_transpose2d(a, b, c, (2, 3), 0, (1, 0), 2, (1, 2))",
        [(2, 4, 3, 3), (4, 3, 2, 3), (6,)],
    ),
    ("F.conv_transpose2d(a, b, dilation=3, output_padding=2)", [(1, 2, 3, 3), (2, 2, 2, 2)]),
    ("F.conv_transpose2d(a, b)", [(3, 4, 5), (3, 4, 3, 2)]),
    ("F.conv_transpose3d(a, b, c, 2, 1)", [(1, 2, 3, 2, 3), (2, 3, 3, 2, 2), (3,)]),
]

POOLING = [
    ("F.max_pool1d(a, 2)", [(2, 3, 7)]),
    ("F.max_pool1d(a, 3, 2, 1, 2, True)", [(2, 3, 11)]),
    ("F.max_pool1d(a, 2)", [(3, 7)]),
    ("F.max_pool2d(a, 2)", [(2, 3, 6, 5)]),
    ("F.max_pool2d(a, (3, 2), (2, 1), (1, 0))", [(2, 3, 6, 5)]),
    ("F.max_pool2d(a, 3, 2, 1, 1, True)", [(2, 3, 6, 7)]),
    ("F.max_pool2d(a, 2, 1, 0, 2)", [(2, 3, 6, 7)]),
    ("F.max_pool2d(a, 2)", [(3, 6, 5)]),
    ("F.max_pool2d(a.round(), 3, 1, 1)", [(2, 3, 6, 7)]),
    ("F.max_pool2d(a, 2, return_indices=True)", [(2, 3, 6, 5)]),
    ("F.max_pool2d(a.round(), 3, 2, 1, ceil_mode=True, return_indices=True)", [(2, 3, 6, 7)]),
    ("F.max_pool3d(a, 2, 1)", [(1, 2, 3, 4, 3)]),
    ("F.max_pool3d(a, 2, 2, 1, return_indices=True)", [(1, 2, 3, 4, 3)]),
    ("F.avg_pool1d(a, 2)", [(2, 3, 7)]),
    ("F.avg_pool1d(a, 3, 2, 1, True, False)", [(2, 3, 8)]),
    ("F.avg_pool2d(a, 2)", [(2, 3, 6, 5)]),
    ("F.avg_pool2d(a, (3, 2), (2, 1), (1, 0))", [(2, 3, 6, 5)]),
    ("F.avg_pool2d(a, 3, 2, 1, True)", [(2, 3, 6, 7)]),
    ("F.avg_pool2d(a, 3, 2, 1, True, False)", [(2, 3, 6, 7)]),
    ("F.avg_pool2d(a, 3, 2, 1, False, False)", [(3, 6, 7)]),
    ("F.avg_pool2d(a, 2, 3, ceil_mode=True)", [(1, 1, 6, 7)]),
    ("F.avg_pool2d(a, 2, divisor_override=3)", [(2, 3, 6, 5)]),
    ("F.avg_pool3d(a, 2, 1, 1)", [(1, 2, 3, 4, 3)]),
    ("F.adaptive_avg_pool1d(a, 3)", [(2, 3, 7)]),
    ("F.adaptive_avg_pool1d(a, 3)", [(2, 3, 6)]),
    ("F.adaptive_avg_pool2d(a, (3, 2))", [(2, 3, 6, 4)]),
    ("F.adaptive_avg_pool2d(a, (4, 3))", [(2, 3, 7, 5)]),
    ("F.adaptive_avg_pool2d(a, (None, 7))", [(2, 3, 4, 5)]),
    ("F.adaptive_avg_pool2d(a, 2)", [(3, 4, 5)]),
    ("F.adaptive_avg_pool2d(a, 1)", [(2, 3, 4, 5)]),
    ("F.adaptive_avg_pool3d(a, 2)", [(1, 2, 3, 4, 5)]),
    ("F.adaptive_max_pool1d(a, 3)", [(2, 3, 7)]),
    ("F.adaptive_max_pool2d(a, (3, 2))", [(2, 3, 6, 4)]),
    ("F.adaptive_max_pool2d(a.round(), (4, 3), return_indices=True)", [(2, 3, 7, 5)]),
    ("F.adaptive_max_pool3d(a, 2)", [(1, 2, 3, 4, 5)]),
    ("F.lp_pool1d(a, 2, 3)", [positive(2, 3, 9)]),
    ("F.lp_pool2d(a, 3, (2, 3), 2, True)", [positive(2, 3, 9, 8)]),
    ("F.max_unpool2d(*F.max_pool2d(a, 2, return_indices=True), 2)", [(2, 3, 6, 4)]),
    ("F.max_unpool1d(*F.max_pool1d(a, 2, return_indices=True), 2, output_size=(7,))", [(2, 3, 7)]),
]

VISION = [
    ("F.pad(a, (1, 2))", [(2, 3)]),
    ("F.pad(a, (1, 2, 0, 1), value=3.5)", [(2, 3, 4)]),
    ("F.pad(a, (-1, 2, 1, -1), 'constant', 1.0)", [(2, 3, 4)]),
    ("F.pad(a, (2, 1), mode='reflect')", [(2, 3, 4)]),
    ("F.pad(a, (2, 1, 1, 3), mode='reflect')", [(2, 3, 4, 4)]),
    ("F.pad(a, (0, 1, 1, 0, 2, 0), mode='reflect')", [(1, 2, 3, 3, 3)]),
    ("F.pad(a, (2, 5, 1, 3), mode='replicate')", [(2, 3, 4, 4)]),
    ("F.pad(a, (2, 1), mode='replicate')", [(3, 4)]),
    ("F.pad(a, (2, 1, 1, 3), mode='circular')", [(2, 3, 4, 4)]),
    ("F.interpolate(a, scale_factor=2)", [(1, 2, 3, 4)]),
    ("F.interpolate(a, 5)", [(1, 2, 7)]),
    ("F.interpolate(a, (5, 3, 4))", [(1, 2, 3, 2, 6)]),
    ("F.interpolate(a, scale_factor=1.7)", [(1, 2, 7, 5)]),
    ("F.interpolate(a, scale_factor=1.7, recompute_scale_factor=True)", [(1, 2, 7, 5)]),
    ("F.interpolate(a, (5, 9), mode='nearest-exact')", [(1, 2, 3, 4)]),
    ("F.interpolate(a, 7, mode='linear')", [(1, 2, 4)]),
    ("F.interpolate(a, scale_factor=0.6, mode='linear')", [(1, 2, 9)]),
    ("F.interpolate(a, (7, 5), mode='bilinear')", [(1, 2, 4, 3)]),
    ("F.interpolate(a, (7, 5), mode='bilinear', align_corners=True)", [(1, 2, 4, 3)]),
    ("F.interpolate(a, (1, 5), mode='bilinear', align_corners=True)", [(1, 2, 4, 3)]),
    ("F.interpolate(a, scale_factor=(2, 0.7), mode='bilinear')", [(1, 2, 4, 6)]),
    ("F.interpolate(a, scale_factor=2, mode='trilinear')", [(1, 2, 3, 2, 2)]),
    ("F.interpolate(a, (7, 5), mode='bicubic')", [(1, 2, 4, 3)]),
    ("F.interpolate(a, (7, 5), mode='bicubic', align_corners=True)", [(1, 2, 4, 3)]),
    ("F.interpolate(a, (2, 3), mode='area')", [(1, 2, 4, 5)]),
    ("F.pixel_shuffle(a, 2)", [(2, 8, 2, 3)]),
    ("F.pixel_unshuffle(a, 2)", [(2, 2, 4, 6)]),
    ("F.channel_shuffle(a, 3)", [(2, 6, 2, 2)]),
    ("F.unfold(a, 2)", [(2, 3, 4, 5)]),
    ("F.unfold(a, (2, 3), 2, 1, (1, 2))", [(2, 3, 6, 7)]),
    ("F.unfold(a, 2)", [(3, 4, 5)]),
    ("F.fold(a, (4, 5), 2)", [(2, 12, 12)]),
    ("F.fold(a, (6, 7), (2, 3), 2, 1, (1, 2))", [(2, 18, 18)]),
    ("F.fold(a, (4, 5), 2)", [(12, 12)]),
]

NORMS = [
    ("F.batch_norm(a, None, None, training=True)", [(4, 3)]),
    ("F.batch_norm(a, None, None, b, c, True)", [(4, 3, 5), (3,), (3,)]),
    (
        "F.batch_norm(a, b.detach(), c.detach(), d, e)",
        [(4, 3, 2, 2), (3,), positive(3), (3,), (3,)],
    ),
    ("F.layer_norm(a, (4,))", [(2, 3, 4)]),
    ("F.layer_norm(a, (3, 4), b, c)", [(2, 3, 4), (3, 4), (3, 4)]),
    ("F.layer_norm(a, [4], b, eps=0.1)", [(2, 3, 4), (4,)]),
    ("F.group_norm(a, 2)", [(3, 4)]),
    ("F.group_norm(a, 2, b, c)", [(3, 4, 5, 2), (4,), (4,)]),
    ("F.instance_norm(a)", [(2, 3, 4)]),
    ("F.instance_norm(a, weight=b, bias=c)", [(2, 3, 4, 2), (3,), (3,)]),
    (
        "F.instance_norm(a, b.detach(), c.detach(), use_input_stats=False)",
        [
            (2, 3, 4),
            (3,),
            positive(3),
        ],
    ),
    ("F.rms_norm(a, (4,))", [(2, 3, 4)]),
    ("F.rms_norm(a, (3, 4), b, 0.1)", [(2, 3, 4), (3, 4)]),
    ("F.local_response_norm(a, 3)", [(2, 5, 4)]),
    ("F.local_response_norm(a, 2, 0.1, 0.6, 2.0)", [(2, 5, 4, 3)]),
    ("F.normalize(a)", [(3, 4)]),
    ("F.normalize(a, 1.0, -1)", [(2, 3, 4)]),
    ("F.normalize(a, 3.0, (0, 1))", [(3, 4)]),
    ("F.cosine_similarity(a, b)", [(3, 4), (3, 4)]),
    ("F.cosine_similarity(a, b, -1)", [(2, 3, 4), (1, 3, 4)]),
    ("F.pairwise_distance(a, b)", [(3, 4), (3, 4)]),
    ("F.pairwise_distance(a, b, 1.0, 1e-3, True)", [(3, 4), (4,)]),
    ("F.pdist(a)", [(4, 3)]),
]

LOSSES = [
    ("F.mse_loss(a, b, {})", [(3, 4), (3, 4)]),
    ("F.l1_loss(a, b, {})", [(3, 4), (3, 4)]),
    ("F.mse_loss(a, b, weight=c, {})", [(3, 4), (3, 4), positive(3, 4)]),
    ("F.l1_loss(a, b, weight=c, {})", [(3, 4), (3, 4), positive(3, 4)]),
    ("F.smooth_l1_loss(a, b, {})", [(3, 4), (3, 4)]),
    ("F.smooth_l1_loss(a, b, beta=0.3, {})", [(3, 4), (3, 4)]),
    ("F.smooth_l1_loss(a, b, beta=0, {})", [(3, 4), (3, 4)]),
    ("F.huber_loss(a, b, {})", [(3, 4), (3, 4)]),
    ("F.huber_loss(a, b, delta=0.4, {})", [(3, 4), (3, 4)]),
    ("F.huber_loss(a, b, weight=c, {})", [(3, 4), (3, 4), positive(3, 4)]),
    ("F.nll_loss(a, b, {})", [(5, 4), ids(4, 5)]),
    ("F.nll_loss(a, b, c.detach(), {})", [(5, 4), ids(4, 5), positive(4)]),
    ("F.nll_loss(a, b, c.detach(), ignore_index=1, {})", [(5, 4), ids(4, 5), positive(4)]),
    ("F.nll_loss(a, b, {})", [(4,), ids(4)]),
    ("F.nll_loss(a, b, ignore_index=2, {})", [(2, 4, 5, 3), ids(4, 2, 5, 3)]),
    ("F.cross_entropy(a, b, {})", [(5, 4), ids(4, 5)]),
    ("F.cross_entropy(a * 1000, b, {})", [(5, 4), ids(4, 5)]),
    ("F.cross_entropy(a, b, {})", [(4,), ids(4)]),
    ("F.cross_entropy(a, b, c.detach(), {})", [(5, 4), ids(4, 5), positive(4)]),
    (
        "F.cross_entropy(a, b, c.detach(), ignore_index=2, label_smoothing=0.2, {})",
        [
            (5, 4),
            ids(4, 5),
            positive(4),
        ],
    ),
    ("F.cross_entropy(a, b, label_smoothing=0.2, {})", [(5, 4), ids(4, 5)]),
    ("F.cross_entropy(a, b, ignore_index=1, {})", [(5, 4), ids(4, 5)]),
    ("F.cross_entropy(a, b, {})", [(2, 4, 3), ids(4, 2, 3)]),
    (
        "F.cross_entropy(a, b, c.detach(), label_smoothing=0.1, {})",
        [
            (2, 4, 3, 2),
            ids(4, 2, 3, 2),
            positive(4),
        ],
    ),
    ("F.cross_entropy(a, b, {})", [(5, 4), simplex(5, 4)]),
    (
        "F.cross_entropy(a, b, c, label_smoothing=0.1, {})",
        [
            (2, 4, 3),
            simplex(2, 4, 3),
            positive(4),
        ],
    ),
    ("F.binary_cross_entropy(a, b, {})", [probabilities(3, 4), probabilities(3, 4)]),
    (
        "F.binary_cross_entropy(a, b, c.detach(), {})",
        [
            probabilities(3, 4),
            probabilities(3, 4),
            positive(4),
        ],
    ),
    ("F.binary_cross_entropy_with_logits(a, b, {})", [(3, 4), probabilities(3, 4)]),
    ("F.binary_cross_entropy_with_logits(a * 1000, b, {})", [(3, 4), probabilities(3, 4)]),
    (
        "F.binary_cross_entropy_with_logits(a, b, c.detach(), pos_weight=d.detach(), {})",
        [
            (3, 4),
            probabilities(3, 4),
            positive(4),
            positive(4),
        ],
    ),
    ("F.kl_div(a, b, {})", [(3, 4), simplex(3, 4)]),
    ("F.kl_div(a, b.log(), log_target=True, {})", [(3, 4), simplex(3, 4)]),
    ("F.poisson_nll_loss(a, b, {})", [(3, 4), positive(3, 4)]),
    ("F.poisson_nll_loss(a, b, False, True, {})", [positive(3, 4), positive(3, 4)]),
    ("F.gaussian_nll_loss(a, b, c, {})", [(3, 4), (3, 4), positive(3, 4)]),
    ("F.gaussian_nll_loss(a, b, c, True, 0.8, {})", [(3, 4), (3, 4), positive(3)]),
    ("F.gaussian_nll_loss(a, b, c, {})", [(3, 4), (3, 4), positive(3, 1)]),
    ("F.margin_ranking_loss(a, b, c, 0.3, {})", [(5,), (5,), signs(5)]),
    ("F.hinge_embedding_loss(a, b, 0.7, {})", [(3, 4), signs(3, 4)]),
    ("F.cosine_embedding_loss(a, b, c, 0.1, {})", [(5, 4), (5, 4), signs(5)]),
    ("F.triplet_margin_loss(a, b, c, {})", [(5, 4), (5, 4), (5, 4)]),
    ("F.triplet_margin_loss(a, b, c, 0.5, 1.5, swap=True, {})", [(5, 4), (5, 4), (5, 4)]),
    ("F.triplet_margin_with_distance_loss(a, b, c, swap=True, {})", [(5, 4), (5, 4), (5, 4)]),
    ("F.soft_margin_loss(a, b.detach(), {})", [(3, 4), signs(3, 4)]),
    ("F.multilabel_soft_margin_loss(a, b, c, {})", [(3, 4), probabilities(3, 4), positive(4)]),
    ("F.multi_margin_loss(a, b, {})", [(5, 4), ids(4, 5)]),
    ("F.multi_margin_loss(a, b, 2, 0.7, c.detach(), {})", [(5, 4), ids(4, 5), positive(4)]),
]
LOSSES = [
    (expression.format(f"reduction='{reduction}'"), specs)
    for expression, specs in LOSSES
    for reduction in ("mean", "sum", "none")
] + [("F.kl_div(a, b, reduction='batchmean')", [(3, 4), simplex(3, 4)])]

SPARSE = [
    ("F.embedding(b, a)", [(5, 3), ids(5, 2, 4)]),
    ("F.embedding(b, a, 2)", [(5, 3), ids(5, 9)]),
    ("F.embedding(b, a, -1, scale_grad_by_freq=True)", [(5, 3), ids(5, 9)]),
    ("F.embedding(b.int(), a)", [(5, 3), ids(5)]),
    ("F.one_hot(a)", [ids(5, 2, 4)]),
    ("F.one_hot(a, 7)", [ids(5, 2, 4)]),
    ("F.dropout(a, 0.3)", [(4, 5)]),
    ("F.dropout(a, 1.0)", [(4, 5)]),
    ("F.dropout(a * 1, 0.3, inplace=True)", [(4, 5)]),
    ("F.dropout1d(a, 0.4)", [(4, 5, 3)]),
    ("F.dropout1d(a, 0.4)", [(5, 3)]),
    ("F.dropout2d(a, 0.4)", [(4, 5, 2, 3)]),
    ("F.dropout2d(a, 0.4)", [(4, 5, 2)]),
    ("F.dropout3d(a, 0.4)", [(4, 5, 2, 3, 1)]),
    ("F.alpha_dropout(a, 0.4, True)", [(4, 5)]),
    ("F.feature_alpha_dropout(a, 0.4, True)", [(4, 5, 3)]),
    ("F.gumbel_softmax(a)", [(4, 5)]),
    ("F.gumbel_softmax(a, 0.5, True, dim=0)", [(4, 5)]),
]

ATTENTION = [
    ("F.scaled_dot_product_attention(a, b, c)", [(2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5)]),
    ("F.scaled_dot_product_attention(a, b, c)", [(3, 4, 5), (3, 6, 5), (3, 6, 7)]),
    ("F.scaled_dot_product_attention(a, b, c, is_causal=True)", [(2, 3, 4, 5)] * 3),
    (
        "F.scaled_dot_product_attention(a, b, c, is_causal=True)",
        [(2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5)],
    ),
    ("F.scaled_dot_product_attention(a, b, c, d)", [*[(2, 3, 4, 5)] * 3, (4, 4)]),
    (
        "F.scaled_dot_product_attention(a, b, c, d, scale=0.3)",
        [*[(2, 3, 4, 5)] * 3, flags(2, 1, 4, 4)],
    ),
    ("F.scaled_dot_product_attention(a, b, c, torch.zeros(4, 4) > 0)", [(2, 3, 4, 5)] * 3),
    ("F.scaled_dot_product_attention(a, b, c, dropout_p=0.3)", [(2, 3, 4, 5)] * 3),
    (
        "F.scaled_dot_product_attention(a, b, c, enable_gqa=True)",
        [(2, 6, 4, 5), (2, 2, 4, 5), (2, 2, 4, 5)],
    ),
]

CASES = ACTIVATIONS + LINEAR + CONVOLUTIONS + POOLING + VISION + NORMS + LOSSES + SPARSE + ATTENTION


# --------------------------------------------------------------------------- how to compare
def drawn(specs, dtype):
    rng = np.random.default_rng(0)
    arrays = [s(rng) if callable(s) else rng.standard_normal(s) for s in specs]
    return [np.asarray(a, dtype if np.asarray(a).dtype.kind == "f" else None) for a in arrays]


def called(library, expression, arrays):
    """The outputs of the expression, and its differentiable arguments."""
    library.manual_seed(1)
    arguments = [library.tensor(a) for a in arrays]
    leaves = [x.requires_grad_() for x in arguments if x.dtype.is_floating_point]
    names = {"F": library.nn.functional, "torch": library} | dict(zip("abcde", arguments))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = eval(expression.strip(), names)
    return (found if isinstance(found, tuple) else (found,)), leaves


def values_and_gradients(library, expression, arrays):
    outputs, leaves = called(library, expression, arrays)
    if outputs[0].requires_grad:
        weights = np.random.default_rng(1).standard_normal(tuple(outputs[0].shape))
        total = (outputs[0] * library.tensor(weights).to(outputs[0].dtype)).sum()
        total.backward()
    gradients = [None if x.grad is None else x.grad for x in leaves]
    return [*outputs, *gradients]


def agree(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs):
        if x is None or y is None:
            given = x if y is None else y
            assert given is None or not given.any()
            continue
        assert tuple(x.shape) == tuple(y.shape) and repr(x.dtype) == repr(y.dtype)
        np.testing.assert_allclose(
            x.detach().numpy(), y.detach().numpy(), rtol=tolerance, atol=tolerance
        )


def name_of(case):
    return case[0] if isinstance(case, tuple) else None


# PyTorch's own kernels hold some constants in float32 only.
COARSE = ("F.hardsigmoid(a * 3)",)


@pytest.mark.parametrize("case", CASES, ids=name_of)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 2e-5)])
def test_values_and_gradients(case, dtype, tolerance):
    expression, specs = case
    arrays = drawn(specs, dtype)
    results = [values_and_gradients(lib, expression, arrays) for lib in (chainrule, torch)]
    agree(*results, 1e-7 if expression in COARSE else tolerance)


def history(library, case):
    (output, *_), _ = called(library, case[0], drawn(case[1], "float32"))
    if not output.requires_grad:
        return None
    name = repr(output.grad_fn)[1:-1].split(" ")[0].split("::")[-1]
    # PyTorch's C++ code numbers a division by a number apart, Python's does not.
    return name.replace("DivBackward1", "DivBackward0")


def shown_as_other_step(case):
    """In these PyTorch shows the last one of its steps, and chainrule the function's name."""
    expression, specs = case
    parts = ("weight=c", "beta=0,", "adaptive_avg_pool2d(a, 1)", "F.bilinear(a, b, c)")
    return any(part in expression for part in parts) or (expression, specs[0]) in (
        ("F.dropout1d(a, 0.4)", (5, 3)),
        ("F.cross_entropy(a, b, reduction='none')", (2, 4, 3)),
    )


@pytest.mark.parametrize(
    "case", [case for case in CASES if not shown_as_other_step(case)], ids=name_of
)
def test_history_has_the_same_name(case):
    assert history(chainrule, case) == history(torch, case)
