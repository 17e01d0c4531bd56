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


@pytest.fixture
def workloads(request):
    path = Path(request.config.getoption("--workloads", default=None) or BESIDE)
    if not path.exists():
        pytest.skip("needs --workloads FILE")
    spec = importlib.util.spec_from_file_location("workloads", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses(workloads, backend, name, steps=5):
    step = workloads.torch_step(backend, name, False)
    return [step() for _ in range(steps)]


@pytest.mark.parametrize("name", NAMES)
def test_first_losses(name, workloads):
    # A relu of resnet18 that rounding tips over moves every later loss: at the fifth step PyTorch
    # itself differs by 3e-4 between one thread and two, by 9e-4 between its own convolutions.
    steps = 2 if name == "resnet18" else 5
    want, got = (losses(workloads, backend, name, steps) for backend in (torch, chainrule))
    assert got == pytest.approx(want, rel=1e-4, abs=0)


class InFloat64:
    """A backend that draws the same parameters and data, but computes in float64."""

    def __init__(self, backend):
        self.backend = backend

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def rand(self, *shape):
        return self.backend.rand(*shape).double()


def test_resnet18_in_float64(workloads, monkeypatch):
    simple = workloads.simple
    monkeypatch.setattr(
        workloads, "simple", lambda T, model, *rest: simple(T.backend, model.double(), *rest)
    )
    backends = InFloat64(torch), InFloat64(chainrule)
    want, got = (losses(workloads, backend, "resnet18") for backend in backends)
    assert got == pytest.approx(want, rel=1e-12, abs=0)
