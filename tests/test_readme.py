"""The README tells the truth: its example prints what stands below it, and its links lead."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.S).group(1)


def test_the_example_prints_what_the_readme_says(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(block("python"))
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stdout == block("text")


def test_the_equations_are_what_the_readme_says(tmp_path):
    code, printed = re.search(
        r"```python\n([^`]*?print\(torch\.equations\(J\)\)\n)```\n\n```text\n(.*?)```", README, re.S
    ).groups()
    script = tmp_path / "train.py"
    script.write_text("import chainrule as torch\n" + code)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stdout == printed


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_dependency_has_its_line():
    project = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[(.*?)\]", project, re.S | re.M).group(1)
    for name in re.findall(r'"([A-Za-z_]+)', listed):
        assert re.search(rf"^\| {name} \|", README, re.I | re.M), name
