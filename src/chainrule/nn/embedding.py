"""Embedding: a table of learned rows, read by index; and sums of such rows."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..errors import ArgumentError, ShapeError
from ..grad_mode import no_grad
from ..methods.create import empty
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter
from .text import unusual


class Embedding(Module):
    """y[i] = weight[index[i]].

    index (*) of integers in [0, num_embeddings) -> (*, embedding_dim).  Starts standard normal;
    row `padding_idx` starts at zero and gets no gradient.  `max_norm` shortens, in place, the rows
    that are read.  Difference from PyTorch: `sparse` gives an ordinary gradient.

    >>> import chainrule as torch
    >>> torch.nn.Embedding(10, 3)(torch.tensor([[1, 2], [4, 5]])).shape
    torch.Size([2, 2, 3])
    """

    weight: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ArgumentError(
                    f"Embedding requires padding_idx in [{-num_embeddings}, {num_embeddings}), "
                    f"got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if _weight is None:
            table = empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
            self.weight = Parameter(table, requires_grad=not _freeze)
            self.reset_parameters()
        elif tuple(_weight.shape) != (num_embeddings, embedding_dim):
            raise ShapeError(
                f"Embedding requires weight {(num_embeddings, embedding_dim)}, "
                f"got {tuple(_weight.shape)}"
            )
        else:
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An Embedding of the given table (rows, width); `freeze`: it is not trained.

        >>> import chainrule as torch
        >>> table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> torch.nn.Embedding.from_pretrained(table)(torch.tensor([1]))
        tensor([[3., 4.]])
        """
        rows, width = _table_size("Embedding", embeddings)
        return cls(
            rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            _weight=embeddings, _freeze=freeze,
        )  # fmt: skip

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        defaults = {
            "padding_idx": None,
            "max_norm": None,
            "norm_type": 2,
            "scale_grad_by_freq": False,
            "sparse": False,
        }
        sizes = f"{self.num_embeddings}, {self.embedding_dim}"
        return ", ".join([sizes, *unusual(self, defaults)])


def _table_size(name: str, table: Tensor) -> tuple[int, int]:
    if table.dim() != 2:
        raise ShapeError(
            f"{name}.from_pretrained requires a table (rows, width), got {tuple(table.shape)}"
        )
    rows, width = table.shape
    return rows, width


class EmbeddingBag(Module):
    """y[b] = the mean, sum or maximum (`mode`) of weight[i] over the indices i of bag b.

    input (B, N), or (n) with offsets (B) -> (B, embedding_dim); see F.embedding_bag.  Starts
    standard normal; row `padding_idx` starts at zero, is left out and gets no gradient.
    Difference from PyTorch: `sparse` gives an ordinary gradient.

    >>> import chainrule as torch
    >>> bag = torch.nn.EmbeddingBag(10, 3, mode="sum")
    >>> bag(torch.tensor([1, 2, 4, 5, 4]), torch.tensor([0, 2])).shape
    torch.Size([2, 3])
    """

    weight: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        # The table is an Embedding's: the same start, the same checks.
        table = Embedding(num_embeddings, embedding_dim, padding_idx, _weight=_weight,
                          device=device, dtype=dtype)
        self.weight = table.weight
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self.padding_idx = table.padding_idx

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **kwargs: Any
                        ) -> EmbeddingBag:
        """An EmbeddingBag of the given table (rows, width); `freeze`: it is not trained.

        >>> import chainrule as torch
        >>> table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> torch.nn.EmbeddingBag.from_pretrained(table)(torch.tensor([[0, 1]]))
        tensor([[2., 3.]])
        """
        rows, width = _table_size("EmbeddingBag", embeddings)
        bag = cls(rows, width, _weight=embeddings, **kwargs)
        bag.weight.requires_grad_(not freeze)
        return bag

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        defaults = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        sizes = f"{self.num_embeddings}, {self.embedding_dim}"
        parts = [sizes, *unusual(self, defaults), f"mode={self.mode!r}"]
        return ", ".join(parts + unusual(self, {"padding_idx": None}))
