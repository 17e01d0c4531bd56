"""Multi-head attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from .. import functional as F
from ..errors import ArgumentError, ArgumentTypeError
from ..methods.create import empty
from ..tensor import Tensor
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter


class SDPBackend(IntEnum):
    """PyTorch's names of the ways to compute attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(
    backends: SDPBackend | Sequence[SDPBackend], set_priority: bool = False
) -> Iterator[None]:
    """Nothing to switch: attention is computed in one way, whatever ways are allowed.

    >>> import chainrule as torch
    >>> from chainrule.nn.attention import SDPBackend, sdpa_kernel
    >>> x = torch.ones(1, 2, 4)
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     y = torch.nn.functional.scaled_dot_product_attention(x, x, x)
    """
    for backend in [backends] if isinstance(backends, SDPBackend) else backends:
        if not isinstance(backend, SDPBackend):
            raise ArgumentTypeError(f"sdpa_kernel requires SDPBackend members, got {backend!r}")
    yield


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear; the name is the one that PyTorch prints for an attention's output layer."""


class MultiheadAttention(Module):
    """concat_h(softmax(Q_h K_h^T / sqrt(d) + mask) V_h) W_o, with Q_h = q W_q,h and so on.

    query (L, N, E), key (S, N, kdim), value (S, N, vdim), or batch first, or without N.  Returns
    the output, like query, and the attention (N, L, S), averaged over the heads, or None.
    attn_mask (L, S) or (N heads, L, S) and key_padding_mask (N, S): True forbids, floats are
    added.  A query that may attend to nothing gives NaN, as in PyTorch.  Vaswani et al., 2017.

    >>> import chainrule as torch
    >>> attention = torch.nn.MultiheadAttention(4, 2, batch_first=True)
    >>> x = torch.ones(3, 5, 4)
    >>> output, weights = attention(x, x, x)
    >>> output.shape, weights.shape
    (torch.Size([3, 5, 4]), torch.Size([3, 5, 5]))
    """

    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ArgumentError(
                "MultiheadAttention requires embed_dim divisible by num_heads, got "
                f"{embed_dim} and {num_heads}"
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        self._add_projections(bias, add_bias_kv, {"device": device, "dtype": dtype})
        self._reset_parameters()

    def _add_projections(self, bias: bool, bias_kv: bool, kind: dict[str, Any]) -> None:
        embed = self.embed_dim
        one = self.kdim == embed and self.vdim == embed
        shapes = {
            "q_proj_weight": None if one else (embed, embed),
            "k_proj_weight": None if one else (embed, self.kdim),
            "v_proj_weight": None if one else (embed, self.vdim),
            "in_proj_weight": (3 * embed, embed) if one else None,
            "in_proj_bias": (3 * embed,) if bias else None,
            "bias_k": (1, 1, embed) if bias_kv else None,
            "bias_v": (1, 1, embed) if bias_kv else None,
        }
        for name, shape in shapes.items():
            value = Parameter(empty(shape, **kind)) if shape else None
            self.register_parameter(name, value)
        self.out_proj = NonDynamicallyQuantizableLinear(embed, embed, bias=bias, **kind)

    def _reset_parameters(self) -> None:
        """Draw the weights anew: Xavier's uniform, biases 0."""
        for weight in (
            self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        ):  # fmt: skip
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        batch_first = self.batch_first and query.dim() == 3
        if batch_first:
            # One transposed tensor for all that are the same: it is projected only once.
            turned = {id(t): t.transpose(0, 1) for t in (query, key, value)}
            query, key, value = (turned[id(t)] for t in (query, key, value))
        separate = self.in_proj_weight is None
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=separate,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return output.transpose(0, 1) if batch_first else output, weights

    def _broken_rule(
        self, query: Tensor, key: Tensor, value: Tensor, *args: Any
    ) -> tuple[str, str | None] | None:
        wanted = (self.embed_dim, self.kdim, self.vdim)
        found = tuple(tuple(t.shape)[-1:] for t in (query, key, value))
        if found == tuple((n,) for n in wanted):
            return None
        return f"query, key and value with last axes {wanted}", f"theirs are {found}"

