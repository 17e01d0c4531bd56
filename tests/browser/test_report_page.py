"""The page of a report in a browser: it reads without a script, and with one it moves."""

import re
from pathlib import Path

import pytest

import chainrule as torch
from chainrule import nn
from chainrule.view import Report, log

PATH = re.compile(r'<path class="(raw|line|band)" d="([^"]*)"/>')


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two losses, three layers and a metric: (the page, its history)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    x = torch.randn(80, 16, 4)
    report = Report(tmp_path_factory.mktemp("report") / "run.html", events=False)
    report.recorder.budget.free = 1e9
    with report:
        for i in range(80):
            optimizer.zero_grad()
            first = (net(x[i]) - 1).square().mean()
            first.backward()
            second = net(x[i]).abs().mean()
            second.backward()
            optimizer.step()
            if i % 20 == 19:
                log(accuracy=i / 100)
    return report.path, report.history


def figure(page, key):
    return page.locator(f'[data-chart="{key}"]')


def paths(page, key, kind="line"):
    found = figure(page, key).locator(f".lines path.{kind}")
    return [found.nth(i).get_attribute("d") for i in range(found.count())]


def test_the_script_draws_what_was_laid_out_without_it(run, page_of):
    path, _ = run
    text = Path(path).read_text()
    page = page_of(path)
    charts = re.findall(r'data-chart="([^"]+)".*?<svg (.*?)</svg>', text, re.S)
    assert len(charts) >= 8
    numbers = re.compile(r"-?[\d.]+")
    for key, drawing in charts:
        static = [d for kind, d in PATH.findall(drawing) if kind == "line"]
        drawn = paths(page, key)
        assert len(static) == len(drawn) > 0
        for a, b in zip(static, drawn):
            assert re.sub(numbers, "#", a) == re.sub(numbers, "#", b)
            assert [float(v) for v in numbers.findall(a)] == pytest.approx(
                [float(v) for v in numbers.findall(b)], abs=0.25), key


def test_it_reads_without_a_script(run, chrome):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(Path(run[0]).as_uri())
    assert figure(page, "loss").locator("svg").bounding_box()["height"] > 150
    assert page.locator("h2").all_inner_texts()[:4] == [
        "Loss", "Metrics", "Gradient flow", "Updates"]
    assert not page.locator("#theme").is_visible() and not page.locator(".log").first.is_visible()
    context.close()


def test_hovering_tells_the_numbers(run, page_of):
    path, history = run
    page = page_of(path)
    box = figure(page, "loss").locator("svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator("#tip")
    assert tip.is_visible()
    step = int(re.search(r"step (\d+)", tip.inner_text())[1])
    told = dict(zip(tip.locator("span").all_inner_texts(), tip.locator("em").all_inner_texts()))
    assert told.keys() == {"first", "second"}
    for name, text in told.items():
        value = list(history.losses[name].points())[step - 1].mean
        assert float(text) == pytest.approx(value, rel=1e-4)
    # The lines of all charts over the same steps go together.
    assert figure(page, "ratio").locator(".cross circle").count() == 3
    page.mouse.move(2, 2)
    assert not tip.is_visible()


def test_hovering_over_the_heatmap(run, page_of):
    path, history = run
    page = page_of(path)
    svg = page.locator("[data-heatmap] svg")
    svg.scroll_into_view_if_needed()
    box = svg.locator("image").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 3)
    last = list(history.layers["0"].gradient.points())[-1].mean
    text = page.locator("#tip").inner_text()
    assert text.startswith("0: Linear") and "step 80" in text
    assert float(text.rpartition("= ")[2]) == pytest.approx(last, rel=1e-3)


def test_lines_can_be_left_out(run, page_of):
    page = page_of(run[0])
    chips = figure(page, "loss").locator(".chip")
    before = paths(page, "loss")
    chips.nth(0).click()
    lines = figure(page, "loss").locator(".series")
    assert not lines.nth(0).is_visible() and lines.nth(1).is_visible()
    assert chips.nth(0).get_attribute("aria-pressed") == "false"
    alone = [paths(page, "loss")[1]]
    chips.nth(0).click()
    assert paths(page, "loss") == before
    chips.nth(1).click()
    alone.append(paths(page, "loss")[0])
    assert alone != before[::-1]  # the axis fits what is left


def test_axes_can_be_logarithmic(run, page_of):
    page = page_of(run[0])
    switch = figure(page, "gradient").locator(".log")
    assert switch.get_attribute("aria-pressed") == "true"
    before = paths(page, "gradient")
    switch.click()
    assert paths(page, "gradient") != before
    switch.click()
    assert paths(page, "gradient") == before


def test_lines_can_be_smoothed(run, page_of):
    page = page_of(run[0])
    assert len(paths(page, "loss", "raw")) == 2  # more than sixty points: smoothed at first
    page.locator("#smooth").fill("0")
    assert paths(page, "loss", "raw") == []
    assert page.locator(".slider output").inner_text() == "off"
    rough = paths(page, "loss")
    page.locator("#smooth").fill("0.9")
    assert paths(page, "loss", "raw") == rough and paths(page, "loss") != rough
    assert paths(page, "lr", "raw") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(scheme, run, page_of):
    page = page_of(run[0], color_scheme=scheme)

    def colours():
        return page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.series .line')).stroke]")

    light, dark = ["rgb(255, 255, 255)", "rgb(37, 99, 184)"], ["rgb(20, 24, 31)",
                                                               "rgb(111, 168, 245)"]
    wanted = [light, dark] if scheme == "light" else [dark, light]
    assert colours() == wanted[0]
    page.locator("#theme").click()
    assert colours() == wanted[1]
    page.emulate_media(media="print")
    assert colours()[0] == light[0]


def test_the_graph_stands_inside(run, page_of):
    page = page_of(run[0])
    page.locator("iframe").scroll_into_view_if_needed()
    inside = page.frame_locator("iframe")
    inside.locator("body[data-ready]").wait_for()
    inside.locator("g.node").first.wait_for()


def test_on_a_small_screen_nothing_is_cut_off(run, page_of):
    page = page_of(run[0], viewport={"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
