"""PyTorch's functions on tensors: each is defined once, as `torch.NAME`, `Tensor.NAME` and, where
it makes sense, the in-place `Tensor.NAME_`.
"""

from . import operators
from .casts import *  # noqa: F403
from .create import *  # noqa: F403
from .index import *  # noqa: F403
from .linalg import *  # noqa: F403
from .logic import *  # noqa: F403
from .pointwise import *  # noqa: F403
from .reduce import *  # noqa: F403
from .sample import *  # noqa: F403
from .shape import *  # noqa: F403
