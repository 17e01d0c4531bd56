"""How large the page of a graph is, how fast it opens, and how fast its groups unfold.

    python benchmarks/page.py
    python benchmarks/page.py --graphs gpt

Needs Playwright and a chromium (PATH, or /usr/bin/chromium).  Each page is opened a few times in a
fresh context; the fastest counts, as in all benchmarks here.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import workloads

import chainrule as torch

MOST = 60  # groups that are unfolded
# Each in a drawing where only what is around it is open.
UNFOLD = """(gid) => {
  const around = [];
  for (let g = chainrule.groups[gid].parent; g; g = chainrule.groups[g].parent) around.unshift(g);
  const folded = around.filter((g) => !chainrule.state.open.has(g));
  const was = chainrule.state.open.has(gid);
  for (const g of folded) chainrule.setOpen(g, true);
  chainrule.setOpen(gid, false);
  const start = performance.now();
  chainrule.setOpen(gid, true);
  document.getElementById("stage").getBoundingClientRect();  // layout included
  const took = performance.now() - start;
  chainrule.setOpen(gid, was);
  for (const g of folded.reverse()) chainrule.setOpen(g, false);
  return took;
}"""


def loose(nodes: int = 5000):
    """A script without modules: nothing folds it but its lines."""
    x = torch.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(nodes // 3):
        y = torch.sin(y) * x + 1.0
    return y


def loss_of(name: str):
    torch.manual_seed(0)
    return loose() if name == "loose5000" else workloads.TRAININGS[name](torch).loss()


def measured(browser, path: Path, groups: list[int], rounds: int = 3) -> tuple[float, float, dict]:
    """(milliseconds to open, milliseconds of the slowest unfolding, counts at first)."""
    opened, slowest, counts = [], [], {}
    for _ in range(rounds):
        page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        opened.append(1e3 * (time.perf_counter() - start))
        counts = page.evaluate("chainrule.counts()")
        slowest.append(max([page.evaluate(UNFOLD, g) for g in groups], default=0.0))
        page.context.close()
    return min(opened), min(slowest), counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--graphs", default="mlp64,gpt,resnet18,loose5000")
    names = parser.parse_args().graphs.split(",")
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    print(f"{'graph':<10} {'nodes':>6} {'boxes':>5} {'MB':>6} {'snapshot s':>10} {'open ms':>8} "
          f"{'unfold ms':>9}")
    with sync_playwright() as play, tempfile.TemporaryDirectory() as folder:
        browser = play.chromium.launch(
            executable_path=chromium, args=["--headless=new", "--no-sandbox", "--disable-gpu"])
        for name in names:
            loss = loss_of(name)
            path = Path(folder) / f"{name}.html"
            start = time.perf_counter()
            snapshot = torch.snapshot(loss)
            snapshot.save(path)
            took = time.perf_counter() - start
            groups = [g["id"] for g in snapshot.data["groups"] if g.get("parent") is not None]
            groups = groups[:: -(-len(groups) // MOST)]
            opened, unfold, counts = measured(browser, path, groups)
            print(f"{name:<10} {counts['nodes']:>6} {counts['boxes']:>5} "
                  f"{path.stat().st_size / 1e6:>6.2f} {took:>10.2f} {opened:>8.0f} {unfold:>9.0f}")


if __name__ == "__main__":
    main()
