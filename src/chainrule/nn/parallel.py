"""`torch.nn.parallel`: wrappers that scripts put around a module; one process, no replicas."""

from __future__ import annotations

from ..errors import DeviceError
from .module import Module


class DataParallel(Module):
    """The module itself: there is one device, so the batch is not cut.

    >>> import chainrule as torch
    >>> torch.nn.DataParallel(torch.nn.Linear(2, 3))(torch.ones(4, 2)).shape
    torch.Size([4, 3])
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0):
        super().__init__()
        self.module = module

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(DataParallel):
    """Raises: training on several processes is not here yet."""

    def __init__(self, module: Module, *args, **kwargs):
        raise DeviceError("DistributedDataParallel requires a process group, got none",
                          hint="guard it with torch.distributed.is_initialized()")
