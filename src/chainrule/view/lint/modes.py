"""train() and eval() forgotten: dropout and batch statistics in the wrong mode."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from ...nn.dropout import _Dropout
from ...nn.module import Module
from ...nn.norm import _BatchNorm
from ...scope import Site, context, current_site
from ...tensor import Tensor
from .finding import Findings, finding

_MANY = 3  # steps before it is no accident


@dataclass
class Evaluation:
    """Calls under no_grad() of a module in training mode, from one line."""

    name: str
    site: Site
    what: str
    lost: Any  # how the graph of a loss would name the values
    times: int = 0


@dataclass
class Trained:
    """A module that an optimizer trains."""

    root: weakref.ref[Module]
    site: Site
    training: int = 0  # calls with a history since the last step, in training mode
    evaluating: int = 0  # and not
    steps: int = 0  # after calls in evaluation mode only
    updated: bool = False  # ever


class Modes:
    """Follows in which mode the outermost modules are called."""

    def __init__(self, findings: Findings):
        self.findings = findings
        self.evaluations: dict[tuple[int, Site], Evaluation] = {}
        self.trained: dict[int, Trained] = {}

    def forwarded(self, module: Module, result: Any) -> None:
        """A module that no other called has returned."""
        noisy = [m for m in module.modules() if _acts(m)]
        if not noisy:
            return
        known = self._known(module)
        if context.now.grad_enabled:
            if _has_history(result):
                known.site = current_site()
                known.training += module.training
                known.evaluating += not module.training
        elif module.training and any(m.training for m in noisy) and known.updated:
            self._evaluated(module, [m for m in noisy if m.training], result)

    def _known(self, module: Module) -> Trained:
        known = self.trained.get(id(module))
        if known is None or known.root() is not module:
            known = self.trained[id(module)] = Trained(weakref.ref(module), current_site())
        return known

    def _evaluated(self, module: Module, noisy: list[Module], result: Any) -> None:
        if not all(m.training for m in module.modules() if _acts(m)):
            return  # some were set on purpose
        if any(isinstance(m, _BatchNorm) and m.momentum is None for m in noisy):
            return  # its statistics are being estimated anew
        site = current_site()
        key = (id(module), site)
        if key not in self.evaluations:
            what = _kinds(noisy)
            lost = result.node.lost if isinstance(result, Tensor) else None
            self.evaluations[key] = Evaluation(type(module).__name__, site, what, lost)
        self.evaluations[key].times += 1

    def used(self, lost: set[Any]) -> None:
        """Values that were lost there are part of a loss: no evaluation, but a constant in it."""
        self.evaluations = {k: e for k, e in self.evaluations.items()
                            if e.lost is None or e.lost not in lost}

    def stepped(self, params: list[Tensor]) -> None:
        """Which of the modules has this updated, and in which mode had they been called?"""
        ids = {id(p) for p in params if p._grad is not None}
        for known in list(self.trained.values()):
            root = known.root()
            if root is None or not any(id(p) in ids for p in root.parameters()):
                continue
            known.updated = True
            if known.evaluating and not known.training:
                known.steps += 1
                if known.steps == _MANY:
                    self.findings.add(_eval_in_training(root, known.site))
            known.training = known.evaluating = 0

    def finish(self) -> None:
        """What was evaluated, and never part of a loss."""
        for e in self.evaluations.values():
            self.findings.add(finding(
                "evaluation in training mode", e.site,
                f"{e.name} is evaluated under no_grad() at {e.site} while its {e.what} "
                f"{'are' if ' and ' in e.what else 'is'} in training mode.",
                "Dropout then drops at random, and batch normalisation uses the statistics of this "
                "very batch and takes them into its running ones: the results are noisy, and "
                "depend on the other examples.",
                "model.eval() before the evaluation, model.train() after it."))


def _eval_in_training(root: Module, site: Site) -> Any:
    return finding(
        "training in evaluation mode", site,
        f"{type(root).__name__} is trained in evaluation mode: it was called at {site} after "
        f"eval(), with its {acting(root)} switched off.",
        "Dropout drops nothing, and batch normalisation neither uses nor learns the statistics of "
        "the batches.",
        "model.train() at the beginning of every epoch.")


def acting(root: Module) -> str:
    """What in a network does something else in training: `Dropout and BatchNorm1d`."""
    return _kinds([m for m in root.modules() if _acts(m)])


def _kinds(modules: list[Module]) -> str:
    return " and ".join(dict.fromkeys(type(m).__name__ for m in modules))


def _acts(module: Module) -> bool:
    """Whether a module does something else in training."""
    if isinstance(module, _Dropout):
        return module.p > 0
    return isinstance(module, _BatchNorm) and module.track_running_stats


def _has_history(result: Any) -> bool:
    if isinstance(result, (tuple, list)):
        return any(map(_has_history, result))
    return isinstance(result, Tensor) and result.requires_grad
