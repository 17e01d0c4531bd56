"""`chainrule demo`: digits are learned, pictures written; without scikit-learn it says so."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from chainrule import demo


def test_it_learns_and_says_where_the_pictures_are(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert demo.main(["--out", str(tmp_path / "new"), "--epochs", "4"]) == 0
    out = capsys.readouterr().out
    assert float(re.search(r"([\d.]+)% of the held-out digits right", out)[1]) > 92
    assert "epoch   1   loss" in out and "samples/s" in out  # not a terminal: lines, no bar
    for name in ("graph.svg", "layers.svg", "loss.svg"):
        path = tmp_path / "new" / name
        assert str(path) in out
        ET.fromstring(path.read_text(encoding="utf-8"))


def test_the_graph_holds_every_value_and_gradient(tmp_path):
    pytest.importorskip("sklearn")
    demo.main(["--out", str(tmp_path), "--epochs", "1", "--seed", "3"])
    svg = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    for name in ("loss", "fc1: Linear", "fc2.weight", "cross_entropy", "32×10", "exp", "x yᵀ"):
        assert f">{name}<" in svg
    assert svg.count('class="value-frame"') >= 20 and svg.count('class="gradient-frame"') >= 12
    assert ">fc2: Linear<" in (tmp_path / "layers.svg").read_text(encoding="utf-8")


def test_equal_seeds_give_equal_pictures(tmp_path):
    pytest.importorskip("sklearn")
    for folder in ("a", "b"):
        demo.main(["--out", str(tmp_path / folder), "--epochs", "1", "--seed", "5"])
    for name in ("graph.svg", "layers.svg", "loss.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit) as stopped:
        demo.main(["--epochs", "1"])
    assert "pip install 'chainrule[demo]'" in str(stopped.value)


def test_it_is_a_command(tmp_path):
    command = [sys.executable, "-m", "chainrule", "demo", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0 and "--epochs" in done.stdout and "--seed" in done.stdout


def test_on_a_terminal_it_shows_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with demo.progress(2) as show:
        show(1, loss=0.5, accuracy=0.9, speed=1234.5)
        show(2, loss=0.25, accuracy=0.95, speed=1234.5)
    out = capsys.readouterr().out
    assert "95.00%" in out and "1,234 samples/s" in out and "━" in out
