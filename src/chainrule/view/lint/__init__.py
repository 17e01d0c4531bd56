"""The linter: silent mistakes of a training, named with their lines."""

from .finding import Finding, Findings
from .linter import examine, lint
from .watching import watch

__all__ = ["Finding", "Findings", "examine", "lint", "watch"]
