"""PyTorch's `nn.functional`: the functions of chainrule.functional under that name."""

from ..errors import missing_name
from ..functional import *  # noqa: F403
from ..functional import __all__ as __all__


def __getattr__(name: str):
    raise missing_name("module 'torch.nn.functional'", name, __all__)
