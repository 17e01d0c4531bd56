"""IDX files, gzipped or not: every dtype, every damage; MNIST's four files."""

import gzip
import struct

import numpy as np
import pytest

import chainrule as torch
from chainrule.data import MNIST, read_idx


def first_line(error):
    return str(error.value).splitlines()[0]


def idx_bytes(array, code):
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 4), (2, 1, 2)])
def test_idx(tmp_path, name, shape):
    array = (np.arange(np.prod(shape)) * 7 - 5).astype(name).reshape(shape)
    data = idx_bytes(array, CODES[name])
    for write, suffix in ((lambda d: d, "idx"), (gzip.compress, "gz")):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(write(data))
        found = read_idx(path)
        assert found.dtype == np.dtype(name) and found.dtype.isnative
        np.testing.assert_array_equal(found, array)


def idx_error(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError) as error:
        read_idx(tmp_path / "a")
    assert "hint: fetch the file again" in str(error.value)
    return first_line(error)


def test_idx_cut_off_anywhere(tmp_path):
    data = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3), 8)
    for length in range(len(data)):
        assert idx_error(tmp_path, data[:length]).startswith("read_idx requires ")
    packed = gzip.compress(data)
    for length in range(len(packed)):
        assert idx_error(tmp_path, packed[:length]).startswith("read_idx requires ")


def test_idx_texts(tmp_path):
    good = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3), 8)
    assert idx_error(tmp_path, b"hello") == (
        "read_idx requires two zero bytes first, got b'he' in 5 bytes in a"
    )
    assert idx_error(tmp_path, b"\0\0\x07\1\0\0\0\0") == (
        "read_idx requires a dtype code among 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E, got 0x07 in a"
    )
    assert idx_error(tmp_path, b"\0\0\x08\0\1") == (
        "read_idx requires at least one dimension, 4 bytes each, got 0 in 5 bytes in a"
    )
    assert idx_error(tmp_path, good[:-1]) == (
        "read_idx requires 6 bytes of values for shape (2, 3), got 5 in a"
    )
    assert idx_error(tmp_path, good + b"!").endswith("for shape (2, 3), got 7 in a")
    huge = b"\0\0\x0e\x03" + b"\xff" * 12
    assert "bytes of values for shape (4294967295, 4294967295, 4294967295)" in (
        idx_error(tmp_path, huge)
    )
    assert idx_error(tmp_path, gzip.compress(good)[:-3]).startswith(
        "read_idx requires a whole gzip stream, got "
    )


def test_gzip_damage_is_noticed(tmp_path):
    packed = bytearray(gzip.compress(idx_bytes(np.arange(200, dtype=np.int32), 12)))
    packed[len(packed) // 2] ^= 0x10
    assert idx_error(tmp_path, bytes(packed)).startswith("read_idx requires ")


def write_mnist(folder, images, labels, part="train"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images, 8)))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels, 8))


def test_mnist(tmp_path):
    images = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)
    write_mnist(tmp_path / "MNIST" / "raw", images, np.array([7, 1], np.uint8))
    data = MNIST(tmp_path)
    image, label = data[1]
    assert image.shape == (1, 28, 28) and image.dtype == torch.float32
    np.testing.assert_array_equal(image.numpy()[0], images[1] / np.float32(255))
    assert label.item() == 1 and label.dtype == torch.int64
    assert len(data) == 2 and data.images.shape == (2, 1, 28, 28)
    assert data.labels.tolist() == [7, 1]
    scaled = MNIST(tmp_path, normalize=True).images.numpy()
    np.testing.assert_allclose(scaled, (images[:, None] / 255 - 0.1307) / 0.3081, rtol=1e-5)
    write_mnist(tmp_path, images[:1], np.array([3], np.uint8), "t10k")
    assert MNIST(tmp_path, train=False).labels.tolist() == [3]


def test_mnist_requires_its_files(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        MNIST(tmp_path)
    assert first_line(error) == (
        "MNIST requires the file train-images-idx3-ubyte or train-images-idx3-ubyte.gz in its "
        f"root, got {str(tmp_path)!r} without it"
    )
    write_mnist(tmp_path, np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.uint8))
    with pytest.raises(ValueError) as error:
        MNIST(tmp_path)
    assert first_line(error) == (
        "MNIST requires images of shape (n, rows, columns) and n labels, "
        "got shapes (2, 28, 28) and (3,)"
    )
