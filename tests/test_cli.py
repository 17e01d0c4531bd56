"""The command line: scripts run as `python` runs them, with PyTorch's names meaning chainrule."""

import subprocess
import sys

import pytest

from chainrule import cli
from chainrule.version import __version__


def python(*args, cwd=None):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=cwd)


def chainrule(*args, cwd=None):
    return python("-m", "chainrule", *args, cwd=cwd)


@pytest.fixture
def script(tmp_path):
    def write(text, name="train.py"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


AS_PYTHON = {
    "environment": "import sys; print(__name__, __file__, sys.argv, sys.path[0], __spec__)",
    "globals": "print(sorted(globals()), __package__, __builtins__, type(__loader__).__name__)",
    "main_guard": "if __name__ == '__main__': print('guarded')",
    "main_module": "x = 5\nimport __main__; print(__main__.x)",
    "docstring": "'what it does'\nprint(__doc__)",
    "sibling": "import helper; print(helper.__file__)",
    "exit_code": "import sys; sys.exit(7)",
    "exit_message": "import sys; sys.exit('no data')",
    "exit_none": "import sys; sys.exit()",
    "exception": "def f(x):\n    return 1 / x\n\nf(0)",
    "chained": "try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('bad') from e",
    "syntax": "def f(:\n    pass",
    "excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[1])\n1 / 0",
    "interrupt_in_handler": "try:\n    raise KeyboardInterrupt\nexcept BaseException: print('ok')",
    # chainrule's own `from __future__ import annotations` must not reach the script
    "annotations": "def f(x: int): pass\nprint(f.__annotations__)",
}


@pytest.mark.parametrize("name", AS_PYTHON)
def test_runs_as_python_does(name, script, tmp_path):
    script("", "helper.py")
    path = script(AS_PYTHON[name])
    want, got = python(path, "a", "--help"), chainrule("run", path, "a", "--help")
    assert (got.stdout, got.stderr) == (want.stdout, want.stderr)
    assert got.returncode == want.returncode


def test_arguments_reach_the_script_untouched(script):
    path = script("import sys; print(sys.argv[1:])")
    args = ["--", "-h", "--version", "-x", "--", "last"]
    assert chainrule("run", path, *args).stdout == f"{args}\n"


def test_relative_script_keeps_its_name_in_argv(script, tmp_path):
    script("import sys; print(sys.argv, sys.path[0] == __file__.rpartition('/')[0])")
    assert chainrule("run", "train.py", cwd=tmp_path).stdout == "['train.py'] True\n"


NAMES = """
import sys
import torch, chainrule
import torch.nn as nn, torch.nn.functional as F, torch.optim as optim
import torch.optim.lr_scheduler
import torch.utils.data
import torch.backends.cudnn as cudnn
import torch.cuda.amp, torch.nn.modules.linear, torch.onnx, torch.distributed, torch.nn.parallel
from torch import nn as nn2
from torch.nn import functional as F2, Module
from torch.utils.data import DataLoader, Dataset
from torch.optim.lr_scheduler import StepLR
from torch.nn.parameter import Parameter
from torch.utils.data.dataloader import DataLoader as DataLoader2
from torch.utils.data.dataset import Dataset as Dataset2
assert torch is chainrule and nn is nn2 is chainrule.nn and F is F2 is chainrule.nn.functional
assert torch.utils.data is chainrule.data and optim is chainrule.optim
assert torch.backends.cudnn is cudnn and torch.nn.modules.linear.Linear is nn.Linear
assert sys.modules["torch.nn.functional"] is sys.modules["chainrule.nn.functional"]
assert chainrule.nn.__spec__.name == "chainrule.nn" and chainrule.nn.__name__ == "chainrule.nn"
assert DataLoader2 is DataLoader and Dataset2 is Dataset
assert Parameter is nn.Parameter and isinstance(nn.Linear(2, 1), Module)
print("same")
"""


def test_torch_names_are_the_same_modules(script):
    got = chainrule("run", script(NAMES))
    assert (got.stdout, got.stderr) == ("same\n", "")


@pytest.mark.parametrize(
    "line, message",
    [
        (
            "import torch.optm",
            "chainrule has no torch.optm; the nearest that exists is torch.optim",
        ),
        (
            "import torch.nn.functionl as F",
            "chainrule has no torch.nn.functionl; the nearest that exists is torch.nn.functional",
        ),
        (
            "from torch.optim import AdmaW",
            "chainrule has no torch.optim.AdmaW; the nearest that exists is torch.optim.AdamW",
        ),
        (
            "import torch.utils.data.datasets",
            "chainrule has no torch.utils.data.datasets; "
            "the nearest that exists is torch.utils.data.dataset",
        ),
        ("import torch.zzzzzzzz", "chainrule has no torch.zzzzzzzz"),
    ],
)
def test_missing_module_names_the_nearest(line, message, script):
    path = script(line)
    got = chainrule("run", path)
    assert got.returncode == 1
    assert got.stderr == (
        f'Traceback (most recent call last):\n  File "{path}", line 1, in <module>\n    {line}\n'
        f"ModuleNotFoundError: {message}\n"
    )


def test_missing_module_is_an_import_error(script):
    path = script("try:\n    import torch.zzz\nexcept ImportError as e:\n    print(e.name)")
    assert chainrule("run", path).stdout == "torch.zzz\n"


def test_a_script_trains(script):
    got = chainrule(
        "run",
        script(
            "import torch\n"
            "w = torch.tensor([1.0], requires_grad=True)\n"
            "for x, y in [(1., 2.), (2., 4.), (3., 6.)]:\n"
            "    loss = (x * w - y) ** 2\n"
            "    loss.backward()\n"
            "    print(w.grad.item())\n"
            "    w.data = w.data - 0.01 * w.grad.data\n"
            "    w.grad.data.zero_()\n"
        ),
    )
    assert got.stdout.split() == ["-2.0", "-7.840000152587891", "-16.228801727294922"]


@pytest.mark.parametrize(
    "args, line",
    [
        (["run", "absent.py"], "chainrule run: cannot open 'absent.py': No such file or directory"),
        (["run", "."], "chainrule run: cannot open '.': Is a directory"),
        (["run"], "chainrule run: the following arguments are required: script.py"),
        ([], "chainrule: the following arguments are required: run | show | demo"),
        (["run", "--fast", "x.py"], "chainrule: unrecognized arguments: --fast"),
    ],
)
def test_argument_errors_are_one_line(args, line, tmp_path):
    got = chainrule(*args, cwd=tmp_path)
    assert (got.returncode, got.stdout, got.stderr) == (2, "", line + "\n")


def test_unknown_command_is_named():
    got = chainrule("rnu")
    assert got.returncode == 2
    assert got.stderr.startswith("chainrule: argument run | show | demo: invalid choice: 'rnu'")
    assert got.stderr.count("\n") == 1


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"chainrule {__version__}\n"


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "run a PyTorch script, unchanged" in text and "demo" in text


def test_demo_is_passed_its_arguments(monkeypatch):
    seen = []
    demo = cli.importlib.import_module("chainrule.demo")
    monkeypatch.setattr(demo, "main", lambda args: seen.append(args))
    assert cli.main(["demo", "--out", "x"]) == 0
    assert seen == [["--out", "x"]]
