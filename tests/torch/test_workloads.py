"""The twelve training-step workloads: the losses of the first five steps are PyTorch's.

The file that defines them is not part of this repository: `--workloads FILE`, or
../shared/bench/workloads.py beside it.
"""

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
import chainrule  # noqa: E402

BESIDE = Path(__file__).parents[3] / "shared" / "bench" / "workloads.py"
NAMES = ["scalar003", "mlp_tiny", "mlp_small", "dnn002", "mlp64", "mlp_big"]
NAMES += ["pinn", "node", "lstm", "gpt", "mnist_cnn", "resnet18"]


@pytest.fixture(scope="module")
def workloads(request):
    path = Path(request.config.getoption("--workloads", default=None) or BESIDE)
    if not path.exists():
        pytest.skip("needs --workloads FILE")
    spec = importlib.util.spec_from_file_location("workloads", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_first_five_losses(name, workloads):
    steps = (workloads.torch_step(backend, name, False) for backend in (torch, chainrule))
    want, got = ([step() for _ in range(5)] for step in steps)
    assert got == pytest.approx(want, rel=1e-4, abs=0)
