"""Anomaly mode: find the gate at which a NaN first appears."""

from __future__ import annotations

from .. import config


class set_detect_anomaly:
    """Raise AnomalyError at the first gate, forward or backward, whose value is NaN.

    The error names the op, the line that recorded it and the range of its inputs.  Backward
    computes the gradients at once while this is on.
    """

    def __init__(self, mode: bool = True, check_nan: bool = True):
        self._saved = config.anomaly
        config.anomaly = mode and check_nan

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        config.anomaly = self._saved


class detect_anomaly(set_detect_anomaly):
    """`set_detect_anomaly(True)` for a with statement."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)
