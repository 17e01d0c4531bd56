"""Every benchmark script measures a tiny cell and writes what it says.  No time is judged."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def run(script, *arguments, timeout=120):
    command = [sys.executable, FOLDER / script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True)


def needs(backend):
    return pytest.param(backend, marks=pytest.mark.skipif(
        backend in ("torch", "jax") and importlib.util.find_spec(backend) is None,
        reason=f"needs {backend}"))


BACKENDS = [needs(b) for b in ("torch", "jax", "chainrule", "chainrule-compile")]


# ---------------------------------------------------------------------------- cells
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cell_prints_one_line_of_json(backend):
    cell = json.loads(run("workloads.py", backend, "mlp_tiny", "--budget", 0).stdout)
    assert cell["backend"] == backend and cell["workload"] == "mlp_tiny"
    assert 0 < cell["min_us"] <= cell["median_us"]
    assert cell["first_loss_s"] > 0 and cell["compile_s"] >= 0 and cell["peak_mib"] > 10
    assert cell["losses"][1] < cell["losses"][0]
    if backend != "jax":  # which draws other numbers
        assert cell["losses"][0] == pytest.approx(0.287771, rel=1e-5)


def test_compiled_steps_have_the_losses_of_recorded_ones(load):
    step_of = load("workloads").step_of
    for name in ("scalar003", "mlp_small", "lstm", "node"):
        recorded, compiled = (step_of(chainrule, name, flag) for flag in (False, True))
        assert [compiled() for _ in range(3)] == pytest.approx(
            [recorded() for _ in range(3)], rel=1e-5)


def test_there_are_twelve_workloads_and_jax_has_eleven(load):
    workloads = load("workloads")
    assert len(workloads.WORKLOADS) == 12
    assert sum(workloads.exists("jax", name) for name in workloads.WORKLOADS) == 11


def test_jax_has_the_same_workloads(load):
    pytest.importorskip("jax")
    assert load("workloads_jax").TRAININGS.keys() == load("workloads").TRAININGS.keys()


@pytest.mark.parametrize("code, why", [
    ("raise ValueError('no such thing')", "ValueError: no such thing"),
    ("import time; time.sleep(60)", "no result after 0.5 s"),
    ("import os; os.abort()", "killed by SIGABRT"),
    ("print('hello')", "printed no result"),
    ("raise SystemExit(3)", "exit status 3"),
])
def test_a_cell_that_fails_says_why(load, tmp_path, code, why):
    (tmp_path / "cell.py").write_text(code)
    timeout = 0.5 if "sleep" in code else 60
    assert load("common").run_cell(tmp_path / "cell.py", threads=1, timeout=timeout) == \
        {"error": why}


def test_what_is_not_installed_is_named_and_left_out(load, monkeypatch, capsys):
    common = load("common")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jax" else found(name))
    assert common.present(["jax", "numpy", "chainrule-compile"]) == ["numpy", "chainrule-compile"]
    assert capsys.readouterr().err == \
        "skipped jax: not installed (pip install 'chainrule[bench]')\n"


# ---------------------------------------------------------------------------- floors
def test_flops_of_a_step(load):
    floor, workloads = load("floor"), load("workloads")
    training = workloads.TRAININGS["mlp64"](chainrule)
    forward = 64 * (784 * 256 + 256 * 10)
    backward = forward + 64 * 256 * 10  # no gradient of the data
    assert floor.step_flops(training) == 2 * (forward + backward)
    parameters = 784 * 256 + 256 + 256 * 10 + 10
    assert floor.state_bytes(training) == 2 * 4 * 2 * parameters  # with momentum


def test_flops_of_a_convolution(load):
    x = chainrule.rand(2, 3, 8, 8)
    y = chainrule.nn.functional.conv2d(x, chainrule.rand(5, 3, 3, 3), stride=2, padding=1)
    nodes = importlib.import_module("chainrule.graph").toposort([y.node])
    assert sum(map(load("floor").contraction_flops, nodes)) == 2 * 2 * 5 * 4 * 4 * 3 * 3 * 3


# ---------------------------------------------------------------------------- all workloads
def test_run_writes_json_and_a_table(tmp_path):
    out = tmp_path / "result.json"
    printed = run("run.py", "--workloads", "mlp_tiny", "--backends", "chainrule,chainrule-compile",
                  "--rounds", 2, "--budget", 0, "--threads", 1, "--out", out)
    result = json.loads(out.read_text())
    machine = result["machine"]
    assert machine["versions"]["chainrule"] == chainrule.__version__
    assert machine["threads"] == 1 and machine["cores"] and machine["cpu"] and machine["os"]
    keys = [(m["backend"], m["round"]) for m in result["measurements"]]
    assert keys == [("chainrule", 1), ("chainrule-compile", 1),
                    ("chainrule", 2), ("chainrule-compile", 2)]
    assert result["floors"]["mlp_tiny"]["us"] > 0
    assert "round 2: mlp_tiny, chainrule-compile" in printed.stderr
    assert "s of compilation, later process" in printed.stdout
    if importlib.util.find_spec("matplotlib"):
        assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    again = run("run.py", "--show", out)
    assert again.stdout == printed.stdout


def measurement(workload, backend, us, losses=(1.0, 0.5), **more):
    return {"workload": workload, "backend": backend, "round": 1, "min_us": us, "median_us": us,
            "first_loss_s": 1.0, "compile_s": 0.1, "peak_mib": 50.0, "losses": losses, **more}


@pytest.fixture
def report(load):
    measurements = [
        measurement("mlp64", "torch", 400.0),
        measurement("mlp64", "jax", 300.0, losses=(7.0, 6.0)),
        measurement("mlp64", "chainrule", 100.0, losses=(1.0, 0.6)),
        measurement("mlp64", "chainrule", 150.0, compile_s=0.01),
        measurement("gpt", "torch", 1000.0),
        {"workload": "gpt", "backend": "jax", "round": 1, "error": "no result after 3 s"},
        measurement("gpt", "chainrule", 4000.0),
    ]
    return load("run").Report({
        "machine": {"cpu": "a CPU", "threads": 2, "versions": {"chainrule": "1"}},
        "settings": {"backends": ["torch", "jax", "chainrule"], "rounds": 2},
        "floors": {"mlp64": {"us": 20.0}, "gpt": {"error": "no"}},
        "measurements": measurements,
    })


def test_the_table_compares_with_the_best_peer(report):
    lines = report.speed_table().splitlines()
    assert lines[0].split("  ")[-1] == "recorded / best peer"
    assert lines[2].split() == ["mlp64", "400", "300", "100!", "20.0", "3.00", "x"]
    assert lines[3].split() == ["gpt", "1,000", "failed", "4,000", "-", "0.25", "x"]
    mean = math.sqrt(3 * 0.25)
    assert lines[4].split() == ["geometric", "mean", f"{mean:.2f}", "x", "of", "2"]


def test_the_report_names_what_failed_and_what_is_wrong(report):
    text = report.text()
    assert "failed: gpt, jax: no result after 3 s" in text
    assert "! mlp64, chainrule: losses differ from PyTorch's" in text


def test_minima_over_rounds_but_the_first_compiles(report):
    cell = report.cells["mlp64", "chainrule"]
    assert cell["min_us"] == 100 and cell["compile_s"] == 0.1 and cell["cached_s"] == 0.01


def test_the_chart_takes_failures(report, load, tmp_path):
    pytest.importorskip("matplotlib")
    load("chart").draw(report, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 10_000


def test_unknown_names_are_refused():
    with pytest.raises(subprocess.CalledProcessError) as error:
        run("run.py", "--workloads", "mlp65", "--backends", "numpy")
    assert "no workload or backend mlp65, numpy" in error.value.stderr


# ---------------------------------------------------------------------------- kernels
def test_kernels_writes_json_and_tables(tmp_path):
    out = tmp_path / "kernels.json"
    printed = run("kernels.py", "--only", "10 x 1000000", "--backends", "numpy,chainrule-compile",
                  "--budget", 0, "--out", out).stdout
    cells = json.loads(out.read_text())["cells"]
    assert {c["backend"] for c in cells} == {"numpy", "chainrule-compile"}
    assert all(c["min_us"] > 0 for c in cells)
    assert printed.startswith("GB/s") and "sum of rows of 10 x 1000000" in printed


def small(cases):
    return [c for c in cases.values() if c.amount < 3_000_000]


def test_cases_mean_the_same_everywhere(load):
    kernels = load("kernels")
    random = np.random.default_rng(0)
    numpy, own = kernels.NumPy(np), kernels.Compiled(chainrule)
    try:
        for case in small(kernels.CASES):
            arrays = [random.random(s).astype(case.dtype) for s in case.shapes]
            want = case.function(numpy, *arrays)
            call = own.prepare(lambda *arrays, case=case: case.function(own, *arrays))
            got = call(*map(own.array, arrays)).numpy()
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=case.name)
    finally:
        chainrule.set_grad_enabled(True)


def test_work_of_a_case(load):
    cases = load("kernels").CASES
    assert cases["product 64 x 784 x 256 A B'"].shapes == ((64, 784), (256, 784))
    assert cases["product 64 x 784 x 256 A B'"].amount == 2 * 64 * 784 * 256
    strided = cases["convolution 32 x 64 x 32^2 to 128, 3 x 3, stride 2, padding 1"]
    assert strided.amount == 2 * 32 * 16 * 16 * 128 * 64 * 9
    assert cases["x + y over 64 x 64"].amount == 3 * 4 * 64 * 64


# ---------------------------------------------------------------------------- compile time
def test_compile_time_counts_nodes(tmp_path):
    out = tmp_path / "compile.json"
    printed = run("compile_time.py", "--nodes", "60,200", "--kinds", "different", "--backends",
                  "chainrule", "--budget", 0, "--out", out).stdout
    cells = json.loads(out.read_text())["cells"]
    assert [c["process"] for c in cells] == ["cold", "from disk"] * 2
    for cell in cells:
        assert abs(cell["nodes"] - cell["asked"]) < 20
    assert "chainrule, recorded, different" in printed
    assert run("compile_time.py", "--show", out).stdout == printed


# ---------------------------------------------------------------------------- words
def test_numbers_are_short(load):
    short = load("common").short
    assert [short(x) for x in (None, 0, 0.01234, 0.1, 4.567, 78.91, 12345.6)] == \
        ["-", "0.00", "0.0123", "0.10", "4.57", "78.9", "12,346"]


def test_results_get_a_file_of_their_own(load, tmp_path, monkeypatch):
    common = load("common")
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    first = common.result_path("-kernels")
    common.save(first, {"a": [1.23456789, 2], "b": {"c": "d"}, "e": 1})
    assert json.loads(first.read_text()) == {"a": [1.23457, 2], "b": {"c": "d"}, "e": 1}
    assert common.result_path("-kernels").stem == first.stem + "-2"
