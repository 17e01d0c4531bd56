"""`torch.cuda`: there is no GPU, and scripts that ask are told so."""

from __future__ import annotations

from . import amp as amp
from .errors import DeviceError


def is_available() -> bool:
    """False: chainrule trains on the CPU."""
    return False


def is_bf16_supported() -> bool:
    return False


def is_initialized() -> bool:
    return False


def device_count() -> int:
    return 0


def current_device() -> int:
    raise DeviceError("cuda requires a GPU, got none: chainrule trains on the CPU",
                      hint="guard the call with torch.cuda.is_available()")


get_device_name = get_device_properties = set_device = current_device


def _nothing(*args, **kwargs) -> None:
    """There is no device to act on."""


manual_seed = manual_seed_all = empty_cache = synchronize = _nothing
reset_peak_memory_stats = _nothing


def max_memory_allocated(device=None) -> int:
    return 0


memory_allocated = memory_reserved = max_memory_reserved = max_memory_allocated
