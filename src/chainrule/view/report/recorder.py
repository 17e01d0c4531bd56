"""The observer that gathers the numbers of a training run, step by step.

A step is one turn of the loop: the backward passes and updates up to the point where every
optimizer has stepped, or one of them steps again.  Where there is no optimizer (byhand.py) a step
is one backward pass.

Values are read when the program has computed them, after an update; what it computes, when, and to
which bits is as if nobody looked.  Norms are worked out in NumPy beside it, and only as often as a
twentieth of the time allows.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...graph import Node
from ...observers import Observer
from ...scope import Site, current_site
from ...tensor import Tensor
from ..keep import copied
from .budget import FREE, KEEPING, Budget
from .byhand import ByHand
from .late import Late, number, value_aside
from .naming import Parameter, alive, loss_name, name_of_leaf, parameters_of
from .norms import squared
from .replayed import Replayed
from .row import Norms, Row

MOST_LOSSES = 256  # that wait for a step


def _event(method: Callable) -> Callable:
    """What an observer is told, never in the way: a failure of ours ends the looking on.

    Nothing is heard of other threads and of forked processes.
    """

    @functools.wraps(method)
    def told(self: Recorder, subject: Any) -> None:
        if not self.is_on or self._is_busy or not self._is_mine():
            return
        self._told_at = self.clock()
        self._is_busy = True  # writing TensorBoard's events is told as well
        try:
            method(self, subject)
        except Exception as error:
            self.is_on = False
            self.on_failure(error)
        finally:
            self._is_busy = False
            self.own += self.clock() - self._told_at

    return told


class Recorder(Observer):
    """Gathers a Row for each step and hands it to `on_row`, and the user's own numbers to
    `on_entry` as (name, value, step); `on_failure` is told why if that ends early.  After each row
    `on_pause` may take its time; it is given the seconds since the beginning.

    `keep` is given the copy of the graph behind a loss, all copies, and the step, now and then.
    """

    needs_recording = False

    def __init__(
        self, on_row: Callable[[Row], None], on_entry: Callable[[str, float, int], None],
        on_failure: Callable[[Exception], None], on_pause: Callable[[float], None],
        keep: Callable[[Node, dict[Node, Node], int], None],
    ):
        self.on_row, self.on_entry, self.on_failure = on_row, on_entry, on_failure
        self.on_pause, self.keep = on_pause, keep
        self.is_on, self._is_busy = True, False
        self.parameters: dict[int, Parameter] = {}
        self.optimizers: list[str] = []  # their titles, in the order of their first steps
        self.steps = self.sampled = 0  # whole ones
        self.clock = time.perf_counter
        self.start = self._last_end = self._last_update = self._told_at = self.clock()
        self.own = 0.0  # seconds that the report itself took
        self._own_at_end = self._own_at_update = 0.0
        self.budget = Budget()
        self._keeping = Budget(KEEPING, FREE / 5)
        self.notes: dict[str, None] = {}
        self._process, self._thread = os.getpid(), 0
        self._titles: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._losses: list[Late] = []
        self._loss_names: dict[Site, str] = {}
        self._row: Row | None = None  # the step that is under way
        self._in_row: set[int] = set()  # the optimizers that have stepped in it, by id
        self._all: set[int] = set()  # the optimizers of the program
        self._sampling = False
        self.drops_losses = True  # whether the program forgets a loss before it is computed
        self._old: dict[int, np.ndarray] = {}  # weights before an update, by id of the parameter
        self._leaves: dict[int, str] = {}  # what parameters of no module are called
        self._measured: dict[int, Norms] = {}
        self._depth = 0  # an optimizer's step may call another's
        self._replayed = Replayed()
        self._logged: list[tuple[Late, int]] = []  # tensors that had no value when logged
        self._by_hand: ByHand | None = None

    # ------------------------------------------------------------------ events
    @_event
    def backward(self, tensors: Sequence[Any]) -> None:
        """Remember which nodes are the losses; nothing is held that the program does not hold."""
        self._replayed.happened = True
        if not self.optimizers:
            self._begin_without_optimizer()
        self._begin()
        name = self._loss_name(current_site())
        if self._depth and any(late.name == name for late in self._losses):
            return  # a closure that is called again: its first loss is what step() returns
        copies = self._copies(tensors)
        for i, tensor in enumerate(tensors):
            title = name if len(tensors) == 1 else f"{name}[{i}]"
            late = Late(title, tensor._node, copies.get(tensor._node))
            self._losses.append(late)
            self._replayed.losses.append((title, weakref.ref(tensor._node), late))
        if len(self._losses) > MOST_LOSSES:  # gradients are gathered, and nobody steps
            self._settle_losses()

    @_event
    def passed(self, tensors: Sequence[Any]) -> None:
        """Without an optimizer nobody says when gradients and weights are known: work them out."""
        if self._by_hand is not None and self._row is not None:
            begin = self.clock()
            self._settle_losses()
            if self._sampling:
                self._row.norms = self._by_hand.gradients()
                self._spent += self.clock() - begin
            self._last_update, self._own_at_update = self._told_at, self.own

    @_event
    def stepping(self, optimizer: Any) -> None:
        """Look at the learning rates, and hold the weights of before in a sampled step."""
        self._depth += 1
        if self._depth == 1:
            self._replayed.happened = True
            self._before(optimizer)

    @_event
    def stepped(self, optimizer: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if not self._depth:
            self._replayed.optimizers.append(optimizer)
            self._after(optimizer)

    @_event
    def calling(self, compiled: Any) -> None:
        """A compiled step: what it does stays unseen until it is over, unless it is recorded."""
        self._depth = 0
        self._replayed.begin()
        for optimizer in self._replayed.optimizers_of(compiled):
            # A program may write to arrays that nobody else holds: nobody is to hold them.
            self._before(optimizer, copy=True)

    @_event
    def called(self, call: tuple[Any, Any]) -> None:
        compiled, result = call
        if self._replayed.happened:
            self._replayed.learn(compiled, result)
            return
        losses, unknown = self._replayed.losses_of(compiled, result)
        if losses or self._replayed.optimizers_of(compiled):
            self._begin()
        self._losses += losses
        if unknown:
            what = getattr(compiled, "__name__", "the step")
            self.notes[f"{what} is compiled and does not return its loss ({', '.join(unknown)}): "
                       "the report knows it where the step is recorded only"] = None
        for optimizer in self._replayed.optimizers_of(compiled):
            self._after(optimizer)

    @_event
    def logged(self, entry: tuple[str, Any, int | None]) -> None:
        name, value, step = entry
        at = self.steps + (self._row is not None) if step is None else int(step)
        if not isinstance(value, Tensor):
            self.on_entry(str(name), float(value), at)
        elif value.node.value is not None:
            self.on_entry(str(name), number(value.node.value), at)
        else:
            node = value.node
            self._logged.append((Late(str(name), node, copied([node], values=False)[node]), at))

    def finish(self) -> None:
        """The program is over: what is under way is the last step."""
        if self._row is not None and (self._in_row or self._by_hand is not None):
            self._update_by_hand()
            self._end()
        self._settle_logged()

    # ------------------------------------------------------------------ a step
    def _is_mine(self) -> bool:
        """Of this process, and of the thread that trains."""
        self._thread = self._thread or threading.get_ident()
        return threading.get_ident() == self._thread and os.getpid() == self._process

    def _begin(self) -> None:
        if self._row is None:
            self._row = Row(self.steps + 1)
            self._in_row.clear()
            self._sampling = self.budget.allows(self._told_at - self.start)
            self._spent = 0.0

    def _begin_without_optimizer(self) -> None:
        """Where no optimizer has stepped yet, a backward pass after new weights begins a step."""
        if self._by_hand is None:
            self._survey()
            self._by_hand = ByHand()
        elif self._row is not None and (self._by_hand.has_changed() or not self._all):
            self._update_by_hand()
            self._end()

    def _update_by_hand(self) -> None:
        if self._by_hand is not None and self._row is not None and self._row.norms:
            self._by_hand.updates(self._row.norms)

    def _copies(self, tensors: Sequence[Any]) -> dict[Node, Node]:
        """Copies of the graphs behind the losses: for the page, and for losses that nobody keeps.
        """
        begin = self.clock()
        keeps = self._row is not None and self._keeping.allows(begin - self.start)
        by_hand = self._by_hand if self._sampling else None
        if not (keeps or by_hand or self._sampling and self.drops_losses):
            return {}
        copies = copied([t._node for t in tensors], values=False)
        if by_hand is not None:
            by_hand.look(copies)
        copying = self.clock() - begin
        if keeps:
            self.keep(copies[tensors[0]._node], copies, self.steps + 1)
            self._keeping.spend(self.clock() - begin)
        if self._sampling:
            self._spent += copying
        return copies

    def _before(self, optimizer: Any, copy: bool = False) -> None:
        if self._by_hand is not None:  # its gradients were only gathered so far
            self._by_hand = None
            if self._row is not None:
                self._row.norms = None
        if optimizer not in self._titles or id(optimizer) not in self._all:
            self._meet(optimizer)
        if self._row is not None and (id(optimizer) in self._in_row or self._is_another()):
            self._end()
        self._begin()
        assert self._row is not None
        self._row.lrs.update(self._rates(optimizer))
        if self._sampling:
            begin = self.clock()
            for p in _parameters(optimizer):
                value = p._node.value
                if value is None:  # an initialisation that has not been needed yet
                    value = value_aside(copied([p._node])[p._node])
                self._old[id(p)] = value.copy() if copy else value
            self._spent += self.clock() - begin

    def _after(self, optimizer: Any) -> None:
        self._begin()
        self._settle_losses()
        if self._sampling:
            begin = self.clock()
            self._measure(optimizer)
            self._spent += self.clock() - begin
        self._in_row.add(id(optimizer))
        self._last_update, self._own_at_update = self._told_at, self.own
        if self._all <= self._in_row:
            self._end()

    def _end(self) -> None:
        row, self._row = self._row, None
        assert row is not None
        self.steps += 1
        row.time = self._last_update - self.start
        own = self._own_at_update - self._own_at_end
        row.seconds = max(0.0, self._last_update - self._last_end - own)
        self._last_end, self._own_at_end = self._last_update, self._own_at_update
        self._settle_logged()
        if self._by_hand is not None:
            self.parameters.update(self._by_hand.parameters)
        if self._measured:
            if not self._measured.keys() <= self.parameters.keys():
                self._name_parameters()
            # In the order of the layers, whichever optimizer stepped first.
            row.norms = {p: self._measured[key] for key, p in self.parameters.items()
                         if key in self._measured}
            self._measured = {}
        begin = self.clock()
        self.on_row(row)
        if self._sampling:
            self.budget.spend(self._spent + self.clock() - begin)
            self._old.clear()
        self.sampled += bool(row.norms)
        self.on_pause(row.time)

    # ------------------------------------------------------------------ numbers
    def _survey(self) -> None:
        """Learn which optimizers there are: all of them make a step."""
        self._all = {id(x) for x in alive()[0]}

    def _is_another(self) -> bool:
        """Whether the losses of another optimizer's step are of this row already: the same lines,
        in another training."""
        assert self._row is not None
        return bool(self._in_row) and any(x.name in self._row.losses for x in self._losses)

    def _loss_name(self, site: Site) -> str:
        """What a line calls its loss; lines that use one name are told apart."""
        if site not in self._loss_names:
            name = loss_name(*site)
            taken = name in self._loss_names.values()
            self._loss_names[site] = f"{name} ({site})" if taken else name
        return self._loss_names[site]

    def _name_parameters(self) -> None:
        """Names for what the optimizers that have stepped update: those that never do may be
        left from another training."""
        optimizers, modules = list(self._titles), alive()[1]
        self.parameters.update(parameters_of(optimizers, modules, self.parameters, self._leaves))

    def _meet(self, optimizer: Any) -> None:
        """An optimizer's first step."""
        if id(optimizer) not in self._all:
            self._survey()
            self._all.add(id(optimizer))
        # Now: after a step they are the results of operations.
        self._leaves.update({id(p): name_of_leaf(p) for p in _parameters(optimizer)})
        if optimizer not in self._titles:
            title = type(optimizer).__name__
            count = sum(other.partition(" ")[0] == title for other in self.optimizers)
            self._titles[optimizer] = f"{title} {count + 1}" if count else title
            self.optimizers.append(self._titles[optimizer])

    def _rates(self, optimizer: Any) -> dict[str, float]:
        """The learning rates now, by optimizer and group."""
        title, groups = self._titles[optimizer], optimizer.param_groups
        found = {}
        for i, group in enumerate(groups):
            lr = group.get("lr")
            if isinstance(lr, Tensor):
                lr = None if lr._node.value is None else number(lr._node.value)
            if isinstance(lr, (int, float)):
                found[title if len(groups) == 1 else f"{title} group {i}"] = float(lr)
        return found

    def _settle_losses(self) -> None:
        for late in self._losses:
            self._add_loss(late)
        self._losses = []

    def _add_loss(self, late: Late) -> None:
        """Of several backward passes of one name - accumulated gradients - the mean counts."""
        begin = self.clock()
        self.drops_losses = late.is_lost()
        value = late.settle()
        self._spent += self.clock() - begin
        if value is not None and self._row is not None:
            count = self._row.counts[late.name] = self._row.counts.get(late.name, 0) + 1
            mean = self._row.losses.get(late.name, 0.0)
            self._row.losses[late.name] = value if count == 1 else mean + (value - mean) / count

    def _measure(self, optimizer: Any) -> None:
        """The norms of what the optimizer updates, all values of which are known now."""
        for p in _parameters(optimizer):
            old, new = self._old.get(id(p)), p._node.value
            grad = p._grad
            known = None if grad is None or grad._base is not None else grad._node.value
            self._measured[id(p)] = Norms(
                weight=None if old is None else squared(old),
                gradient=None if known is None else squared(known),
                update=None if old is None or new is None else squared(new, old),
                reached=grad is not None,
            )

    def _settle_logged(self) -> None:
        for late, step in self._logged:
            value = late.settle()
            if value is not None:
                self.on_entry(late.name, value, step)
        self._logged = []


def _parameters(optimizer: Any) -> list[Any]:
    """What the optimizer updates, without views and what is frozen."""
    found = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    return [p for p in found.values() if p._base is None and p._node.requires_grad]
