"""The arena: buffers that live at the same time share no byte, and little is wasted."""

import platform
import random
import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.jit.memory import ALIGNMENT, Buffer, give_back, plan


def overlap(a, b):
    at_once = a.born <= b.dies and b.born <= a.dies
    return at_once and a.offset < b.offset + b.nbytes and b.offset < a.offset + a.nbytes


@pytest.mark.parametrize("seed", range(20))
def test_what_lives_together_lies_apart(seed):
    rng = random.Random(seed)
    buffers = []
    for _ in range(rng.randrange(1, 60)):
        born = rng.randrange(20)
        buffers.append(Buffer(rng.choice([0, 4, 64, 1000, 4096]), born, born + rng.randrange(6)))
    top = plan(buffers)
    for i, a in enumerate(buffers):
        assert a.offset % ALIGNMENT == 0 and 0 <= a.offset and a.offset + a.nbytes <= top
        assert not any(overlap(a, b) for b in buffers[:i] if a.nbytes and b.nbytes)


def test_a_chain_needs_two_buffers():
    buffers = [Buffer(6400, k, k + 1) for k in range(50)]
    assert plan(buffers) == 2 * 6400


def test_free_neighbours_are_joined():
    small = [Buffer(64, 0, 0), Buffer(64, 0, 0), Buffer(64, 0, 0)]
    large = Buffer(192, 1, 1)
    assert plan([*small, large]) == 192


def test_the_last_piece_grows():
    assert plan([Buffer(64, 0, 0), Buffer(128, 1, 1)]) == 128


def test_nothing_needs_nothing():
    assert plan([]) == 0


def _resident() -> int:
    """MiB of this process in memory."""
    return int(re.search(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())[1]) >> 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc keeps most")
def test_free_memory_goes_back_to_the_system():
    arrays = [np.ones(1 << 15) for _ in range(800)]  # 200 MiB in pieces too small to be mapped
    full = _resident()
    del arrays[:-1]  # the last one keeps the others' memory from the end of the heap
    give_back()
    assert _resident() < full - 150
