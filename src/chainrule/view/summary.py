"""`summary`: a model's layers in a table, counted on the graph that one forward pass records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..autodiff import backpropagate, is_leaf, saved_by, seed
from ..errors import ArgumentError, ArgumentTypeError
from ..func import flatten
from ..grad_mode import enable_grad, no_grad
from ..graph import Node, backlog, toposort
from ..handle import written
from ..managed import changes
from ..methods.create import zeros
from ..nn.module import Module
from ..observers import observers
from ..printing import amount
from ..scope import Scope, context
from ..tensor import Tensor
from .cost import flops, fresh_bytes
from .labels import shape_text
from .picture import forward_order
from .undo import undone


@dataclass
class Row:
    """One module, with what is inside of it.  Bytes and operations are exact."""

    name: str  # dotted, as in named_modules(); of the model itself ""
    layer: str  # its class
    level: int  # how many called modules are around it
    shape: str  # of what it gives
    calls: int = 0  # in a row; 0 for a module whose parameters another one uses, or nobody
    notes: list[str] = field(default_factory=list)  # 3 calls, shared with fc1, weight tied
    parameters: int = 0
    trainable: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0  # of the arrays that are computed in it
    saved_bytes: int = 0  # of the arrays that are kept for its backward pass
    flops: int = 0
    backward_flops: int = 0


@dataclass
class Summary:
    """What `summary` returns: the rows, the outermost module first, and the `total`."""

    rows: list[Row]
    total: Row
    input_bytes: int
    buffer_bytes: int
    depth: int | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return "\n".join([*_table(self._shown()), "", *self._totals()])

    __repr__ = __str__

    def _shown(self) -> list[Row]:
        return [r for r in self.rows if self.depth is None or r.level <= self.depth]

    def _totals(self) -> Iterator[str]:
        t = self.total
        yield (f"parameters        {t.parameters:,} of {t.parameter_bytes:,} bytes: "
               f"{t.trainable:,} trainable, {t.parameters - t.trainable:,} frozen")
        if self.buffer_bytes:
            yield f"buffers           {self.buffer_bytes:,} bytes"
        yield f"inputs            {self.input_bytes:,} bytes"
        yield f"activations       {t.activation_bytes:,} bytes computed going forward"
        yield f"kept for backward {t.saved_bytes:,} bytes, parameters and inputs among them"
        yield (f"operations        {t.flops:,} forward, {t.flops + t.backward_flops:,} forward and "
               "backward")


def summary(model: Module, *inputs: Any, depth: int | None = None) -> Summary:
    """The layers of a model: shapes, parameters, bytes and operations, each line with all inside.

    `inputs` are what the model is called with: tensors (in lists and tuples too), shapes such as
    `(64, 784)` for zeros of the parameters' dtype, and a dict for keyword arguments.  Lines nested
    deeper than `depth` are left out of the text; `rows` has all of them.

    One forward pass is recorded, and computed only where the model itself looks at values; nothing
    is trained, no mode, random stream, buffer or gradient is other than before.  Counted is what
    the results need: arrays one node at a time (kernels that are fused keep fewer), a view none;
    kept is what `backprop(output).saved()` lists, each array where it is needed first; operations
    as in view/cost.py, those of backward for the gradients of the parameters.  A module that is
    called again in the same place adds to its line; elsewhere it has another line, marked as
    shared, whose parameters are not counted again, and no more are those that two modules tie.

    Raises TypeError for what is no Module, and ValueError without inputs.

    >>> import chainrule as torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(),
    ...                           torch.nn.Linear(256, 10))
    >>> found = torch.summary(net, (64, 784))
    >>> print(found)  # doctest: +ELLIPSIS
    layer        output  parameters  activations  kept for backward  operations
    Sequential   64×10      203,530       202 kB             276 kB      26.1 M
      0: Linear  64×256     200,960       131 kB             201 kB      25.7 M
      1: ReLU    64×256                  65.5 kB            65.5 kB      16.4 k
      2: Linear  64×10        2,570      5.12 kB            10.2 kB       328 k
    ...
    >>> found.total.flops, found.total.saved_bytes
    (26051200, 276480)
    """
    if not isinstance(model, Module):
        raise ArgumentTypeError(f"summary requires a Module, got {type(model).__name__}")
    if not inputs:
        raise ArgumentError("summary requires what the model is called with, got nothing",
                            hint="summary(model, x), or with a shape: summary(model, (64, 784))")
    args, kwargs = _arguments(model, inputs)
    with _aside(model, args, kwargs):
        record = _Record(model)
        with enable_grad():
            result = model(*args, **kwargs)
        count = _Count(model, record, result)
    given = {t.node: t for x in (args, kwargs) for t in _tensors(x)}
    buffers = sum(b.node.nbytes for b in model.buffers())
    return Summary(count.rows, count.rows[0], sum(n.nbytes for n in given), buffers, depth)


# --------------------------------------------------------------------------- recording
def _arguments(model: Module, inputs: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for x in inputs:
        if isinstance(x, dict):
            kwargs.update({name: _given(model, value) for name, value in x.items()})
        elif isinstance(x, list) and x and all(map(_is_shape, x)):
            args += [_given(model, shape) for shape in x]
        else:
            args.append(_given(model, x))
    return args, kwargs


def _is_shape(x: Any) -> bool:
    return isinstance(x, (tuple, list)) and bool(x) and all(type(n) is int for n in x)


def _given(model: Module, x: Any) -> Any:
    if not _is_shape(x):
        return x
    if min(x) < 0:
        raise ArgumentError(f"summary requires shapes of lengths from 0 on, got {tuple(x)}")
    floating = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return zeros(*x, dtype=floating[0] if floating else None)


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in flatten(tree)[0] if isinstance(x, Tensor)]


@contextmanager
def _aside(*roots: Any) -> Iterator[None]:
    """Undo what is done to modules and tensors, tell no observer, and wait for nothing longer."""
    kinds = {m: type(m) for m in roots[0].modules()}  # a lazy layer becomes another class
    told, waiting, depth = list(observers), dict(written), (backlog.floor, backlog.limit)
    saved = context.now
    observers.clear()
    try:
        with undone(*roots):
            yield
    finally:
        context.now = saved
        observers[:] = told
        backlog.floor, backlog.limit = depth
        written.clear()
        written.update(waiting)
        for m, kind in kinds.items():
            if type(m) is not kind:
                m.__class__ = kind
        changes.count += 1  # what was found out about modules meanwhile does not hold


@dataclass(eq=False)
class _Call:
    """A module, called once or several times in a row by the same other one."""

    module: Module
    parent: _Call | None
    level: int
    results: Any = None
    times: int = 0


class _Record:
    """The calls of modules, as hooks see them."""

    def __init__(self, model: Module):
        self.calls: list[_Call] = []
        self.of_scope: dict[Scope, _Call] = {}
        self._open: list[_Call] = []
        self._known: dict[tuple[Module, _Call | None], _Call] = {}
        for module in model.modules():
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def _enter(self, module: Module, args: Any) -> None:
        parent = self._open[-1] if self._open else None
        call = self._known.get((module, parent))
        if call is None:
            call = self._known[module, parent] = _Call(module, parent, len(self._open))
            self.calls.append(call)
        self._open.append(call)
        scope = context.now.scope
        if scope is not None:
            self.of_scope[scope] = call

    def _leave(self, module: Module, args: Any, results: Any) -> None:
        call = self._open.pop()
        call.results, call.times = results, call.times + 1

    def call_of(self, node: Node) -> _Call:
        """The innermost call that a node was recorded in; the outermost for what is outside."""
        scope = node.scope
        while scope is not None:
            if scope in self.of_scope:
                return self.of_scope[scope]
            scope = scope.parent
        return self.calls[0]


# --------------------------------------------------------------------------- counting
class _Count:
    """The rows of a record."""

    def __init__(self, model: Module, record: _Record, result: Any):
        self.record = record
        self.names = {m: name for name, m in model.named_modules()}
        self.owner: dict[Tensor, Module] = {}
        for m in self.names:
            for p in m._parameters.values():
                if p is not None:
                    self.owner.setdefault(p, m)
        self.row_of = {call: self._row(call) for call in record.calls}
        self.first: dict[Module, _Call] = {}
        for call in record.calls:
            self.first.setdefault(call.module, call)
        outputs = [t.node for t in _tensors(result)]
        order = list(dict.fromkeys(n for output in outputs for n in forward_order(output)))
        self._forward(order)
        self._backward(outputs, set(order))
        self._parameters(model)
        self.rows = self._ordered(model, set(order))

    def _row(self, call: _Call) -> Row:
        shapes = [shape_text(tuple(t.shape)) for t in _tensors(call.results)]
        row = Row(self.names[call.module], type(call.module).__name__, call.level,
                  ", ".join(shapes), call.times)
        if call.times > 1:
            row.notes.append(f"{call.times} calls")
        return row

    def _add(self, node: Node, what: str, amount: int) -> None:
        call: _Call | None = self.record.call_of(node) if amount else None
        while call is not None:
            row = self.row_of[call]
            setattr(row, what, getattr(row, what) + amount)
            call = call.parent

    def _forward(self, order: list[Node]) -> None:
        saved: set[Node] = set()
        for node in order:
            self._add(node, "flops", flops(node))
            self._add(node, "activation_bytes", fresh_bytes(node))
            if node.requires_grad and not is_leaf(node):
                for kept in saved_by(node):
                    if kept not in saved:
                        saved.add(kept)
                        self._add(node, "saved_bytes", kept.nbytes)

    def _backward(self, outputs: list[Node], forward: set[Node]) -> None:
        tracked = [n for n in outputs if n.requires_grad]
        with no_grad():
            found = backpropagate(tracked, [seed(n) for n in tracked], hooks=False)
        for node in toposort([ct for n, ct in found.items() if is_leaf(n)]):
            if node not in forward:
                self._add(node, "backward_flops", flops(node))

    # ---------------------------------------------------------------------- parameters
    def _parameters(self, model: Module) -> None:
        """To each row its parameters, those of the modules inside included; shared ones once."""
        for call, row in self.row_of.items():
            first = self.first[call.module]
            if first is not call:
                row.notes.append(f"shared with {self._title(first)}")
                continue
            for p in call.module.parameters():
                row.parameters += p.numel()
                row.trainable += p.numel() if p.requires_grad else 0
                row.parameter_bytes += p.node.nbytes
            tied = self._tied(call)
            if tied:
                row.notes.append(f"{tied} tied")

    def _tied(self, call: _Call) -> str:
        """Names of the call's own parameters that an earlier module has too."""
        own = call.module._parameters
        return ", ".join(name for name, p in own.items()
                         if p is not None and self.owner[p] is not call.module)

    def _title(self, call: _Call) -> str:
        return self.names[call.module] or type(call.module).__name__

    # ---------------------------------------------------------------------- order
    def _ordered(self, model: Module, order: set[Node]) -> list[Row]:
        """Each call followed by those inside of it, then by what was not called."""
        inside: dict[_Call | None, list[_Call]] = {}
        for call in self.record.calls:
            inside.setdefault(call.parent, []).append(call)
        rows: list[Row] = []
        stack: list[_Call | Row] = [*reversed(inside[None])]
        while stack:
            entry = stack.pop()
            if isinstance(entry, Row):
                rows.append(entry)
                continue
            rows.append(self.row_of[entry])
            stack += self._idle(entry, order)[::-1]
            stack += inside.get(entry, [])[::-1]
        return rows

    def _idle(self, call: _Call, order: set[Node]) -> list[Row]:
        """Modules with parameters that were not called, right below one that was."""
        found: list[Row] = []
        if self.first[call.module] is not call:
            return found
        stack = [*call.module._modules.values()][::-1]
        while stack:
            module = stack.pop()
            if module is None or module in self.first:
                continue
            stack += [*module._modules.values()][::-1]
            own = [p for p in module._parameters.values() if p is not None]
            if own:
                used = any(p.node in order for p in own)
                found.append(Row(
                    self.names[module], type(module).__name__, call.level + 1, "", 0,
                    [] if used else ["not used"], sum(p.numel() for p in own),
                    sum(p.numel() for p in own if p.requires_grad),
                    sum(p.node.nbytes for p in own)))
        return found


# --------------------------------------------------------------------------- text
_HEAD = ["layer", "output", "parameters", "activations", "kept for backward", "operations", ""]


def _table(rows: list[Row]) -> Iterator[str]:
    """Names to the left, numbers to the right."""
    table, names = [_HEAD], [""] * (2 + max(row.level for row in rows))
    for row in rows:
        names[row.level + 1] = row.name + "."
        table.append(_cells(row, row.name.removeprefix(names[row.level])))
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEAD))]
    for line in table:
        cells = [cell.ljust(w) if i in (0, 1, 6) else cell.rjust(w)
                 for i, (cell, w) in enumerate(zip(line, widths))]
        yield "  ".join(cells).rstrip()


def _cells(row: Row, name: str) -> list[str]:
    numbers = [f"{row.parameters:,}" if row.parameters else ""]
    for n, unit in ((row.activation_bytes, "B"), (row.saved_bytes, "B"), (row.flops, "")):
        numbers.append(amount(n, unit) if row.calls else "")
    title = "  " * row.level + (f"{name}: {row.layer}" if name else row.layer)
    return [title, row.shape, *numbers, f"({', '.join(row.notes)})" if row.notes else ""]
