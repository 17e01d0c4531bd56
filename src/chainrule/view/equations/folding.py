"""Lines that repeat for block after block, said once: blocks.i for i = 1 ... 10.

The names of modules in a list differ in a number.  Lines that are equal but for that number, and
for the numbers of the blocks before and behind, are written once, with a letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PATH = re.compile(r"(?<![\w.])((?:[^\W\d]\w*\.)+?)(\d+)(?=\.|\b)(?!\.\d)")
LEAST = 2


def folded(lines: Sequence[str]) -> list[str]:
    """The lines, with repeated runs of them written once."""
    found: list[str] = []
    i = 0
    while i < len(lines):
        best = _longest(lines, i)
        if best is None:
            found.append(lines[i])
            i += 1
            continue
        period, times, prefix, first, step = best
        last = first + step * (times - 1)
        block = lines[i:i + period]
        letter = _free_letter(block)
        found.append(f"for {letter} = {first} ... {last}:")
        found += ["  " + _lettered(line, prefix, first, letter) for line in block]
        i += period * times
    return found


def _longest(lines: Sequence[str], start: int) -> tuple[int, int, str, int, int] | None:
    """(lines, repetitions, path, its first number, step) of the run that begins here."""
    for prefix, first in _paths(lines[start]):
        pattern = _lettered(lines[start], prefix, first, "i")
        for period in range(2, (len(lines) - start) // LEAST + 1):
            again = lines[start + period]
            for step in (1, -1):
                number = first + step
                if f"{prefix}{number}" not in again or _lettered(
                        again, prefix, number, "i") != pattern:
                    continue
                times = _repetitions(lines, start, period, prefix, first, step)
                if times >= LEAST:
                    return period, times, prefix, first, step
    return None


def _free_letter(lines: Sequence[str]) -> str:
    """A letter that is neither an index nor a name in these lines."""
    used = set(re.findall(r"(?<![^\W\d_])[a-z](?![^\W\d_])", " ".join(lines)))
    return next((c for c in "bnmtsrqplk" if c not in used), "block")


def _paths(line: str) -> list[tuple[str, int]]:
    left = line.partition(" = ")[0]
    return [(m.group(1), int(m.group(2))) for m in _PATH.finditer(left.replace("/d", " "))]


def _repetitions(
    lines: Sequence[str], start: int, period: int, prefix: str, first: int, step: int
) -> int:
    pattern = [_lettered(line, prefix, first, "i") for line in lines[start:start + period]]
    times = 1
    while True:
        begin = start + times * period
        block = lines[begin:begin + period]
        number = first + step * times
        if [_lettered(line, prefix, number, "i") for line in block] != pattern:
            return times
        times += 1


def _lettered(line: str, prefix: str, number: int, letter: str) -> str:
    """The line with `prefix`number as a letter, and the neighbours' numbers counted from it."""

    def of(match: re.Match) -> str:
        away = int(match.group(1)) - number
        return prefix + (letter if not away else f"({letter}{away:+d})")

    return re.sub(rf"(?:(?<=/d)|(?<![\w.])){re.escape(prefix)}(\d+)(?!\d)", of, line)
