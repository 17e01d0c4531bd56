"""chainrule: deep learning in pure Python whose heart is back-propagation on a computational graph.

`import chainrule as torch` gives PyTorch's API; `chainrule run script.py` runs an unchanged
PyTorch script.  To understand how it works, read graph.py, ops/op.py, ops/elementwise.py,
autodiff.py, interpreter.py and tensor.py, in this order.
"""

from __future__ import annotations

import builtins as _builtins
import importlib as _importlib

from . import config, random
from . import dtypes as _dtypes
from . import tiers as _tiers
from .config import get_num_threads, set_num_threads
from .constants import e, finfo, iinfo, inf, nan, pi
from .devices import device
from .devices import require_cpu as _require_cpu
from .dtypes import (
    bfloat16,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from .dtypes import bool_ as bool
from .dtypes import default_dtype as get_default_dtype
from .errors import missing_name as _missing_name
from .grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .methods import *  # noqa: F403
from .ops.op import forget_plans as _forget_plans
from .printing import get_printoptions, set_printoptions
from .random import Generator
from .shapes import Size
from .tensor import Tensor
from .version import __version__

# isort: split
from . import (
    accelerator,
    amp,
    autograd,
    backends,
    cuda,
    func,
    functional,
    jit,
    linalg,
    nn,
    optim,
    serialization,
    utils,
    version,
)
from .amp import autocast
from .backprop import backprop
from .func import vmap
from .functional import (
    adaptive_avg_pool1d,
    alpha_dropout,
    avg_pool1d,
    batch_norm,
    bilinear,
    binary_cross_entropy_with_logits,
    celu,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    cosine_embedding_loss,
    cosine_similarity,
    dropout,
    embedding,
    group_norm,
    instance_norm,
    kl_div,
    layer_norm,
    margin_ranking_loss,
    max_pool1d,
    max_pool2d,
    pairwise_distance,
    pixel_shuffle,
    poisson_nll_loss,
    prelu,
    rms_norm,
    selu,
    threshold,
    triplet_margin_loss,
)
from .functional.rnn import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from .save import load, save

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
strided, contiguous_format, preserve_format, channels_last = (
    "torch.strided", "torch.contiguous_format", "torch.preserve_format", "torch.channels_last")


def set_default_dtype(d: dtype) -> None:
    """Make `d` the dtype of floating-point tensors made from Python numbers."""
    _dtypes.set_default(d)
    _forget_plans()


def use_deterministic_algorithms(
    mode: _builtins.bool, *, warn_only: _builtins.bool = False
) -> None:
    """Nothing to switch: every result repeats bit for bit."""


def are_deterministic_algorithms_enabled() -> _builtins.bool:
    """True: every result repeats bit for bit."""
    return True


def set_float32_matmul_precision(precision: str) -> None:
    """Nothing to switch: float32 products are computed in float32."""


def _assert(condition, message: str) -> None:
    """`assert condition, message`."""
    assert condition, message


def set_default_device(where) -> None:
    """Raise unless `where` is the CPU."""
    _require_cpu(where)


def get_default_device() -> device:
    """The CPU."""
    return device("cpu")


def is_autocast_enabled(device_type: str | None = None) -> _builtins.bool:
    """False: `autocast` has no effect yet."""
    return False


def typename(obj) -> str:
    """The name of a tensor's type."""
    return obj.type() if isinstance(obj, Tensor) else type(obj).__name__


# Loaded when first asked for, so that `import chainrule` stays instant.
_LATER = {
    "distributed": None, "distributions": None, "onnx": None, "testing": None, "view": None,
    "compile": "compiled", "compiler": "compiled", "draw": "view", "show": "view",
    "snapshot": "view", "trace_nan": "view", "summary": "view", "lint": "view",
    "equations": "view",
}


def __getattr__(name: str):
    if name in _LATER:
        module = _importlib.import_module(f".{_LATER[name] or name}", __name__)
        return getattr(module, name) if _LATER[name] else module
    raise _missing_name("module 'torch'", name, [*globals(), *_LATER])


if config.show:
    _importlib.import_module(".view.after", __name__).begin(config.show)
