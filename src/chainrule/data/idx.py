"""IDX files: the format of MNIST's images and labels.

    2 zero bytes | dtype code | number of dimensions d | d lengths (4 bytes each) | the values

All numbers are big-endian.  A file may be compressed with gzip.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from os import PathLike

import numpy as np

from ..errors import ArgumentError, ChainruleError
from ..tensor import Tensor, from_array
from .dataset import TensorDataset

CODES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAGIC = 4  # bytes before the lengths
GZIP = b"\x1f\x8b"

# Mean and standard deviation of the training images' pixels in [0, 1].
MEAN, STD = 0.1307, 0.3081


class FileMissing(ChainruleError, FileNotFoundError):
    """A file that is not there."""


def read_idx(path: str | PathLike) -> np.ndarray:
    """The array in an IDX file, compressed by gzip or not, in the machine's byte order.

    Raises ArgumentError (a ValueError) for a file that is damaged, cut off, too long, or no IDX
    file at all: nothing is returned in part.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 8, 9]))  # uint8, 1 axis, 3 long
    ...     file.flush()
    ...     read_idx(file.name)
    array([7, 8, 9], dtype=uint8)
    """
    data = _decompressed(path)
    if len(data) < MAGIC or data[:2] != b"\0\0":
        raise _damaged(path, "two zero bytes first", f"{data[:2]!r} in {len(data)} bytes")
    code, ndim = data[2], data[3]
    if code not in CODES:
        codes = ", ".join(f"0x{c:02X}" for c in CODES)
        raise _damaged(path, f"a dtype code among {codes}", f"0x{code:02X}")
    start = MAGIC + 4 * ndim
    if ndim == 0 or len(data) < start:
        raise _damaged(path, "at least one dimension, 4 bytes each", f"{ndim} in {len(data)} bytes")
    shape = [int(n) for n in np.frombuffer(data, ">u4", ndim, MAGIC)]
    dtype = np.dtype(CODES[code])
    size = math.prod(shape) * dtype.itemsize
    if len(data) - start != size:
        raise _damaged(
            path, f"{size} bytes of values for shape {tuple(shape)}", f"{len(data) - start}"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _decompressed(path: str | PathLike) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    if not data.startswith(GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise _damaged(path, "a whole gzip stream", f"{len(data)} bytes, {error}") from None


def _damaged(path: str | PathLike, rule: str, facts: str) -> ArgumentError:
    return ArgumentError(
        f"read_idx requires {rule}, got {facts} in {os.path.basename(os.fspath(path))}",
        hint="fetch the file again: it is damaged, cut off, or not in the IDX format",
    )


class MNIST(TensorDataset):
    """The 60,000 training or 10,000 test digits: (image, label) by index.

    An image is float32 of shape (1, 28, 28), its pixels in [0, 1], or with `normalize`
    (pixel - 0.1307) / 0.3081; a label is an int64 of shape ().  `root` holds the four files of
    the original distribution (`train-images-idx3-ubyte`, with or without `.gz`), or has them in
    `MNIST/raw`.  Different from torchvision: tensors instead of pictures, no download.

    Raises FileMissing (a FileNotFoundError), and ArgumentError (a ValueError) for damaged files.
    """

    def __init__(self, root: str | PathLike, train: bool = True, *, normalize: bool = False):
        part = "train" if train else "t10k"
        images = read_idx(_find(root, f"{part}-images-idx3-ubyte"))
        labels = read_idx(_find(root, f"{part}-labels-idx1-ubyte"))
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ArgumentError(
                "MNIST requires images of shape (n, rows, columns) and n labels, "
                f"got shapes {images.shape} and {labels.shape}"
            )
        pixels = images[:, None].astype(np.float32)  # (n, 1, 28, 28)
        pixels /= np.float32(255)
        if normalize:
            pixels -= np.float32(MEAN)
            pixels /= np.float32(STD)
        super().__init__(from_array(pixels), from_array(labels.astype(np.int64)))

    @property
    def images(self) -> Tensor:
        """All images, (n, 1, 28, 28)."""
        return self.tensors[0]

    @property
    def labels(self) -> Tensor:
        """All labels, (n,)."""
        return self.tensors[1]


def _find(root: str | PathLike, name: str) -> str:
    for folder in (os.fspath(root), os.path.join(root, "MNIST", "raw")):
        for file in (name, f"{name}.gz"):
            found = os.path.join(folder, file)
            if os.path.isfile(found):
                return found
    raise FileMissing(
        f"MNIST requires the file {name} or {name}.gz in its root, got {str(root)!r} without it",
        hint="put the four files of the original distribution there",
    )
