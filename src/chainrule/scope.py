"""Where in the user's program a node is recorded: line, module path, composite function, grad mode.

One small immutable `Frame` per thread holds all four, so recording an op reads it once.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

_PACKAGE = os.path.dirname(__file__) + os.sep
# Our own example-like programs are user code even though they live in the package.
_USER_FILES = frozenset({_PACKAGE + "demo.py"})


class Scope:
    """A module or a composite function that recording happens in; `parent` is the enclosing one."""

    __slots__ = ("parent", "label", "kind", "grad_fn", "cls")

    def __init__(
        self, parent: Scope | None, label: str, kind: str, grad_fn: str | None = None,
        cls: type | None = None,
    ):
        self.parent, self.label, self.kind, self.grad_fn = parent, label, kind, grad_fn
        self.cls = cls  # of a module

    @property
    def path(self) -> str:
        """The labels from the outermost scope inward, joined by dots: `Net.fc1.linear`."""
        scope: Scope | None = self
        labels = []
        while scope is not None:
            labels.append(scope.label)
            scope = scope.parent
        return ".".join(reversed(labels))

    @property
    def module(self) -> str:
        """The path of the innermost module, without composite functions; '' outside of modules."""
        scope: Scope | None = self
        labels = []
        while scope is not None:
            if scope.kind == "module":
                labels.append(scope.label)
            scope = scope.parent
        return ".".join(reversed(labels))

    @property
    def history(self) -> str | None:
        """The name that results recorded here show as their backward function.

        A composite function may be made of others; the user called the outermost one.
        """
        found: str | None = None
        scope: Scope | None = self
        while scope is not None and scope.kind == "function":
            found = scope.grad_fn or found
            scope = scope.parent
        return found

    def __repr__(self) -> str:
        return f"<scope {self.path}>"


class Site(NamedTuple):
    """A point in the user's program; the line number is looked up only when somebody asks."""

    code: CodeType
    lasti: int

    @property
    def filename(self) -> str:
        return self.code.co_filename

    @property
    def line(self) -> int:
        for start, end, line in self.code.co_lines():
            if start <= self.lasti < end:
                return line or self.code.co_firstlineno
        return self.code.co_firstlineno

    def __str__(self) -> str:
        return f"{os.path.basename(self.filename)}:{self.line}"


class Frame:
    """What recording needs to know about its surroundings.  Immutable: replaced, never changed."""

    __slots__ = ("grad_enabled", "scope", "site")

    def __init__(self, grad_enabled: bool, scope: Scope | None, site: Any):
        self.grad_enabled, self.scope, self.site = grad_enabled, scope, site


class _Context(threading.local):
    now = Frame(True, None, None)


context = _Context()


# File name -> whether it is chainrule's own code; filled as files are met.
own_files: dict[str, bool] = {}


def locate() -> tuple[CodeType, int]:
    """The innermost frame of the call stack that is not chainrule's own code."""
    frame = sys._getframe(1)
    code = frame.f_code
    while True:
        own = own_files.get(code.co_filename)
        if own is None:
            own = is_own(code.co_filename)
        outer = frame.f_back
        if not own or outer is None:
            return (code, frame.f_lasti)
        frame = outer
        code = frame.f_code


def is_own(filename: str) -> bool:
    """Whether this is a file of chainrule's."""
    own = filename.startswith(_PACKAGE) and filename not in _USER_FILES
    own_files[filename] = own
    return own


def current_site() -> Site:
    """The user's line that is being executed now."""
    return Site(*(context.now.site or locate()))


def set_grad_mode(enabled: bool) -> Frame:
    """Replace the current frame by one with this grad mode; returns the previous frame."""
    saved = context.now
    context.now = Frame(enabled, saved.scope, saved.site)
    return saved


def enter(scope: Scope | None, site: Any) -> Frame:
    """Record what follows under an existing scope and line (a vjp belongs to its forward node)."""
    saved = context.now
    context.now = Frame(saved.grad_enabled, scope, site)
    return saved


def leave(saved: Frame) -> None:
    """Return to the scope and line of `saved`; a grad mode set since then stays."""
    enabled = context.now.grad_enabled
    if enabled is not saved.grad_enabled:
        saved = Frame(enabled, saved.scope, saved.site)
    context.now = saved


def composite(grad_fn: str | None = None) -> Callable:
    """Decorate a function of several ops: its nodes carry its name and the line that called it.

    `grad_fn` is the name under which the result shows its history, `NllLossBackward0`.
    """

    def decorate(function: Callable) -> Callable:
        label = function.__name__.strip("_")

        @functools.wraps(function)
        def recorded(*args, **kwargs):
            saved = context.now
            scope = Scope(saved.scope, label, "function", grad_fn)
            context.now = now = Frame(saved.grad_enabled, scope, saved.site or locate())
            try:
                return function(*args, **kwargs)
            finally:
                if context.now is now:
                    context.now = saved
                else:  # a grad mode was set
                    leave(saved)

        return recorded

    return decorate
