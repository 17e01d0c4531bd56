"""Settings that hold for the whole process; every environment variable is read here."""

from __future__ import annotations

import os
import sys


def cores() -> set[int]:
    """The cores that this process may use: fewer than there are, under taskset or in a job."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


_threads = [len(cores())]

# A graph deeper than this many values not yet computed is run as it is recorded, so that a
# loop which only accumulates holds values and not graphs.
MAX_PENDING_DEPTH = 20_000
# As many bytes of new data count like that depth.
MAX_PENDING_BYTES = 1 << 28

# Whether every computed value is checked for NaN (autograd.detect_anomaly).
anomaly = False


def set_num_threads(n: int) -> None:
    """Set how many workers a program may use.

    >>> import chainrule as torch
    >>> torch.set_num_threads(1); torch.get_num_threads()
    1
    """
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"set_num_threads requires a positive integer, got {n!r}")
    _threads[0] = n


def get_num_threads() -> int:
    """How many workers a program may use."""
    return _threads[0]


def target() -> str:
    """The tier of instructions that CHAINRULE_TARGET forces: avx512, avx2, baseline or neon."""
    return os.environ.get("CHAINRULE_TARGET", "")


def cache() -> str:
    """The folder of what outlives the process: CHAINRULE_CACHE, or chainrule's own in the user's
    cache folder.  Nothing if CHAINRULE_CACHE is 0 or off, or if the user has no folder."""
    named = os.environ.get("CHAINRULE_CACHE", "")
    if named.lower() in ("0", "off"):
        return ""
    folder = os.path.expanduser(named or os.path.join(_user_cache(), "chainrule"))
    return folder if named or os.path.isabs(folder) else ""


def _user_cache() -> str:
    """Where this system keeps what its user can do without."""
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA", "")
    if sys.platform == "darwin":
        return "~/Library/Caches"
    named = os.environ.get("XDG_CACHE_HOME", "")
    return named if os.path.isabs(named) else "~/.cache"


# When graphs are compiled: "0" never, "1" at first sight, "auto" at the second.
jit = os.environ.get("CHAINRULE_JIT", "auto")

# The file in which the graph of a script's last step is shown when it ends (view/after.py).
show = os.environ.get("CHAINRULE_SHOW", "")
