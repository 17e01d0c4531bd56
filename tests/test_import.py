"""`import chainrule` loads NumPy and itself; everything else waits until it is used."""

import subprocess
import sys

WAITING = ("rich", "safetensors", "ml_dtypes", "scipy", "sklearn", "tensorboard", "torch",
           "chainrule.compiled", "chainrule.view", "chainrule.distributions", "multiprocessing",
           "difflib")


def test_import_loads_no_other_package():
    code = "import sys, chainrule; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                            check=True).stdout.split()
    assert "numpy" in loaded
    assert not [m for m in WAITING if m in loaded]
