"""Devices: PyTorch's name for where a tensor lives.  Here that is the CPU."""

from __future__ import annotations

from .errors import DeviceError

_KNOWN = ("cpu", "cuda", "mps", "xpu", "meta")


class device:
    """`device("cpu")`, `device("cuda:0")`, `device("cuda", 0)`: a name that can be compared.

    Any device of PyTorch's can be named; only the CPU can hold a tensor.

    >>> import chainrule as torch
    >>> torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device(type='cpu')
    """

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, type: str | device | int, index: int | None = None):
        if isinstance(type, device):
            index = type.index
            type = type.type
        elif isinstance(type, int):
            index = type
            type = "cuda"
        name, _, number = type.partition(":")
        if name not in _KNOWN or (number and not number.isdigit()):
            raise DeviceError(f"device requires one of {', '.join(_KNOWN)}, got {type!r}")
        self.type = name
        self.index = int(number) if number else index

    def __eq__(self, other) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __enter__(self):
        require_cpu(self)
        return self

    def __exit__(self, *exc):
        return None


CPU = device("cpu")


def require_cpu(where: device | str | int | None) -> None:
    """Raise DeviceError unless `where` is the CPU (or nothing was said)."""
    if where is None or where is CPU or where == "cpu":
        return
    found = device(where)
    if found.type != "cpu":
        raise DeviceError(
            f"tensors require the device cpu, got {found}: chainrule trains on the CPU",
            hint='torch.device("cuda" if torch.cuda.is_available() else "cpu") gives the CPU here',
        )
