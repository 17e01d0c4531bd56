"""The graph as text and as a picture: no overlaps, exact SVG, numbers computed aside."""

import base64
import io
import math
import random
import re
import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
from chainrule import config
from chainrule.view.curve import draw_curve, ticks
from chainrule.view.figure import cells_of, colours
from chainrule.view.labels import short
from chainrule.view.layout import Box, Edge, layout
from chainrule.view.svg import Page, escape, png, smooth, text_width

SVG = "{http://www.w3.org/2000/svg}"


# ------------------------------------------------------------------------------ layout


def random_drawing(seed, nested=True):
    """Boxes in random nested groups, edges only forward; most edges have labels."""
    draw = random.Random(seed)
    groups = [(), ("a",), ("a", "b"), ("a", "c"), ("d",), ("d", "e")] if nested else [()]
    boxes, edges = [], []
    for i in range(draw.randint(2, 26)):
        size = draw.choice([(30, 30, 15), (60, 26, 2), (120, 80, 8)])
        # Neighbours in time share a group, as the nodes of a module do.
        group = groups[(i // 4) % len(groups)]
        clearance = draw.choice([0, 0, 16])
        boxes.append(Box(size[0], size[1], group, radius=size[2], clearance=clearance))
        for _ in range(draw.randint(0, 3) if i else 0):
            label = (draw.randint(20, 60), draw.randint(20, 90)) if draw.random() < 0.8 else None
            edges.append(Edge(boxes[draw.randrange(max(0, i - 9), i)], boxes[i], label))
    return boxes, edges


def rectangle(box, clearance=0.0):
    return box.x, box.y, box.width / 2, box.height / 2 + clearance


def overlap(a, b):
    return abs(a[0] - b[0]) < a[2] + b[2] - 1e-6 and abs(a[1] - b[1]) < a[3] + b[3] - 1e-6


def along(edge, steps=12):
    """Points on the curve that `smooth` draws through the edge's points."""
    for (x, y), (u, v) in zip(edge.points, edge.points[1:]):
        for k in range(steps + 1):
            t = k / steps
            s = (1 - t) ** 3 * x + 3 * t * (1 - t) * (x + u) / 2 + t**3 * u
            yield s, y + (v - y) * (3 * t * t - 2 * t**3)


seeds = st.integers(0, 10**6)


@given(seeds, st.booleans())
@settings(max_examples=40, deadline=None)
def test_nothing_overlaps_and_no_edge_runs_through_a_box(seed, nested):
    boxes, edges = random_drawing(seed, nested)
    width, height, regions = layout(boxes, edges)
    labels = [(*e.label_at, e.label[0] / 2, e.label[1] / 2) for e in edges if e.label]
    solid = [rectangle(b, b.clearance) for b in boxes] + labels
    for i, a in enumerate(solid):
        assert all(not overlap(a, b) for b in solid[i + 1 :])
        assert a[0] - a[2] >= -1e-6 and a[0] + a[2] <= width + 1e-6
        assert a[1] - a[3] >= -1e-6 and a[1] + a[3] <= height + 1e-6
    for edge in edges:
        others = [b for b in boxes if b is not edge.tail and b is not edge.head]
        for x, y in along(edge):
            assert not any(overlap((x, y, 0, 0), rectangle(b)) for b in others)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_a_region_holds_its_boxes_and_no_other(seed):
    boxes, edges = random_drawing(seed)
    _, _, regions = layout(boxes, edges)
    for region in regions:
        half = region.width / 2, region.height / 2
        area = (region.left + half[0], region.top + half[1], *half)
        for box in boxes:
            if box.group[: len(region.path)] == region.path:
                x, y, w, h = rectangle(box)
                assert abs(x - area[0]) + w <= half[0] and abs(y - area[1]) + h <= half[1]
            elif not set(region.path) & set(box.group):  # a dissolved group has lost its part
                assert not overlap(area, rectangle(box))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_edges_go_from_left_to_right_and_end_at_their_boxes(seed):
    boxes, edges = random_drawing(seed)
    layout(boxes, edges)
    for edge in edges:
        xs = [x for x, _ in edge.points]
        assert all(x <= u + 1e-6 for x, u in zip(xs, xs[1:]))
        assert edge.points[0][0] <= edge.tail.x + edge.tail.width / 2 + 1e-6
        assert edge.points[-1][0] >= edge.head.x - edge.head.width / 2 - 1e-6
        assert abs(edge.points[0][1] - edge.tail.y) <= edge.tail.height / 2
        assert abs(edge.points[-1][1] - edge.head.y) <= edge.head.height / 2


def test_a_chain_lies_on_one_straight_line():
    boxes = [Box(30, 30) for _ in range(9)]
    edges = [Edge(a, b, (40, 30)) for a, b in zip(boxes, boxes[1:])]
    layout(boxes, edges)
    assert max(b.y for b in boxes) - min(b.y for b in boxes) < 1e-6


def test_a_tree_has_no_crossings_and_stands_in_the_order_of_its_inputs():
    leaves, inner, top = [Box(30, 20) for _ in range(4)], [Box(30, 30) for _ in range(2)], Box(9, 9)
    edges = [Edge(leaf, inner[i // 2]) for i, leaf in enumerate(leaves)]
    edges += [Edge(box, top) for box in inner]
    layout([*leaves, *inner, top], edges)
    assert [b.y for b in leaves] == sorted(b.y for b in leaves)
    assert inner[0].y < top.y < inner[1].y


def test_a_group_on_a_cycle_is_dissolved():
    a, between, b = Box(30, 30, ("g",)), Box(30, 30), Box(30, 30, ("g",))
    _, _, regions = layout([a, between, b], [Edge(a, between), Edge(between, b)])
    assert regions == [] and a.x < between.x < b.x


def test_an_empty_drawing_and_a_single_box():
    assert layout([], []) == (0.0, 0.0, [])
    assert layout([Box(30, 20)], [])[:2] == (30.0, 20.0)


# ------------------------------------------------------------------------------ SVG


def test_text_is_escaped_exactly():
    text = "a < b && \"c\" > 'd' \x00\x1b\ud800 é"
    page = Page(10.0, 10.0, text)
    page.text(0.0, 0.0, text, tip=text)
    root = ET.fromstring(str(page).encode())
    safe = "a < b && \"c\" > 'd' \ufffd\ufffd\ufffd é"
    assert root.find(f"{SVG}title").text == safe
    assert safe in "".join(root.find(f"{SVG}text").itertext())
    assert escape("&lt;") == "&amp;lt;"


def test_a_page_holds_no_script_and_asks_for_nothing_outside():
    text = str(Page(10.0, 10.0, "t"))
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_curve_is_level_at_its_points():
    assert smooth([(0, 0), (10, 0)]) == "M0.0 0.0H10.0"
    assert smooth([(0, 0), (10, 8)]) == "M0.0 0.0C5.0 0.0 5.0 8.0 10.0 8.0"


def test_png_is_a_valid_file():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    data = base64.b64decode(png(pixels).partition(",")[2])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, {}
    while at < len(data):
        (n,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + n]
        assert struct.unpack(">I", data[at + 8 + n : at + 12 + n]) == (zlib.crc32(kind + body),)
        found[kind], at = body, at + 12 + n
    assert struct.unpack(">IIBB", found[b"IHDR"][:10]) == (3, 2, 8, 2)
    rows = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(2, 10)
    assert (rows[:, 0] == 0).all() and (rows[:, 1:].reshape(2, 3, 3) == pixels).all()


def test_wide_characters_are_wider():
    assert text_width("mmm") > text_width("aaa") > text_width("iii") > 0


# ------------------------------------------------------------------------------ curve


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 0.93, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-1.2, 1.1, [-1.5, -1, -0.5, 0, 0.5, 1, 1.5]),
        (0, 3.1e-5, [0, 1e-5, 2e-5, 3e-5, 4e-5]),
        (0, 1437, [0, 500, 1000, 1500]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_curve_names_its_lines_and_axes_and_leaves_gaps():
    svg = draw_curve(
        {"train": [3.0, 2.0, math.nan, 1.0], "test": [(1, 2.5), (4, 1.5)]},
        title="a < b", x_label="epoch", y_label="cost",
    )
    root = ET.fromstring(svg)
    texts = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    assert {"a < b", "epoch", "cost", "train", "test", "0.0", "3.0"} <= set(texts)
    train, test = [p.get("d") for p in root.iter(f"{SVG}path")]
    assert train.count("M") == 2 and test.count("M") == 1


def test_a_long_curve_is_thinned_and_a_constant_one_is_drawn():
    svg = draw_curve({"loss": [1 / k for k in range(1, 20001)]})
    assert len(svg) < 20_000
    ET.fromstring(draw_curve({"loss": [2.0, 2.0, 2.0]}))
    ET.fromstring(draw_curve({"loss": [0.0]}))
    ET.fromstring(draw_curve({"loss": []}))


def test_a_curve_refuses_too_many_lines():
    with pytest.raises(ValueError, match="draw_curve requires 1 to 3 lines, got 4"):
        draw_curve({name: [1.0] for name in "abcd"})


def test_a_curve_is_written_whole(tmp_path):
    path = tmp_path / "new" / "loss.svg"
    assert path.parent.exists() is False
    svg = draw_curve({"loss": [1.0, 0.5]}, path)
    assert path.read_text(encoding="utf-8") == svg
    assert [p.name for p in path.parent.iterdir()] == ["loss.svg"]


# ------------------------------------------------------------------------------ numbers


def test_short_numbers():
    found = [short(v) for v in (1234.5, -0.004, 0.0, -0.0, 1e300, math.inf, -math.inf, True, 7)]
    assert found == ["1234", "-4.0e-3", "0.00", "-0.00", "1.0e300", "inf", "-inf", "1", "7"]


@pytest.mark.parametrize(
    "shape", [(), (7,), (300,), (3, 4), (2, 3, 5), (20, 3, 50, 60), (0,), (3, 0)]
)
def test_every_array_has_cells_and_colours(shape):
    cells = cells_of(np.arange(math.prod(shape), dtype=np.float32).reshape(shape) - 3)
    assert cells.ndim == 2 and 0 < cells.size <= 130 * 130
    pixels = colours(cells, "value")
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3


def test_colours_show_sign_magnitude_and_what_is_not_a_number():
    row = colours(np.array([[1.0, 0.0, -1.0, math.nan]]), "gradient")[0]
    plus, zero, minus, missing = row[:: len(row) // 4].astype(int)[:4]
    assert plus[0] > plus[2] and minus[2] > minus[0]
    assert zero.min() > 240 and missing.max() < 60
    assert (colours(np.zeros((2, 2)), "value") > 240).all()
    colours(np.full((2, 2), np.inf), "value")


# ------------------------------------------------------------------------------ draw


def scalar(value):
    return torch.tensor(float(value), dtype=torch.float64, requires_grad=True)


def neuron():
    w0, x0, w1, x1, w2 = (scalar(v) for v in (2, -1, -3, -2, -3))
    f = 1 / (1 + torch.exp(-(w0 * x0 + w1 * x1 + w2)))
    return f, dict(w0=w0, x0=x0, w1=w1, x1=x1, w2=w2, f=f)


def texts(svg, kind=None):
    """The visible texts of a drawing in the order of their elements, those of one kind only."""
    root = ET.fromstring(svg.encode())
    found = [t for t in root.iter(f"{SVG}text") if kind is None or t.get("class") == kind]
    return [t.text if not len(t) else t[-1].tail for t in found]


def test_G1_squares_are_values_and_circles_are_ops():
    x, y = scalar(1), scalar(2)
    z = x + y
    f = z**2
    svg = torch.draw(f)
    assert sorted(texts(svg, "name middle")) == ["f", "x", "y", "z"]
    assert sorted(texts(svg, "middle")) == ["+", "^2"]
    assert sorted(texts(svg, "value middle")) == ["1.00", "2.00", "3.00", "9.00"]
    assert sorted(texts(svg, "gradient middle")) == ["1.00", "6.00", "6.00", "6.00"]


def test_G4_every_edge_has_its_value_and_its_gradient():
    f, names = neuron()
    svg = torch.draw(f, names=names)
    assert sorted(texts(svg, "name middle")) == sorted(names)
    assert sorted(texts(svg, "middle")) == sorted(["×", "×", "+", "+", "×-1", "exp", "+1", "1/x"])
    forward = "2.00 -1.00 -3.00 -2.00 -3.00 -2.00 6.00 4.00 1.00 -1.00 0.37 1.37 0.73"
    backward = "-0.20 0.39 -0.39 -0.59 0.20 0.20 0.20 0.20 0.20 -0.20 -0.53 -0.53 1.00"
    assert sorted(texts(svg, "value middle")) == sorted(forward.split())
    assert sorted(texts(svg, "gradient middle")) == sorted(backward.split())
    edges = re.findall(r'class="edge"', svg)
    assert len(edges) == len(forward.split())


def test_G4_value_and_gradient_stand_above_and_below_one_another():
    f, names = neuron()
    root = ET.fromstring(torch.draw(f, names=names))
    places = {
        kind: sorted((float(t.get("x")), float(t.get("y"))) for t in root.iter(f"{SVG}text")
                     if t.get("class") == f"{kind} middle")
        for kind in ("value", "gradient")
    }
    for (x, above), (u, below) in zip(places["value"], places["gradient"]):
        assert x == u and 0 < below - above < 30


def test_G5_one_drawing_for_each_gate_forward_and_backward():
    f, names = neuron()
    steps = torch.view.draw_steps(f, names=names)
    count = [(len(texts(s, "value middle")), len(texts(s, "gradient middle"))) for s in steps]
    assert [v for v, _ in count[:8]] == [6, 7, 8, 9, 10, 11, 12, 13] and not any(
        g for _, g in count[:8]
    )
    # 1/x, +1, exp, ×-1 hand on one gradient each, then + and × two.
    assert [g for _, g in count[8:]] == [2, 3, 4, 5, 7, 9, 11, 13]
    assert [v for v, _ in count[8:]] == [13] * 8
    assert steps[-1] == torch.draw(f, names=names)


def test_steps_are_written_to_a_folder(tmp_path):
    x = scalar(3)
    y = x * x
    steps = torch.view.draw_steps(y, tmp_path)
    found = sorted(tmp_path.iterdir())
    assert [p.name for p in found] == ["step-00.svg", "step-01.svg"]
    assert [p.read_text(encoding="utf-8") for p in found] == steps


def test_B2_one_hidden_layer_with_weight_decay_as_textbooks_draw_it():
    W1 = torch.tensor([[0.1, 0.2, -0.3], [0.4, -0.5, 0.6]], requires_grad=True)
    W2 = torch.tensor([[0.7, -0.8], [0.9, 1.0]], requires_grad=True)
    x, y = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([1.0, 0.0])
    z = W1 @ x
    h = torch.tanh(z)
    o = W2 @ h
    L = 0.5 * ((o - y) ** 2).sum()
    s = 0.1 / 2 * ((W1**2).sum() + (W2**2).sum())
    J = L + s
    svg = torch.draw(J, values=False)
    assert sorted(texts(svg, "name middle")) == sorted("W1 W2 x y z h o L s J".split())
    assert texts(svg, "value middle") == texts(svg, "gradient middle") == []
    at = {t.text or t[-1].tail: float(t.get("x")) for t in ET.fromstring(svg).iter(f"{SVG}text")}
    assert at["x"] < at["z"] < at["h"] < at["o"] < at["L"] < at["J"]
    assert at["W1"] < at["s"] < at["J"]


def test_shares_are_on_the_wires_and_their_sum_below_the_box():
    x = scalar(3)
    y = x * x + x
    svg = torch.draw(y)
    assert sorted(texts(svg, "gradient middle")) == ["1.00", "1.00", "1.00", "3.00", "3.00", "7.00"]
    assert texts(svg, "value middle").count("3.00") == 3


def test_what_needs_no_gradient_is_drawn_without():
    x = torch.tensor([1.0, 2.0])
    y = (x * 2).sum()
    svg = torch.draw(y)
    assert texts(svg, "value middle") == ["6.00"] and "×2" in texts(svg, "middle")
    assert not texts(svg, "gradient middle")
    for look in (torch.draw, torch.show):
        with pytest.raises(RuntimeError, match="requires a tensor that requires grad, got one"):
            look(y, backward=True)


def test_only_tensors_are_drawn_and_shown():
    for look in (torch.draw, torch.show, torch.view.draw_steps):
        with pytest.raises(TypeError, match=f"{look.__name__} requires a Tensor, got float"):
            look(3.0)


def test_a_graph_too_large_to_be_read_is_refused():
    x = scalar(1)
    for _ in range(1001):
        x = x.sin()
    with pytest.raises(ValueError, match="draw requires at most 1000 boxes, got a graph of 1003"):
        torch.draw(x)


def test_a_leaf_alone_can_be_drawn():
    x = torch.ones(2, 3)
    assert "x" in texts(torch.draw(x), "name middle")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(6, 5), torch.nn.Sigmoid(), torch.nn.Linear(5, 4)
        )

    def forward(self, x):
        return self.body(x)


def step():
    torch.manual_seed(0)
    net, x, y = Net(), torch.rand(3, 6), torch.tensor([0, 1, 3])
    loss = torch.nn.functional.cross_entropy(net(x), y)
    return net, x, y, loss


def test_a_large_graph_shows_one_box_for_each_module_and_function():
    net, x, y, loss = step()
    svg = torch.draw(loss)
    boxes = ["x", "0: Linear", "2: Linear", "y", "cross_entropy", "loss"]
    assert sorted(texts(svg, "name middle")) == sorted(boxes)
    assert texts(svg, "middle") == ["sigmoid"]
    assert texts(svg, "faint") == ["Net"]  # `body` is all that is in it
    assert texts(svg).count("weight") == texts(svg).count("bias") == 2
    assert {"3×5", "3×4", "5×6", "4×5"} <= set(texts(svg))
    norms = []
    loss.backward()
    for p in net.parameters():
        norms += [short(p.norm().item()), short(p.grad.norm().item())]
    assert set(norms) <= set(texts(svg))


def test_depth_and_limit_open_and_close_regions():
    net, x, y, loss = step()
    everything = torch.draw(loss, depth=99)
    assert {"body.0.weight", "body.2.bias"} <= set(texts(everything, "name middle"))
    assert {"exp", "log", "gather", "x yᵀ"} <= set(texts(everything, "middle"))
    assert torch.draw(loss, limit=1000) == everything
    closed = torch.draw(loss, depth=0)
    assert set(texts(closed, "name middle")) == {"x", "Net", "y", "cross_entropy", "loss"}
    assert torch.draw(loss, limit=5) == closed


def test_names_are_escaped_and_a_drawing_is_well_formed():
    x = scalar(1)
    y = x.exp()
    svg = torch.draw(y, names={"<x & 'y'>": x}, title='a "b" <c>')
    assert "<x & 'y'>" in texts(svg) and 'a "b" <c>' in texts(svg, "title")


def test_nothing_in_a_picture_of_a_step_overlaps():
    net, x, y, loss = step()
    for depth in (None, 0, 1, 2, 99):
        root = ET.fromstring(torch.draw(loss, depth=depth))
        spots = []
        for t in root.iter(f"{SVG}text"):
            anchor = t.get("class", "").split()
            size = 10 if "small" in anchor else 15 if "title" in anchor else 12
            text = t.text if not len(t) else t[-1].tail
            half = text_width(text or "", size) / 2
            x0 = float(t.get("x")) + (0 if "middle" in anchor else half)
            spots.append((x0, float(t.get("y")) - 0.35 * size, half, 0.4 * size))
        for i, a in enumerate(spots):
            assert not any(overlap(a, b) for b in spots[i + 1 :])


def test_a_graph_that_backward_has_freed_is_drawn_as_far_as_it_is_there():
    net, x, y, loss = step()
    loss.item()
    loss.backward()
    svg = torch.draw(loss)
    assert "loss" in texts(svg, "name middle")
    assert any("backward has freed this graph" in text for text in texts(svg, "faint small"))
    with pytest.raises(RuntimeError, match="freed"):
        torch.draw(loss, backward=True)


def test_an_updated_parameter_is_a_leaf():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    w.data = w.data - 0.5
    y = (w * w).sum()
    assert texts(torch.draw(y), "name middle") == ["w", "y"]


# ------------------------------------------------------------------------------ show


def shown(tensor, **options):
    file = io.StringIO()
    torch.show(tensor, file=file, **options)
    return file.getvalue().splitlines()


def test_show_prints_one_node_a_line():
    f, names = neuron()
    lines = shown(f, names=names)
    assert len(lines) == 15
    for number, line in enumerate(lines):
        assert line.startswith(f"%{number} ") and "test_view.py:" in line and "float64[]" in line
    assert re.match(r"%14 f += div\(%0, %13\) +float64\[\] +\?", lines[14])
    assert re.match(r"%2 w0 += leaf\* +float64\[\] +2 ", lines[2])
    assert "0.731059" in shown(f, names=names, values=True)[14]


def test_show_prints_attrs_and_scopes():
    net, x, y, loss = step()
    file = io.StringIO()
    torch.show(loss, file=file)
    text = file.getvalue()
    assert re.search(r"sum\(%\d+, axis=\(1,\)\)", text)
    assert re.search(r"in Net\.body\.0", text) and "in cross_entropy" in text
    assert "body.0.weight" in text


def test_B5_the_backward_order_is_the_reverse_of_the_forward_order():
    f, names = neuron()
    lines = shown(f, names=names, backward=True)
    cut = lines.index("backward")
    forward = [re.match(r"%\d+", line)[0] for line in lines[: cut - 1] if "leaf" not in line]
    backward = [re.match(r"%\d+", line)[0] for line in lines[cut + 1 :]]
    assert backward == forward[::-1] and len(backward) == 8
    assert re.match(r"%14 +div +1 +-> %13 \+= -0\.534447", lines[cut + 1])


# ------------------------------------------------------------------------------ P6


def losses(look):
    """A few steps of training, looking at the graph in one way or in none."""
    torch.manual_seed(1)
    net, x, y = Net(), torch.rand(8, 6), torch.randint(0, 4, (8,))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    seen = []
    for _ in range(4):
        hidden = net.body[0](x)
        hidden.retain_grad()
        loss = torch.nn.functional.cross_entropy(net.body[2](torch.sigmoid(hidden)), y)
        look(loss)
        optimizer.zero_grad()
        loss.backward()
        look(loss)
        optimizer.step()
        look(loss)
        seen.append([loss.item(), *hidden.grad.flatten().tolist()])
    return seen + [p.tolist() for p in net.parameters()]


@pytest.mark.parametrize(
    "look",
    [torch.draw, torch.show, lambda t: torch.show(t, values=True, file=io.StringIO())],
    ids=["draw", "show", "values"],
)
def test_P6_looking_changes_no_later_bit(look, monkeypatch):
    monkeypatch.setattr(config, "jit", "0")
    assert losses(look) == losses(lambda loss: None)


def test_P6_looking_changes_no_more_than_the_rounding_of_compiled_code():
    # What is looked at is computed by itself: other graphs, which are compiled otherwise.
    for seen, unseen in zip(losses(torch.draw), losses(lambda loss: None)):
        np.testing.assert_allclose(seen, unseen, rtol=1e-5, atol=1e-6)


def test_P6_drawing_keeps_no_value_and_no_gradient():
    net, x, y, loss = step()
    before = {n: n.value is None for n in torch.backprop(loss).order}
    torch.draw(loss)
    torch.show(loss, backward=True, file=io.StringIO())
    assert {n: n.value is None for n in before} == before
    assert all(p.grad is None for p in net.parameters())


def test_P6_hooks_are_not_called():
    x = scalar(2)
    y = x * x
    called = []
    y.register_hook(called.append)
    z = y.exp()
    torch.draw(z)
    torch.show(z, backward=True, file=io.StringIO())
    assert called == []
