"""How often a report looks closely: as often as a small share of the time allows, and evenly."""

from __future__ import annotations

SHARE = 0.05  # of the time: what the norms of weights, gradients and updates may take ...
KEEPING = 0.01  # ... and what copies of the graph may take ...
FREE = 0.1  # ... and so many seconds besides, for short runs


class Budget:
    """Asked once in each step whether to sample it.

    Nothing is refused until `free` seconds are spent.  From then on the steps between two samples
    are as many as it takes: one sample costs, one step lasts, as they did on average lately.
    """

    def __init__(self, share: float = SHARE, free: float = FREE):
        self.share, self.free, self.spent = share, free, 0.0
        self._cost = self._step = 0.0  # moving averages, in seconds
        self._waited = 0
        self._last: float | None = None

    def allows(self, elapsed: float) -> bool:
        """Whether this step is one to sample; `elapsed` is the time since the beginning.

        >>> budget = Budget(share=0.05, free=0.0)
        >>> asked = []
        >>> for step in range(9):
        ...     asked.append(budget.allows(float(step)))
        ...     if asked[-1]:
        ...         budget.spend(0.2)
        >>> [step for step, yes in enumerate(asked) if yes]
        [0, 4, 8]
        """
        if self._last is not None:
            self._step = _averaged(self._step, elapsed - self._last)
        self._last = elapsed
        self._waited += 1
        if not self._cost or self.spent < self.free:
            return True
        return self._waited * self._step * self.share >= self._cost

    def spend(self, seconds: float) -> None:
        """What the sample has cost."""
        self.spent += seconds
        self._cost = _averaged(self._cost, seconds)
        self._waited = 0


def _averaged(average: float, new: float) -> float:
    """A moving average that one odd value does not move far."""
    return 0.95 * average + 0.05 * min(new, 4 * average) if average else new
