"""Runs what a Builder's methods write over arrays, on any tier of instructions of this machine."""

import ctypes

import numpy as np

from chainrule.jit import engine as engines
from chainrule.jit.emit import Builder

TIERS = {target.name: engines.Engine(target) for target in engines.tiers()}
_SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
    ctypes.c_void_p,
)


def kernel(write, elems, result, lanes, target):
    """The text of a kernel: out[i] = write(b, a[i], ...), `lanes` elements a time."""
    b = Builder(engines.NAME, target)
    bases = [b.buffer(k) for k in range(len(elems) + 1)]
    with b.loop(b.low, b.high, lanes) as i:
        values = [b.load(base, i, elem, lanes) for base, elem in zip(bases, elems, strict=False)]
        b.store(bases[-1], i, b.cast(b.like(write(b, *values), values[0]), result))
    return b.text()


def run(tier, write, arrays, result=None, lanes=None):
    """write over whole arrays, and the code the kernel returned."""
    engine = TIERS[tier]
    arrays = [np.ascontiguousarray(a) for a in arrays]
    result = np.dtype(result or arrays[0].dtype)
    if lanes is None:
        lanes = min(engine.target.lanes(a.dtype.name) for a in arrays)
    size = arrays[0].size
    padded = [np.ones(-(-size // lanes) * lanes, a.dtype) for a in arrays]
    for whole, a in zip(padded, arrays, strict=True):
        whole[:size] = a.ravel()
    out = np.zeros(padded[0].size, result)
    text = kernel(write, [a.dtype.name for a in arrays], result.name, lanes, engine.target)
    buffers = [*padded, out]
    slots = np.array([a.ctypes.data for a in buffers])
    places = np.arange(len(buffers), dtype=np.int32)
    function = _SIGNATURE(engine.address(text))
    code = function(slots.ctypes.data, places.ctypes.data, 0, padded[0].size, None)
    return out[:size].reshape(arrays[0].shape), code


def ulps(got, exact):
    """Distance to the exact values, given wider, in units of the last place of the format."""
    kind = got.dtype.type
    with np.errstate(all="ignore"):
        near = exact.astype(kind)
        below = np.where(np.abs(near) > np.abs(exact), np.nextafter(near, kind(0)), near)
        unit = np.abs(np.spacing(below)).astype(exact.dtype)
        distance = np.abs(got.astype(exact.dtype) - exact) / unit
    same = (got == near) | (np.isnan(got) & np.isnan(near))
    return np.where(same, 0, np.where(np.isfinite(near) & np.isfinite(got), distance, np.inf))
