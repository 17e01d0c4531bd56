"""`show(..., kernels=True)`: the kernels of the programs that compute something, and times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config, interpreter
from ..autodiff import is_leaf
from ..compiled import Compiled
from ..compiled.program import Native
from ..errors import ArgumentError, ArgumentTypeError
from ..graph import Node, backlog, toposort
from ..handle import written
from ..interpreter import kept, run
from ..memo import Memo
from ..nn.module import Module
from ..optim import Optimizer
from ..tensor import Tensor
from .picture import forward_order, is_source
from .undo import undone

if TYPE_CHECKING:
    from ..jit.program import Program

_showing = threading.RLock()


@dataclass
class Run:
    """A program, the values of its leaves, and what its leaves and outputs are called."""

    program: Program
    values: Sequence[np.ndarray]
    names: dict[Node, str] = field(default_factory=dict)
    times: int = 1


def kernels_text(what: Any, args: Sequence[Any], variables: dict[str, Any], detail: bool | str
                 ) -> str:
    """The programs that compute `what`, and how long each of their kernels takes."""
    # Whoever calls a compiled step meanwhile must wait: its program has one arena.
    with _showing, what._lock if isinstance(what, Compiled) else nullcontext():
        runs = _runs(what, args, variables)
        texts = [_text(r, detail) for r in runs]
    if not runs:
        return "no program: nothing had to be computed"
    if len(runs) == 1 and runs[0].times == 1:
        return texts[0]
    heads = [f"program {k} of {len(runs)}, run {r.times} time{'s' * (r.times > 1)}"
             for k, r in enumerate(runs, 1)]
    return "\n\n".join(f"{head}\n{text}" for head, text in zip(heads, texts))


def _text(r: Run, detail: bool | str) -> str:
    from ..jit.measure import measure
    from ..jit.printout import text
    from ..jit.program import Fault

    try:
        times = measure(r.program, r.values)
    except Fault:  # the program itself raises it, with the user's line
        times = None
    return text(r.program, names=r.names, times=times, full=detail in ("full", "assembly"),
                assembly=detail == "assembly")


def _runs(what: Any, args: Sequence[Any], variables: dict[str, Any]) -> list[Run]:
    if isinstance(what, Tensor) and not args:
        return [_of_tensor(what.node, Known(variables))]
    if isinstance(what, Compiled):
        found = _of_compiled(what, Known(variables, what._function, args)) if not args else None
        if found is not None:
            return [found]
        what = what._function
    if callable(what):
        return _of_call(what, args, variables)
    raise ArgumentTypeError(
        f"show with kernels=True requires a Tensor, a module with its input, or a function, "
        f"got {type(what).__name__}")


# --------------------------------------------------------------------------- names
class Known:
    """What the caller calls arrays: parameters, gradients, an optimizer's state, variables."""

    def __init__(self, variables: dict[str, Any], *more: Any):
        for x in more:
            variables = {**_reached(x), **variables}
        self.arrays: dict[int, str] = {}
        self.tensors: dict[int, str] = {}
        self.nodes: dict[Node, str] = {}
        self._held: list[Any] = []  # so that no other array has the id of one of these
        found = list(variables.items())
        for _, x in found:
            if isinstance(x, Module):
                for name, t in (*x.named_parameters(), *x.named_buffers()):
                    self._add(t, name)
        for name, x in reversed(found):
            if isinstance(x, Tensor) and not name.startswith("_"):
                self._add(x, name)
        for _, x in found:
            if isinstance(x, Optimizer):
                for p, state in x.state.items():
                    for key, t in state.items():
                        self._add(t, f"{self.tensors.get(id(p), 'parameter')}.{key}")

    def _add(self, tensor: Any, name: str) -> None:
        if not isinstance(tensor, Tensor) or id(tensor) in self.tensors:
            return
        self.tensors[id(tensor)] = name
        node = tensor.node
        self.nodes.setdefault(node, name)
        if node.value is not None:
            self._held.append(node.value)
            self.arrays.setdefault(id(node.value), name)
        if tensor.grad is not None:
            self._add(tensor.grad, f"{name}.grad")

    def name(self, nodes: Sequence[Node], values: Sequence[np.ndarray]) -> dict[Node, str]:
        """The names of nodes by their values; a number is called what it is."""
        found = {}
        for node, value in zip(nodes, values):
            name = self.arrays.get(id(value))
            if name is None and value.size == 1 and value.ndim == 0:
                name = f"{value.item():.6g}"
            if name is not None:
                found[node] = name
        return found


def _reached(function: Any) -> dict[str, Any]:
    """The variables that a function sees, and those that the functions among them hold."""
    if isinstance(function, (list, tuple)):
        return _numbered("argument", function)
    if isinstance(function, Module):
        return {"module": function}
    found: dict[str, Any] = {}
    stack, seen = [function], set()
    while stack:
        function = stack.pop()
        function = function._function if isinstance(function, Compiled) else function
        inner = getattr(function, "__func__", function)
        if id(inner) in seen or not isinstance(inner, FunctionType):
            continue
        seen.add(id(inner))
        here = dict(getattr(getattr(function, "__self__", None), "__dict__", {}))
        for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or ()):
            with suppress(ValueError):  # nothing in it yet
                here[name] = cell.cell_contents
        found = {**here, **found}
        stack += here.values()
    return {**getattr(inner, "__globals__", {}), **found}


# --------------------------------------------------------------------------- a tensor
def _of_tensor(node: Node, known: Known) -> Run:
    from ..jit.program import Program

    if node.value is None:
        outputs = kept(node)
        below = (x for n in toposort(outputs, enter=lambda n: n.value is None) for x in n.inputs)
        leaves = [x for x in dict.fromkeys(below) if x.value is not None]
    elif is_source(node):
        raise ArgumentError(
            "show with kernels=True requires what is still to be computed, or its history, got a "
            + ("leaf" if is_leaf(node) else "value whose history is gone"),
            hint="show(step, kernels=True) runs the function `step` aside and shows its programs")
    else:
        outputs = [node]
        leaves = [x for x in forward_order(node) if is_source(x)]
    program = Program(outputs, leaves)
    values = [x.value for x in leaves]
    names = known.name(program.leaves, values)
    for x, out in zip(outputs, program.outputs):
        if x in known.nodes:
            names[out] = known.nodes[x]
    return Run(program, values, names)


# --------------------------------------------------------------------------- a compiled step
def _of_compiled(step: Compiled, known: Known) -> Run | None:
    """The program of its last call, if it has one."""
    for replay in step._replays:
        native = replay.program
        if isinstance(native, Native) and not any(x is None for x in replay.values):
            program = native._program
            values = [*replay.values, *native._known]
            numbers = program.leaves[len(values):]
            values += native._resident._cells if native._resident is not None else [
                np.ones((), x.dtype.np) for x in numbers]
            names = known.name(program.leaves, values)
            effects = replay.effects
            owners = [*((source, "") for source, _ in effects.bindings),
                      *((source, ".grad") for source in effects.grads)]
            for node, (source, what) in zip(program.outputs, owners):
                if id(source.what) in known.tensors:
                    names[node] = known.tensors[id(source.what)] + what
            return Run(program, values, names)
    return None


# --------------------------------------------------------------------------- a call
def _of_call(function: Callable, args: Sequence[Any], variables: dict[str, Any]) -> list[Run]:
    """The programs of one call of a function, everything that it does to be undone."""
    before = Known(variables, function, args)
    with undone(function, args), _as_programs() as calls:
        results = list(_tensors(function(*args)))
        run(*[t.node for t in results])
        after = Known({**variables, **_numbered("result", results)},
                      function, args)
        runs: dict[int, Run] = {}
        for program, values, outputs in calls:
            if id(program) in runs:
                runs[id(program)].times += 1
                continue
            names = before.name(program.leaves, values)
            for node, value in zip(program.outputs, outputs):
                if id(value) in after.arrays:
                    names[node] = after.arrays[id(value)]
            runs[id(program)] = Run(program, values, names)
    return list(runs.values())


def _numbered(name: str, found: Sequence[Any]) -> dict[str, Any]:
    return {name if len(found) == 1 else f"{name}{i}": x for i, x in enumerate(found)}


def _tensors(x: Any) -> Iterator[Tensor]:
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, dict):
        for y in x.values():
            yield from _tensors(y)
    elif isinstance(x, (list, tuple)):
        for y in x:
            yield from _tensors(y)


@contextmanager
def _as_programs() -> Iterator[list]:
    """Let everything that this thread computes be compiled at first sight, and note it; compiled
    functions only call what they were made from.  What is remembered of graphs stays as it is."""
    from ..jit import tier
    from ..jit.program import Program

    calls: list[tuple[Program, Sequence[np.ndarray], list[np.ndarray]]] = []
    mine = threading.get_ident()

    def noted(self, values, out=None):
        outputs = plain_run(self, values, out)
        if threading.get_ident() == mine:
            calls.append((self, values, outputs))
        return outputs

    plain_run, compiled_call = Program.run, Compiled.__call__
    saved = config.jit, config.anomaly, interpreter._plans, tier._programs, tier._seen
    depth, waiting, later = (backlog.floor, backlog.limit), dict(written), list(interpreter._later)
    try:
        Program.run = noted  # type: ignore[method-assign]
        Compiled.__call__ = _plainly  # type: ignore[method-assign]
        config.jit, config.anomaly = "1", False
        interpreter._plans, tier._programs, tier._seen = (Memo(99, 1_000_000) for _ in range(3))
        yield calls
    finally:
        Program.run, Compiled.__call__ = plain_run, compiled_call  # type: ignore[method-assign]
        config.jit, config.anomaly, interpreter._plans, tier._programs, tier._seen = saved
        backlog.floor, backlog.limit = depth
        written.clear()
        written.update(waiting)
        interpreter._later[:] = later


def _plainly(self: Compiled, *args: Any, **kwargs: Any) -> Any:
    return self._function(*args, **kwargs)
