"""Every example runs, with tiny settings, and prints what its docstring promises."""

import gzip
import json
import math
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


def on_page(path):
    """The nodes of a page by the user's names, read back from the file."""
    text = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.S).group(1)
    return {n["name"]: n for n in json.loads(text)["nodes"] if "name" in n}


def test_living_graphs_are_pages_with_the_numbers_of_grad(tmp_path):
    """G1, G3, G4, G5, G8, D1, D2: the example itself compares its pages with `.grad`."""
    out = run("living_graphs.py", "--out", tmp_path, cwd=tmp_path)
    expected = {
        "square": dict(x=6.0, y=6.0, z=6.0),
        "neuron": dict(w0=-0.19661193324148185, x0=0.3932238664829637, w1=-0.3932238664829637,
                       x1=-0.5898357997244456, w2=0.19661193324148185),
        "forks": dict(x=2.0595697955721652, y=1.5922327514838093),
        "two_paths": dict(s=1.2766774339021667),
        "chain": dict(x=math.exp(math.sin(0.25)) * math.cos(0.25)),
    }
    for name, gradients in expected.items():
        nodes = on_page(tmp_path / f"{name}.html")
        for variable, gradient in gradients.items():
            found = nodes[variable]["gradient"]["number"]
            assert found == pytest.approx(gradient, rel=1e-12), (name, variable)
        assert (tmp_path / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "df/ds = df/dy cos(s) + 2 df/dx s" in out  # both paths


def test_on_paper_derives_the_equations(tmp_path):
    """B2, B4, B5, E2, P3, P6."""
    out = run("on_paper.py", "--out", tmp_path, cwd=tmp_path)
    for equation in ("dJ/dL = 1", "dJ/ds = 1", "dJ/do = o - y", "dJ/dh = W2ᵀ dJ/do",
                     "dJ/dz = dJ/dh ⊙ (1 - h²)", "dJ/dW2 = dJ/do hᵀ + λ W2",
                     "dJ/dW1 = dJ/dz xᵀ + λ W1", "z = W1 x + b", "dJ/db = dJ/dz"):
        assert f"  {equation}\n" in out
    forward, backward = re.findall(r"(?:forward|backward): +(.*)", out)[:2]
    assert forward.split() == backward.split()[::-1]
    nodes = on_page(tmp_path / "on_paper.html")
    expected = {
        "o": [-2.0436565601574848, 0.5556999658780917],
        "h": [-0.9304296228199567, 2.1906252140040796],
        "z": [-0.7648142937993894, 0.27384977460901627],
        "W2": [0.9322166698030959, -1.991654883568839, -0.14444926282143028, 0.6198067886161995],
        "W1": [-0.7548142937993894, 1.5496285875987788, -0.4124071468996947, 0.3138497746090163,
               -0.5976995492180326, 0.19692488730450813],
    }
    for name, gradient in expected.items():
        assert nodes[name]["gradient"]["data"] == pytest.approx(gradient, rel=1e-12)
    assert nodes["J"]["value"]["number"] == pytest.approx(2.4351672939758173, rel=1e-12)
    assert nodes["s"]["value"]["number"] == pytest.approx(0.1925, rel=1e-12)
    assert (tmp_path / "on_paper.svg").exists() and (tmp_path / "with_bias.html").exists()
    assert "b" in on_page(tmp_path / "with_bias.html")


def test_digits5_prints_the_losses_of_pytorch(tmp_path):
    """D6, D7, D8, D11."""
    out = run("digits5.py", cwd=tmp_path)
    assert "loss  tensor(2.3092, grad_fn=<NllLossBackward0>)" in out
    assert "loss  tensor(2.3007, grad_fn=<NllLossBackward0>)" in out
    assert "1.461150" in out
    assert len(re.findall(r"layers\.\d\.\w+ +\([\d, ]+\) +[\d.]+ +[\d.]+ +[\d.]+", out)) == 4
    assert (tmp_path / "digits5.svg").exists()
    assert "lint: 2 findings" in out and "zero_grad" in out
    text = (tmp_path / "digits5.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))
    assert len(data["findings"]) == 2


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
