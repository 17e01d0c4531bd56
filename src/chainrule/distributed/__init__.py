"""`torch.distributed`: importable and not available; a program here is one process."""

from __future__ import annotations

from ..errors import DeviceError


def is_available() -> bool:
    """False: there is no process group yet."""
    return False


def is_initialized() -> bool:
    return False


def get_rank(group=None) -> int:
    return 0


def get_world_size(group=None) -> int:
    return 1


def init_process_group(*args, **kwargs) -> None:
    """Raises: training on several processes is not here yet."""
    raise DeviceError("init_process_group requires several processes, got a chainrule that has "
                      "none yet", hint="guard the call with torch.distributed.is_available()")


def destroy_process_group(group=None) -> None:
    """There is none."""
