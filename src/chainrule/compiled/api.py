"""`torch.compile` and what it makes of a function."""

from __future__ import annotations

import copy
import functools
import sys
import threading
from collections.abc import Callable
from operator import is_
from types import MethodType, SimpleNamespace
from typing import Any

from .. import config
from ..managed import watching
from ..nn.module import Module
from ..observers import observers, tell
from ..tensor import Tensor, run_tensors
from ..warning import warn
from .recording import Recording
from .replay import MISS, Replay, modes
from .survey import Survey
from .tree import flatten, opaque, plain
from .watch import Watcher, watched

MOST_PROGRAMS = 64  # of one function: argument shapes, modes, values of Python's numbers
MOST_ALIKE = 4  # recordings, for arguments of one structure, that wait for one that agrees
MOST_RECORDINGS = 16  # recordings that wait
PATIENCE = 3  # recordings in a row that agree with none before it says why
MOST_FRUITLESS = 32  # and before it stops watching


class Compiled:
    """A function that skips recording where it may.  See `compile`."""

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self._function = function
        self._replays: list[Replay] = []
        self._recordings: list[Recording] = []  # the last ones that agreed with none before
        self._lock = threading.RLock()
        self._watching = threading.Lock()  # one recording at a time is watched
        self._fruitless = -1  # recordings in a row that came to nothing, but for the first
        self._is_warned = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if watching.watcher is not None or watching.mapped:
            return self._function(*args, **kwargs)
        return self._observed(args, kwargs) if observers else self._call(args, kwargs)

    def _observed(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        if any(observer.needs_recording for observer in observers):
            return self._function(*args, **kwargs)
        tell("calling", self)
        result = self._call(args, kwargs)
        tell("called", (self, result))
        return result

    def _call(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        arguments: list[Tensor] = []
        structure = _structure(args, kwargs, arguments) if args or kwargs else ()
        with self._lock:
            for replay in self._replays:
                result = replay(structure, arguments)
                if result is not MISS:
                    if replay is not self._replays[0]:
                        self._replays.remove(replay)
                        self._replays.insert(0, replay)
                    return result
            watches = self._is_watched()
        # Not under the lock: what the function waits for may be waiting for another call of it.
        if watches and self._watching.acquire(blocking=False):
            try:
                return self._record(args, kwargs, structure, arguments)
            finally:
                self._watching.release()
        return self._function(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __deepcopy__(self, memo: dict) -> Compiled:
        return Compiled(copy.deepcopy(self._function, memo))

    # ------------------------------------------------------------------ recording
    def _is_watched(self) -> bool:
        """Whether the recording of this call is worth a look."""
        if self._fruitless < 0:
            # A first call is seldom like the others: it makes the optimizer's state.
            self._fruitless = 0
            return False
        # A profiler has the place that a watcher needs.
        return not (self._fruitless > MOST_FRUITLESS or config.anomaly or sys.getprofile())

    def _record(self, args, kwargs, structure: Any, arguments: list[Tensor]) -> Any:
        earlier = [r for r in self._recordings if r.structure == structure]
        unmoved = [r for r in earlier if r.survey.changed() is None]
        modes_before = modes()
        with watched(self._may_put_off(earlier)) as watcher:
            result = self._function(*args, **kwargs)
        with self._lock:
            try:
                recording = self._read(watcher, structure, arguments, (args, kwargs), result)
                if modes() != modes_before:
                    recording.refuse("it changes the grad mode or the default dtype")
                self._settle(earlier, unmoved, recording)
            except Exception as error:  # the call has done its work, whatever we make of it
                self._count(f"its recording is not understood ({type(error).__name__}: {error})")
        if watcher.put_off:
            run_tensors(watcher.put_off)  # what no program has computed
        if all(r.watcher is not watcher for r in self._recordings):
            watcher.forget()
        return plain(result)

    def _may_put_off(self, earlier: list[Recording]) -> bool:
        """Whether a program will give the recording of this call its values: the first one's, or
        that of an earlier recording."""
        is_first = not (self._recordings or self._replays or self._fruitless)
        return is_first or any(r.program is not None for r in earlier)

    def _read(
        self, watcher: Watcher, structure: Any, arguments: list[Tensor],
        given: tuple[tuple, dict], result: Any,
    ) -> Recording:
        roots = [(_name_of(self), self._function)]
        roots += [("an argument", x) for x in opaque(structure)]
        survey = Survey(roots, watcher.codes)
        recording = Recording(watcher, survey, arguments, structure, result)
        after: list[Tensor] = []
        is_same = _structure(given[0], given[1], after) == structure
        if not is_same or not all(map(is_, after, arguments)):
            recording.refuse("it changes what is in its arguments")
        return recording

    def _settle(
        self, earlier: list[Recording], unmoved: list[Recording], recording: Recording
    ) -> None:
        """Make a replay of two recordings that agree, or remember this one and why not."""
        reason = recording.refusal
        for other in reversed(earlier if reason is None else []):
            difference = _difference(other, recording, other in unmoved)
            if difference is None:
                self._fruitless = 0
                self._recordings.remove(other)
                self._replays.insert(0, self._replay(recording, other.program))
                other.watcher.forget()
                del self._replays[MOST_PROGRAMS:]
                return
            reason = reason or difference
        if reason is None or recording.refusal is None:
            if recording.watcher.put_off and not earlier:
                recording.program = self._replay(recording, None).program
            recording.release()
            self._recordings.append(recording)
            if len(earlier) >= MOST_ALIKE:
                self._recordings.remove(earlier[0])
            del self._recordings[:-MOST_RECORDINGS]
        self._count(reason)

    def _replay(self, recording: Recording, program: Any) -> Replay:
        replay = Replay(recording, program)
        if recording.watcher.put_off:
            replay.finish(recording)
        return replay

    def _count(self, reason: str | None) -> None:
        """One more recording that came to nothing, and why."""
        self._fruitless += 1
        if self._fruitless > MOST_FRUITLESS:
            self._recordings.clear()
            reason = reason or "its arguments are others in every call"
        if reason is not None and self._fruitless >= PATIENCE and not self._is_warned:
            self._is_warned = True
            warn(f"compile: {_name_of(self)} is recorded in every call, since {reason}")


def _difference(earlier: Recording, later: Recording, is_unmoved: bool) -> str | None:
    """Why the later of two recordings is not what the earlier one led to expect."""
    now = earlier.survey.changed()
    if now is not None:
        return f"{now}, by its own doing" if is_unmoved else now
    if not is_unmoved:
        return "what it looks at changes"
    if not earlier.survey.same(later.survey):
        return "it looks at other things in the next recording"
    return earlier.difference(later)


def _structure(args: tuple, kwargs: dict, arguments: list[Tensor]) -> Any:
    """What another call must have in common with this one; its tensors go into `arguments`."""
    if not args and not kwargs:
        return ()
    structure: Any = tuple([flatten(x, arguments) for x in args])
    if kwargs:
        structure = structure, tuple(kwargs), *[flatten(x, arguments) for x in kwargs.values()]
    if len(arguments) > 1 and len(set(map(id, arguments))) < len(arguments):
        first: dict[int, int] = {}
        return structure, tuple([first.setdefault(id(x), i) for i, x in enumerate(arguments)])
    return structure


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def compile(model: Any = None, **options: Any) -> Any:
    """A function that does what `model` does, and records it only where it must.

    A call is recorded until two recordings agree in everything but the values of tensors, random
    numbers and the numbers that optimizers manage (rates, decays, counts of steps).  Later calls
    with arguments of the same structure, shapes, dtypes and requires_grad then run the program of
    that recording: they fetch the values of all tensors it read, draw the random numbers anew in
    the same order, work out the managed numbers, and bind parameters, buffers, gradients, state
    and results to the outcome.  Compile the whole training step: zero_grad, forward, backward,
    optimizer.step and, if you like, scheduler.step.

    Each call first checks that Python would do the same again: the globals, closures, defaults
    and attributes that the code could have read, containers, modules (train or eval, settings,
    children, hooks), options and state of optimizers, grad mode, default dtype.  What has changed
    is recorded anew; a few variants are kept.  If recordings do not agree, or a call does what a
    program cannot repeat - it looks at values (`if loss > 1`), changes Python's objects (a list, a
    counter), prints, reads a clock, draws Python's or NumPy's random numbers, or returns a tensor
    whose history is still needed - it is recorded in every call, and a warning says why, once.

    What is not seen: files, environment variables and the state of other libraries that change
    between calls; entries written straight into a module's `__dict__`; and checks of values
    that raise (BCE targets outside of [0, 1]).  While a profiler is set, calls are recorded.

    A module is returned as it is: its graphs become programs anyway, together with the backward
    pass.  PyTorch's options are accepted, and `@torch.compile(...)` decorates.

    >>> import chainrule as torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> opt = torch.optim.SGD([w], lr=0.25)
    >>> @torch.compile
    ... def step(x):
    ...     opt.zero_grad()
    ...     loss = (w * x).sum() ** 2
    ...     loss.backward()
    ...     opt.step()
    ...     return loss
    >>> [step(torch.ones(2)).item() for _ in range(5)]
    [4.0, 0.0, 0.0, 0.0, 0.0]
    """
    if model is None:
        return functools.partial(compile, **options)
    if isinstance(model, (Module, Compiled)):
        return model
    return Compiled(model)


def _same(function: Callable | None = None, **options: Any) -> Callable:
    return function if function is not None else lambda f: f


compiler = SimpleNamespace(
    disable=_same, is_compiling=lambda: False, reset=lambda: None, allow_in_graph=_same
)
