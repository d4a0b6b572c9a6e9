"""References to docs/wire.md lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs" / "wire.md"
REFERENCE = re.compile(r'docs/wire\.md, ((?:"[^"]+"(?:, | and | to )?)+)')


def headings() -> list[str]:
    return re.findall(r"^#{2,3} (.+)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)


def test_code_refers_to_headings_that_exist() -> None:
    named = set()
    for path in (ROOT / "app").rglob("*.py"):
        source = " ".join(path.read_text("utf-8").split())
        for names in REFERENCE.findall(source):
            named |= set(re.findall(r'"([^"]+)"', names))
    assert len(named) > 10
    assert named <= set(headings())


def test_the_document_links_to_each_of_its_sections() -> None:
    text = DOCUMENT.read_text("utf-8")
    sections = re.findall(r"^### (.+)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^a-z0-9 -]", "", name.lower()).replace(" ", "-") for name in sections]
    assert [name for name, anchor in zip(sections, anchors, strict=True) if f"[{name}](#{anchor})" not in text] == []


def test_no_reference_to_a_document_outside_the_repository() -> None:
    outside = re.compile(r"contract sections? \d|contract \d|\bL-\d")
    found = [
        str(path) for path in (ROOT / "app" / "workspace").rglob("*.py") if outside.search(path.read_text("utf-8"))
    ]
    assert found == []
