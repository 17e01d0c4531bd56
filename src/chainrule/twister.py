"""MT19937 as PyTorch seeds, reads and saves it: the words that random numbers are made of.

    single   u = (w & (2^24 - 1)) 2^-24                     one word, exact in float32
    double   u = ((w << 32 | w') & (2^53 - 1)) 2^-53        two words, high one first

Matsumoto and Nishimura, Mersenne Twister, 1998.
"""

from __future__ import annotations

import operator
import os
import struct
from typing import Self

import numpy as np

from .errors import ArgumentError, ArgumentTypeError, StateError

BLOCK = 624  # words that MT19937 makes at once
DEFAULT_SEED = 67280421310721
# The bytes of PyTorch's get_rng_state: seed, words left + 1, seeded, words taken, 624 key words
# in 64 bits each, then the spare normal number (its slot, its validity) and two unused fields.
HEAD, TAIL = struct.Struct("<QiiQ"), struct.Struct("<dddi12x")
STATE_BYTES = HEAD.size + 8 * BLOCK + TAIL.size


class Twister:
    """A stream of 32-bit words, and the normal number that the last draw of a pair left over."""

    def __init__(self) -> None:
        self._twister = np.random.MT19937(0)
        self._source = np.random.Generator(self._twister)
        self.manual_seed(DEFAULT_SEED)

    # ---- seeds and states ----

    def manual_seed(self, seed: int) -> Self:
        """Start the stream that belongs to `seed`, from -2^63 to 2^64 - 1; returns self."""
        try:
            value = operator.index(seed)
        except TypeError:
            raise ArgumentTypeError(
                f"manual_seed requires an int, got {type(seed).__name__}"
            ) from None
        if not -(1 << 63) <= value < 1 << 64:
            raise ArgumentError(f"manual_seed requires -2**63 <= seed < 2**64, got {value}")
        self._seed = value % (1 << 64)
        self._twister._legacy_seeding(self._seed & 0xFFFFFFFF)
        # The words of the block in force, and how many are taken.  A new stream has no block
        # yet: its first words come from the next turn of the twister.
        self._block = np.empty(0, np.uint32)
        self._taken = 0
        self._spare: float | None = None
        return self

    def seed(self) -> int:
        """Start a stream that cannot be foretold; returns its seed."""
        return self.manual_seed(int.from_bytes(os.urandom(8), "little")).initial_seed()

    def initial_seed(self) -> int:
        """The seed the stream was started with, as an unsigned 64-bit number."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """The state as 5056 bytes (uint8), in the layout of PyTorch's `get_rng_state`."""
        left = self._block.size - self._taken + 1
        key = self._twister.state["state"]["key"].astype("<u8").tobytes()
        head = HEAD.pack(self._seed, left, 1, self._taken)
        tail = TAIL.pack(0.0, self._spare or 0.0, 0.0, self._spare is not None)
        return np.frombuffer(head + key + tail, np.uint8).copy()

    def set_state(self, state: np.ndarray) -> Self:
        """Go on from a state that `get_state`, here or in PyTorch, has given; returns self."""
        state = np.asarray(state)
        if state.dtype != np.uint8 or state.shape != (STATE_BYTES,):
            raise StateError(
                f"set_state requires {STATE_BYTES} values of uint8, "
                f"got shape {state.shape} of {state.dtype}"
            )
        data = state.tobytes()
        seed, left, seeded, taken = HEAD.unpack_from(data)
        if seeded != 1 or (left, taken) != (1, 0) and (left + taken != BLOCK + 1 or left < 1):
            raise StateError(
                "set_state requires a state from get_state, "
                f"got {taken} words taken and {left - 1} left of {BLOCK}"
            )
        key = np.frombuffer(data, "<u8", BLOCK, HEAD.size).astype(np.uint32)
        self._seed, self._taken = seed, taken
        # From position 0 the twister gives the words of this very key, and stands at its end.
        position = 0 if taken else BLOCK
        self._twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
        self._block = self._turn(BLOCK if taken else 0)
        _, spare, _, valid = TAIL.unpack_from(data, HEAD.size + 8 * BLOCK)
        self._spare = spare if valid else None
        return self

    def clone_state(self) -> Self:
        """A second generator that goes on from here."""
        return type(self)().set_state(self.get_state())

    # ---- the words ----

    def _turn(self, count: int) -> np.ndarray:
        return self._source.integers(0, 1 << 32, count, dtype=np.uint32)

    def _words(self, count: int) -> np.ndarray:
        """The next `count` words; the result may be a view of the block: only read it."""
        end = self._taken + count
        if end <= self._block.size:
            words = self._block[self._taken : end]
            self._taken = end
            return words
        rest = self._block[self._taken :]
        missing = count - rest.size
        # Whole blocks, so that the twister's key is always that of the block in force.
        fresh = self._turn(-(-missing // BLOCK) * BLOCK)
        self._block = fresh[-BLOCK:].copy() if fresh.size > BLOCK else fresh
        self._taken = missing - fresh.size + BLOCK
        return np.concatenate((rest, fresh[:missing]))

    def _integers64(self, count: int) -> np.ndarray:
        words = self._words(2 * count).astype(np.uint64)
        return words[0::2] << np.uint64(32) | words[1::2]

    def _singles(self, count: int) -> np.ndarray:
        u = (self._words(count) & 0xFFFFFF).view(np.int32).astype(np.float32)
        u *= np.float32(2.0**-24)
        return u

    def _doubles(self, count: int) -> np.ndarray:
        words = self._words(2 * count)
        u = (words[0::2] & 0x1FFFFF) * 2.0**-21
        u += words[1::2] * 2.0**-53
        return u

    def _uniforms(self, count: int, dtype: np.dtype) -> np.ndarray:
        return self._doubles(count) if dtype == np.float64 else self._singles(count)

    def _double(self) -> float:
        high, low = self._words(2).tolist()
        return ((high & 0x1FFFFF) << 32 | low) * 2.0**-53
