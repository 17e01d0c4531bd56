"""SummaryWriter: curves, texts and histograms of a training run, for TensorBoard to show.

The files are written by the `tensorboard` package itself, which does not need TensorFlow.
Importing this module raises ImportError where that package is missing, as in PyTorch.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from ..observers import observers, tell
from ..tensor import Tensor

try:
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError as error:
    raise ImportError(
        f"SummaryWriter requires the package tensorboard, got none that can be imported ({error})"
        "\n  hint: pip install tensorboard"
    ) from error

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes what a training run reports to a folder that TensorBoard watches.

    Without `log_dir` the folder is `runs/<time>_<host><comment>`.  Events at and after
    `purge_step` that are there already are hidden.  Different from PyTorch: scalars, texts and
    histograms only, and a histogram has `bins` buckets of equal width, by default 30.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ):
        if log_dir is None:
            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir)
        self._options = (max_queue, flush_secs, filename_suffix)
        self._writers: dict[str, EventFileWriter] = {}
        start = self._writer(self.log_dir)
        if purge_step is not None:
            log = SessionLog(status=SessionLog.START)
            start.add_event(Event(wall_time=time.time(), step=purge_step, session_log=log))

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """One point of the curve `tag`: a number or a tensor with one element."""
        value = _number(scalar_value)
        self._add(self.log_dir, scalar_pb(tag, value), global_step, walltime)
        if observers:
            tell("logged", (tag, value, global_step))

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """One point of each of several curves in one diagram; each curve has its own folder."""
        for tag, value in tag_scalar_dict.items():
            folder = f"{self.log_dir}/{main_tag.replace('/', '_')}_{tag}"
            self._add(folder, scalar_pb(main_tag, _number(value)), global_step, walltime)

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """A text in Markdown."""
        summary = text_pb(f"{tag}/text_summary", text_string)
        self._add(self.log_dir, summary, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: int | str = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """The distribution of the values of a tensor or an array."""
        buckets = bins if isinstance(bins, int) else max_bins
        summary = histogram_pb(tag, _array(values), buckets=buckets)
        self._add(self.log_dir, summary, global_step, walltime)

    def get_logdir(self) -> str:
        return self.log_dir

    def flush(self) -> None:
        """Write to the disk what is still in memory."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Flush, and end the writing threads; adding something afterwards begins a new file."""
        while self._writers:
            self._writers.popitem()[1].close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _writer(self, folder: str) -> EventFileWriter:
        if folder not in self._writers:
            queue, seconds, suffix = self._options
            self._writers[folder] = EventFileWriter(folder, queue, seconds, suffix)
        return self._writers[folder]

    def _add(self, folder: str, summary: Any, step: int | None, walltime: float | None) -> None:
        event = Event(wall_time=time.time() if walltime is None else walltime, summary=summary)
        if step is not None:
            event.step = int(step)
        self._writer(folder).add_event(event)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().numpy()
    return np.asarray(values, np.float64)


def _number(value: Any) -> float:
    return _array(value).item()
