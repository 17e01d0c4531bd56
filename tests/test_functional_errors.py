"""nn.functional refuses bad input: the type that PyTorch raises, the rule and the facts."""

import re
import warnings

import pytest

import chainrule

# expression -> what PyTorch raises, and parts of the text
BAD = {
    # common
    "F.gelu(ones(2).long())": (
        RuntimeError,
        "gelu requires a floating-point input, got torch.int64",
    ),
    "F.softmax(ones(2).long(), 0)": (RuntimeError, "softmax requires a floating-point input"),
    "F.mse_loss(ones(3), ones(3), reduction='most')": (ValueError, "mse_loss", "'most'", "'sum'"),
    "F.kl_div(ones(3), ones(3), reduction='most')": (ValueError, "kl_div", "'batchmean'"),
    "F.huber_loss(ones(3), ones(3), reduction='most')": (
        ValueError,
        "huber_loss requires",
        "'most'",
    ),
    "F.conv2d(x, w, stride=(1, 2, 3))": (RuntimeError, "one integer or 2 of them, got (1, 2, 3)"),
    # activations
    "F.celu(ones(2), alpha=0)": (RuntimeError, "celu requires alpha != 0, got 0"),
    "F.gelu(ones(2), approximate='much')": (RuntimeError, "'tanh', got 'much'"),
    "F.glu(ones(3))": (RuntimeError, "glu requires an even size in dim -1, got (3,)"),
    "F.prelu(ones(2, 3), ones(2))": (RuntimeError, "each of 3 channels, got weight (2,)"),
    "F.hardtanh(ones(3), 1, 0)": (ValueError, "min_val <= max_val, got 1 and 0"),
    "F.softshrink(ones(3), -1)": (RuntimeError, "lambd >= 0, got -1"),
    "F.rrelu(ones(3), 1, 0)": (RuntimeError, "lower <= upper, got 1 and 0"),
    # linear
    "F.linear(ones(2, 3), ones(4, 5))": (RuntimeError, "(2, 3) and weight (4, 5)", "(out, in)"),
    "F.linear(ones(()), ones(4, 3))": (RuntimeError, "() and weight (4, 3)"),
    "F.linear(ones(3), ones(4, 3).double())": (
        RuntimeError,
        "linear requires input and weight of the same dtype, got torch.float32 and torch.float64",
    ),
    "F.bilinear(ones(2, 3), ones(3, 3), ones(4, 3, 3))": (RuntimeError, "(2, 3) and (3, 3)"),
    "F.bilinear(ones(2, 3), ones(2, 3), ones(4, 3, 2))": (
        RuntimeError,
        "(out, 3, 3), got (4, 3, 2)",
    ),
    # convolutions
    "F.conv2d(x, ones(3, 3, 3, 3))": (
        RuntimeError,
        "input of 3 channels",
        "got input (1, 2, 4, 4)",
    ),
    "F.conv2d(x, ones(3, 2, 5, 5))": (RuntimeError, "kernel (5, 5) (dilated) and input (4, 4)"),
    "F.conv2d(x, ones(3, 2, 3))": (RuntimeError, "weight of 4 dimensions, got (3, 2, 3)"),
    "F.conv2d(x[0, 0], w)": (RuntimeError, "2 spatial axes, got (4, 4)"),
    "F.conv2d(x, w, ones(2))": (RuntimeError, "bias of shape (3,), got (2,)"),
    "F.conv2d(x, w.double())": (RuntimeError, "torch.float32 and torch.float64"),
    "F.conv2d(x, w, padding='much')": (RuntimeError, "'valid' or 'same', got 'much'"),
    "F.conv2d(x, w, padding='same', stride=2)": (RuntimeError, "stride 1", "got stride (2, 2)"),
    "F.conv2d(x, w, groups=2)": (RuntimeError, "divide the 3 channels", "groups=2"),
    "F.conv2d(x, w, groups=0)": (RuntimeError, "groups=0"),
    "F.conv2d(x, w, stride=0)": (RuntimeError, "stride >= 1, got (0, 0)"),
    "F.conv2d(x, w, padding=-1)": (RuntimeError, "padding >= 0, got (-1, -1)"),
    "F.conv2d(x, w, dilation=0)": (RuntimeError, "dilation >= 1"),
    "F.conv_transpose2d(x, w)": (RuntimeError, "conv_transpose2d requires an input of 3 channels"),
    "F.conv_transpose2d(x, ones(2, 2, 3, 3), output_padding=1)": (
        RuntimeError,
        "output_padding (1, 1)",
    ),
    "F.conv_transpose2d(x, ones(2, 2, 3, 3), padding=4)": (
        RuntimeError,
        "leaves something",
        "(4, 4)",
    ),
    # pooling
    "F.max_pool2d(x, 5)": (RuntimeError, "kernel_size (5, 5) for spatial axes (4, 4)"),
    "F.max_pool2d(x, 2, padding=2)": (RuntimeError, "half of the window, got padding (2, 2)"),
    "F.max_pool2d(x, 0)": (RuntimeError, "kernel_size >= 1, got (0, 0)"),
    "F.avg_pool2d(x, 2, 0)": (RuntimeError, "stride >= 1, got (0, 0)"),
    "F.max_pool2d(ones(2, 2), 2)": (RuntimeError, "2 spatial axes, got (2, 2)"),
    "F.adaptive_avg_pool2d(ones(2, 2), 2)": (RuntimeError, "2 spatial axes, got (2, 2)"),
    "F.adaptive_avg_pool2d(x, (1, 2, 3))": (RuntimeError, "with 2 numbers, got (1, 2, 3)"),
    "F.avg_pool2d(x, 2, divisor_override=0)": (RuntimeError, "divisor_override != 0"),
    "F.max_unpool2d(x, ones(1, 2, 2, 2).long(), 2)": (RuntimeError, "got (1, 2, 2, 2)"),
    # padding
    "F.pad(x, (1,))": (RuntimeError, "two widths for each of at most 4 axes, got (1,)"),
    "F.pad(x, (1, 1), mode='much')": (RuntimeError, "'reflect'", "got 'much'"),
    "F.pad(x, (5, 1, 1, 1), mode='reflect')": (RuntimeError, "got (5, 1) for axis 3"),
    "F.pad(x, (5, 1, 1, 1), mode='circular')": (RuntimeError, "axis of 4 elements"),
    "F.pad(x, (1, 1), mode='reflect', value=1.0)": (RuntimeError, "no value", "got 1.0"),
    "F.pad(x, (-3, -3))": (RuntimeError, "got (-3, -3) for axis 3"),
    "F.pad(x, (1,) * 8, mode='reflect')": (RuntimeError, "1 to 3 axes", "got 4"),
    # images
    "F.interpolate(x, 3, mode='bilinear', antialias=True)": (
        ValueError,
        "antialias=False, got True",
    ),
    "F.interpolate(x, scale_factor=2, mode='much')": (RuntimeError, "'bilinear'", "'much'"),
    "F.interpolate(x, scale_factor=2, mode='linear')": (RuntimeError, "'linear' and (1, 2, 4, 4)"),
    "F.interpolate(x)": (ValueError, "either size or scale_factor, got None and None"),
    "F.interpolate(x, 3, 2.0)": (ValueError, "either size or scale_factor, got 3 and 2.0"),
    "F.interpolate(x, scale_factor=(1.0, 2.0, 3.0))": (ValueError, "2 scale factors"),
    "F.interpolate(x, 3, align_corners=True)": (ValueError, "got 'nearest'"),
    "F.pixel_shuffle(ones(1, 3, 2, 2), 2)": (RuntimeError, "divisible by 4, got (1, 3, 2, 2)"),
    "F.pixel_shuffle(x, 0)": (RuntimeError, "factor >= 1", "got 0"),
    "F.pixel_unshuffle(ones(1, 3, 3, 3), 2)": (RuntimeError, "divisible by 2, got (1, 3, 3, 3)"),
    "F.channel_shuffle(ones(1, 3, 2, 2), 2)": (RuntimeError, "groups=2, got (1, 3, 2, 2)"),
    "F.unfold(x, 5)": (RuntimeError, "kernel_size (5, 5) for spatial axes (4, 4)"),
    "F.unfold(ones(2, 2), 1)": (RuntimeError, "(N, C, H, W), got (2, 2)"),
    "F.unfold(x, 2, stride=0)": (RuntimeError, "stride >= 1, got (0, 0)"),
    "F.fold(ones(1, 8, 15), (5, 5), 2)": (RuntimeError, "(N, C * 4, 16)", "got (1, 8, 15)"),
    # norms
    "F.batch_norm(ones(1, 2), None, None, training=True)": (
        ValueError,
        "more than 1 value per channel",
    ),
    "F.batch_norm(ones(3, 2), None, None)": (RuntimeError, "in evaluation, got None"),
    "F.batch_norm(ones(3, 2), ones(3), ones(3))": (RuntimeError, "each of 2 channels, got (3,)"),
    "F.batch_norm(ones(3), ones(3), ones(3))": (RuntimeError, "(N, C, *), got (3,)"),
    "F.instance_norm(ones(3, 4, 1))": (ValueError, "more than 1 spatial element"),
    "F.instance_norm(ones(3, 4, 2), use_input_stats=False)": (
        RuntimeError,
        "without use_input_stats",
    ),
    "F.group_norm(ones(3, 4), 3)": (RuntimeError, "num_groups=3, got (3, 4)"),
    "F.layer_norm(ones(3, 2), (3,))": (RuntimeError, "normalized_shape (3,), got (3, 2)"),
    "F.layer_norm(ones(3, 2), (2,), ones(3))": (
        RuntimeError,
        "weight of normalized_shape (2,), got (3,)",
    ),
    "F.local_response_norm(ones(3, 2), 3)": (ValueError, "at least 3 dimensions, got (3, 2)"),
    # dropout
    "F.dropout(ones(3), 2, training=False)": (ValueError, "p between 0 and 1, got 2"),
    "F.dropout(ones(3), -1)": (ValueError, "p between 0 and 1, got -1"),
    "F.dropout2d(ones(3))": (RuntimeError, "at least 2 dimensions, got (3,)"),
    # rows by index
    "F.embedding(t([3]), ones(3, 2))": (IndexError, "indices in [0, 2], got 3"),
    "F.embedding(t([-1]), ones(3, 2))": (IndexError, "indices in [0, 2], got -1"),
    "F.embedding(ones(2), ones(3, 2))": (RuntimeError, "int64 or int32, got torch.float32"),
    "F.embedding(t([1]), ones(3))": (RuntimeError, "(V, D), got (3,)"),
    "F.embedding(t([1]), ones(3, 2), padding_idx=3)": (ValueError, "padding_idx in [-3, 2], got 3"),
    "F.one_hot(ones(2))": (RuntimeError, "int64, got torch.float32"),
    "F.one_hot(t([1, 3]), 2)": (RuntimeError, "num_classes=2), got 1 to 3"),
    "F.one_hot(t([]).long())": (RuntimeError, "num_classes for an empty tensor"),
    "F.one_hot(t([]).long(), 0)": (RuntimeError, "num_classes >= 1, got 0"),
    # classes
    "F.cross_entropy(ones(3, 3), t([0, 3, 0]))": (IndexError, "targets in [0, 2], got 3"),
    "F.nll_loss(ones(3, 3), t([0, -1, 0]))": (IndexError, "targets in [0, 2], got -1"),
    "F.cross_entropy(ones(3, 3), t([0, 1]))": (ValueError, "(3, 3) and (2,)"),
    "F.cross_entropy(ones(3, 3), ones(3))": (RuntimeError, "int64 or uint8, got torch.float32"),
    "F.cross_entropy(ones(3, 3), ones(3, 3).long())": (
        RuntimeError,
        "probabilities",
        "torch.int64",
    ),
    "F.cross_entropy(ones(3, 3), ones(3, 3), ignore_index=1)": (RuntimeError, "ignore_index=1"),
    "F.cross_entropy(ones(3, 3), t([0, 1, 2]), ones(2))": (
        RuntimeError,
        "each of 3 classes, got (2,)",
    ),
    "F.cross_entropy(ones(3, 3), t([0, 1, 2]), label_smoothing=2.0)": (
        RuntimeError,
        "[0, 1], got 2.0",
    ),
    "F.nll_loss(ones(3, 3, 2), ones(3, 3).long())": (RuntimeError, "target (3, 2)", "got (3, 3)"),
    "F.multi_margin_loss(ones(3, 3), t([0, 1, 2]), p=3)": (ValueError, "p 1 or 2, got 3"),
    # other losses
    "F.binary_cross_entropy(ones(3), ones(2))": (ValueError, "shape (3,), got (2,)"),
    "F.binary_cross_entropy(ones(3), ones(3).long())": (RuntimeError, "got torch.int64"),
    "F.binary_cross_entropy(t([2.0]), ones(1))": (RuntimeError, "probabilities in [0, 1], got 2.0"),
    "F.binary_cross_entropy_with_logits(ones(3), ones(2))": (ValueError, "shape (3,), got (2,)"),
    "F.smooth_l1_loss(ones(3), ones(3), beta=-1)": (RuntimeError, "beta >= 0, got -1"),
    "F.huber_loss(ones(3), ones(3), delta=0)": (RuntimeError, "delta > 0, got 0"),
    "F.gaussian_nll_loss(ones(3), ones(3), t([1.0, -2.0, 1.0]))": (
        ValueError,
        "var >= 0, got -2.0",
    ),
    "F.gaussian_nll_loss(ones(3, 2), ones(3, 2), ones(2, 2))": (ValueError, "got (2, 2)"),
    "F.margin_ranking_loss(ones(3), ones(3, 1), ones(3))": (RuntimeError, "equal rank", "(3, 1)"),
    "F.triplet_margin_loss(ones(3), ones(3), ones(3), margin=-1)": (
        ValueError,
        "margin > 0, got -1",
    ),
    "F.triplet_margin_loss(ones(3), ones(3), ones(3, 3, 3))": (RuntimeError, "equal rank"),
    "F.cosine_embedding_loss(ones(3, 2), ones(3, 2), ones(3, 1))": (RuntimeError, "and (3, 1)"),
    # attention
    "A(q, q, q, ones(4, 4) > 0, is_causal=True)": (
        RuntimeError,
        "attn_mask or is_causal=True, got both",
    ),
    "A(q, q[..., :4], q)": (RuntimeError, "(*, L, E)", "(1, 2, 4, 4)"),
    "A(q, q.double(), q)": (RuntimeError, "torch.float32, torch.float64 and torch.float32"),
    "A(q[0, 0, 0], q, q)": (RuntimeError, "at least 2 dimensions"),
    "A(q, q, q, ones(4, 4).long())": (RuntimeError, "dtype bool or torch.float32, got torch.int64"),
    "A(ones(1, 3, 4, 8), q, q, enable_gqa=True)": (RuntimeError, "multiple", "got 3 and 2"),
    "M(ones(4, 2, 7), ones(4, 2, 7), ones(4, 2, 7))": (
        RuntimeError,
        "embed_dim=6",
        "got (4, 2, 7)",
    ),
    "M(s, ones(4, 6), s)": (RuntimeError, "3 dimensions, or of 2", "(4, 6)"),
    "M(s, s, ones(5, 2, 6))": (RuntimeError, "as many keys as values"),
    "M(s, s, s, is_causal=True)": (RuntimeError, "attn_mask with is_causal, got None"),
    "M(s, s, s, attn_mask=ones(3, 3))": (RuntimeError, "attn_mask (4, 4) or (4, 4, 4), got (3, 3)"),
    "M(s, s, s, key_padding_mask=ones(3, 3) > 0)": (
        RuntimeError,
        "key_padding_mask (2, 4), got (3, 3)",
    ),
}


def refused_call(library, expression):
    """Evaluate an expression of BAD in a library."""
    f, made = library.nn.functional, library.ones

    def many(q, k, v, **options):
        return f.multi_head_attention_forward(
            q, k, v, 6, 2, made(18, 6), None, None, None, False, 0.0, made(6, 6), None, **options
        )

    names = {"F": f, "ones": made, "t": library.tensor, "A": f.scaled_dot_product_attention}
    names |= {"M": many, "x": made(1, 2, 4, 4), "w": made(3, 2, 3, 3)}
    names |= {"q": made(1, 2, 4, 8), "s": made(4, 2, 6)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(expression, names)


@pytest.mark.parametrize("expression", BAD)
def test_refusals(expression):
    kind, *parts = BAD[expression]
    with pytest.raises(kind) as caught:
        refused_call(chainrule, expression)
    text = str(caught.value)
    assert re.match(r"\w+ requires .*, got .*\n  recorded at ", text), text
    for part in parts:
        assert part in text
