"""Watching one call of a function: what it records, reads, writes, draws and looks at.

Nothing of this costs anything while nobody watches: for the time of a watched call, and for it
alone, the classes whose instances are followed get descriptors and methods that take notes.
"""

from __future__ import annotations

import functools
import gc
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, MethodType
from typing import Any, NamedTuple

import numpy as np

from .. import scope
from ..graph import Node
from ..handle import Handle
from ..managed import Managed, watching
from ..optim.schedule import LRScheduler
from ..random import Generator
from ..scope import Site, current_site
from ..tensor import Tensor
from ..twister import Twister
from .tree import PLAIN

_LIBRARY = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
_SITE = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})

# What tells Python something about the world outside, or the world something.
_OUTSIDE = {"time", "_random", "_io", "posix", "nt", "_socket", "select", "_thread", "_queue"}
_OUTSIDE_BUILTINS = {"print", "input", "open", "exec", "eval", "breakpoint"}
_OUTSIDE_METHODS = {"now", "today", "utcnow"}


class Step(NamedTuple):
    """One recorded application, or a leaf: what a node is made of.

    `inputs` are places on the tape (0, 1 ...) or, negative, nodes from outside (-1, -2 ...).
    """

    op: Any
    inputs: tuple[int, ...]
    attrs: dict
    node: Any  # the node of a leaf
    spec: Any
    site: tuple
    scope: Any


class Draw(NamedTuple):
    """One call of a random stream."""

    generator: Twister
    name: str
    args: tuple
    kwargs: dict
    array: Any


class Call(NamedTuple):
    """A call that changes Python's own state only, as it is made in every step: a schedule's."""

    function: Callable
    args: tuple
    kwargs: dict


class Watcher:
    """The notes of one watched call."""

    def __init__(self, puts_off: bool = False) -> None:
        #: What optimizers would have run at the end of step(), if that is put off; else None.
        self.put_off: list[Tensor] | None = [] if puts_off else None
        self.tape: list[Step] = []
        self.places: weakref.WeakKeyDictionary[Node, int] = weakref.WeakKeyDictionary()
        self.outside: list[Node] = []
        self.handles: dict[int, tuple[Handle, Node]] = {}  # those from outside: as they were
        self.grads: dict[int, tuple[Tensor, Any, bool]] = {}  # as it was, and whether it was read
        self.draws: list[Draw] = []
        self.numbers: dict[int, tuple[np.ndarray, Managed]] = {}  # by id of the array
        self.actions: list[Callable[[], Any] | Call] = []  # reads of managed numbers, and calls
        self.decisions: dict[str, bool] = {}
        self.items: dict[int, tuple[Managed, Node]] = {}  # numbers out of tensors, by id
        self.taken_over: dict[int, tuple[np.ndarray, int]] = {}  # values that became leaves again
        self.codes: dict[CodeType, dict] = {}  # the user's code that ran -> its globals
        self.refusal: str | None = None  # why this call cannot be repeated without recording
        self._inside: dict[int, weakref.ref] = {}  # handles made in this call
        self._quiet = 0
        self._drawing = 0

    def refuse(self, reason: str) -> None:
        """Note why, and at which of the user's lines; the first reason counts."""
        if self.refusal is None:
            self.refusal = f"{reason} at {_user_site()}"

    def puts_off(self, tensors: list[Tensor]) -> bool:
        """Whether these tensors will be given their values when the call has ended."""
        if self.put_off is None:
            return False
        self.put_off += tensors
        return True

    def forget(self) -> None:
        """Let go of nodes and arrays: managed numbers refer to their watcher, and it to them, so
        that it lives until garbage is collected."""
        for notes in (self.tape, self.outside, self.handles, self.grads, self.draws, self.numbers,
                      self.items, self.taken_over, self.put_off or []):
            notes.clear()  # type: ignore[attr-defined]

    # ------------------------------------------------------------------ nodes
    def append(self, node: Node, op, inputs, attrs, spec, site, scope) -> None:
        for value in attrs.values():
            if isinstance(value, Managed):
                self.used(value)
        places = tuple([self._place(x) for x in inputs])
        self.places[node] = len(self.tape)
        kept = node if op is None else None
        self.tape.append(Step(op, places, attrs, kept, spec, site, scope))

    def _place(self, node: Node) -> int:
        found = self.places.get(node)
        if found is None:
            self.outside.append(node)
            found = self.places[node] = -len(self.outside)
        return found

    # ------------------------------------------------------------------ handles
    def read(self, handle: Handle, node: Node) -> None:
        key = id(handle)
        if key not in self.handles and key not in self._inside:
            self.handles[key] = (handle, node)

    def write(self, handle: Handle) -> None:
        if "_node" in handle.__dict__:
            self.read(handle, handle.__dict__["_node"])
        else:
            key, inside = id(handle), self._inside
            inside[key] = weakref.ref(handle, lambda _: inside.pop(key, None))

    def is_inside(self, handle: Handle) -> bool:
        return id(handle) in self._inside

    def touch_grad(self, handle: Tensor, is_read: bool) -> None:
        if id(handle) not in self.grads and id(handle) not in self._inside:
            self.grads[id(handle)] = (handle, handle.__dict__.get("_grad"), is_read)

    def take_over(self, node: Node) -> None:
        """The known value of this node becomes a leaf of its own."""
        if node.value is not None:
            self.taken_over.setdefault(id(node.value), (node.value, self._place(node)))

    # ------------------------------------------------------------------ values and numbers
    def look(self, handle: Handle) -> None:
        """Python is given the values of a tensor."""
        node = handle.node
        place = self.places.get(node, -1)
        is_constant = place >= 0 and self.tape[place].op is None and not self._is_drawn(node)
        if not self._quiet and not is_constant:
            self.refuse("it looks at the values of a tensor")

    def _is_drawn(self, node: Node) -> bool:
        return any(draw.array is node.value for draw in self.draws)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def item(self, handle: Handle, value: Any) -> Any:
        """A number out of a tensor: it may be returned, and that is all."""
        if self._quiet:
            return value
        if type(value) is not float:
            self.refuse(f"it takes {value!r}, a Python {type(value).__name__}, out of a tensor")
            return value
        number = Managed(value, None, self)
        self.items[id(number)] = (number, handle.node)
        return number

    def managed(self, read: Callable[[], Any]) -> Any:
        with self.quiet():
            value = read()
        if type(value) is not float:
            return value
        self.actions.append(_unwatched(read))
        return Managed(value, f"r{len(self.actions) - 1}", self)

    def enter_number(self, array: np.ndarray, number: Managed) -> None:
        if number.formula is None:
            self.used(number)
        self.numbers[id(array)] = (array, number)

    def decide(self, number: Managed, formula: str | None, outcome: bool) -> None:
        if formula is None:
            self.used(number)
        else:
            self.decisions[formula] = outcome

    def used(self, number: Managed) -> None:
        """A number went where it cannot be followed."""
        if number.formula is None:
            self.refuse("it goes on with a number out of a tensor")
        else:
            self.decisions[f"{number.formula} == {number.plain()!r}"] = True

    def call(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Make a call that a later step makes as well, without following it."""
        self.actions.append(Call(function, args, kwargs))
        watching.watcher = None
        try:
            return function(*args, **kwargs)
        finally:
            watching.watcher = self

    def first_call(self) -> int:
        """Which of the actions is the first call; past them all if there is none."""
        calls = [i for i, action in enumerate(self.actions) if isinstance(action, Call)]
        return calls[0] if calls else len(self.actions)

    # ------------------------------------------------------------------ the world
    def draw(self, generator: Twister, name: str, method: Callable, args, kwargs) -> Any:
        self._drawing += 1
        try:
            result = method(generator, *args, **kwargs)
        finally:
            self._drawing -= 1
        if not self._drawing:  # one draw may be made of others
            self.draws.append(Draw(generator, name, args, kwargs, result))
        return result

    def profile(self, frame: FrameType, event: str, arg: Any) -> None:
        """What Python calls of every function that is called, and of those written in C."""
        if event != "call" and event != "c_call":
            return
        code = frame.f_code
        if scope.own_files.get(code.co_filename, True) and scope.is_own(code.co_filename):
            return
        if event == "c_call":
            self._called_c(arg, frame)
        elif code not in self.codes and not code.co_filename.startswith(_NUMPY):
            if _is_library(code.co_filename):
                return
            if not frame.f_globals.get("__name__", "").startswith("namedtuple_"):
                self.codes[code] = frame.f_globals

    def _called_c(self, function: Any, frame: FrameType) -> None:
        owner = getattr(function, "__self__", None)
        module = function.__module__ or type(owner).__module__
        name = function.__name__
        if (
            (module in _OUTSIDE or type(owner).__module__ in _OUTSIDE)
            or (module == "builtins" and name in _OUTSIDE_BUILTINS)
            or (isinstance(owner, type) and name in _OUTSIDE_METHODS)
            or "random" in module
        ):
            self.refuse(f"it calls {name}()")
        elif self.items and module in ("math", "cmath", "_struct"):
            self.refuse(f"it goes on with a number out of a tensor, in {name}(),")


_NUMPY = np.__path__[0]


def _other_streams() -> Any:
    """Where the random streams of Python and NumPy are."""
    python, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    state = None if numpy is None else numpy.get_state(legacy=False)["state"]
    return (
        None if python is None else python.getstate(),
        None if state is None else (state["pos"], state["key"].tobytes()),
    )


def _is_library(filename: str) -> bool:
    return filename.startswith("<frozen") or (
        filename.startswith(_LIBRARY) and not filename.startswith(_SITE)
    )


def _user_site() -> Site:
    """The innermost line of the call stack that is the user's: not ours, not a library's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not (scope.is_own(filename) or _is_library(filename) or filename.startswith(_NUMPY)):
            return Site(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return current_site()


# --------------------------------------------------------------------------- installing
class _WatchedNode:
    """In the place of the attribute `_node` of every handle."""

    def __get__(self, handle: Handle | None, owner: Any = None) -> Any:
        if handle is None:
            return self
        try:
            node = handle.__dict__["_node"]
        except KeyError:
            raise AttributeError("_node") from None
        if watching.watcher is not None:
            watching.watcher.read(handle, node)
        return node

    def __set__(self, handle: Handle, node: Node) -> None:
        if watching.watcher is not None:
            watching.watcher.write(handle)
        handle.__dict__["_node"] = node


class _WatchedGrad:
    """In the place of the attribute `_grad` of every tensor."""

    def __get__(self, handle: Tensor | None, owner: Any = None) -> Any:
        if handle is None:
            return None
        if watching.watcher is not None:
            watching.watcher.touch_grad(handle, True)
        return handle.__dict__.get("_grad")

    def __set__(self, handle: Tensor, value: Any) -> None:
        if watching.watcher is not None:
            watching.watcher.touch_grad(handle, False)
        handle.__dict__["_grad"] = value


def _watched_become_leaf(become_leaf: Callable) -> Callable:
    def _become_leaf(self, node):
        if watching.watcher is not None:
            watching.watcher.take_over(node)
        become_leaf(self, node)

    return _become_leaf


def _watched_init(init: Callable) -> Callable:
    def __init__(self, op, inputs, attrs, spec, requires_grad, site, scope, depth):
        init(self, op, inputs, attrs, spec, requires_grad, site, scope, depth)
        if watching.watcher is not None:
            watching.watcher.append(self, op, inputs, attrs, spec, site, scope)

    return __init__


def _watched_value(value: Callable) -> Callable:
    def _value(self):
        if watching.watcher is not None:
            watching.watcher.look(self)
        return value(self)

    return _value


def _watched_item(item: Callable) -> Callable:
    @functools.wraps(item)
    def watched(self):
        watcher = watching.watcher
        if watcher is None:
            return item(self)
        with watcher.quiet():
            value = item(self)
        return watcher.item(self, value)

    return watched


def _watched_draw(name: str, method: Callable) -> Callable:
    def draw(self, *args, **kwargs):
        watcher = watching.watcher
        if watcher is None:
            return method(self, *args, **kwargs)
        return watcher.draw(self, name, method, args, kwargs)

    return draw


def _watched_schedule(step: Callable) -> Callable:
    def watched(self, *args, **kwargs):
        watcher = watching.watcher
        if watcher is None or not all(type(x) in PLAIN for x in (*args, *kwargs.values())):
            return step(self, *args, **kwargs)
        return watcher.call(functools.partial(step, self), args, kwargs)

    return watched


def _schedules(cls: type = LRScheduler) -> Iterator[type]:
    yield cls
    below: type
    for below in cls.__subclasses__():
        yield from _schedules(below)


def _unwatched(read: Callable) -> Callable:
    """The method that it is when nobody watches, for `Tensor.item`."""
    if type(read) is MethodType and read.__func__ is Tensor.item:
        return MethodType(getattr(Tensor.item, "__wrapped__"), read.__self__)  # noqa: B009
    return read


_MISSING = object()


def _patches() -> Iterator[tuple[type, str, Any]]:
    yield Handle, "_node", _WatchedNode()
    yield Handle, "_become_leaf", _watched_become_leaf(Handle._become_leaf)
    yield Tensor, "_grad", _WatchedGrad()
    yield Tensor, "_value", _watched_value(Tensor._value)
    yield Tensor, "item", _watched_item(Tensor.item)
    yield Node, "__init__", _watched_init(Node.__init__)
    for cls in _schedules():
        if "step" in vars(cls):
            yield cls, "step", _watched_schedule(vars(cls)["step"])
    for cls in (Generator, Twister):
        for name, method in list(vars(cls).items()):
            if callable(method) and not name.startswith("_"):
                yield cls, name, _watched_draw(name, method)


_installed: list[tuple[type, str, Any]] = []
_watchers = 0
_lock = threading.Lock()


def _install() -> None:
    global _watchers
    with _lock:
        _watchers += 1
        if _watchers == 1:
            for cls, name, patch in list(_patches()):
                _installed.append((cls, name, cls.__dict__.get(name, _MISSING)))
                setattr(cls, name, patch)


def _remove() -> None:
    global _watchers
    with _lock:
        _watchers -= 1
        while not _watchers and _installed:
            cls, name, original = _installed.pop()
            if original is _MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, original)


@contextmanager
def watched(puts_off: bool = False) -> Iterator[Watcher]:
    """Take notes of what this thread does inside; what optimizers run may be put off."""
    watcher = Watcher(puts_off)
    _install()
    watching.watcher = watcher
    before = _other_streams()
    # What others do when garbage is collected (gc.callbacks) is not the step's doing.
    collecting = gc.isenabled()
    gc.disable()
    sys.setprofile(watcher.profile)
    try:
        yield watcher
    finally:
        sys.setprofile(None)
        if collecting:
            gc.enable()
        watching.watcher = None
        _remove()
        if watcher.refusal is None and _other_streams() != before:
            watcher.refusal = "it draws random numbers of Python's or NumPy's"
