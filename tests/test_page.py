"""The page as a file: its data is text whatever it holds, and it asks for nothing."""

import json
import re

import pytest

import chainrule as torch
from chainrule.view.page import page
from chainrule.view.snapshot import snapshot

HOSTILE = ["</script>", "<!--<script>", "]]>", "\u2028\u2029", "\udcff", "\0\x1f", "&lt;", "${x}`"]


def embedded(html):
    """The JSON in a page, as its script reads it."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return found.group(1)


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_in_the_data_stays_data(text):
    node = {"id": 0, "name": text, "op": "leaf", "label": text, "kind": "data", "path": text}
    data = {"format": "chainrule.graph", "version": 1, "title": text, "nodes": [node]}
    html = page(data)
    assert json.loads(embedded(html)) == data
    assert "<" not in embedded(html)
    assert html.count("<script") == html.count("</script>") == 2
    html.encode("utf-8")


def test_the_page_names_no_address_but_that_of_svg():
    x = torch.tensor(3.0, requires_grad=True)
    html = page(snapshot(x * x, times=False).data)
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in html
    assert not re.search(r"@import|url\(|<link|<iframe|src=", html)


def test_numbers_that_json_lacks_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="not JSON compliant"):
        page({"title": "t", "nodes": [{"id": 0, "us": float("nan")}]})
