"""Machine code on disk, so that a second process compiles nothing.

One file per key, in a folder of the user's alone.  A cache may only ever save time: whatever is
wrong with the disk, the folder or a file means compiling again, and never an error.  And it may
never run another's code: folder and files must belong to this user, with nobody else allowed to
write them, and each file names its key and its content in a checksum.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from .. import config

#: Bytes on disk: beyond these the files longest unused go.
LIMIT = 256 << 20

_DIGEST = hashlib.sha256().digest_size
_BLOCK = 4096  # what a file takes at least
_DAY = 86_400
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_TEMPORARY = ".part"  # how the name of a file ends that is being written

_SWEEP = "00"  # how a key begins whose writing is followed by a sweep: one of 256

# Why nothing is kept, for the printout of a program.
_problem = ""


def key(text: str, recipe: str) -> str:
    """The name of what is made from `text` by `recipe`: everything else it depends on."""
    return hashlib.sha256(f"{recipe}\n{text}".encode()).hexdigest()[:32]


def state() -> str:
    """One line: where code is kept, or why it is not."""
    if not config.cache():
        return "no code on disk: switched off"
    return f"no code on disk: {_problem}" if _problem else f"code on disk: {_place()}"


def read(keys: Iterable[str]) -> dict[str, bytes]:
    """What is stored under these keys, as far as it is there and sound."""
    found = {}
    with _folder() as folder:
        if folder:
            for key in keys:
                content = folder.read(key)
                if content is not None:
                    found[key] = content
    return found


def write(contents: dict[str, bytes]) -> None:
    """Store these if that is possible."""
    global _problem
    if not contents:
        return
    with _folder(create=True) as folder:
        if not folder:
            return
        try:
            for key, content in contents.items():
                folder.write(key, content)
            if any(key.startswith(_SWEEP) for key in contents):
                folder.sweep()
        except OSError as error:
            _problem = str(error)


def _place() -> str:
    return os.path.join(config.cache(), "code")


@contextmanager
def _folder(create: bool = False) -> Iterator[_Folder | None]:
    """The folder, open, if it is there and this user's alone."""
    global _problem
    folder = None
    try:
        if config.cache():
            folder = _Folder(_place(), create)
            _problem = ""
    except FileNotFoundError:
        pass  # nothing was written yet
    except OSError as error:
        _problem = str(error)
    try:
        yield folder
    finally:
        if folder:
            folder.close()


def _check_ours(found: os.stat_result, what: str) -> None:
    """Raise PermissionError if another user could have written it."""
    if os.name == "posix" and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        raise PermissionError(f"another user may write {what}")


class _Folder:
    """A folder that is held open, so that what was checked is what is used."""

    def __init__(self, path: str, create: bool):
        self.path = path
        self.fd: int | None = None
        if create:
            os.makedirs(path, 0o700, exist_ok=True)
        if os.open in os.supports_dir_fd:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW)
            try:
                _check_ours(os.fstat(self.fd), path)
            except OSError:
                os.close(self.fd)
                raise
        elif not os.path.isdir(path):
            raise FileNotFoundError(path)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)

    def _name(self, name: str) -> str:
        return name if self.fd is not None else os.path.join(self.path, name)

    def read(self, key: str) -> bytes | None:
        """The content of a file that is ours and whole."""
        try:
            fd = os.open(self._name(key), os.O_RDONLY | _NOFOLLOW | _BINARY, dir_fd=self.fd)
            with open(fd, "rb", buffering=0) as file:
                found = os.fstat(fd)
                _check_ours(found, key)
                if not stat.S_ISREG(found.st_mode):
                    return None
                data = file.readall()
            if time.time() - found.st_mtime > _DAY:
                os.utime(self._name(key), dir_fd=self.fd)  # used: not among the first to go
        except OSError:
            return None
        content = data[_DIGEST:]
        return content if data[:_DIGEST] == _digest(key, content) else None

    def write(self, key: str, content: bytes) -> None:
        """Under a name of its own first: no other process ever sees half a file."""
        name = self._name(f"{key}.{os.urandom(4).hex()}{_TEMPORARY}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY
        fd = os.open(name, flags, 0o600, dir_fd=self.fd)
        try:
            with open(fd, "wb") as file:
                file.write(_digest(key, content) + content)
            os.replace(name, self._name(key), src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            os.unlink(name, dir_fd=self.fd)
            raise

    def sweep(self) -> None:
        """Remove what was left half written, and the files longest unused beyond the limit."""
        now = time.time()
        files = sorted(self._files())
        excess = sum(size for _, size, _ in files)
        excess = excess - LIMIT * 3 // 4 if excess > LIMIT else 0
        for used, size, name in files:
            unfinished = name.endswith(_TEMPORARY) and now - used > _DAY
            if unfinished or excess > 0:
                with suppress(FileNotFoundError):  # another process sweeps too
                    os.unlink(self._name(name), dir_fd=self.fd)
                excess -= size

    def _files(self) -> Iterator[tuple[float, int, str]]:
        """When each file was last used, the bytes it takes, and its name."""
        with os.scandir(self.path if self.fd is None else self.fd) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield found.st_mtime, max(found.st_size, _BLOCK), entry.name


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()
