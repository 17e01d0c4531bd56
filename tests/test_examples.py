"""Every example runs, with tiny settings, and prints what its docstring promises."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
ALL = sorted(EXAMPLES.glob("*.py"))


def run(name, *args, cwd):
    command = [sys.executable, str(EXAMPLES / name), *map(str, args)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def mnist(tmp_path):
    """A folder like MNIST's with 256 + 64 images: digit d is a bright square in its own place."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in (("train", 256), ("t10k", 64)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels):
            row, column = divmod(int(label), 4)
            image[8 * row + 2 : 8 * row + 8, 7 * column : 7 * column + 6] = 255
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            with gzip.open(folder / f"{part}-{what}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())
    return folder


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_examples_are_short_and_begin_with_the_mathematics(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith('"""') and "import chainrule as torch" in text


def test_linear_by_hand_to_the_last_digit(tmp_path):
    """R1, R4, R5, R6."""
    out = run("linear_by_hand.py", cwd=tmp_path)
    for number in ("-7.840000152587891", "-16.228801727294922", "7.315943717956543",
                   "9.094947017729282e-13", "7.999998569488525"):  # R1
        assert number in out
    assert "yhat = 1, r = -1, loss = 1" in out and "dl/dw     = -2" in out  # R4
    assert "loss = 4, dl/dw = -8" in out and "prediction at 4: 8.544171" in out  # R5
    assert out.count("w = 2.000000") == 3  # R6


def test_gates_prints_every_factor_and_draws(tmp_path):
    """G1, G3, G4."""
    out = run("gates.py", "--out", tmp_path, cwd=tmp_path)
    assert "z = 3, f = 9" in out and "df/dz = 6, df/dx = 6, df/dy = 6" in out
    assert "f = 0.7310585786300049; f (1 - f) = 0.19661193324148185" in out
    for name, gradient in dict(w0=-0.20, x0=0.39, w1=-0.39, x1=-0.59, w2=0.20).items():
        assert f"df/d{name} = {gradient:5.2f}" in out
    rows = re.findall(r"(-?[\d.]+) x +(-?[\d.]+) = +(-?[\d.]+)", out)
    assert len(rows) == 12
    for upstream, local, downstream in rows:
        assert float(upstream) * float(local) == pytest.approx(float(downstream), abs=0.02)
    assert "0.39" in (tmp_path / "neuron.svg").read_text(encoding="utf-8")
    assert (tmp_path / "square.svg").exists()


def test_digits5_prints_the_losses_of_pytorch(tmp_path):
    """D6, D11."""
    out = run("digits5.py", cwd=tmp_path)
    assert "loss  tensor(2.3092, grad_fn=<NllLossBackward0>)" in out
    assert "loss  tensor(2.3007, grad_fn=<NllLossBackward0>)" in out
    assert "1.461150" in out
    assert len(re.findall(r"layers\.\d\.\w+ +\([\d, ]+\) +[\d.]+ +[\d.]+ +[\d.]+", out)) == 4
    assert (tmp_path / "digits5.svg").exists()


def test_digits5_takes_real_images(tmp_path, mnist):
    assert run("digits5.py", "--data", mnist, cwd=tmp_path).count("tensor(2.3") == 2


@pytest.mark.parametrize("name, parameters", [("mnist_mlp", 203_530), ("mnist_cnn", 5_258)])
def test_mnist_learns(tmp_path, mnist, name, parameters):
    out = run(f"{name}.py", "--data", mnist, "--epochs", 12, cwd=tmp_path)
    assert f"{parameters:,} parameters, 256 digits" in out
    assert float(re.findall(r"accuracy ([\d.]+)%", out)[-1]) > 95


def test_char_lm_learns_and_writes(tmp_path):
    (tmp_path / "text.txt").write_text("tick tock " * 40, encoding="utf-8")
    settings = ["--steps", 50, "--width", 32, "--length", 10]
    out = run("char_lm.py", "--data", tmp_path / "text.txt", *settings, cwd=tmp_path)
    first, last = (float(x) for x in re.findall(r"loss ([\d.]+)", out))
    assert last < 0.5 < first
    assert "tick tock tick" in out.partition("It writes:")[2]


def test_pinn_comes_closer_to_the_closed_form(tmp_path):
    out = run("pinn.py", "--rounds", 2, cwd=tmp_path)
    left = [float(x) for x in re.findall(r"left with ([\d.e+-]+)", out)]
    assert left[-1] < 1e-3 * left[0]
    assert float(re.search(r"largest error .*: ([\d.e+-]+)", out)[1]) < 0.05
