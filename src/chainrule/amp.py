"""`torch.amp`: accepted, so that scripts run; arithmetic stays in the tensors' own dtypes.

Mixed precision is not here yet: inside `autocast` everything is computed in float32, which is
slower than half precision but never less exact, and a GradScaler has nothing to scale.
"""

from __future__ import annotations

from .tensor import Tensor


class autocast:
    """A context (or decorator) in which PyTorch would compute in half precision."""

    def __init__(self, device_type: str = "cpu", dtype=None, enabled: bool = True,
                 cache_enabled=None):
        self.device_type, self.dtype, self.enabled = device_type, dtype, enabled

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def __call__(self, function):
        return function


class GradScaler:
    """Scales nothing: gradients in float32 do not underflow."""

    def __init__(self, device: str = "cpu", *, enabled: bool = True, **options):
        self._enabled = enabled

    def scale(self, outputs: Tensor) -> Tensor:
        return outputs

    def unscale_(self, optimizer) -> None:
        """There is nothing to undo."""

    def step(self, optimizer, *args, **kwargs):
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale=None) -> None:
        """There is nothing to adapt."""

    def is_enabled(self) -> bool:
        return self._enabled

    def get_scale(self) -> float:
        return 1.0

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        """There is no state."""
