"""save and load: safetensors for the tensors, JSON for the structure around them.  No pickle.

    tensors     as the safetensors format lays them out, named by where they stand
    metadata    {"chainrule": JSON text}: the version, a checksum of the file, and the structure

The structure is JSON in which a value that JSON has no notation for is an object with one key,
its kind: `{"tuple": [1, 2]}`, `{"tensor": {"name": "fc.weight", ...}}`.  `KINDS` has one row for
each.  Reading a file makes values of these kinds and nothing else: no code is looked up by
import, none is run.
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import sys
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from . import dtypes
from .devices import device, require_cpu
from .errors import ArgumentTypeError, ChainruleError
from .files import write_atomically
from .managed import Table
from .nn.module import Module
from .nn.parameter import Buffer, Parameter
from .ops.elementwise import detach
from .shapes import Size
from .tensor import Tensor, from_array, run_tensors

VERSION = 1
KEY = "chainrule"  # of our entry in the metadata
LENGTH = 8  # bytes of a safetensors file that hold the length of its header
NO_CHECKSUM = "00000000"
CHECKSUM = re.compile(rb'\\"crc32\\":\\"([0-9a-f]{8})\\"')
MODULE_TABLES = ("_parameters", "_buffers", "_modules")
# Functions a module may hold; all of them compute tensors from tensors.
FUNCTION_HOMES = ("chainrule.functional", "chainrule.methods", "chainrule.nn")
SAFETENSORS = {
    "BOOL": "bool", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip

Place = tuple[Any, ...]  # the keys and attribute names that lead to a value


class CheckpointError(ChainruleError, RuntimeError):
    """A value that cannot be saved, or a file that cannot be loaded."""


# ---------------------------------------------------------------------- what a user calls
def save(
    obj: Any,
    f: str | os.PathLike | BinaryIO,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write tensors and plain values, in any nesting of dicts, lists and tuples, to a file.

    Saved are tensors, parameters, whole modules (their class by name, their attributes by
    value), state dicts, NumPy arrays, int, float, bool, str, None, `Size`, dtypes and devices.
    A tensor that occurs twice is stored once and shared again after loading; a view that shows a
    part of another tensor is stored on its own.  Other programs read the file as safetensors.

    A path is written atomically: to a temporary file beside it that takes its place once it is
    on the disk, so a crash leaves the old file.  Different from PyTorch: nothing is pickled, and
    the pickle arguments mean nothing.  Raises CheckpointError (a RuntimeError) that names the
    place of a value of another type, before anything is written.

    >>> import io
    >>> import chainrule as torch
    >>> file = io.BytesIO()
    >>> torch.save({"epoch": 3, "w": torch.ones(2)}, file)
    >>> torch.load(io.BytesIO(file.getvalue()))
    {'epoch': 3, 'w': tensor([1., 1.])}
    """
    data = _to_bytes(obj)
    if isinstance(f, (str, os.PathLike)):
        if not os.path.isdir(os.path.dirname(os.path.realpath(f))):
            raise CheckpointError(f"save requires a folder that exists, got {os.fspath(f)!r}")
        write_atomically(f, data)
    elif hasattr(f, "write"):
        f.write(data)
    else:
        raise ArgumentTypeError(f"save requires a path or a binary file, got {type(f).__name__}")


def load(
    f: str | os.PathLike | BinaryIO,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what `save` has written, or the tensors of any safetensors file as a dict.

    A module is made again without running its `__init__`, from a class that the program has
    already defined or imported; `weights_only=True` refuses modules.  `map_location` may name
    the CPU only.  Different from PyTorch: nothing is unpickled, so a file of `torch.save` must be
    converted first, and the pickle arguments and `mmap` mean nothing.

    Raises CheckpointError (a RuntimeError) for a file that is damaged, cut off, or of another
    format; nothing is loaded in part.
    """
    if isinstance(map_location, (str, device, int)):
        require_cpu(map_location)
    data, name = _read(f)
    try:
        return _from_bytes(data, name, modules=not weights_only)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise _unreadable(name, f"a structure that makes no sense ({error!r})") from error


# ---------------------------------------------------------------------- writing
def _to_bytes(obj: Any) -> bytearray:
    import safetensors.numpy

    writer = Writer()
    try:
        root = writer.encode(obj, ())
        content = {"version": VERSION, "crc32": NO_CHECKSUM, "root": root}
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise CheckpointError(
            f"save requires nesting less deep than {sys.getrecursionlimit()}, got a deeper value"
        ) from None
    data = bytearray(safetensors.numpy.save(writer.arrays(), {KEY: text}))
    field = CHECKSUM.search(data)
    assert field is not None
    data[slice(*field.span(1))] = b"%08x" % _checksum(data, field)
    return data


class Writer:
    """Turns a value into JSON and gathers the tensors on the way."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}  # of a storage, by its id
        self.sources: dict[str, Tensor | np.ndarray] = {}
        self.seen: dict[int, int] = {}  # id of a tensor or a module -> its number
        self.open: set[int] = set()  # ids of the containers around the current value

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was gathered, by name; computed together."""
        run_tensors(t for t in self.sources.values() if isinstance(t, Tensor))
        values = {k: t._value() if isinstance(t, Tensor) else t for k, t in self.sources.items()}
        return {name: np.asarray(value, order="C") for name, value in values.items()}

    def encode(self, value: Any, place: Place) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
            return value
        if id(value) in self.open:
            raise CheckpointError(f"save requires values that end, got {_at(place)} inside itself")
        row = _kind_of(value)
        if row is None:
            raise CheckpointError(
                f"save requires tensors, modules and plain values, got {_at(place)}, "
                f"of type {kind.__module__}.{kind.__qualname__}",
                hint="save its state as a dict of tensors, numbers and strings",
            )
        if row.shared and id(value) in self.seen:
            return {"same": self.seen[id(value)]}
        if row.shared:
            self.seen[id(value)] = len(self.seen)
            return {row.tag: row.write(self, value, place)}
        self.open.add(id(value))
        written = row.write(self, value, place)
        self.open.discard(id(value))
        return written if row.tag == "list" else {row.tag: written}

    def items(self, values: Iterable, place: Place) -> list:
        return [self.encode(value, (*place, i)) for i, value in enumerate(values)]

    def pairs(self, values: dict, place: Place) -> list:
        return [
            [self.encode(key, (*place, "key")), self.encode(value, (*place, key))]
            for key, value in values.items()
        ]

    def tensor(self, t: Tensor, place: Place) -> dict:
        storage = _storage(t)
        name = self.names.get(id(storage))
        if name is None:
            name = self.names[id(storage)] = self.array(t, place)
        return {"name": name, "grad": t.requires_grad}

    def array(self, source: Tensor | np.ndarray, place: Place) -> str:
        """The name under which the file holds the source: its place, made unique."""
        name = plain = _dotted(place).encode("utf-8", "backslashreplace").decode() or "tensor"
        count = 1
        while name in self.sources or name == "__metadata__":
            count += 1
            name = f"{plain}#{count}"
        self.sources[name] = source
        return name


def _storage(t: Tensor) -> Tensor:
    """The tensor that owns t's values, as long as t shows all of them."""
    while t._base is not None and t._step[0] is detach:
        t = t._base
    return t


def _at(place: Place) -> str:
    return _dotted(place) or "the value itself"


def _dotted(place: Place) -> str:
    """`layers.0.weight`; the tables of a module are no part of it."""
    return ".".join(str(key) for key in place if key not in MODULE_TABLES)


def _checksum(data: bytes | bytearray, field: re.Match) -> int:
    """CRC-32 of the whole file, its own field counted as zeros."""
    start, end = field.span(1)
    view = memoryview(data)
    return zlib.crc32(view[end:], zlib.crc32(NO_CHECKSUM.encode(), zlib.crc32(view[:start])))


# ---------------------------------------------------------------------- reading
def _read(f: Any) -> tuple[bytes, str]:
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return file.read(), os.path.basename(os.fspath(f))
    if not hasattr(f, "read"):
        raise ArgumentTypeError(f"load requires a path or a binary file, got {type(f).__name__}")
    data = f.read()
    if not isinstance(data, bytes):
        raise ArgumentTypeError("load requires a file opened in binary mode, got one of text")
    return data, os.path.basename(str(getattr(f, "name", "the file")))


def _from_bytes(data: bytes, name: str, modules: bool) -> Any:
    import safetensors

    _refuse_pickle(data, name)
    try:
        entries = dict(safetensors.deserialize(data))
        header = json.loads(data[LENGTH : LENGTH + int.from_bytes(data[:LENGTH], "little")])
    except (safetensors.SafetensorError, ValueError) as error:
        raise _unreadable(name, f"{len(data)} bytes that are not ({error})") from None
    metadata = header.get("__metadata__", {})
    field = CHECKSUM.search(data)
    if field is None and KEY not in metadata:
        return {key: from_array(_array(entries[key])) for key in header if key != "__metadata__"}
    if field is None or _checksum(data, field) != int(field[1], 16):
        raise _unreadable(name, f"{len(data)} bytes with a wrong checksum")
    content = json.loads(metadata[KEY])
    if content["version"] > VERSION:
        raise CheckpointError(
            f"load requires a file of version {VERSION} or older, "
            f"got version {content['version']} in {name}",
            hint="load it with the chainrule that wrote it, or a newer one",
        )
    return Reader(entries, name, modules).decode(content["root"])


def _refuse_pickle(data: bytes, name: str) -> None:
    if data[LENGTH : LENGTH + 1] == b"{" or not data.startswith((b"PK\x03\x04", b"\x80")):
        return
    raise CheckpointError(
        f"load requires a file of chainrule's save or of safetensors, got a pickle in {name}; "
        "chainrule never unpickles, because a pickle can run any code",
        hint="convert it once in PyTorch: "
        "safetensors.torch.save_file(torch.load(path), 'weights.safetensors')",
    )


def _unreadable(name: str, facts: str) -> CheckpointError:
    return CheckpointError(
        f"load requires a whole safetensors file, got {facts} in {name}",
        hint="the file is damaged, cut off, or was never a checkpoint: take an older one",
    )


def _array(entry: dict) -> np.ndarray:
    dtype = SAFETENSORS.get(entry["dtype"])
    if dtype is None:
        known = ", ".join(SAFETENSORS)
        raise CheckpointError(f"load requires the dtypes {known}, got {entry['dtype']}")
    np_dtype = dtypes.bfloat16.np if dtype == "bfloat16" else np.dtype(dtype)
    little = np.frombuffer(entry["data"], np_dtype.newbyteorder("<"))
    return little.astype(np_dtype, copy=False).reshape(entry["shape"])


class Reader:
    """Turns JSON back into the value, with the tensors of the file."""

    def __init__(self, entries: dict[str, dict], file: str, modules: bool):
        self.entries = entries
        self.file = file
        self.modules = modules
        self.objects: list[Any] = []  # tensors and modules, by their number
        self.owners: dict[str, Tensor] = {}  # the first tensor made of each entry

    def decode(self, written: Any) -> Any:
        if isinstance(written, list):
            return self.items(written)
        if not isinstance(written, dict):
            return written
        ((tag, content),) = written.items()
        if tag == "same":
            return self.objects[content]
        return BY_TAG[tag].read(self, content)

    def items(self, written: list) -> list:
        return [self.decode(value) for value in written]

    def pairs(self, written: list) -> list[tuple]:
        return [(self.decode(key), self.decode(value)) for key, value in written]

    def array(self, name: str) -> np.ndarray:
        return _array(self.entries[name])

    def tensor(self, written: dict) -> Tensor:
        name = written["name"]
        owner = self.owners.get(name)
        if owner is not None and not written["grad"]:
            made = owner.detach()  # shares the values of the first one
        else:
            made = from_array(self.array(name), written["grad"])
            self.owners.setdefault(name, made)
        return self.keep(made)

    def parameter(self, written: dict) -> Parameter:
        made = Parameter(from_array(self.array(written["name"])), written["grad"])
        self.owners.setdefault(written["name"], made)
        return self.keep(made)

    def buffer(self, written: dict) -> Buffer:
        persistent = written["persistent"]
        made = Buffer(from_array(self.array(written["name"])), persistent=persistent)
        self.owners.setdefault(written["name"], made)
        return self.keep(made)

    def keep(self, made: Any) -> Any:
        self.objects.append(made)
        return made

    def module(self, written: dict) -> Module:
        if not self.modules:
            raise CheckpointError(
                "load requires tensors and plain values with weights_only=True, "
                f"got the module {written['class']} in {self.file}"
            )
        cls = _find(written["class"])
        if not (isinstance(cls, type) and issubclass(cls, Module)):
            raise CheckpointError(
                f"load requires a subclass of nn.Module that the program has defined, "
                f"got {written['class']} in {self.file}",
                hint=f"import {written['class'].partition(':')[0]} before loading",
            )
        made = self.keep(object.__new__(cls))
        Module.__init__(made)
        for name, value in self.pairs(written["attributes"]):
            made.__dict__[name] = Table(value) if name in MODULE_TABLES else value
        return made

    def function(self, name: str) -> Callable:
        found = _find(name)
        if not _is_own_function(found):
            raise CheckpointError(
                f"load requires functions of chainrule's, got {name} in {self.file}"
            )
        return found


# ---------------------------------------------------------------------- names of classes
def _find(name: str) -> Any:
    """What `module:outer.inner` names in a module that is loaded already, or None.

    Looked up in the namespaces themselves, so that no `__getattr__` runs.
    """
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def _name(value: Any, place: Place) -> str:
    name = f"{value.__module__}:{value.__qualname__}"
    if _find(name) is not value:
        raise CheckpointError(
            f"save requires classes and functions found under their own name, "
            f"got {name} for {_at(place)}",
            hint="define it at the top level of its file, or save state_dict() instead",
        )
    return name


def _is_own_function(value: Any) -> bool:
    homes = tuple(home + "." for home in FUNCTION_HOMES)
    return isinstance(value, FunctionType) and f"{value.__module__}.".startswith(homes)


def _write_module(writer: Writer, module: Module, place: Place) -> dict:
    name = _name(type(module), place)
    return {"class": name, "attributes": writer.pairs(vars(module), place)}


# ---------------------------------------------------------------------- the kinds of values
class Kind(NamedTuple):
    """One kind of value: its tag in the file, its type, and both ways between value and JSON.

    `shared` values are saved once and are one object again after loading.
    """

    tag: str
    type: type
    write: Callable[[Writer, Any, Place], Any]
    read: Callable[[Reader, Any], Any]
    shared: bool = False


KINDS = (
    Kind("float", float, lambda w, v, p: repr(v), lambda r, x: float(x)),  # nan, inf, -inf
    Kind("list", list, lambda w, v, p: w.items(v, p), lambda r, x: r.items(x)),
    Kind("tuple", tuple, lambda w, v, p: w.items(v, p), lambda r, x: tuple(r.items(x))),
    Kind("set", set, lambda w, v, p: w.items(sorted(v, key=repr), p), lambda r, x: set(r.items(x))),
    Kind("dict", dict, lambda w, v, p: w.pairs(v, p), lambda r, x: dict(r.pairs(x))),
    Kind("ordered", OrderedDict, lambda w, v, p: w.pairs(v, p),
         lambda r, x: OrderedDict(r.pairs(x))),
    Kind("counter", Counter, lambda w, v, p: w.pairs(v, p), lambda r, x: Counter(dict(r.pairs(x)))),
    Kind("size", Size, lambda w, v, p: list(v),
         lambda r, x: Size([operator.index(n) for n in x])),
    Kind("dtype", dtypes.dtype, lambda w, v, p: v.name, lambda r, x: dtypes.by_name(x)),
    Kind("device", device, lambda w, v, p: str(v), lambda r, x: device(x)),
    Kind("array", np.ndarray, lambda w, v, p: w.array(v, p), lambda r, x: r.array(x)),
    Kind("scalar", np.generic, lambda w, v, p: w.array(np.asarray(v), p),
         lambda r, x: r.array(x)[()]),
    Kind("tensor", Tensor, lambda w, v, p: w.tensor(v, p), lambda r, x: r.tensor(x), shared=True),
    Kind("parameter", Parameter, lambda w, v, p: w.tensor(v, p), lambda r, x: r.parameter(x),
         shared=True),
    Kind("buffer", Buffer, lambda w, v, p: w.tensor(v, p) | {"persistent": v.persistent},
         lambda r, x: r.buffer(x), shared=True),
    Kind("function", FunctionType, lambda w, v, p: _name(v, p), lambda r, x: r.function(x)),
    Kind("module", Module, _write_module, lambda r, x: r.module(x), shared=True),
)  # fmt: skip
BY_TAG = {row.tag: row for row in KINDS}
BY_TYPE = {row.type: row for row in KINDS} | {Table: BY_TAG["dict"]}


def _kind_of(value: Any) -> Kind | None:
    if isinstance(value, Module):
        return BY_TAG["module"]
    if isinstance(value, FunctionType) and not _is_own_function(value):
        return None
    if isinstance(value, (np.ndarray, np.generic)):
        known = value.dtype.name in SAFETENSORS.values()
        return BY_TAG["array" if isinstance(value, np.ndarray) else "scalar"] if known else None
    return BY_TYPE.get(type(value))
