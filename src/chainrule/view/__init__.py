"""The graph, seen: as text, as a picture; and the loss curve."""

from .curve import draw_curve
from .drawing import draw, draw_steps
from .equations import equations
from .lint import lint
from .nan import trace_nan
from .report import Report, log
from .snapshot import snapshot
from .summary import summary
from .text import show

__all__ = [
    "Report", "draw", "draw_curve", "draw_steps", "equations", "lint", "log",
    "show", "snapshot", "summary", "trace_nan",
]
