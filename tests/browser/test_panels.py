"""The panels of the page in a real browser: what they show is what Python says."""

import math

import pytest

import chainrule as torch
from chainrule import nn
from chainrule.view.page import page as html_of
from chainrule.view.picture import forward_order
from chainrule.view.snapshot import snapshot


def neuron():
    w0, w1, w2, x0, x1 = (
        torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, -3, -3, -1, -2)
    )
    f = 1 / (1 + torch.exp(-(w0 * x0 + w1 * x1 + w2)))
    return f, {"w0": w0, "w1": w1, "w2": w2, "x0": x0, "x1": x1, "f": f}


def fork():
    """Row G8: values with several users, whose gradients are sums."""
    x, y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (3.0, -4.0))
    f = (x + torch.sigmoid(y)) / (torch.sigmoid(x) + (x + y) ** 2)
    return f, {"x": x, "y": y, "f": f}


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    x, y = torch.rand(16, 64), torch.randint(0, 10, (16,))
    loss = nn.functional.cross_entropy(net(x), y) + 0.1 * net(x).detach().mean()
    names = {name.replace(".", "_"): p for name, p in net.named_parameters()}
    return loss, {"x": x, "y": y, "loss": loss, **names}


GRAPHS = {"neuron": neuron, "fork": fork, "network": network}


def data_of(make, times=False):
    output, names = make()
    return output, snapshot(output, names=names, times=times).data


@pytest.fixture
def open_page(page_of, tmp_path):
    """A function that opens an HTML text."""

    def open_(html):
        path = tmp_path / "graph.html"
        path.write_text(html, encoding="utf-8")
        return page_of(path)

    return open_


@pytest.fixture
def shown(open_page):
    """A function that opens the page of a graph: (output, data, browser page)."""

    def show(make, times=False):
        output, data = data_of(make, times)
        return output, data, open_page(html_of(data))

    return show


# ------------------------------------------------------------------------------ the stepper


def expected_frames(output):
    """For every frame its gate and what is known, from the graph itself."""
    order = forward_order(output.node)
    number = {node: i for i, node in enumerate(order)}
    found = torch.backprop(output)
    edges = list(found.edges())
    gates = [n for n in order if n.inputs]
    back = [n for n in reversed(gates) if found.gradient(n) is not None]
    known = {number[n] for n in order if not n.inputs}
    for node in gates:
        known.add(number[node])
        yield "forward", number[node], set(known), set(), set()
    passed = set()
    for node in back:
        passed.add(node)
        waiting = {e.input for e in edges if e.node not in passed}
        whole = {number[n] for n in order if found.gradient(n) is not None and n not in waiting}
        shares = {(number[e.node], e.index) for e in edges if e.node in passed}
        yield "backward", number[node], set(known), whole, shares


@pytest.mark.parametrize("name", GRAPHS)
def test_a_frame_shows_exactly_the_gradients_reached(shown, name):
    output, data, page = shown(GRAPHS[name])
    count = 0
    for k, (phase, gate, known, whole, shares) in enumerate(expected_frames(output)):
        page.evaluate("k => chainrule.setFrame(k)", k)
        frame = page.evaluate("chainrule.frame()")
        edges = [data["edges"][e] for e in frame["shares"]]
        assert (frame["k"], frame["phase"], frame["gate"]) == (k, phase, gate)
        assert set(frame["known"]) == known
        assert set(frame["gradients"]) == whole
        assert {(e["head"], e["index"]) for e in edges} == shares
        count = k + 1
    assert count == page.evaluate("chainrule.frames") > 0
    page.evaluate("chainrule.setFrame(null)")
    everything = page.evaluate("chainrule.frame()")
    assert everything["phase"] == "all" and everything["gate"] is None
    assert set(everything["gradients"]) == {n["id"] for n in data["nodes"] if "gradient" in n}


def test_the_caption_is_the_arithmetic_of_the_gate(shown):
    _, data, page = shown(neuron)
    captions = []
    for k in range(len(data["forward"]) + len(data["backward"])):
        page.evaluate("k => chainrule.setFrame(k)", k)
        captions.append(page.locator("#stepper .caption").inner_text())
    assert "w0 × x0 = 2.00 × -1.00 = -2.00" in captions[0]
    assert captions[7].startswith("f = 1 ÷ ") and captions[7].endswith("= 1.00 ÷ 1.37 = 0.73")
    numbers = [caption.split(" = ", 2)[-1] for caption in captions[8:]]
    assert numbers[0].startswith("1.00 × -0.53 = -0.53")  # division
    assert numbers[2].startswith("-0.53 × 0.37 = -0.20")  # exp
    assert numbers[3].startswith("-0.20 × -1.00 = 0.20")  # negation
    last = captions[-1]
    assert "∂f/∂w0 = " in last and "0.20 × -1.00 = -0.20" in last and "0.20 × 2.00 = 0.39" in last


def test_norms_are_not_set_equal(shown):
    """tanh of a norm is not the norm of tanh: an arrow stands where a number would have an =."""
    _, data, page = shown(network)
    tanh = next(n for n in data["nodes"] if n["op"] == "tanh")
    before = data["nodes"][tanh["inputs"][0]]["value"]["text"].removeprefix("norm ")
    after = tanh["value"]["text"].removeprefix("norm ")
    page.evaluate("k => chainrule.setFrame(k)", data["forward"].index(tanh["id"]))
    caption = page.locator("#stepper .caption").inner_text()
    assert caption.endswith(f"norms ‖{before}‖16×32 → ‖{after}‖16×32")
    assert caption.count("=") == 1


def test_a_share_of_a_sum_says_so(shown):
    _, data, page = shown(fork)
    x = next(n["id"] for n in data["nodes"] if n.get("name") == "x")
    heads = [e["head"] for e in data["edges"] if e["tail"] == x]
    assert len(heads) == 3
    last = max(data["backward"].index(head) for head in heads)
    page.evaluate("k => chainrule.setFrame(k)", len(data["forward"]) + last)
    caption = page.locator("#stepper .caption").inner_text()
    assert "∂f/∂x += " in caption
    assert "in all " + data["nodes"][x]["gradient"]["text"] in caption


def test_the_keys_step_and_play(shown):
    _, data, page = shown(neuron)
    last = len(data["forward"]) + len(data["backward"]) - 1

    def frame():
        return page.evaluate("chainrule.state.frame")

    assert frame() is None
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert frame() == 1
    page.keyboard.press(",")
    assert frame() == 0
    page.keyboard.press("End")
    assert frame() == last
    page.keyboard.press(".")
    assert frame() == last
    page.keyboard.press("Home")
    assert frame() == 0
    page.locator("#stepper select").select_option("8")
    page.locator("#stepper select").evaluate("box => box.blur()")
    page.keyboard.press("p")
    page.wait_for_selector("#stepper [aria-valuetext^='backward 8 of 8']", timeout=10_000)
    assert frame() == last
    assert page.locator("#stepper [aria-label^=play]").count() == 1  # and it has stopped
    page.locator("#stepper input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    assert frame() == last - 1
    page.get_by_role("button", name="leave the stepper").click()
    assert frame() is None


def test_space_plays_unless_something_can_be_folded(shown):
    _, data, page = shown(network)
    page.locator("body").press(" ")
    assert page.evaluate("chainrule.state.frame") == 0
    page.locator("body").press(" ")
    page.evaluate("chainrule.setFrame(null)")
    group = next(g["id"] for g in data["groups"][1:] if g.get("parent") == 0)
    was = page.evaluate("id => chainrule.state.open.has(id)", group)
    page.evaluate("id => chainrule.selectGroup(id)", group)
    page.keyboard.press(" ")
    assert page.evaluate("id => chainrule.state.open.has(id)", group) != was
    assert page.evaluate("chainrule.state.frame") is None


def test_details_wait_for_the_step(shown):
    """A number that the stepper has not reached is not told beside it."""
    _, data, page = shown(neuron)
    w0 = next(n["id"] for n in data["nodes"] if n.get("name") == "w0")
    page.evaluate("chainrule.setFrame(9)")
    page.evaluate("id => chainrule.select(id)", w0)
    details = page.locator("#tab-details")
    assert details.locator(".number.role-gradient").count() == 0
    details.get_by_role("button", name="Go to step").click()
    gradient = data["nodes"][w0]["gradient"]["number"]
    assert float(details.locator(".number.role-gradient").first.inner_text()) == gradient
    assert w0 in page.evaluate("chainrule.frame().gradients")


# ------------------------------------------------------------------------------ the details


def test_a_click_shows_what_python_prints(shown):
    output, _, page = shown(neuron)
    found = torch.backprop(output)
    for i, node in enumerate(forward_order(output.node)):
        if not node.requires_grad:
            continue
        page.locator(f'#canvas .node[data-id="{i}"]').click()
        details = page.locator("#tab-details")
        value, gradient = torch.Tensor._from_node(node).item(), found.gradient(node).item()
        assert details.locator(".number.role-value").first.inner_text() == repr(value)
        assert details.locator(".number.role-gradient").first.inner_text() == repr(gradient)


def test_an_array_is_told_in_numbers(shown):
    output, data, page = shown(network)
    bias = next(n["id"] for n in data["nodes"] if n.get("name") == "2_bias")
    page.evaluate("id => chainrule.reveal(id)", bias)
    gradient = torch.backprop(output).gradient(forward_order(output.node)[bias]).numpy()
    block = page.locator("#tab-details .array.role-gradient").first
    cells = [float(c.get_attribute("title")) for c in block.locator("td").all()]
    assert cells == [float(v) for v in gradient]
    told = dict(zip(block.locator("dt").all_inner_texts(), block.locator("dd").all_inner_texts()))
    assert float(told["norm"]) == pytest.approx(math.sqrt((gradient**2).sum()), rel=1e-3)
    mean = gradient.astype("float64").mean()
    assert float(told["mean"]) == pytest.approx(mean, rel=5e-3)
    assert block.locator(".histogram .bin").count() == 16
    bars = block.locator(".histogram .bin title").all_text_contents()
    assert sum(int(text.split()[0]) for text in bars) == gradient.size
    ends = [float(t) for t in block.locator("figcaption span").all_inner_texts() if t != "0"]
    assert ends == pytest.approx([gradient.min(), gradient.max()], rel=1e-3)


def test_why_no_gradient_arrives(shown):
    _, data, page = shown(network)
    y = next(n for n in data["nodes"] if n.get("name") == "y")
    page.evaluate("id => chainrule.reveal(id)", y["id"])
    assert y["why"] in page.locator("#tab-details").inner_text()


def test_every_edge_shows_the_product(shown):
    output, data, page = shown(fork)
    for edge in torch.backprop(output).edges():
        head = forward_order(output.node).index(edge.node)
        e = next(i for i, d in enumerate(data["edges"])
                 if (d["head"], d["index"]) == (head, edge.index))
        page.evaluate("e => chainrule.selectEdge(e)", e)
        numbers = page.locator("#tab-details .number").all_inner_texts()
        factors = [repr(t.item()) for t in (edge.upstream, edge.local, edge.downstream)]
        assert numbers[-3:] == factors


@pytest.mark.parametrize("name", GRAPHS)
def test_every_selection_is_told_in_words(shown, name):
    """No page of the panel, at any step, holds what only a program would write."""
    _, data, page = shown(GRAPHS[name], times=True)
    count = {"select": len(data["nodes"]), "selectEdge": len(data["edges"]),
             "selectGroup": len(data["groups"]), "selectKernel": len(data["kernels"]["list"])}
    for frame in (None, 3, len(data["forward"]) + 3):
        page.evaluate("k => chainrule.setFrame(k)", frame)
        for select, n in count.items():
            texts = page.evaluate("""([select, n]) => Array.from({length: n}, (_, i) => {
                chainrule[select](i);
                return document.getElementById("tab-details").textContent;
            })""", [select, n])
            for text in texts:
                assert len(text) > 20
                for word in ("[object", "undefined", "null", "NaN", "?"):
                    assert word not in text, text


def test_what_is_not_a_number_is_alarming(shown):
    def broken():
        x = torch.tensor([-1.0, 2.0, 0.0], requires_grad=True)
        return torch.log(x).sum(), {"x": x}

    _, data, page = shown(broken)
    log = next(n["id"] for n in data["nodes"] if n["op"] == "log")
    page.evaluate("id => chainrule.reveal(id)", log)
    assert page.locator("#tab-details .array p.alarm").first.inner_text() == "1 NaN, 1 infinite"
    assert page.locator("#tab-details .array td.alarm").count() >= 2


def test_a_failure_shows_what_the_operation_was_given(open_page):
    data = snapshot(torch.ones(2, 3) * 2, times=False).data
    end = len(data["nodes"])
    message = "mul requires shapes that broadcast, got (2, 3) and <b>(5)</b>"
    data["nodes"].append({"id": end, "op": "error", "label": "✗", "kind": "error", "shape": [],
                          "inputs": [end - 1], "group": 0, "file": "train.py", "line": 7,
                          "source": "y = x * z", "message": message})
    data["edges"].append({"tail": end - 1, "head": end, "index": 0, "route": []})
    data["layout"]["0"]["columns"] += [[], [f"n{end}"]]
    page = open_page(html_of(data | {"output": end, "failure": message}))
    assert message in page.locator("#tab-details").inner_text()
    page.evaluate("id => chainrule.reveal(id)", end)
    text = page.locator("#tab-details").inner_text()
    assert all(part in text for part in (message, "train.py:7", "y = x * z", "2×3"))
    assert page.locator("#tab-details b").count() == 0


def test_a_group_counts_what_is_inside(shown):
    _, data, page = shown(network)
    for group in data["groups"][1:]:
        page.evaluate("id => chainrule.selectGroup(id)", group["id"])
        inside = page.evaluate("id => chainrule.inside(id)", group["id"])
        rows = page.locator("#tab-details .bar-list.role-plain .bar-text").all_inner_texts()
        assert sum(map(int, rows)) == len(inside) == group["count"]
    last = data["groups"][-1]["id"]
    button = page.locator("#tab-details .buttons button").first
    for _ in range(2):
        was = page.evaluate("id => chainrule.state.open.has(id)", last)
        assert button.inner_text() == ("Fold" if was else "Unfold")
        button.click()
        assert page.evaluate("id => chainrule.state.open.has(id)", last) != was


def test_the_overview_names_the_gradients(shown):
    output, data, page = shown(network)
    text = page.locator("#tab-details").inner_text()
    assert repr(output.item()) in text
    leaves = [n for n in data["nodes"] if n["op"] == "leaf" and "gradient" in n]
    rows = page.locator("#tab-details .bar-list.role-gradient li").all_inner_texts()
    assert len(rows) == len(leaves) == 4
    for row, node in zip(rows, leaves):
        name, number = row.split()
        assert name == node["name"]
        assert float(number) == pytest.approx(node["gradient"]["norm"], rel=1e-2)


def test_text_of_the_program_stays_text(open_page):
    x = torch.tensor(2.0, requires_grad=True)
    hostile = '<img src=x onerror="window.broken=1">'
    data = snapshot(x * x, names={hostile: x}, title=hostile, times=False).data
    for node in data["nodes"]:
        node |= {"source": hostile, "file": hostile, "path": hostile}
    data["equations"] = [{"text": hostile, "latex": hostile, "part": "forward", "node": 1}]
    data["findings"] = [{"rule": hostile, "where": hostile, "what": hostile, "why": hostile,
                         "fix": hostile, "nodes": [0]}]
    page = open_page(html_of(data))
    page.evaluate("chainrule.select(0)")
    assert page.locator("#tab-details h2").inner_text() == hostile
    for tab in ("equations", "findings", "search", "program", "help"):
        page.evaluate("id => chainrule.showTab(id)", tab)
    page.evaluate("chainrule.memory.toggle(true)")
    page.evaluate("chainrule.setFrame(0)")
    assert page.locator("#panel img, #memory img, #stepper img").count() == 0
    assert page.evaluate("window.broken") is None


# ------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("name", GRAPHS)
def test_the_list_of_arrays_sums_to_the_curve(shown, name):
    _, data, page = shown(GRAPHS[name])
    memory = data["memory"]
    page.keyboard.press("m")
    totals = []
    for k in range(memory["steps"]):
        alive = [a for a in memory["arrays"] if a["from"] <= k <= a["to"]]
        totals.append(memory["fixed"] + sum(a["bytes"] for a in alive))
        page.evaluate("k => chainrule.memory.choose(k)", k)
        rows = page.locator("#memory .alive li").evaluate_all(
            "rows => rows.map(row => Number(row.dataset.bytes))")
        assert sum(rows) == totals[-1] == page.evaluate("k => chainrule.memory.total(k)", k)
        listed = rows[:-1] if memory["fixed"] else rows
        assert listed == sorted((a["bytes"] for a in alive), reverse=True)
    assert page.evaluate("chainrule.memory.peak.bytes") == max(totals)


def test_the_timeline_of_five_thousand_steps_follows_the_hand(open_page):
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(2500):
        y = torch.sin(y)
    data = snapshot(y, names={"x": x}, times=False).data
    assert data["memory"]["steps"] == 5000
    page = open_page(html_of(data))
    page.keyboard.press("m")
    spent = page.evaluate("""() => [...Array(20).keys()].map((k) => {
        const start = performance.now();
        chainrule.memory.choose(250 * k);
        return performance.now() - start;
    })""")
    assert min(spent) < 50  # milliseconds: the machine may be busy, so the best of them
    page.evaluate("chainrule.memory.choose(2499)")
    page.locator("#memory .alive .summary button").click()
    rows = page.locator("#memory .alive li").evaluate_all(
        "rows => rows.map(row => Number(row.dataset.bytes))")
    assert len(rows) > 400 and sum(rows) == page.evaluate("chainrule.memory.total(2499)")


def test_the_timeline_is_worked_by_hand_and_by_keys(shown):
    _, data, page = shown(network)
    page.keyboard.press("m")
    chart = page.locator("#memory .memory-chart")
    box = chart.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 12, box["y"] + 40)
    assert chart.get_attribute("aria-valuenow") == str(data["memory"]["steps"] - 1)
    chart.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert chart.get_attribute("aria-valuenow") == "1"
    entry = page.evaluate("chainrule.memory.at(1).entries[0].node")
    page.locator("#memory .alive button.link").first.click()
    assert page.evaluate("chainrule.state.selected") == entry
    page.keyboard.press("m")
    assert page.locator("#memory").is_hidden()


# ------------------------------------------------------------------------------ the lists


def found_by(data, pick):
    return [n["id"] for n in data["nodes"] if pick(n)]


def test_search_finds(shown):
    _, data, page = shown(network)
    where = next(n for n in data["nodes"] if n["op"] == "tanh")
    line = f"{where['file']}:{where['line']}"
    asked = {
        "2_bias": lambda n: n.get("name") == "2_bias",
        "tanh": lambda n: n["op"] == "tanh" or "Tanh" in n.get("source", ""),
        "16x32": lambda n: n["shape"] == [16, 32],
        "16×32": lambda n: n["shape"] == [16, 32],
        "[32, 64]": lambda n: n["shape"] == [32, 64],
        "%1": lambda n: n["id"] == 1,
        line: lambda n: f"{n['file']}:{n['line']}" == line,
        f"contract {line}": lambda n: n["op"] == "contract" and n["line"] == where["line"],
        "no such thing": lambda n: False,
    }
    for text, pick in asked.items():
        assert page.evaluate("text => chainrule.search(text)", text) == found_by(data, pick), text


def test_search_is_worked_from_the_keyboard(shown):
    _, data, page = shown(network)
    page.keyboard.press("/")
    page.keyboard.type("contract")
    expected = found_by(data, lambda n: n["op"] == "contract")
    assert len(expected) > 2
    assert page.locator("#tab-search [data-row]").count() == len(expected)
    visited = []
    for key in ("Enter", "Enter", "Escape", "n", "N"):
        page.keyboard.press(key)
        if key != "Escape":
            visited.append(page.evaluate("chainrule.state.selected"))
    assert visited == [expected[0], expected[1], expected[2], expected[1]]
    node = page.locator(f'#canvas .node[data-id="{visited[-1]}"]')
    assert node.count() == 1  # whatever was folded around it is open


def test_the_program_has_a_line_for_every_node(shown):
    _, data, page = shown(network)
    page.evaluate("chainrule.showTab('program')")
    lines = page.locator("#tab-program [data-row]").all_inner_texts()
    assert len(lines) == len(data["nodes"])
    for line, node in zip(lines, data["nodes"]):
        assert line.startswith(f"%{node['id']} ")
        call = f"{node['op']}(" + ", ".join(f"%{i}" for i in node.get("inputs", []))
        assert node["op"] == "leaf" or call in line
    page.locator("#tab-program [data-row]").nth(3).locator("button").click()
    assert page.evaluate("chainrule.state.selected") == 3
    assert page.evaluate("chainrule.currentTab()") == "program"
    page.locator('#canvas .node[data-id="3"]').press("Escape")
    page.evaluate("chainrule.select(5)")  # chosen elsewhere: the details come
    assert page.evaluate("chainrule.currentTab()") == "details"


def test_equations_and_findings_lead_to_their_nodes(open_page):
    _, data = data_of(neuron)
    f, exp = data["output"], found_by(data, lambda n: n["op"] == "exp")[0]
    data["equations"] = [
        {"text": "f = 1 / (1 + e)", "latex": r"f = \frac{1}{1 + e}", "part": "forward", "node": f},
        {"text": "e = exp(x)", "latex": "e = e^x", "part": "forward", "node": exp},
        {"text": "df/de = -f^2", "latex": r"\bar e = -f^2", "part": "backward", "node": exp},
    ]
    data["findings"] = [{"rule": "unused", "where": "train.py:3", "what": "it is odd",
                         "why": "because", "fix": "so", "nodes": [exp, f]}]
    page = open_page(html_of(data))
    page.evaluate("chainrule.showTab('equations')")
    page.get_by_role("button", name="df/de = -f^2").click()
    assert page.evaluate("chainrule.state.selected") == exp
    page.evaluate("""Object.defineProperty(navigator, 'clipboard', {
        value: {writeText: async text => { window.copied = text; }}})""")
    page.get_by_role("button", name="copy LaTeX").first.click()
    page.locator("#tab-equations .copy", has_text="copied").wait_for()
    assert page.evaluate("window.copied") == (
        "\\begin{gather*}\nf = \\frac{1}{1 + e} \\\\\ne = e^x\n\\end{gather*}\n")
    # The stepper calls a value what the equations call it.
    page.evaluate("k => chainrule.setFrame(k)", data["forward"].index(exp))
    assert page.locator("#stepper .caption").inner_text().startswith("e = exp(")
    page.evaluate("chainrule.showTab('findings')")
    page.get_by_role("button", name="it is odd").click()
    assert page.evaluate("[...chainrule.state.highlight]") == [exp, f]
    text = page.locator("#tab-findings").inner_text()
    assert all(part in text for part in ("train.py:3", "because", "so", "unused"))


def test_a_key_brings_the_panel_back(shown):
    _, _, page = shown(neuron)
    button = page.get_by_role("button", name="show or hide the panel")
    button.click()
    page.evaluate("chainrule.select(5)")
    assert page.locator("#panel").is_hidden()  # whoever put it away selects without it
    page.keyboard.press("/")
    assert page.locator("#tab-search input").is_visible()
    assert button.get_attribute("aria-pressed") == "true"


def test_help_lists_every_key(shown):
    _, _, page = shown(neuron)
    page.keyboard.press("?")
    keys = page.locator("#tab-help kbd").all_inner_texts()
    assert {"/", "n", "N", ".", ",", "p", "m", "?", "Home", "End"} <= set(keys)
    assert len(keys) == page.evaluate("chainrule.keys.flatMap(entry => entry.keys).length")
