"""`torch.onnx`: importable, so that scripts run; there is no exporter."""

from __future__ import annotations

from .errors import ArgumentTypeError


def export(*args, **kwargs) -> None:
    """Raises: there is no ONNX exporter."""
    raise ArgumentTypeError("onnx.export requires an exporter, got none: chainrule has no ONNX "
                            "export", hint="save the state_dict with torch.save")
