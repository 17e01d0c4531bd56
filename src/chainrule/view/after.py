"""The page of a script's last step, written when the script ends.

`CHAINRULE_SHOW=out.html python train.py` and `chainrule show train.py` keep a copy of the graph of
the last backward pass (keep.py), and what the linter notices on the way.  A script that fails while
it records gets the graph up to there, ended by the failure.  Nothing that goes wrong here is the
script's concern: it is said, and that is all.

The script computes the same bits as if nobody looked; but a step under torch.compile is recorded in
every call, so that there is a graph, and may round the last digit as without torch.compile.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

from ..errors import ChainruleError
from ..observers import observers
from .failure import failed_node
from .keep import Keeper
from .labels import Names, names_of
from .lint.finding import Findings
from .lint.watching import Follower
from .snapshot import Snapshot

NOTHING = "nothing to show: the script called backward() on no loss"


def begin(path: str) -> Callable[[], str]:
    """Look on from now on; what is returned writes the page (once) and says in a line what it did.

    If nobody has called it when Python ends, it is, and its line is printed to stderr.
    """
    path = os.path.abspath(path)  # where the script was begun, wherever it goes
    keeper, follower = Keeper(), Follower()
    errors: list[BaseException] = []
    said: list[str] = []
    observers.extend((keeper, follower))
    shown = sys.excepthook

    def noticed(kind, error, trace):
        errors.append(error)
        shown(kind, error, trace)

    sys.excepthook = noticed

    def end() -> str:
        if not said:
            sys.excepthook = shown
            observers[:] = [o for o in observers if o not in (keeper, follower)]
            follower.finish()
            snapshot = _snapshot(keeper, follower.findings, errors[-1] if errors else None)
            said.append(NOTHING if snapshot is None else _written(snapshot, path))
        return said[0]

    def finally_() -> None:
        if not said:
            print(f"chainrule show: {end()}", file=sys.stderr)

    atexit.register(finally_)
    return end


def _written(snapshot: Snapshot, path: str) -> str:
    try:
        snapshot.save(path)
    except (OSError, ChainruleError) as refused:
        return f"cannot write {path!r}: {refused}"
    except Exception as refused:  # what is shown must never stop what is trained
        return f"cannot show the graph: {type(refused).__name__}: {refused}"
    return f"wrote {path}"


def _snapshot(
    keeper: Keeper, findings: Findings, error: BaseException | None
) -> Snapshot | None:
    """Of what failed, if it failed while it recorded; else of the last step; None without any."""
    if isinstance(error, ChainruleError):
        node = failed_node(error)
        if node is not None:
            return Snapshot(node, _names_in(error), title=str(error).partition("\n")[0],
                            failure=error)
    if keeper.last is None:
        return None
    return Snapshot(keeper.last, keeper.names, findings=findings)


def _names_in(error: BaseException) -> Names:
    """What the frames that the error came through call things, the innermost first."""
    names, trace = Names(), error.__traceback__
    while trace is not None:
        names = names_of(trace.tb_frame, None).over(names)
        trace = trace.tb_next
    return names
