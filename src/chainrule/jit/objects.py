"""Object files, as far as we must read them: which symbols one asks others for."""

from __future__ import annotations

import struct


def undefined(code: bytes) -> list[str]:
    """The names that an object file (ELF or Mach-O, 64 bits) uses and does not define."""
    return sorted(_elf(code) if code[:4] == b"\x7fELF" else _mach_o(code))


def _elf(code: bytes) -> list[str]:
    start, = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    # (kind, offset, bytes, which section the names are in) of each section
    sections = [struct.unpack_from("<4xI16xQQI", code, start + i * size) for i in range(count)]
    found = []
    for kind, offset, length, strings in sections:
        if kind == 2:  # the table of symbols
            for at in range(offset, offset + length, 24):
                name, section = struct.unpack_from("<I2xH", code, at)
                if name and not section:
                    found.append(_text(code, sections[strings][1] + name))
    return found


def _mach_o(code: bytes) -> list[str]:
    commands, = struct.unpack_from("<I", code, 16)
    found, at = [], 32
    for _ in range(commands):
        kind, size = struct.unpack_from("<II", code, at)
        if kind == 2:  # the table of symbols
            start, count, strings, _ = struct.unpack_from("<IIII", code, at + 8)
            for symbol in range(start, start + 16 * count, 16):
                name, sort = struct.unpack_from("<IB", code, symbol)
                if sort & 0x0F == 1:  # others define it
                    found.append(_text(code, strings + name)[1:])  # C names begin with _
        at += size
    return found


def _text(code: bytes, start: int) -> str:
    return code[start:code.index(0, start)].decode()
