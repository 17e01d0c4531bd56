"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os


def write_atomically(path: str | os.PathLike, data: bytes | bytearray) -> None:
    """Write to a temporary file beside `path` that takes its place once it is on the disk.

    A crash leaves the old file.  The folder must exist.
    """
    target = os.path.realpath(path)  # behind a link: the link stays, its file is replaced
    # In the same folder, hence on the same disk, where a rename is atomic.
    temporary = f"{target}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(temporary, os.stat(target).st_mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(target))


def _sync_folder(folder: str) -> None:
    """Put the rename itself on the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
