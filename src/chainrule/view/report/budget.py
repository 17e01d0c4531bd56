"""How often a report looks closely: as often as a small share of the time allows, and evenly."""

from __future__ import annotations

from collections import deque
from statistics import median

SHARE = 0.05  # of the time: what the norms of weights, gradients and updates may take ...
KEEPING = 0.01  # ... and what copies of the graph may take ...
FREE = 0.1  # ... and so many seconds besides, for short runs
FEWEST = 5  # samples


class Budget:
    """Asked once in each step whether to sample it.

    Nothing is refused until `free` seconds are spent, and FEWEST samples taken: the first are
    seldom like the others.  From then on the steps between two samples are as many as it takes, by
    the medians of what samples cost and steps last lately.
    """

    def __init__(self, share: float = SHARE, free: float = FREE):
        self.share, self.free, self.spent = share, free, 0.0
        self._costs: deque[float] = deque(maxlen=15)
        self._steps: deque[float] = deque(maxlen=15)  # how long they lasted
        self._waited = 0
        self._last: float | None = None

    def allows(self, elapsed: float) -> bool:
        """Whether this step is one to sample; `elapsed` is the time since the beginning.

        >>> budget = Budget(share=0.05, free=0.0)
        >>> asked = []
        >>> for step in range(17):
        ...     asked.append(budget.allows(float(step)))
        ...     if asked[-1]:
        ...         budget.spend(0.2)
        >>> [step for step, yes in enumerate(asked) if yes]
        [0, 1, 2, 3, 4, 8, 12, 16]
        """
        if self._last is not None:
            self._steps.append(elapsed - self._last)
        self._last = elapsed
        self._waited += 1
        if len(self._costs) < FEWEST or self.spent < self.free:
            return True
        return self._waited * median(self._steps) * self.share >= median(self._costs) * (1 - 1e-9)

    def spend(self, seconds: float) -> None:
        """What the sample has cost."""
        self.spent += seconds
        self._costs.append(seconds)
        self._waited = 0
