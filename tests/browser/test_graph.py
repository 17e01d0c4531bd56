"""The drawn graph in a real browser: its numbers, its geometry, folding, walking, and its SVG."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

import chainrule as torch
from chainrule import nn
from chainrule.view.labels import short
from chainrule.view.page import page as html_of
from chainrule.view.snapshot import snapshot


def neuron():
    w0, w1, w2, x0, x1 = (
        torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, -3, -3, -1, -2)
    )
    f = 1 / (1 + torch.exp(-(w0 * x0 + w1 * x1 + w2)))
    return f, {"w0": w0, "w1": w1, "w2": w2, "x0": x0, "x1": x1, "f": f}


def fork():
    x, y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (3.0, -4.0))
    f = (x + torch.sigmoid(y)) / (torch.sigmoid(x) + (x + y) ** 2)
    return f, {"x": x, "y": y, "f": f}


def dead():
    """A branch that is detached, one whose gradient is zero, and a NaN."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    off = torch.relu(x - 5).sum()
    loss = (x * x).sum() + off + (2 * x).detach().sum()
    return loss, {"x": x, "off": off, "loss": loss}


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        wide = 2 * width
        self.mlp = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))
        self.attend = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x):
        h = self.norm(x)
        x = x + self.attend(h, h, h)[0]
        return x + self.mlp(self.norm(x))


def transformer():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(11, 8), Block(8), Block(8), nn.Linear(8, 11))
    x, y = torch.randint(0, 11, (2, 5)), torch.randint(0, 11, (10,))
    loss = nn.functional.cross_entropy(net(x).view(-1, 11), y)
    return loss, {"x": x, "y": y, "net": net, "loss": loss}


GRAPHS = [neuron, fork, dead, transformer]


@pytest.fixture
def shown(page_of, tmp_path):
    """shown(make): the data of a graph and the browser's page of it."""

    def show(make, times=False, **options):
        loss, names = make()
        data = snapshot(loss, names=names, title=make.__name__, times=times).data
        path = tmp_path / f"{make.__name__}.html"
        path.write_text(html_of(data), encoding="utf-8")
        return data, page_of(path, **options)

    return show


UNFOLD = "() => { for (let i = 0; i < 9; i += 1) chainrule.unfoldLevel(); }"


def drawn_links(page):
    """For every drawn link its edges and the texts above and below it."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#canvas .link")].map((link) => ({
            edges: link.dataset.edges.split(",").map(Number),
            value: [...link.querySelectorAll(".value")].map((t) => t.textContent).join(" "),
            gradient: [...link.querySelectorAll(".gradient")].map((t) => t.textContent).join(" "),
            none: link.matches(".no-gradient"), zero: Boolean(link.querySelector(".zero-gradient")),
        }))"""
    )


# ------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("make", [neuron, fork])
def test_every_edge_carries_its_value_above_and_its_share_below(shown, make):
    data, page = shown(make)
    links = drawn_links(page)
    assert sorted(e for link in links for e in link["edges"]) == list(range(len(data["edges"])))
    for link in links:
        edge = data["edges"][link["edges"][0]]
        tail = data["nodes"][edge["tail"]]
        if tail["kind"] == "constant":
            assert not link["value"] and not link["gradient"]
            continue
        assert link["value"] == short(tail["value"]["number"])
        assert link["gradient"] == short(edge["gradient"]["number"])


def test_the_uses_of_a_value_add_up_below_its_box(shown):
    _, page = shown(fork)
    assert page.locator(".node.parameter .total").all_text_contents() == ["Σ 2.06", "Σ 1.59"]


def test_what_leaves_the_graph_has_its_value_and_the_gradient_one(shown):
    data, page = shown(neuron)
    output = page.locator(f'.node[data-id="{data["output"]}"]')
    assert output.locator(".value").text_content() == "0.73"
    assert output.locator(".gradient").text_content() == "1.00"
    assert output.locator(".given-name").text_content() == "f"


def test_no_gradient_and_a_zero_gradient_look_different(shown):
    data, page = shown(dead)
    seen = set()
    for link in drawn_links(page):
        shares = [data["edges"][e].get("gradient") for e in link["edges"]]
        if data["nodes"][data["edges"][link["edges"][0]]["tail"]]["kind"] == "constant":
            continue
        assert link["none"] == (not any(shares))
        assert link["zero"] == (any(shares) and all(s["norm"] == 0 for s in shares if s))
        assert (link["gradient"] == "0") == link["zero"]
        seen.add((link["none"], link["zero"]))
    assert seen == {(True, False), (False, True), (False, False)}
    dashes = page.locator(".no-gradient .edge").first.evaluate(
        "(path) => getComputedStyle(path).strokeDasharray"
    )
    assert dashes != "none"


# ------------------------------------------------------------------------------ geometry

OVERLAPS = """() => {
  const name = (e) => e.closest("[data-id], [data-group], [data-edges]").getAttribute("aria-label");
  const parts = [...document.querySelectorAll(
    "#canvas .node > .box, #canvas .folded > .box:not(.behind), #canvas .label .figure, "
    + "#canvas .given-name, #canvas .total, #canvas .caption")];
  const boxes = parts.map((e) => [e, e.getBoundingClientRect()]);
  const found = [];
  for (let i = 0; i < boxes.length; i += 1) for (let j = 0; j < i; j += 1) {
    const [[a, p], [b, q]] = [boxes[i], boxes[j]];
    const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (across > 1 && down > 2.5) found.push([name(a), a.textContent, name(b), b.textContent]);
  }
  return found;
}"""

# Where each drawn piece of an edge begins and ends, on the screen.
PIECES = """() => chainrule.edges.map((edge) => {
  const own = [...document.querySelectorAll("#canvas .link")].filter(
    (link) => link.dataset.edges.split(",").includes(String(edge.id)));
  return own.map((link) => {
    const path = link.querySelector(".edge");
    const at = (l) => {
      const p = path.getPointAtLength(l).matrixTransform(path.getScreenCTM());
      return [p.x, p.y];
    };
    return [at(0), at(path.getTotalLength())];
  });
})"""


@pytest.mark.parametrize("make", GRAPHS)
def test_nothing_is_drawn_over_something_else(shown, make):
    _, page = shown(make)
    page.evaluate("chainrule.cameras.graph.natural()")
    assert page.evaluate(OVERLAPS) == []
    page.evaluate(UNFOLD)
    page.evaluate("chainrule.cameras.graph.natural()")
    assert page.evaluate("chainrule.cameras.graph.k") == pytest.approx(1)
    assert page.evaluate(OVERLAPS) == []


def test_the_pieces_of_an_edge_meet_where_it_crosses_a_border(shown):
    data, page = shown(transformer)
    page.evaluate(UNFOLD)
    page.evaluate("chainrule.cameras.graph.natural()")
    pieces = page.evaluate(PIECES)
    assert [len(p) for p in pieces] == [len(edge["route"]) for edge in data["edges"]]
    for own in pieces:
        starts, ends = [start for start, _ in own], [end for _, end in own]
        met = [s for s in starts if any(s == pytest.approx(e, abs=0.6) for e in ends)]
        assert len(met) == len(own) - 1  # all but where the edge itself begins


# Points along every link that lie inside of a box, a number or a name that is not its own.
CROSSED = """() => {
  const parts = [...document.querySelectorAll(
    "#canvas .node > .box, #canvas .folded > .box:not(.behind), #canvas .label .figure, "
    + "#canvas .given-name, #canvas .total")].map((e) => [e, e.getBoundingClientRect()]);
  const found = [];
  let seen = 0;
  for (const link of document.querySelectorAll("#canvas .link")) {
    const path = link.querySelector(".edge");
    const ends = new Set(link.dataset.edges.split(",").map((i) => chainrule.edges[i])
      .flatMap(({tail, head}) => [chainrule.elementOf(tail), chainrule.elementOf(head)]));
    for (let s = 4; s < path.getTotalLength() - 4; s += 10) {
      const {x, y} = path.getPointAtLength(s).matrixTransform(path.getScreenCTM());
      seen += 1;
      for (const [e, r] of parts) {
        const inside = r.left + 3 < x && x < r.right - 3 && r.top + 3 < y && y < r.bottom - 3;
        if (inside && !ends.has(e.closest(".node, .folded")) && e.closest(".link") !== link) {
          found.push([link.getAttribute("aria-label"), e.textContent]);
        }
      }
    }
  }
  return [seen, found];
}"""


@pytest.mark.parametrize("make", GRAPHS)
def test_no_link_passes_over_what_it_has_no_business_with(shown, make):
    _, page = shown(make)
    page.evaluate(UNFOLD)
    page.evaluate("chainrule.cameras.graph.natural()")
    seen, crossed = page.evaluate(CROSSED)
    assert seen > 50 and crossed == []
    # The check sees what it looks for: a box that is put upon a link.
    page.evaluate("""() => {
      const path = document.querySelector("#canvas .link .edge");
      const p = path.getPointAtLength(path.getTotalLength() / 2);
      const node = document.createElementNS("http://www.w3.org/2000/svg", "g");
      node.setAttribute("class", "node");
      node.innerHTML = `<rect class="box" x="${p.x - 20}" y="${p.y - 20}" width="40" height="40"/>`;
      path.closest(".link").parentNode.append(node);
    }""")
    assert page.evaluate(CROSSED)[1] != []


ARROWS = """() => [...document.querySelectorAll("#canvas .link")].map((link) => {
  const tip = link.querySelector(".arrow").getBoundingClientRect();
  const edge = chainrule.edges[link.dataset.edges.split(",")[0]];
  const head = document.querySelector(`#canvas .node[data-id="${edge.head}"] > .box`);
  if (!head || !tip.width) return null;
  const box = head.getBoundingClientRect();
  return [tip.right - box.left, box.height / 2, tip.top - box.top, box.bottom - tip.bottom];
}).filter(Boolean)"""


def test_arrows_end_at_the_border_of_their_box(shown):
    def named():
        x = torch.tensor(2.0, requires_grad=True)
        a_name_far_wider_than_its_box = x * x
        y = a_name_far_wider_than_its_box + x
        return y, {"x": x, "a_name_far_wider_than_its_box": a_name_far_wider_than_its_box, "y": y}

    for make in (named, neuron, fork):
        _, page = shown(make)
        page.evaluate("chainrule.cameras.graph.natural()")
        arrows = page.evaluate(ARROWS)
        assert arrows
        for beyond, radius, above, below in arrows:
            assert -1 < beyond <= radius and above > 0 and below > 0


def test_a_long_drawing_is_set_in_rows(shown):
    def chain():
        x = torch.tensor(0.5, requires_grad=True)
        y = x
        for _ in range(40):
            y = y.tanh()
        return y, {"x": x, "y": y}

    data, page = shown(chain)
    page.evaluate(UNFOLD)
    bounds = page.evaluate("chainrule.graphBounds()")
    width, height = bounds["width"], bounds["height"]
    assert len(data["forward"]) == 40
    assert 1 < width / height < 8
    tops = page.locator("#canvas .node").evaluate_all(
        "(all) => all.map((n) => Math.round(n.getBoundingClientRect().top))"
    )
    assert len(set(tops)) > 1
    assert page.evaluate(OVERLAPS) == []


# ------------------------------------------------------------------------------ folding


def box_of(page, gid):
    return page.locator(f'.group[data-group="{gid}"]').evaluate(
        """(g) => { const r = g.querySelector(":scope > .box:not(.behind), :scope > .region")
          .getBoundingClientRect(); return [r.x, r.y]; }"""
    )


def test_a_group_unfolds_where_it_stands_and_folds_again(shown):
    data, page = shown(transformer)
    page.evaluate("chainrule.cameras.graph.fit()")
    folded = page.locator(".group.folded")
    gid = int(folded.first.get_attribute("data-group"))
    before = box_of(page, gid)
    boxes = page.evaluate("chainrule.counts().boxes")
    folded.first.dblclick()
    assert page.locator(f'.group.open[data-group="{gid}"]').count() == 1
    inside = [n for n in data["nodes"] if n["group"] == gid]
    children = [g for g in data["groups"] if g.get("parent") == gid]
    opened = page.evaluate("chainrule.counts().boxes")
    assert opened >= boxes - 1 + len(inside) and len(inside) + len(children) > 1
    assert box_of(page, gid) == pytest.approx(before, abs=1)
    page.keyboard.press("Enter")
    assert page.locator(f'.group.folded[data-group="{gid}"]').count() == 1
    assert page.evaluate("chainrule.counts().boxes") == boxes
    assert box_of(page, gid) == pytest.approx(before, abs=1)


def test_everything_unfolded_shows_every_node_once(shown):
    data, page = shown(transformer)
    page.evaluate(UNFOLD)
    ids = page.locator("#canvas .node").evaluate_all("(all) => all.map((n) => +n.dataset.id)")
    assert sorted(ids) == list(range(len(data["nodes"])))
    assert page.locator("#canvas .group.open").count() == len(data["groups"]) - 1
    for _ in range(9):
        page.keyboard.press("E")
    assert page.locator("#canvas .group.open").count() == 0


def test_a_link_of_several_uses_says_so(shown):
    data, page = shown(transformer)
    for link in drawn_links(page):
        tail = data["edges"][link["edges"][0]]["tail"]
        shares = [e for e in link["edges"] if "gradient" in data["edges"][e]]
        every = [e for e in data["edges"] if e["tail"] == tail and "gradient" in e]
        if link["gradient"] and 1 < len(shares) < len(every):
            assert link["gradient"] == f"{len(shares)} of {len(every)} uses"


# ------------------------------------------------------------------------------ walking, looking


def test_arrow_keys_walk_along_the_edges(shown):
    data, page = shown(neuron)
    selected = lambda: page.evaluate("chainrule.state.selected")  # noqa: E731
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowLeft")
    assert selected() == data["output"]
    page.keyboard.press("ArrowLeft")
    step = selected()
    assert step in data["nodes"][data["output"]]["inputs"]
    focused = "document.activeElement.getAttribute('data-id')"
    assert page.evaluate(focused) == str(step)
    page.keyboard.press("ArrowRight")
    assert selected() == data["output"]
    page.keyboard.press("Escape")
    assert selected() is None


def test_edges_are_reached_by_the_keyboard_too(shown):
    data, page = shown(neuron)
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowLeft")
    into = [i for i, e in enumerate(data["edges"]) if e["head"] == data["output"]]
    seen = []
    for _ in into:
        page.keyboard.press("Shift+ArrowLeft")
        seen.append(page.evaluate("chainrule.state.selectedEdge"))
        assert page.evaluate("document.activeElement.dataset.edges") == str(seen[-1])
    assert sorted(seen) == into
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("chainrule.state.selected") == data["edges"][seen[-1]]["tail"]


@pytest.mark.parametrize("make", [fork, dead])
def test_a_step_lights_the_edges_at_which_it_works(shown, make):
    data, page = shown(make)
    lit = """() => [...document.querySelectorAll("#canvas .link.active")]
      .flatMap((link) => link.dataset.edges.split(",").map(Number)).sort((a, b) => a - b)"""
    for k, gate in enumerate([*data["forward"], *data["backward"]]):
        page.evaluate("k => chainrule.setFrame(k)", k)
        into = [i for i, e in enumerate(data["edges"]) if e["head"] == gate]
        back = k >= len(data["forward"])
        assert page.evaluate(lit) == [i for i in into if not back or "gradient" in data["edges"][i]]
        current = page.locator("#canvas .current")
        assert current.count() == 1 and current.get_attribute("data-id") == str(gate)


def test_zooming_keeps_the_point_under_the_cursor(shown):
    _, page = shown(neuron)
    there = """([x, y]) => {
      const c = chainrule.cameras.graph; return [(x - c.x) / c.k, (y - c.y) / c.k]; }"""
    stage = page.locator("#canvas").bounding_box()
    at = [300, 200]
    before = page.evaluate(there, at)
    page.mouse.move(stage["x"] + at[0], stage["y"] + at[1])
    scale = page.evaluate("chainrule.cameras.graph.k")
    page.mouse.wheel(0, -240)
    page.wait_for_function(f"chainrule.cameras.graph.k > {scale}")
    assert page.evaluate(there, at) == pytest.approx(before, abs=0.01)


def test_a_drag_moves_the_drawing_and_selects_nothing(shown):
    _, page = shown(neuron)
    node = page.locator(".node.operator").first.bounding_box()
    x, y = node["x"] + node["width"] / 2, node["y"] + node["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 25, steps=5)
    page.mouse.up()
    moved = page.locator(".node.operator").first.bounding_box()
    assert (moved["x"] - node["x"], moved["y"] - node["y"]) == pytest.approx((60, 25), abs=1)
    assert page.evaluate("chainrule.state.selected") is None


@pytest.mark.parametrize("mode", ["gradient", "time", "memory", "nan"])
def test_colours_have_a_legend_with_a_scale(shown, mode):
    _, page = shown(dead, times=True)
    page.select_option("#colour", mode)
    fills = page.locator("#canvas .node > .box").evaluate_all(
        "(all) => new Set(all.map((e) => getComputedStyle(e).fill)).size"
    )
    assert fills > 1 or mode == "nan"
    assert {"gradient": "gradient norm, log scale:", "time": "time:", "memory": "memory:",
            "nan": "holds nan"}[mode] in page.locator("#legend").text_content()


def test_every_part_that_can_be_clicked_says_what_it_is(shown):
    _, page = shown(transformer, times=True)
    bare = page.evaluate(
        """() => [...document.querySelectorAll(
            "button, select, input, #canvas .node, #canvas .link, #canvas .group, .kernel")]
          .filter((e) => (e.ownerSVGElement && !e.hasAttribute("tabindex"))
            || !(e.getAttribute("aria-label") || e.textContent.trim()))
          .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert bare == []


# ------------------------------------------------------------------------------ kernels


def test_a_kernel_points_out_its_nodes(shown):
    data, page = shown(transformer, times=True)
    kernels = data["kernels"]["list"]
    page.evaluate("chainrule.setMode('kernels')")
    assert page.locator(".kernel").count() == len(kernels)
    kernel = next(k for k in kernels if k.get("nodes"))
    page.locator(f'.kernel[data-kernel="{kernel["id"]}"]').dispatch_event("click")
    assert page.evaluate("chainrule.state.mode") == "graph"
    assert page.evaluate("[...chainrule.state.highlight].sort((a, b) => a - b)") == kernel["nodes"]
    assert page.locator("#canvas .pointed").count() > 0


# ------------------------------------------------------------------------------ files


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_saved_svg_stands_alone(shown, page_of, tmp_path, scheme):
    _, page = shown(transformer, color_scheme=scheme)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="save the drawing as an SVG file").click()
    path = tmp_path / "saved.svg"
    waiting.value.save_as(path)
    text = path.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"var\(|<script|href=\"(?!data:)|url\(", text)
    assert ("#14181f" in text) == (scheme == "dark")
    texts = "#canvas .node text, #canvas .label text"
    expected = page.locator(texts).all_text_contents()
    alone = page_of(path).locator(".node text, .label text").all_text_contents()
    assert expected and alone[: len(expected)] == expected  # after them comes the legend


def test_the_page_prints_on_one_sheet(shown):
    _, page = shown(transformer)
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_names_are_text_whatever_they_are(shown):
    evil = "</script><img src=x onerror='hit=1'><b>"

    def hostile():
        class Net(nn.Module):
            def forward(self, x):
                return getattr(self, evil)(x).sum()

        net = Net()
        setattr(net, evil, nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
        x = torch.ones(1, 2)
        return net(x), {evil: x, "net": net}

    data, page = shown(hostile)
    page.evaluate(UNFOLD)
    assert page.evaluate("window.hit") is None
    assert page.locator("img, b img").count() == 0
    assert any(evil[:9] in text for text in page.locator("#canvas text").all_text_contents())
