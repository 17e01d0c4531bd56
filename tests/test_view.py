"""The graph as text and as a picture: layout without overlaps, exact SVG, numbers computed aside."""

import math
import random
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as torch
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
    import base64
    import struct
    import zlib

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
    with pytest.raises(ValueError, match="requires one to 3 lines, got 4"):
        draw_curve({name: [1.0] for name in "abcd"})


def test_a_curve_is_written_whole(tmp_path):
    path = tmp_path / "new" / "loss.svg"
    assert path.parent.exists() is False
    svg = draw_curve({"loss": [1.0, 0.5]}, path)
    assert path.read_text(encoding="utf-8") == svg
    assert [p.name for p in path.parent.iterdir()] == ["loss.svg"]
