"""`torch.accelerator`: there is none."""

from __future__ import annotations


def is_available() -> bool:
    """False: chainrule trains on the CPU."""
    return False


def current_accelerator(check_available: bool = False):
    """None: there is no accelerator."""
    return None


def device_count() -> int:
    return 0


def synchronize(device=None) -> None:
    """There is nothing to wait for."""
