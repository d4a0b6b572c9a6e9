"""The documents stay true: links and pictures are there, pictures are made by tests, and commands can be parsed."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from app.__main__ import split
from app.cli.main import _parser as cli_parser
from app.main.options import parser as window_parser
from app.workspace.__main__ import _parser as workspace_parser
from tests.core.updates._repository import tool

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "packaging" / "NOTICES.md", *ROOT.glob("docs/*.md"))
# The documents that tell people what to type.
MANUALS = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("guide", "proxy", "packages")))
IMAGES = ROOT / "docs" / "images"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BLOCK_LINE = re.compile(r"^(?: {4}(?! )|(?=\.venv/|python3 ))(.+)$", re.MULTILINE)
# A line may end within it.
INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# What stands for a number, or for one of several words.
VALUES = {"N": "5", "JSON": "{}", "PROGRAM": "zed", "ID": "zed", "…": "more"}
PICTURE = re.compile(r"[\w-]+\.png")
# The two that are made without a display: `f"{place}-{mode}.png"`.
OFFSCREEN = {"lab-light.png", "tasks-dark.png"}


def slugs(document: Path) -> set[str]:
    """The fragments that a forge gives to the headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_of_a_document_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, fragment = target.partition("#")
        path = (document.parent / unquote(name)).resolve() if name else document
        assert path.exists(), f"{document.name}: {target}"
        assert not fragment or fragment in slugs(path), f"{document.name}: {target}"


def test_every_picture_is_shown_in_a_document_and_made_by_a_test() -> None:
    shown = {
        Path(target).name
        for document in DOCUMENTS
        for target in LINK.findall(document.read_text("utf-8"))
        if target.endswith(".png")
    }
    assert shown == {path.name for path in IMAGES.iterdir()}
    made = {name for test in ROOT.glob("tests/e2e/test_*.py") for name in PICTURE.findall(test.read_text("utf-8"))}
    assert shown - OFFSCREEN <= made


def lines(document: Path) -> Iterator[str]:
    """What is written as code: lines of blocks, and pieces of sentences."""
    text = document.read_text("utf-8")
    yield from BLOCK_LINE.findall(text)
    yield from INLINE.findall(text)


def spellings(line: str) -> Iterator[list[str]]:
    """The arguments of a command of Burrow as documented, once with none of its `[options]` and once with each."""
    line = re.sub(r"^(\.venv/bin/)?(?=burrow)", "", line).partition(" #")[0]
    optional = re.findall(r"\[([^\]]+)\]", line)
    bare = re.sub(r"\[[^\]]+\]", "", line)
    for part in ("", *optional):
        words = [VALUES.get(word, word) for word in shlex.split(f"{bare} {part}")[1:]]
        # A link in a sentence may leave its end out.
        yield [word for word in words if word != "burrow://…"]


def commands(pattern: re.Pattern[str]) -> list[str]:
    found = {
        line.replace("\n", " ").partition("  ")[0]
        for manual in MANUALS
        for line in pattern.findall(manual.read_text("utf-8"))
    }
    return sorted(line for line in found if re.match(r"(\.venv/bin/)?burrow( |$)", line))


@pytest.mark.parametrize(
    ("line", "whole"),
    [*((line, True) for line in commands(BLOCK_LINE)), *((line, False) for line in commands(INLINE))],
)
def test_every_command_of_the_manuals_can_be_parsed(line: str, whole: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence may name the beginning of a command only."""
    for words in spellings(line):
        command, arguments = split(words)
        if command is None:
            parser, given = window_parser(), arguments
        elif command == "workspace":
            parser, given = workspace_parser(), ["--data", "DIR", *arguments]
        else:
            parser, given = cli_parser(), [command, *arguments]
        refusal = refused(parser, given, capsys)
        begun = "are required:" in refusal or "expected one argument" in refusal
        assert not refusal or (begun and not whole), f"burrow {shlex.join(words)}: {refusal}"


def refused(parser: argparse.ArgumentParser, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is wrong with the words; empty where the parser takes them. It would take the beginning of an option too."""
    short = {word for word in words if word.startswith("--") and word.partition("=")[0] not in options(parser)}
    if short:
        return f"{short} are no options"
    try:
        parser.parse_args(words)
    except SystemExit as left:
        return capsys.readouterr().err if left.code else ""
    return ""


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Those of the parser and of all below it."""
    found = {name for action in parser._actions for name in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*(options(below) for below in action.choices.values()))
    return found


def packaging_flags() -> set[str]:
    """Every option of the programs that make packages, on all systems."""
    found: set[str] = set()
    for program in ("package.py", "build.py"):
        command = [sys.executable, str(ROOT / "packaging" / program), "--help"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        found |= set(FLAG.findall(done.stdout))
    sys.path.insert(0, str(ROOT / "packaging"))
    try:
        recipes = [importlib.import_module(f"{system}.build") for system in ("macos", "windows")]
    finally:
        sys.path.remove(str(ROOT / "packaging"))
    parser = argparse.ArgumentParser()
    for recipe in recipes:
        recipe.add_options(parser)
    return found | set(FLAG.findall(parser.format_help()))


def test_every_option_of_the_packaging_manual_is_one() -> None:
    manual = ROOT / "docs" / "packages.md"
    repository = tool()._parser()
    named: set[str] = set()
    for line in lines(manual):
        if "repository.py" in line:
            repository.parse_args(shlex.split(line.partition("repository.py")[2]))
        elif not line.startswith(("gpg", "sha256sum", "./Burrow", "--appimage")):
            named |= set(FLAG.findall(line))
    named -= {"--notes", "--architecture", "--minimum-system"}
    assert named <= packaging_flags()
    release = "--version 0.2.0 --platform linux --kind portable --notes N --architecture aarch64 --minimum-system 2.36"
    assert repository.parse_args(["add", "REPOSITORY", "FILE", *release.split()]).minimum_system == "2.36"
