"""A snapshot holds what the graph holds: every node, edge, value and gradient."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

import chainrule as torch
from chainrule.view.document import ASSETS
from chainrule.view.groups import MOST_ITEMS
from chainrule.view.picture import forward_order, inputs_of

spec = importlib.util.spec_from_file_location("models", Path(__file__).with_name("models.py"))
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)
MODELS, loss_of = models.MODELS, models.loss_of
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)


def data_of(model, **options):
    loss = loss_of(model)
    return torch.snapshot(loss, times=False, **options).data


def number(fact):
    return float(fact)


@every_model
def test_what_it_holds_is_the_graph(model):
    loss = loss_of(model)
    order = forward_order(loss.node)
    data = torch.snapshot(loss, times=False).data
    assert len(data["nodes"]) == len(order)
    assert len(data["edges"]) == sum(len(inputs_of(n)) for n in order)
    for node, found in zip(order, data["nodes"]):
        assert found["op"] == node.name and tuple(found["shape"]) == node.shape
        assert found.get("bytes", 0) == node.nbytes
    assert {data["nodes"][i]["kind"] for i in data["forward"]} <= {"operator"}
    reached = [i for i in data["forward"] if "gradient" in data["nodes"][i]]
    assert data["backward"] == reached[::-1]


@every_model
def test_gradients_are_those_of_a_separate_run(model):
    data = data_of(model)
    loss = loss_of(model)
    owners = [n.owner() if n.owner is not None else None for n in forward_order(loss.node)]
    leaves = {i: owner for i, owner in enumerate(owners) if owner is not None}
    if loss.requires_grad:
        loss.backward()
    for i, tensor in leaves.items():
        found = data["nodes"][i].get("gradient")
        if tensor.grad is None:
            assert found is None
            continue
        grad = tensor.grad.numpy().astype(np.float64)
        if np.isfinite(grad).all():
            assert number(found["norm"]) == pytest.approx(np.sqrt((grad**2).sum()), rel=1e-5)
            assert number(found["min"]) == pytest.approx(grad.min(), rel=1e-4, abs=1e-7)
            assert number(found["mean"]) == pytest.approx(grad.mean(), rel=1e-3, abs=1e-7)


@every_model
def test_the_chain_rule_holds_on_every_edge(model):
    data = data_of(model)
    sums = {}
    for edge in data["edges"]:
        if "gradient" in edge:
            sums.setdefault(edge["tail"], []).append(edge)
            up, local = data["nodes"][edge["head"]]["gradient"], edge.get("local")
            if local and "number" in up and "number" in local and "number" in edge["gradient"]:
                product = number(up["number"]) * number(local["number"])
                found = number(edge["gradient"]["number"])
                assert found == pytest.approx(product, rel=1e-5, nan_ok=True)
    for i, edges in sums.items():  # forks add
        whole = data["nodes"][i]["gradient"]
        if "number" in whole and all("number" in e["gradient"] for e in edges):
            total = sum(number(e["gradient"]["number"]) for e in edges)
            assert number(whole["number"]) == pytest.approx(total, rel=1e-5, nan_ok=True)


@every_model
def test_it_is_of_the_written_format(model):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ASSETS / "graph.schema.json").read_text())
    loss = loss_of(model)
    data = json.loads(torch.snapshot(loss).json())
    jsonschema.validate(data, schema)


@every_model
def test_the_same_run_gives_the_same_bytes(model):
    texts = []
    for _ in range(2):
        loss = loss_of(model)
        texts.append(torch.snapshot(loss).json())
    assert texts[0] == texts[1]


# ------------------------------------------------------------------------------ groups and layout
def inside(data, group):
    inner = [g["id"] for g in data["groups"] if g.get("parent", -1) == group]
    own = [n["id"] for n in data["nodes"] if n["group"] == group]
    return own + [i for g in inner for i in inside(data, g)]


@every_model
def test_groups_are_convex(model):
    data = data_of(model)
    users = {n["id"]: [] for n in data["nodes"]}
    for edge in data["edges"]:
        users[edge["tail"]].append(edge["head"])
    for group in data["groups"][1:]:
        own = set(inside(data, group["id"]))
        assert len(own) == group["count"]
        seen, stack = set(), [u for i in own for u in users[i] if u not in own]
        while stack:  # what is reached after leaving the group never comes back
            node = stack.pop()
            assert node not in own, f"{group['label']} is left and entered again"
            if node not in seen:
                seen.add(node)
                stack += users[node]


@every_model
def test_every_item_stands_in_one_column_and_links_go_forward(model):
    data = data_of(model)
    for gid, layout in data["layout"].items():
        place = {}
        for k, column in enumerate(layout["columns"]):
            for key in column:
                assert key not in place
                place[key] = k
        items = {f"n{n['id']}" for n in data["nodes"] if n["group"] == int(gid)}
        items |= {f"g{g['id']}" for g in data["groups"] if g.get("parent", -1) == int(gid)}
        assert items == {key for key in place if key[0] in "ng"}
        for link in layout["links"]:
            stops = [link["tail"], *link.get("bends", []), link["head"]]
            columns = [place[s] for s in stops]
            assert columns == list(range(columns[0], columns[-1] + 1))


@every_model
def test_routes_lead_from_tail_to_head(model):
    data = data_of(model)
    for edge in data["edges"]:
        links = [data["layout"][str(g)]["links"][k] for g, k in edge["route"]]
        assert links[0]["tail"] == f"n{edge['tail']}" and links[-1]["head"] == f"n{edge['head']}"
        for (g, _), (h, _), a, b in zip(edge["route"], edge["route"][1:], links, links[1:]):
            assert a["head"] == (f"o{edge['tail']}" if data["groups"][g].get("parent", -1) == h
                                 else f"g{h}")
            assert b["tail"] == (f"g{g}" if data["groups"][g].get("parent", -1) == h
                                 else f"i{edge['tail']}")


def boxes(data, group=0):
    own = sum(n["group"] == group for n in data["nodes"])
    return own + sum(boxes(data, g["id"]) if g.get("open") else 1
                     for g in data["groups"] if g.get("parent", -1) == group)


@every_model
def test_few_boxes_show_at_first(model):
    assert boxes(data_of(model)) <= MOST_ITEMS


def test_blocks_that_repeat_fold_into_one():
    data = data_of(models.transformer)
    (repeat,) = [g for g in data["groups"] if g["kind"] == "repeat"]
    assert repeat["times"] == 4 and repeat["label"].endswith("x 4")
    assert sum(g.get("parent") == repeat["id"] for g in data["groups"]) == 4


def test_a_class_that_can_be_reached_names_the_blocks():
    net = models.Transformer()
    x = torch.randint(0, 9, (2, 6))
    data = torch.snapshot(net(x).sum(), times=False).data
    assert "Block x 4" in [g["label"] for g in data["groups"]]


def test_blocks_with_additions_between_them_fold_too():
    net = torch.nn.ModuleList([models.Block() for _ in range(3)])
    h = torch.rand(1, 2, 8)
    for block in net:
        h = h + block(h)
    data = torch.snapshot(h.sum(), times=False).data
    (repeat,) = [g for g in data["groups"] if g["kind"] == "repeat"]
    between = [n for n in data["nodes"] if n["group"] == repeat["id"]]
    assert [n["op"] for n in between] == ["add", "add"]


def test_five_thousand_loose_nodes_are_folded_by_line():
    x = torch.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(1700):
        y = torch.sin(y) * x + 1.0
    data = torch.snapshot(y, times=False).data
    assert len(data["nodes"]) > 5000 and boxes(data) <= MOST_ITEMS
    assert "nodes are drawn folded, without equations and kernels" in data["note"]
    kinds = {g["kind"] for g in data["groups"][1:]}
    assert kinds == {"lines"}
    sizes = [sum(n["group"] == g["id"] for n in data["nodes"]) for g in data["groups"]]
    assert max(sizes) <= MOST_ITEMS


# ------------------------------------------------------------------------------ facts of nodes
def test_values_gradients_lines_and_what_is_kept():
    x, w = torch.tensor(2.0), torch.tensor(3.0, requires_grad=True)
    y = x * w
    loss = (y - 1) ** 2
    data = torch.snapshot(loss).data
    by_name = {n["name"]: n for n in data["nodes"] if "name" in n}
    assert by_name["w"]["gradient"]["number"] == 20.0 and by_name["y"]["value"]["number"] == 6.0
    assert by_name["y"]["source"] == "y = x * w" and by_name["y"]["file"] == "test_snapshot.py"
    assert by_name["x"]["saved_for"] == [by_name["y"]["id"]]
    assert by_name["w"]["ratio"] == pytest.approx(20 / 3)
    assert by_name["x"]["gradient_state"] == "none" and "requires grad" in by_name["x"]["why"]
    assert by_name["y"]["us"] > 0 and by_name["y"]["flops"] == 1
    assert "kernels" in by_name["y"] and data["kernels"]["us"] > 0


def test_kernels_name_lines_of_the_program_alone():
    loss = loss_of(models.mlp)
    texts = [k["what"] for k in torch.snapshot(loss).data["kernels"]["list"]]
    assert texts and all("models.py:" in text or "test_snapshot.py:" in text for text in texts)
    assert not [text for text in texts if "functools" in text]


def test_zero_is_told_from_none():
    nodes = data_of(models.detached)["nodes"]
    cut = next(n for n in nodes if n["op"] == "detach")
    assert cut["gradient_state"] == "none" and "was cut at" in cut["why"]
    x = torch.tensor(-1.0, requires_grad=True)
    nodes = torch.snapshot(torch.relu(x), times=False).data["nodes"]
    assert nodes[0]["gradient_state"] == "zero" and nodes[0]["gradient"]["number"] == 0.0


def test_what_is_not_finite_is_counted():
    data = data_of(models.not_a_number)
    sqrt = next(n for n in data["nodes"] if n["op"] == "sqrt")
    assert sqrt["value"]["nan"] == 1 and sqrt["value"]["data"] == [1.0, "nan"]
    assert data["nodes"][data["output"]]["value"]["number"] == "nan"


def test_the_origin_of_a_nan_is_told_at_its_node():
    data = data_of(models.not_a_number)
    (origin,) = [n for n in data["nodes"] if "origin" in n]
    assert origin["op"] == "sqrt" and "sqrt" in origin["origin"]
    assert not [n for n in data_of(models.mlp)["nodes"] if "origin" in n]


def test_findings_name_their_nodes():
    data = data_of(models.sigmoid_before_cross_entropy)
    (finding,) = [f for f in data["findings"] if "1.4611" in f["what"] + f["why"]]
    assert "sigmoid" in {data["nodes"][i]["op"] for i in finding["nodes"]}


def test_facts_of_arrays():
    from chainrule.view.arrays import array_facts

    facts = array_facts(np.arange(17.0))
    assert facts["hist"] == [1] * 15 + [2] and facts["mean"] == 8.0
    assert facts["std"] == pytest.approx(np.arange(17.0).std())
    assert array_facts(np.zeros((0, 3)))["text"] == "empty"
    huge = array_facts(np.full(4, 1e200))
    assert huge["norm"] == pytest.approx(2e200) and huge["hist"][0] == 4
    assert array_facts(np.array([True, False]))["text"] == "1 of 2"
    assert array_facts(np.array(math.inf))["number"] == "inf"


def test_images_are_images():
    data = data_of(models.residual)
    first = next(n for n in data["nodes"] if n["shape"] == [2, 3, 8, 8])
    assert first["value"]["image"].startswith("data:image/png;base64,")


def test_memory_is_what_lives_between_first_and_last_use():
    x = torch.rand(10, requires_grad=True)
    y = x.exp()  # kept for its own backward
    loss = (y + 1).sum()
    memory = torch.snapshot(loss, times=False).data["memory"]
    alive = {(a["node"], a["what"]): (a["from"], a["to"]) for a in memory["arrays"]}
    # forward: exp add sum; backward: sum add exp
    assert memory["steps"] == 6 and memory["fixed"] == 44
    assert alive[1, "value"] == (0, 5) and alive[3, "value"] == (1, 2)
    assert alive[0, "gradient"] == (5, 5) and alive[1, "gradient"] == (4, 5)


# ------------------------------------------------------------------------------ looking
@pytest.mark.parametrize("jit", ["0", "1", "auto"])
def test_looking_changes_no_bit(jit, monkeypatch):
    monkeypatch.setattr(torch.config, "jit", jit)

    def trained(looks):
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(20, 32), torch.nn.Dropout(0.2), torch.nn.Tanh(), torch.nn.Linear(32, 3))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(6):
            x, y = torch.randn(8, 20), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            if looks:
                torch.snapshot(loss).data  # noqa: B018
            loss.backward()
            optimizer.step()
        return [p.detach().numpy().tobytes() for p in net.parameters()]

    assert trained(True) == trained(False)


def test_a_freed_graph_is_shown_as_far_as_it_is_there():
    w = torch.rand(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    loss = (w.exp() * 2).sum()
    loss.backward()
    optimizer.step()
    data = torch.snapshot(loss).data
    assert [n["op"] for n in data["nodes"]] == ["sum"] and "has freed this graph" in data["note"]


def test_between_backward_and_its_run_all_is_there():
    w = torch.rand(3, requires_grad=True)
    loss = (w.exp() * 2).sum()
    loss.backward()
    data = torch.snapshot(loss).data
    assert len(data["backward"]) == 3 and "note" not in data


# ------------------------------------------------------------------------------ forms
@every_model
def test_every_form_is_written(model, tmp_path):
    loss = loss_of(model)
    s = torch.snapshot(loss, times=False)
    endings = ("html", "json", "dot", "mmd", "txt")
    for ending in endings:
        s.save(tmp_path / f"graph.{ending}")
        assert (tmp_path / f"graph.{ending}").stat().st_size > 50
    html = (tmp_path / "graph.html").read_text()
    assert "<script>alert" not in html
    lines = (tmp_path / "graph.txt").read_text().splitlines()
    assert len(lines) == len(s.data["nodes"])


def test_dot_and_mermaid_have_every_node_edge_and_group():
    s = torch.snapshot(loss_of(models.mlp), times=False)
    dot, mermaid = s.dot(), s.mermaid()
    assert dot.count("[shape=") == len(s.data["nodes"]) == mermaid.count('["') + mermaid.count(
        '(["') - sum(f'g{g["id"]}["' in mermaid for g in s.data["groups"]) - mermaid.count('(["')
    assert dot.count(" -> ") == len(s.data["edges"]) == mermaid.count(" -->|")
    assert dot.count("subgraph") == len(s.data["groups"]) - 1 == mermaid.count("subgraph")


def test_markup_in_names_is_text():
    s = torch.snapshot(loss_of(models.names_that_are_markup), times=False)
    assert "<script>alert" not in s.html() and "<script>alert" not in s.mermaid()
    assert "<script>alert" not in s._repr_html_()


def test_a_notebook_gets_the_page_in_a_frame():
    html = torch.snapshot(loss_of(models.mlp), times=False)._repr_html_()
    assert html.startswith("<iframe srcdoc=") and "&lt;!doctype html&gt;" in html


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match="save requires a file that ends in .html.*got 'x.gif'"):
        torch.snapshot(torch.ones(2).exp()).save(tmp_path / "x.gif")
    with pytest.raises(TypeError, match="snapshot requires a Tensor, got int"):
        torch.snapshot(3)


def test_show_writes_a_file(tmp_path):
    x = torch.tensor(2.0, requires_grad=True)
    torch.show(x * x, tmp_path / "page.html")
    torch.show(x * x, str(tmp_path / "page.svg"))
    assert "chainrule.graph" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "page.svg").read_text().startswith("<svg")
