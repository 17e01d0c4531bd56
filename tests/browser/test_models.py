"""Thirty-one different models in a real browser: what is drawn is what the graph holds."""

import importlib.util
import math
import re
from pathlib import Path

import pytest

import chainrule as torch
from chainrule.view.failure import failed_node
from chainrule.view.labels import Names
from chainrule.view.picture import forward_order, inputs_of
from chainrule.view.snapshot import Snapshot

MODELS = Path(__file__).parents[1] / "view" / "models.py"
spec = importlib.util.spec_from_file_location("models", MODELS)
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)
every_model = pytest.mark.parametrize("model", models.MODELS, ids=lambda m: m.__name__)

UNFOLD = "() => { for (let i = 0; i < 12; i += 1) chainrule.unfoldLevel(); }"
DRAWN = """() => {
  const all = (s) => [...document.querySelectorAll(s)];
  return {
    nodes: all("g.node[data-id]").map((g) => +g.dataset.id).sort((a, b) => a - b),
    edges: [...new Set(all("g.link[data-edges]").flatMap((g) => g.dataset.edges.split(",")))]
      .filter(Boolean).map(Number).sort((a, b) => a - b),
  };
}"""


@pytest.fixture
def shown(page_of, tmp_path):
    def show(loss, **options):
        snapshot = torch.snapshot(loss, times=False, **options)
        snapshot.save(tmp_path / "graph.html")
        return snapshot.data, page_of(tmp_path / "graph.html")

    return show


@every_model
def test_what_is_drawn_is_the_graph(shown, model):
    """One page for all questions about one model: it takes longest to open."""
    loss = models.loss_of(model)
    order = forward_order(loss.node)
    data, page = shown(loss)
    first = page.evaluate("chainrule.counts()")
    assert first["nodes"] == len(order) and first["boxes"] <= 40
    assert first["edges"] == sum(len(inputs_of(n)) for n in order)
    folding_keeps_the_counts(data, page, first)
    values_and_gradients_are_the_graphs(data, page)
    a_click_shows_the_number(data, page)
    frames_show_what_is_reached(data, page)
    page.evaluate("chainrule.setFrame(null)")
    page.evaluate(UNFOLD)
    drawn = page.evaluate(DRAWN)
    assert drawn["nodes"] == list(range(len(order)))
    assert drawn["edges"] == list(range(first["edges"]))
    assert page.evaluate("chainrule.counts()")["boxes"] == len(order)


def folding_keeps_the_counts(data, page, before):
    states = "() => JSON.stringify([...chainrule.state.open].sort((a, b) => a - b))"
    opened = page.evaluate(states)
    for group in [g["id"] for g in data["groups"][1:]][:12]:
        was = page.evaluate("(g) => chainrule.state.open.has(g)", group)
        page.evaluate("([g, open]) => chainrule.setOpen(g, open)", [group, not was])
        page.evaluate("([g, open]) => chainrule.setOpen(g, open)", [group, was])
    assert page.evaluate(states) == opened
    assert page.evaluate("chainrule.counts()") == before


def values_and_gradients_are_the_graphs(data, page):
    found = page.evaluate(
        "() => chainrule.nodes.map((n) => [n.value?.number ?? n.value?.norm ?? null, "
        "n.gradient?.number ?? n.gradient?.norm ?? null])")
    for node, pair in zip(data["nodes"], found):
        for facts, number in zip((node.get("value"), node.get("gradient")), pair):
            expected = None if facts is None else facts.get("number", facts.get("norm"))
            assert number == pytest.approx(expected, rel=1e-12) if isinstance(
                expected, float) else number == expected


def a_click_shows_the_number(data, page):
    value = data["nodes"][data["output"]]["value"]["number"]
    page.evaluate("(id) => { chainrule.reveal(id); chainrule.select(id); }", data["output"])
    text = page.inner_text("#panel").replace("−", "-").replace("×10", "e")
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]
    if isinstance(value, str):
        assert value in text.lower()
    else:
        assert any(math.isclose(value, n, rel_tol=1e-6) for n in numbers), (value, text)


def frames_show_what_is_reached(data, page):
    frames = len(data["forward"]) + len(data["backward"])
    for k in sorted({0, len(data["forward"]) - 1, len(data["forward"]), frames - 1} - {-1, frames}):
        frame = page.evaluate("(k) => { chainrule.setFrame(k); return chainrule.frame(); }", k)
        passed = set(data["backward"][: max(0, k + 1 - len(data["forward"]))])
        shares = [i for i, e in enumerate(data["edges"]) if "gradient" in e and e["head"] in passed]
        assert sorted(frame["shares"]) == shares
    if data["backward"]:
        whole = [n["id"] for n in data["nodes"] if "gradient" in n]
        assert sorted(frame["gradients"]) == whole


def test_a_failure_ends_in_a_red_node_with_both_shapes(page_of, tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(784, 500), torch.nn.Linear(400, 10))
    with pytest.raises(RuntimeError) as caught:
        net(torch.rand(5, 784))
    failed = Snapshot(failed_node(caught.value), Names(), failure=caught.value)
    failed.save(tmp_path / "failed.html")
    page = page_of(tmp_path / "failed.html")
    text = page.inner_text("body")
    assert "(5, 500)" in text and "Linear(400, 10)" in text
    assert page.locator("g.node.error").count() == 1


def test_a_graph_of_five_thousand_nodes_is_drawn_folded(shown):
    x = torch.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(1700):
        y = torch.sin(y) * x + 1.0
    data, page = shown(y)
    counts = page.evaluate("chainrule.counts()")
    assert counts["nodes"] == len(data["nodes"]) > 5000 and counts["boxes"] <= 40
    for group in [g["id"] for g in data["groups"][1:]][:5]:
        page.evaluate("(g) => chainrule.setOpen(g, true)", group)
    assert page.evaluate("chainrule.counts()")["boxes"] > counts["boxes"]
