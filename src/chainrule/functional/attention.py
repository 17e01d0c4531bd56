"""Attention: weighted means of values, the weights from how well keys answer queries."""

from __future__ import annotations

import math

from ..dtypes import bool_
from ..errors import ArgumentError, DTypeError, ShapeError
from ..methods.create import ones, zeros
from ..methods.joining import cat
from ..methods.logic import where
from ..scope import composite
from ..tensor import Tensor
from .dropout import dropout
from .linear import linear
from .padding import pad_value
from .repeated import repeated


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale Q K^T + mask) V.

    query (*, L, E), key (*, S, E), value (*, S, D) -> (*, L, D); scale 1/sqrt(E) by default.
    attn_mask (..., L, S) is added, or, if bool, False shuts a place out; `is_causal` lets
    position i see the keys 0..i only.  A query that may see nothing gives 0.  `enable_gqa`
    repeats the heads (axis -3) of key and value until there are as many as queries have.
    Vaswani et al., Attention Is All You Need, 2017.

    >>> import chainrule as torch
    >>> q, v = torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])
    >>> torch.nn.functional.scaled_dot_product_attention(q, q, v, is_causal=True)
    tensor([[1.],
            [2.]])
    """
    _check(query, key, value, attn_mask, is_causal)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if enable_gqa:
        key, value = _repeat_heads(query, key), _repeat_heads(query, value)
    # PyTorch computes these two cases by different kernels, and shows it.
    learned_mask = attn_mask is not None and attn_mask.requires_grad
    record = _stepwise if query.dim() != 4 or dropout_p or learned_mask else _fused
    return record(query, key, value, attn_mask, is_causal, dropout_p, scale)


def _check(query, key, value, attn_mask, is_causal) -> None:
    name = "scaled_dot_product_attention"
    shapes = tuple(tuple(x.shape) for x in (query, key, value))
    if not query.dtype is key.dtype is value.dtype:
        raise DTypeError(
            f"{name} requires query, key and value of one dtype, got {query.dtype}, {key.dtype} "
            f"and {value.dtype}"
        )
    if min(map(len, shapes)) < 2:
        raise ShapeError(f"{name} requires at least 2 dimensions, got {shapes}")
    if shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise ShapeError(
            f"{name} requires query (*, L, E), key (*, S, E) and value (*, S, D), got {shapes}"
        )
    if attn_mask is not None:
        if is_causal:
            raise ArgumentError(f"{name} requires attn_mask or is_causal=True, got both")
        if attn_mask.dtype not in (bool_, query.dtype) and not attn_mask.dtype.is_floating_point:
            raise DTypeError(
                f"{name} requires attn_mask of dtype bool or {query.dtype}, got {attn_mask.dtype}"
            )


def _repeat_heads(query: Tensor, x: Tensor) -> Tensor:
    heads, own = query.shape[-3], x.shape[-3]
    if not own or heads % own:
        raise ShapeError(
            f"scaled_dot_product_attention requires query heads that are a multiple of the key "
            f"and value heads, got {heads} and {own}"
        )
    return x.repeat_interleave(heads // own, -3)


def _mask(query, key, attn_mask, is_causal) -> Tensor | None:
    if is_causal:
        return ones(query.shape[-2], key.shape[-2], dtype=bool_).tril()
    return attn_mask


def _scaled_dot_product_attention(
    query, key, value, attn_mask, is_causal, dropout_p, scale
) -> Tensor:
    weigh = _weighted_mean if dropout_p else _repeated_mean
    return weigh(query, key, value, attn_mask, is_causal, dropout_p, scale)


def _weighted_mean(query, key, value, attn_mask, is_causal, dropout_p, scale) -> Tensor:
    mask = _mask(query, key, attn_mask, is_causal)
    scores = (query * scale) @ key.transpose(-2, -1)  # (*, L, S)
    weights = scores.softmax(-1) if mask is None else _masked_softmax(scores, mask)
    return (dropout(weights, dropout_p) if dropout_p else weights) @ value


_repeated_mean = repeated(_weighted_mean)


def _masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """softmax over the places that are open; zeros where none is, and not 0 / 0."""
    scores = where(mask, scores, -math.inf) if mask.dtype is bool_ else scores + mask
    top = scores.detach().amax(-1, keepdim=True)
    weights = (scores - where(top == -math.inf, 0.0, top)).exp()
    total = weights.sum(-1, keepdim=True)
    return weights / where(total == 0, 1.0, total)


_fused = composite("ScaledDotProductFlashAttentionForCpuBackward0")(_scaled_dot_product_attention)
_stepwise = composite("UnsafeViewBackward0")(_scaled_dot_product_attention)


# --------------------------------------------------------------------------- many heads
@composite()
def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """concat_h(softmax(Q_h K_h^T / sqrt(d) + mask) V_h) W_o^T + b_o, with Q = q W_q^T + b_q ...

    query (L, N, E), key (S, N, *) and value (S, N, *), or all without N -> the output in query's
    shape, and the weights (N, L, S) averaged over the heads, (N, H, L, S) each, or None.
    in_proj_weight (3E, E) holds W_q, W_k, W_v one below the other.  attn_mask (L, S) or (N H, L, S)
    and key_padding_mask (N, S): True shuts a place out, floats are added.  bias_k, bias_v and
    `add_zero_attn` add a learned and a zero key behind the others.

    >>> import chainrule as torch
    >>> x, one = torch.ones(3, 1, 2), torch.eye(2)
    >>> out, weights = torch.nn.functional.multi_head_attention_forward(
    ...     x, x, x, 2, 1, torch.cat([one, one, one]), None, None, None, False, 0.0, one, None)
    >>> out.shape, weights[0, 0]
    (torch.Size([3, 1, 2]), tensor([0.3333, 0.3333, 0.3333]))
    """
    _check_heads(query, key, value, embed_dim_to_check, num_heads, attn_mask, is_causal)
    inputs = (query, key, value)
    if query.dim() == 2:
        inputs = tuple(x.unsqueeze(1) for x in inputs)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    in_weights = separate if use_separate_proj_weight else in_proj_weight
    projected = _project(inputs, in_weights, in_proj_bias)
    q, k, v = (x.transpose(0, 1) for x in projected)  # (N, L, E)
    k = k if static_k is None else _unsplit(static_k, num_heads)
    v = v if static_v is None else _unsplit(static_v, num_heads)
    mask = _added_mask(num_heads, q, k, attn_mask, key_padding_mask)
    k, v, mask = _with_extra_keys(k, v, mask, bias_k, bias_v, add_zero_attn)
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    out, weights = _attend(q, k, v, mask, dropout_p if training else 0.0, need_weights)
    out = linear(out.permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)  # (L, N, E)
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)  # (N, L, S)
    return (out, weights) if query.dim() == 3 else _without_batch(out, weights)


_MANY = "multi_head_attention_forward"


def _check_heads(query, key, value, embed: int, heads: int, attn_mask, is_causal: bool) -> None:
    if is_causal and attn_mask is None:
        raise ArgumentError(f"{_MANY} requires attn_mask with is_causal, got None")
    if query.shape[-1] != embed or embed % heads:
        raise ShapeError(
            f"{_MANY} requires queries of embed_dim={embed} elements that {heads} heads divide, "
            f"got {tuple(query.shape)}"
        )
    if not query.dim() == key.dim() == value.dim() or query.dim() not in (2, 3):
        raise ShapeError(
            f"{_MANY} requires query, key and value of 3 dimensions, or of 2, got "
            f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
        )
    if key.shape[:-1] != value.shape[:-1]:
        raise ShapeError(
            f"{_MANY} requires as many keys as values, got {tuple(key.shape)} and "
            f"{tuple(value.shape)}"
        )


def _project(inputs: tuple, weights, bias: Tensor | None) -> tuple[Tensor, ...]:
    """Queries, keys and values: by three weights, or by one that holds them all."""
    query, key, value = inputs
    if isinstance(weights, Tensor):
        if query is key is value:
            return linear(query, weights, bias).chunk(3, -1)
        weights = weights.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(linear(x, w, b) for x, w, b in zip(inputs, weights, biases))


def _unsplit(x: Tensor, heads: int) -> Tensor:
    """(N H, S, D) -> (N, S, E)."""
    return x.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)


def _added_mask(heads: int, q: Tensor, k: Tensor, attn_mask, padding) -> Tensor | None:
    """What both masks add to the scores: broadcasts to (N, H, L, S)."""
    n, length, source = q.shape[0], q.shape[1], k.shape[1]
    if attn_mask is not None:
        shapes = ((length, source), (n * heads, length, source))
        if tuple(attn_mask.shape) not in shapes:
            raise ShapeError(
                f"{_MANY} requires attn_mask {shapes[0]} or {shapes[1]}, got "
                f"{tuple(attn_mask.shape)}"
            )
        attn_mask = _as_added(attn_mask, q)
        if attn_mask.dim() == 3:
            attn_mask = attn_mask.unflatten(0, (n, heads))
    if padding is None:
        return attn_mask
    padding = padding if padding.dim() == 2 else padding.unsqueeze(0)
    if tuple(padding.shape) != (n, source):
        raise ShapeError(
            f"{_MANY} requires key_padding_mask {(n, source)}, got {tuple(padding.shape)}"
        )
    padding = _as_added(padding, q).view(n, 1, 1, source)
    return padding if attn_mask is None else attn_mask + padding


def _as_added(mask: Tensor, like: Tensor) -> Tensor:
    """0 and -inf for a mask of False and True; a mask of floats is that already."""
    if mask.dtype is not bool_:
        return mask.to(like.dtype)
    return zeros(mask.shape, dtype=like.dtype).masked_fill(mask, -math.inf)


def _with_extra_keys(k, v, mask, bias_k, bias_v, add_zero_attn):
    """Keys and values with the learned pair and the zero pair behind them."""
    extra = [] if bias_k is None or bias_v is None else [(bias_k, bias_v)]
    if add_zero_attn:
        nothing = zeros(1, 1, k.shape[-1], dtype=k.dtype)
        extra.append((nothing, nothing))
    for more_k, more_v in extra:
        k = cat((k, more_k.expand(k.shape[0], 1, -1)), 1)
        v = cat((v, more_v.expand(v.shape[0], 1, -1)), 1)
        mask = None if mask is None else pad_value(mask, [(0, 1)], 0)
    return k, v, mask


def _without_batch(out: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return out.squeeze(1), None if weights is None else weights.squeeze(0)


def _attend(q, k, v, mask, dropout_p, need_weights) -> tuple[Tensor, Tensor | None]:
    if not need_weights:
        return scaled_dot_product_attention(q, k, v, mask, dropout_p), None
    scores = (q * math.sqrt(1 / q.shape[-1])) @ k.transpose(-2, -1)  # (N, H, L, S)
    weights = (scores if mask is None else scores + mask).softmax(-1)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return weights @ v, weights
