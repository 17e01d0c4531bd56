"""PyTorch's `nn.functional`: the functions of chainrule.functional under that name."""

from ..functional import *  # noqa: F403
from ..functional import __all__ as __all__
