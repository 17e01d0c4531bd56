"""A real browser for the tests of the page; without one they are skipped."""

import shutil
from pathlib import Path

import pytest

ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu"]
OWN = ("file:", "data:", "blob:")  # what a page may ask for: itself, and what is inside of it


def chromium() -> str | None:
    named = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    usual = Path("/usr/bin/chromium")
    return next(filter(None, named), str(usual) if usual.exists() else None)


# One module at a time: two of Playwright's loops cannot run in one thread.
@pytest.fixture(scope="module")
def chrome():
    sync = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("no chromium on this machine")
    with sync.sync_playwright() as play:
        found = play.chromium.launch(executable_path=path, args=ARGS)
        yield found
        found.close()


@pytest.fixture
def page_of(chrome):
    """page_of(html_path, **options of the context): the page, ready.

    The test fails if a script fails, the console tells of an error, or anything is requested.
    """
    wrong: list[str] = []
    contexts = []

    def open_(html_path, **options):
        options = {"viewport": {"width": 1400, "height": 900}, **options}
        context = chrome.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith(OWN) else wrong.append(r.url))
        page.goto(Path(html_path).absolute().as_uri())
        if str(html_path).endswith(".html"):
            page.wait_for_selector("body[data-ready]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong
