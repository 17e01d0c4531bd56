"""PyTorch's functions on tensors: each is defined once, as `torch.NAME`, `Tensor.NAME` and, where
it makes sense, the in-place `Tensor.NAME_`.
"""

from . import index, operators
from .calculus import *  # noqa: F403
from .casts import *  # noqa: F403
from .create import *  # noqa: F403
from .diagonals import *  # noqa: F403
from .factor import *  # noqa: F403
from .gathering import *  # noqa: F403
from .joining import *  # noqa: F403
from .logic import *  # noqa: F403
from .ordering import *  # noqa: F403
from .parts import *  # noqa: F403
from .pointwise import *  # noqa: F403
from .products import *  # noqa: F403
from .reduce import *  # noqa: F403
from .reordering import *  # noqa: F403
from .sample import *  # noqa: F403
from .shape import *  # noqa: F403
from .statistics import *  # noqa: F403
from .summation import *  # noqa: F403
