"""`chainrule run | show | demo`; `python -m chainrule` is the same command.

`run` executes an unchanged PyTorch script as `python` would, with chainrule's modules under
PyTorch's names.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import importlib.abc
import io
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType, SimpleNamespace, TracebackType
from typing import Any

from .errors import nearest
from .version import __version__

# PyTorch's file names for what lies under another name here.  Everything else is found as in
# PyTorch itself: `torch.a.b` is the module that `chainrule.a` calls `b`.
ELSEWHERE = {"torch.utils.data.dataloader": "chainrule.data.loader"}


class TorchNames(importlib.abc.MetaPathFinder):
    """Finds `torch` and `torch.a.b` among chainrule's own modules: the same objects, no copies."""

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        if name == "torch" or name.startswith("torch."):
            return ModuleSpec(name, _Alias(chainrule_module(name)), is_package=True)
        if name.startswith("chainrule.") and PathFinder.find_spec(name, path) is None:
            # `from torch import X` asks for `chainrule.X` when chainrule has no such attribute.
            raise missing(name.replace("chainrule", "torch", 1))
        return None


class _Alias(importlib.abc.Loader):
    """Loads a module by handing out one that is loaded already."""

    def __init__(self, module: Any):
        self.module, self.own_spec = module, getattr(module, "__spec__", None)

    def create_module(self, spec: ModuleSpec) -> Any:
        if not hasattr(self.module, "__path__"):
            self.module.__path__ = []  # torch.cuda has submodules: a file with a path may, too
        return self.module

    def exec_module(self, module: Any) -> None:
        module.__spec__ = self.own_spec  # the import system has just put torch's name there


def chainrule_module(name: str) -> Any:
    """The module that PyTorch's `name` means here; ModuleNotFoundError says the nearest name.

    >>> chainrule_module("torch.utils.data").__name__
    'chainrule.data'
    """
    if name == "torch":
        return importlib.import_module("chainrule")
    if name in ELSEWHERE:
        return importlib.import_module(ELSEWHERE[name])
    parent_name, _, child = name.rpartition(".")
    parent = chainrule_module(parent_name)
    if child in vars(parent):
        found = vars(parent)[child]
        if isinstance(found, (ModuleType, SimpleNamespace)):  # torch.backends.cudnn is the latter
            return found
    elif isinstance(parent, ModuleType):
        own_name = f"{parent.__name__}.{child}"
        if PathFinder.find_spec(own_name, getattr(parent, "__path__", [])):
            return importlib.import_module(own_name)
    raise missing(name)


def missing(name: str) -> ModuleNotFoundError:
    """The error for a `torch.a.b` that does not exist, naming the nearest name that does."""
    parent_name, _, child = name.rpartition(".")
    parent = chainrule_module(parent_name)
    modules = {module.name for module in pkgutil.iter_modules(getattr(parent, "__path__", []))}
    known = {key for key in modules | set(dir(parent)) - {child} if not key.startswith("_")}
    near = nearest(child, sorted(known))
    hint = f"; the nearest that exists is {parent_name}.{near}" if near else ""
    return ModuleNotFoundError(f"chainrule has no {name}{hint}", name=name)


def install() -> None:
    """From now on, in this process, `import torch` means chainrule."""
    if not any(isinstance(finder, TorchNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchNames())


def run(script: str, args: Sequence[str] = ()) -> int:
    """Execute a file as `python script args` does.

    Returns the exit code: 0, or 1 after an uncaught exception, whose traceback shows the user's
    frames only.  SystemExit passes through.  OSError if the file cannot be read.
    """
    with io.open_code(script) as file:
        source = file.read()
    path = os.path.abspath(script)
    sys.argv = [script, *args]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    main_module = _main_module(path)
    sys.modules["__main__"] = main_module
    try:
        exec(compile(source, path, "exec", dont_inherit=True), vars(main_module))
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = _users_frames(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _main_module(path: str) -> ModuleType:
    module = ModuleType("__main__")
    module.__file__ = path
    module.__loader__ = SourceFileLoader("__main__", path)
    vars(module).update(__builtins__=builtins, __cached__=None, __annotations__={})
    return module


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without this file at its ends: what `run` called, up to what an import asked."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    inner, last = trace, trace
    while inner is not None:
        if inner.tb_frame.f_code.co_filename != __file__:
            last = inner
        inner = inner.tb_next
    if last is not None:
        last.tb_next = None
    return trace


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="chainrule", description="Back-propagation on a graph that can be seen.")
    parser.add_argument("--version", action="version", version=f"chainrule {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run | show | demo")
    runner = commands.add_parser(
        "run",
        help="run a PyTorch script, unchanged, on chainrule",
        usage="chainrule run [--lint] [--report out.html] script.py [args ...]",
    )
    runner.add_argument(
        "--lint", action="store_true", help="say at the end what is silently wrong with it"
    )
    runner.add_argument(
        "--report", metavar="FILE", help="keep a page of its losses, gradients and updates"
    )
    # PARSER keeps everything behind the script for the script, options and `--` included.
    runner.add_argument(
        "script", nargs=argparse.PARSER, metavar="script.py", help="the file, then its arguments"
    )
    shower = commands.add_parser(
        "show",
        help="run a script, then write its last step as a page one can look at",
        usage="chainrule show [-o out.html] script.py [args ...]",
    )
    shower.add_argument("-o", "--out", metavar="FILE", help="default: the script's name, .html")
    shower.add_argument(
        "script", nargs=argparse.PARSER, metavar="script.py", help="the file, then its arguments"
    )
    commands.add_parser("demo", help="watch a network learn real scanned digits", add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["demo"]:
        return importlib.import_module("chainrule.demo").main(argv[1:]) or 0
    parser = _parser()
    given = parser.parse_args(argv)
    script, *args = given.script
    install()
    with _shown(given), _linted(given), _reported(given):
        try:
            return run(script, args)
        except OSError as error:
            parser.exit(2, f"chainrule {given.command}: cannot open {script!r}: {error.strerror}\n")


@contextmanager
def _reported(given: argparse.Namespace) -> Iterator[None]:
    """For `run --report`, gather numbers while the script trains; the page says how it ended."""
    if given.command != "run" or given.report is None or not os.path.isfile(given.script[0]):
        yield
        return
    with importlib.import_module("chainrule.view.report").reported(given.report, given.script[0]):
        yield


@contextmanager
def _linted(given: argparse.Namespace) -> Iterator[None]:
    """For `run --lint`, follow the training; what is found is printed even if the script fails."""
    if given.command != "run" or not given.lint:
        yield
        return
    findings = None
    try:
        with importlib.import_module("chainrule.view.lint").watch() as findings:
            yield
    finally:
        print(f"\n{findings}", file=sys.stderr)


@contextmanager
def _shown(given: argparse.Namespace) -> Iterator[None]:
    """For `show`, look on while the script runs; the page is written even if it fails."""
    if given.command != "show":
        yield
        return
    name = os.path.splitext(os.path.basename(given.script[0]))[0]
    out = given.out or f"{name}.html"
    end = importlib.import_module("chainrule.view.after").begin(out)
    try:
        yield
    finally:
        print(f"chainrule show: {end()}", file=sys.stderr)
