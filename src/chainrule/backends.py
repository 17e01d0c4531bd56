"""`torch.backends`: switches that scripts set; none of them has an effect on the CPU."""

from __future__ import annotations

from types import SimpleNamespace

cudnn = SimpleNamespace(
    enabled=False, benchmark=False, deterministic=True, allow_tf32=False,
    is_available=lambda: False, version=lambda: None,
)
cuda = SimpleNamespace(
    matmul=SimpleNamespace(allow_tf32=False), is_built=lambda: False,
    sdp_kernel=None,
)
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
mkl = SimpleNamespace(is_available=lambda: False)
mkldnn = SimpleNamespace(is_available=lambda: False, enabled=False)
openmp = SimpleNamespace(is_available=lambda: False)
