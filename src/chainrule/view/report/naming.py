"""What the parameters of a program are called, and which of them are one layer."""

from __future__ import annotations

import gc
import linecache
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any, NamedTuple

from ...nn.module import Module
from ...optim.optimizer import Optimizer
from ...scope import Site


class Parameter(NamedTuple):
    """A parameter's place in the report: its layer, and its own name in it."""

    layer: str
    name: str
    shape: tuple[int, ...]
    kind: str = ""  # the class of the module that has it

    @property
    def title(self) -> str:
        """What the layer is called where people read it: `fc1: Linear`."""
        return f"{self.layer}: {self.kind}" if self.kind else self.layer


def alive() -> tuple[list[Optimizer], list[Module]]:
    """All optimizers and modules that the program has now."""
    kinds = {*_subclasses(Optimizer), *_subclasses(Module)}
    found = [x for x in gc.get_objects() if type(x) in kinds]
    optimizers = [x for x in found if isinstance(x, Optimizer)]
    # Before its __init__ has begun a module has no tables yet.
    modules = [x for x in found if isinstance(x, Module)
               and "_modules" in x.__dict__ and "_parameters" in x.__dict__]
    return optimizers, modules


def _subclasses(cls: type) -> Iterator[type]:
    stack = [cls]
    while stack:
        cls = stack.pop()
        yield cls
        stack += cls.__subclasses__()


def parameters_of(
    optimizers: Iterable[Optimizer], modules: Iterable[Module], known: Mapping[int, Parameter],
    leaves: Mapping[int, str],
) -> dict[int, Parameter]:
    """Names for everything that these optimizers update, by id; in the order of the modules.

    Modules name what they own, `fc1.weight`; where several models are trained each is named
    too.  What no module owns has the name of a variable of the main program, or of the line that
    made it, as `leaves` says.  What is `known` keeps its name; new names differ from these.
    """
    wanted: dict[int, Any] = {}
    given: dict[int, str] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            wanted.update((id(p), p) for p in group["params"])
            names = group.get("param_names") or ()
            given.update((id(p), str(name)) for p, name in zip(group["params"], names))
    roots = _roots(wanted, list(modules))
    found: dict[int, Parameter] = {}
    for root, title in zip(roots, _titles(roots)):
        kinds = {name: type(m).__name__ for name, m in Module.named_modules(root)}
        for name, p in Module.named_parameters(root):
            if id(p) in wanted and id(p) not in found:
                path = f"{title}.{name}" if len(roots) > 1 else name
                found[id(p)] = _parameter(path, p, kinds.get(name.rpartition(".")[0], ""))
    for key, p in wanted.items():
        if key not in found:
            name = given.get(key) or leaves.get(key) or name_of_leaf(p)
            found[key] = Parameter(name, name, tuple(p.shape))
    return _unique({key: p for key, p in found.items() if key not in known}, known)


def _parameter(path: str, p: Any, kind: str = "") -> Parameter:
    layer = path.rpartition(".")[0] or path
    return Parameter(layer, path, tuple(p.shape), kind)


def _roots(wanted: dict[int, Any], modules: list[Module]) -> list[Module]:
    """As few modules as it takes to name what is wanted: those that have most of it, and among
    these the smallest."""
    inner = {id(child) for m in modules for child in m._modules.values()}
    tops = [m for m in modules if id(m) not in inner]
    owned = [(m, {id(p) for _, p in Module.named_parameters(m)}) for m in tops]
    rest = set(wanted)
    roots: list[Module] = []
    while True:
        best = max(owned, key=lambda x: (len(x[1] & rest), -len(x[1])), default=None)
        if best is None or not best[1] & rest:
            return roots
        roots.append(best[0])
        rest -= best[1]


def _titles(roots: list[Module]) -> list[str]:
    """The main program's variables for these modules, or their classes."""
    variables = _main_variables()
    titles = [variables.get(id(root), type(root).__name__) for root in roots]
    return [
        title if titles.count(title) == 1 else f"{title} {titles[: i + 1].count(title)}"
        for i, title in enumerate(titles)
    ]


def _main_variables() -> dict[int, str]:
    """The names of the main program's global variables, by the id of what they stand for.

    Variables of functions are not looked at: Python would keep them alive for having shown them.
    """
    variables = vars(sys.modules["__main__"]) if "__main__" in sys.modules else {}
    return {id(x): name for name, x in list(variables.items()) if not name.startswith("_")}


def name_of_leaf(p: Any) -> str:
    """The variable that holds a tensor, as far as one can tell."""
    return _main_variables().get(id(p)) or assigned_at(p._node.site)


def assigned_at(site: Any) -> str:
    """The variable that a line of the program assigns to, or the line's file and number."""
    place = Site(*site)
    text = linecache.getline(place.filename, place.line)
    found = re.match(r"\s*(?:self\.)?([A-Za-z_]\w*)\s*(?::[^=]*)?=[^=]", text)
    return found[1] if found else str(place)


def _unique(
    found: dict[int, Parameter], known: Mapping[int, Parameter]
) -> dict[int, Parameter]:
    """Equal names made different by numbers, and the layers with them."""
    names = {p.name for p in known.values()}
    layers = {p.layer for p in known.values()}
    result = {}
    for key, p in found.items():
        name, layer, number = p.name, p.layer, 1
        while name in names or layer in layers:
            number += 1
            name, layer = f"{p.name} ({number})", f"{p.layer} ({number})"
        names.add(name)
        if layer == name:
            layers.add(layer)
        result[key] = p._replace(name=name, layer=layer)
    return result


def loss_name(code: CodeType, instruction: int) -> str:
    """What the line that calls backward calls the loss: the text before `.backward(`.

    Where the text is not known, or is long, it is `loss`.

    >>> loss_name(compile("total_loss.backward()", "none.py", "exec"), 2)
    'loss'
    """
    place = Site(code, instruction)
    text = linecache.getline(place.filename, place.line).strip()
    text = text.rpartition(".backward(")[0].split(";")[-1].strip()
    text = re.sub(r"^.*?\S\s*:\s+", "", text)  # `for x in xs: loss.backward()`
    return text if 0 < len(text) <= 40 and "=" not in text else "loss"
