"""Public programs run unchanged, with PyTorch's losses: `pytest tests/torch --public DIR`.

DIR holds checkouts of karpathy/micrograd, karpathy/nanoGPT, karpathy/makemore and
pytorch/examples under their own names, and a text as tinyshakespeare.txt.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent / "public"))
import harness  # noqa: E402


@pytest.mark.parametrize("program", harness.PROGRAMS, ids=lambda program: program.name)
def test_losses_are_those_of_pytorch(program, request, tmp_path, record_property):
    public = request.config.getoption("--public", default=None)
    if public is None:
        pytest.skip("needs --public DIR with the programs")
    if program.needs and importlib.util.find_spec(program.needs) is None:
        pytest.skip(f"needs {program.needs}")
    losses = harness.losses(program, Path(public).absolute(), tmp_path)
    got, want = losses["chainrule"], losses["torch"]
    assert len(got) == len(want) > 0
    deviation = harness.deviation(got, want)
    print(f"{program.name}: {len(want)} losses, largest relative deviation {deviation:.1e}")
    assert deviation <= 1e-4
    if program.same_output:
        outputs = [(tmp_path / f"{backend}.out").read_text() for backend in ("torch", "chainrule")]
        assert outputs[0] == outputs[1]
