"""`Report`: looks on while a program trains, and keeps a page and its logs up to date."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from ...graph import Node
from ...observers import observers
from ...scope import is_own
from ..labels import Names, users_names
from ..snapshot import Snapshot
from ..svg import write
from .budget import FREE, SHARE
from .history import History
from .logs import Events, JsonLines
from .page import Facts, page
from .recorder import Recorder
from .row import Row

FIRST, EVERY = 3.0, 30.0  # seconds until the page is first written, and from then on
PATIENCE = 50.0  # at least so many times what a writing takes
LARGEST_INSIDE = 4_000_000  # characters of a graph's page that stands inside of the report


class Report:
    """A context manager: what trains inside is written to `path`, an HTML page.

    Beside it, `<name>.jsonl` gets a line for each step, as it goes, and `<name>.events` the same
    numbers for TensorBoard, where that package is installed.  The page is written about every
    half a minute and at the end, also when the program fails.  What goes wrong here is said on
    stderr, once; the program is never stopped by it, and computes what it would without.

    >>> import tempfile, chainrule as torch
    >>> w = torch.tensor(1.0, requires_grad=True)
    >>> optimizer = torch.optim.SGD([w], lr=0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with torch.view.Report(f"{folder}/run.html", events=False) as report:
    ...         for _ in range(3):
    ...             optimizer.zero_grad()
    ...             loss = w * w
    ...             loss.backward()
    ...             optimizer.step()
    ...     print(sorted(os.listdir(folder)), len(report.history.losses["loss"]))
    ['run.html', 'run.jsonl'] 3
    """

    def __init__(
        self, path: str | os.PathLike, *, title: str | None = None, lines: bool = True,
        events: bool = True, graph: bool = True,
    ):
        self.path = Path(os.path.abspath(path))
        self.title = title or self.path.stem
        self.history = History()
        self._lines = JsonLines(self._beside(".jsonl")) if lines else None
        self._events = Events(self._beside(".events")) if events else None
        self._graph = _LastGraph() if graph else None
        self.recorder = Recorder(
            self._row, self._entry, self._failed, self._pause,
            self._graph.keep if self._graph else _nothing,
        )
        self._facts = Facts(self.title)
        self._began = time.time()
        self._next = FIRST
        self._page_fails = False
        self.is_written = False

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.stem + ending)

    # ------------------------------------------------------------------ while it runs
    def __enter__(self) -> Report:
        observers.append(self.recorder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish(error)

    def finish(self, error: BaseException | None = None) -> None:
        """Stop looking on, and write everything; `error` is what ended the program early."""
        if self.recorder not in observers:
            return
        observers.remove(self.recorder)
        self._attempt("the last step", self.recorder.finish)
        self._facts.state, self._facts.error = _ending(error)
        if self._graph is not None:
            self._attempt("the graph", self._add_graph)
        self._flush_events()
        self._write_page()
        for log in (self._lines, self._events):
            if log is not None:
                self._attempt("the logs", log.close)

    def _row(self, row: Row) -> None:
        self.history.add(row)
        self._log(lambda log: log.add(row))

    def _pause(self, elapsed: float) -> None:
        """Between two steps: write, if it is time."""
        if elapsed >= self._next:
            begin = time.perf_counter()
            self._flush_events()
            self._write_page()
            took = time.perf_counter() - begin
            self._next = elapsed + max(EVERY, PATIENCE * took)

    def _entry(self, name: str, value: float, step: int) -> None:
        self.history.log(name, value, step)
        self._log(lambda log: log.log(name, value, step))

    def _log(self, write_to: Callable[[Any], None]) -> None:
        if self._events is not None:
            write_to(self._events)
        if self._lines is not None:
            try:
                write_to(self._lines)
            except OSError as error:
                _say(f"cannot write {self._lines.path}: {_reason(error)}")
                self._lines = None

    # ------------------------------------------------------------------ writing
    def _flush_events(self) -> None:
        if self._events is None:
            return
        try:
            self._events.flush(self._began)
        except ImportError:
            self._facts.notes = ["No TensorBoard events: the package tensorboard is not installed."]
            self._events = None
        except Exception as error:
            _say(f"cannot write {self._events.folder}: {_reason(error)}")
            self._events = None

    def _write_page(self) -> None:
        if self._page_fails:
            return
        try:
            write(self.path, page(self.history, self._now()))
            self.is_written = True
        except Exception as error:
            self._page_fails = True
            _say(f"cannot write {self.path}: {_reason(error)}")

    def _now(self) -> Facts:
        """What the page says besides the curves, as of now."""
        facts, recorder = self._facts, self.recorder
        facts.when = datetime.now().strftime("%Y-%m-%d %H:%M")
        facts.optimizers = recorder.optimizers
        facts.parameters = list(dict.fromkeys(recorder.parameters.values()))
        facts.sampling = _sampling(recorder)
        facts.notes = list(dict.fromkeys([*facts.notes, *recorder.notes]))
        facts.files = [os.path.basename(f) for f in (
            self._lines and self._lines.path, self._events and self._events.folder) if f]
        return facts

    def _add_graph(self) -> None:
        """The page of the last graph that was kept: inside, or beside where it is large."""
        assert self._graph is not None
        html = self._graph.page()
        if html is None:
            return
        self._facts.graph_step = self._graph.step
        if len(html) <= LARGEST_INSIDE:
            self._facts.graph = html
        else:
            beside = self._beside(".graph.html")
            write(beside, html)
            self._facts.graph_file = beside.name

    # ------------------------------------------------------------------ never in the way
    def _attempt(self, what: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:
            _say(f"without {what}: {_reason(error)}")

    def _failed(self, error: Exception) -> None:
        self._facts.notes = [f"The looking on ended early: {_reason(error)}"]
        _say(f"ends early, the training goes on: {_reason(error)}")


@contextmanager
def reported(path: str, script: str) -> Iterator[None]:
    """A report of a script that runs inside, where its errors are shown by sys.excepthook."""
    errors: list[BaseException] = []
    shown = sys.excepthook

    def noticed(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        errors.append(error)
        shown(kind, error, trace)

    sys.excepthook = noticed
    report = Report(path, title=os.path.basename(script)).__enter__()
    try:
        yield
    except BaseException as error:
        errors.append(error)
        raise
    finally:
        if sys.excepthook is noticed:
            sys.excepthook = shown
        report.finish(errors[-1] if errors else None)
        if report.is_written:
            _say(f"{report.recorder.steps:,} steps in {path}")


def _nothing(*_: Any) -> None:
    pass


class _LastGraph:
    """The graph of the last step that was sampled, as a copy."""

    def __init__(self) -> None:
        self.step = 0
        self._node: Node | None = None
        self._names = Names()

    def keep(self, node: Node, copies: dict[Node, Node], step: int) -> None:
        # The user's frames are looked at here, while they stand.
        self._node, self._names, self.step = node, users_names().on(copies), step

    def page(self) -> str | None:
        if self._node is None:
            return None
        return Snapshot(self._node, self._names).html()


def _sampling(recorder: Recorder) -> str:
    steps, sampled = recorder.steps, recorder.sampled
    if not steps:
        return ""
    every = "Learning rates and times are of every step" if recorder.drops_losses else \
        "Losses, learning rates and times are of every step"
    if sampled == steps:
        return f"{every}; norms of weights, gradients and updates as well."
    return (
        f"{every}; {'losses and ' * recorder.drops_losses}norms of weights, gradients and updates "
        f"of {sampled:,} of {steps:,} steps, as "
        f"many as {SHARE:.0%} of the time (and {FREE:g} s) allow. Long curves are thinned: a point "
        "keeps the mean and the range of its steps."
    )


def _ending(error: BaseException | None) -> tuple[str, str]:
    """How the program ended, and the error in the user's own lines."""
    if error is None:
        return "finished", ""
    if isinstance(error, SystemExit):
        if error.code in (None, 0):
            return "finished", ""
        return "failed", f"SystemExit: {error.code}"
    lines = [
        f"{os.path.basename(frame.filename)}:{frame.lineno}  {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not is_own(frame.filename) and "importlib" not in frame.filename
    ]
    message = "".join(traceback.format_exception_only(error)).strip()
    state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    return state, "\n".join([*lines[-6:], message])


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"


def _say(text: str) -> None:
    print(f"chainrule report: {text}", file=sys.stderr)
