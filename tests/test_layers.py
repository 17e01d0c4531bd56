"""How the source is built: imports go downward and stand at the top; nothing grows too long."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
FILES = sorted((SOURCE / "chainrule").rglob("*.py"))


def name_of(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
NAMES = {name_of(path) for path in FILES}


def imported(statement, path):
    """The modules of ours that an import statement in a file names."""
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names} & NAMES
    folder = path.parent.relative_to(SOURCE).parts
    parts = list(folder[: len(folder) - statement.level + 1] if statement.level else ())
    base = ".".join([*parts, statement.module] if statement.module else parts)
    inside = {f"{base}.{alias.name}" for alias in statement.names}
    return inside & NAMES or {base} & NAMES


def imports(body):
    """The import statements that run when the module is loaded."""
    for statement in body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield statement
        elif isinstance(statement, ast.Try):
            yield from imports(statement.body)


def part(module):
    """`chainrule.nn.linear` is part of `nn`."""
    return module.split(".")[1] if "." in module else module


def test_imports_go_strictly_downward():
    uses = {
        name_of(path): set().union(*(imported(s, path) for s in imports(tree.body)))
        for path, tree in TREES.items()
    }
    order = list(TopologicalSorter(uses).static_order())  # CycleError names a cycle
    assert order.index("chainrule.graph") < order.index("chainrule.autodiff")
    parts = {}
    for module, used in uses.items():
        parts.setdefault(part(module), set()).update({part(m) for m in used} - {part(module)})
    order = list(TopologicalSorter(parts).static_order())
    assert order.index("ops") < order.index("tensor") < order.index("nn") < order.index("view")


def functions():
    for path, tree in TREES.items():
        for found in ast.walk(tree):
            if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield path, found


def test_nothing_of_ours_is_imported_inside_a_function():
    inside = [
        (name_of(path), function.name)
        for path, function in functions()
        for statement in ast.walk(function)
        if isinstance(statement, (ast.Import, ast.ImportFrom)) and imported(statement, path)
    ]
    assert not inside


def test_nothing_grows_too_long():
    assert not [p.name for p in FILES if len(p.read_text(encoding="utf-8").splitlines()) > 600]
    long = []
    for path, function in functions():
        # A docstring, which ends with an example, does not count.
        first = function.body[ast.get_docstring(function) is not None :] or function.body
        if function.end_lineno - first[0].lineno >= 60:
            long.append((name_of(path), function.name))
    assert not long
