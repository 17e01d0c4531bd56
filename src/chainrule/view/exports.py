"""A snapshot's data in other forms: a small program, Graphviz, Mermaid, and what repeats."""

from __future__ import annotations

from typing import Any

from .svg import escape
from .table import table

Data = dict[str, Any]
MEASURED = ("us", "kernels")  # what another run, or machine, finds otherwise
FRAME_HEIGHT = 640


def frame(html: str) -> str:
    """A page inside of another one, as a notebook shows it."""
    return (f'<iframe srcdoc="{escape(html)}" width="100%" height="{FRAME_HEIGHT}" '
            'style="border: 0" title="the graph"></iframe>')


def repeatable(data: Data) -> Data:
    """The data without what is measured, so that the same run gives the same bytes."""
    kept = {key: fact for key, fact in data.items() if key not in MEASURED}
    return kept | {"nodes": [
        {key: fact for key, fact in node.items() if key not in MEASURED}
        for node in data["nodes"]]}


# --------------------------------------------------------------------------- a small program
def program(data: Data) -> str:
    """The graph as a small program: one node a line, with shape, value, gradient and source.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> print(torch.snapshot(y))  # doctest: +ELLIPSIS
    %0 x = leaf         float32[]  3.00  d 6.00  ...
    %1 y = mul(%0, %0)  float32[]  9.00  d 1.00  ...
    """
    return table([_line(node) for node in data["nodes"]])


def _line(node: Data) -> list[str]:
    attrs = [f"{key}={value}" for key, value in node.get("attrs", {}).items()]
    inputs = [f"%{i}" for i in node.get("inputs", ())]
    call = node["op"] if not inputs else f"{node['op']}({', '.join(inputs + attrs)})"
    gradient = node.get("gradient")
    return [
        f"%{node['id']} {node.get('name', '')}".rstrip(), f"= {call}",
        f"{node['dtype']}[{','.join(map(str, node['shape']))}]" if "dtype" in node else "",
        node["value"]["text"] if "value" in node else "",
        f"d {gradient['text']}" if gradient else "",
        f"{node['file']}:{node['line']}", node.get("source", ""),
    ]


# --------------------------------------------------------------------------- Graphviz, Mermaid
_SHAPES = {"operator": "ellipse", "constant": "plaintext"}


def dot(data: Data) -> str:
    """The graph in the language of Graphviz: groups are clusters, edges carry value and gradient.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> 'n0 -> n1 [label="3.00\\\\nd 3.00"]' in torch.snapshot(y).dot()
    True
    """
    lines = ["digraph chainrule {", "  rankdir=LR; node [fontsize=11]; edge [fontsize=9];"]
    lines += _dot_group(data, 0, "  ")
    for edge in data["edges"]:
        text = "\n".join(_edge_texts(data, edge))
        lines.append(f"  n{edge['tail']} -> n{edge['head']} [label={_quoted(text)}];")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_group(data: Data, group: int, indent: str) -> list[str]:
    lines = []
    for node in data["nodes"]:
        if node["group"] == group:
            shape = _SHAPES.get(node["kind"], "box")
            lines.append(f"{indent}n{node['id']} [shape={shape}, label={_quoted(_title(node))}];")
    for inner in data["groups"]:
        if inner.get("parent") == group and inner["id"]:
            lines.append(f"{indent}subgraph cluster_{inner['id']} {{")
            lines.append(f"{indent}  label={_quoted(inner['label'])};")
            lines += _dot_group(data, inner["id"], indent + "  ")
            lines.append(f"{indent}}}")
    return lines


def mermaid(data: Data) -> str:
    """The graph in the language of Mermaid: groups are subgraphs.

    >>> import chainrule as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> print(torch.snapshot(y).mermaid())
    flowchart LR
      n0["x"]
      n1(["y = ×"])
      n0 -->|"3.00 / d 3.00"| n1
      n0 -->|"3.00 / d 3.00"| n1
    <BLANKLINE>
    """
    lines = ["flowchart LR", *_mermaid_group(data, 0, "  ")]
    for edge in data["edges"]:
        text = " / ".join(_edge_texts(data, edge))
        lines.append(f"  n{edge['tail']} -->|{_entities(text)}| n{edge['head']}")
    return "\n".join(lines) + "\n"


def _mermaid_group(data: Data, group: int, indent: str) -> list[str]:
    lines = []
    for node in data["nodes"]:
        if node["group"] == group:
            left, right = ("([", "])") if node["kind"] == "operator" else ("[", "]")
            lines.append(f"{indent}n{node['id']}{left}{_entities(_title(node))}{right}")
    for inner in data["groups"]:
        if inner.get("parent") == group and inner["id"]:
            lines.append(f"{indent}subgraph g{inner['id']}[{_entities(inner['label'])}]")
            lines += _mermaid_group(data, inner["id"], indent + "  ")
            lines.append(f"{indent}end")
    return lines


def _title(node: Data) -> str:
    name, label = node.get("name", ""), node.get("label", "")
    return f"{name} = {label}" if name and node["kind"] == "operator" else name or label or "leaf"


def _edge_texts(data: Data, edge: Data) -> list[str]:
    value, gradient = data["nodes"][edge["tail"]]["value"], edge.get("gradient")
    return [value["text"]] + ([f"d {gradient['text']}"] if gradient else [])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _entities(text: str) -> str:
    """A text in quotes: in Mermaid, what has a meaning is written by its number."""
    special = '"<>#&;|`\n'
    return '"' + "".join(f"#{ord(c)};" if c in special else c for c in text) + '"'
