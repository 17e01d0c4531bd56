"""The house stands on its ground floor: imports go strictly downward, at the top of the file."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

import chainrule

ROOT = Path(chainrule.__file__).parent

# From the top down; what is not named here uses Tensor and stands between `methods` and the top.
# A module imports from its own row or from below, and no two modules need each other.
FLOORS = [
    {"chainrule", "__main__", "cli", "demo"},
    {"view"},
    {"*"},
    {"methods"},
    {"tensor", "handle", "history", "again"},
    {"interpreter"},
    {"prepare"},
    {"rewrite", "autodiff", "repeat"},
    {"ops"},
    {"graph", "template", "holders", "recognise"},
    {"random", "twister", "printing", "constants"},
    {"shapes", "dtypes", "devices", "errors", "config", "scope", "grad_mode", "version", "files",
     "warning", "managed", "memo", "observers"},
]
# What may be imported inside of a function, because it is slow to load or need not be there.
LATER = {
    "difflib", "llvmlite", "ml_dtypes", "rich", "safetensors", "scipy", "sklearn", "tensorboard",
}
# The same for our own rooms: the compiler is loaded when the first graph is compiled.
LATER_ROOMS = {"jit"}


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imported(name, statement):
    """The modules that an import statement of module `name` loads."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = statement.module or ""
    if statement.level:
        package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
        above = package.split(".")[: len(package.split(".")) - statement.level + 1]
        base = ".".join([*above, *([statement.module] if statement.module else [])])
    full = [f"{base}.{alias.name}" for alias in statement.names]
    return [f if f in FILES else base for f in full]


def imports(tree):
    return [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]


GRAPH = {
    name: {
        target
        for statement in imports(tree)
        for target in imported(name, statement)
        if target in FILES and target != name
    }
    for name, tree in TREES.items()
}


def room(name):
    """The module, or the folder, right below `chainrule`."""
    return (name.split(".") + ["chainrule"])[1]


def floor(name):
    for height, rooms in enumerate(reversed(FLOORS)):
        if room(name) in rooms:
            return height
    return len(FLOORS) - 1 - FLOORS.index({"*"})


def test_every_name_in_the_plan_exists():
    rooms = {room(name) for name in FILES} | {"*"}
    assert [name for rows in FLOORS for name in rows if name not in rooms] == []


@pytest.mark.parametrize("name", FILES)
def test_imports_go_downward(name):
    above = [t for t in GRAPH[name] if floor(t) > floor(name)]
    assert above == [], f"{name} imports from above"


def test_no_two_modules_need_each_other():
    order = list(graphlib.TopologicalSorter(GRAPH).static_order())  # raises CycleError
    assert set(order) == set(FILES)


def test_the_graph_knows_no_op_and_the_ops_no_tensor():
    assert not any(room(t) == "ops" for t in GRAPH["chainrule.graph"])
    for name in FILES:
        if room(name) in ("ops", "graph", "autodiff", "rewrite", "interpreter"):
            assert not any(room(t) in ("tensor", "handle", "methods") for t in GRAPH[name])


def inner_imports(tree):
    """Import statements inside of functions."""
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))]
    return [s for f in functions for s in imports(f)]


@pytest.mark.parametrize("name", FILES)
def test_imports_stand_at_the_top_of_the_file(name):
    hidden = [
        (statement.lineno, target)
        for statement in inner_imports(TREES[name])
        for target in imported(name, statement)
        if target.split(".")[0] not in LATER and room(target) not in LATER_ROOMS
    ]
    assert hidden == []


def test_only_declared_packages_are_imported():
    allowed = LATER | {"chainrule", "numpy"} | set(sys.stdlib_module_names)
    found = {
        target.split(".")[0]
        for name, tree in TREES.items()
        for statement in imports(tree)
        for target in imported(name, statement)
    }
    assert found <= allowed
