"""The files for the desktop and the shell: valid for the tools that read them, complete against the real parsers."""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

import app
from app.__main__ import SUBCOMMANDS
from app.cli.main import _parser as cli_parser
from app.main.options import parser as window_parser
from app.workspace.__main__ import _parser as workspace_parser
from tests.packaging.linux_packages import write_share

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

SIZES = (16, 22, 24, 32, 48, 64, 96, 128, 256, 512)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command's words with its own parser, as the program has them."""
    yield "", window_parser()
    yield "workspace", workspace_parser()
    pending = [("", cli_parser())]
    while pending:
        words, parser = pending.pop()
        groups = [action for action in parser._actions if type(action).__name__ == "_SubParsersAction"]
        if words and not groups:
            yield words, parser
        for group in groups:
            assert group.choices is not None
            pending += [(f"{words} {name}".strip(), below) for name, below in group.choices.items()]  # type: ignore[attr-defined]


def test_the_desktop_entry_is_valid_and_takes_links(linux_share: Path) -> None:
    file = linux_share / "applications" / "burrow.desktop"
    checked = run("desktop-file-validate", file)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    lines = file.read_text("utf-8").splitlines()
    assert "MimeType=x-scheme-handler/burrow;" in lines
    assert "Exec=burrow %u" in lines
    assert "StartupWMClass=Burrow" in lines


def test_every_command_of_the_entry_is_one_that_burrow_takes(linux_share: Path) -> None:
    text = (linux_share / "applications" / "burrow.desktop").read_text("utf-8")
    commands = re.findall(r"^Exec=burrow ?(.*)$", text, re.MULTILINE)
    assert len(commands) == 4
    for words in commands:
        link = words.replace("%u", "burrow://task/7").split()
        assert vars(window_parser().parse_args(link)) != vars(window_parser().parse_args([]))


def test_software_centres_can_read_the_description(linux_share: Path) -> None:
    file = linux_share / "metainfo" / "burrow.metainfo.xml"
    # The id is the desktop entry's name, as Qt and the portals want it.
    checked = run("appstreamcli", "validate", "--no-net", "--override=cid-desktopapp-is-not-rdns=info", file)
    assert checked.returncode == 0, checked.stdout
    (release,) = ElementTree.parse(file).getroot().iter("release")
    assert release.attrib == {"version": app.__version__, "date": "2023-11-14"}


def test_a_distributor_adds_its_addresses(linux_share: Path, tmp_path: Path) -> None:
    own = write_share(
        tmp_path / "share",
        BURROW_HOMEPAGE="https://burrow.example/",
        BURROW_SCREENSHOT="https://burrow.example/shot.png",
    )
    text = (own / "metainfo" / "burrow.metainfo.xml").read_text("utf-8")
    assert '<url type="homepage">https://burrow.example/</url>' in text
    assert "<image>https://burrow.example/shot.png</image>" in text
    for part in ("icons", "man", "fish"):
        for file in (path for path in (linux_share / part).rglob("*") if path.is_file()):
            assert (own / file.relative_to(linux_share)).read_bytes() == file.read_bytes(), "not the same bytes twice"


@pytest.mark.parametrize("size", SIZES)
def test_there_is_an_icon_of_this_size(linux_share: Path, size: int) -> None:
    data = (linux_share / "icons" / "hicolor" / f"{size}x{size}" / "apps" / "burrow.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    # The width and height in the first chunk (PNG specification, section 11.2.1).
    assert struct.unpack(">II", data[16:24]) == (size, size)


def test_the_scalable_icon_is_the_same_drawing(linux_share: Path, qapp: object) -> None:
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    icons = linux_share / "icons" / "hicolor"
    painted = QImage(str(icons / "256x256" / "apps" / "burrow.png")).convertToFormat(QImage.Format.Format_ARGB32)
    drawn = QImage(256, 256, QImage.Format.Format_ARGB32)
    drawn.fill(0)
    drawing = QSvgRenderer(str(icons / "scalable" / "apps" / "burrow.svg"))
    assert (drawing.defaultSize().width(), drawing.defaultSize().height()) == (64, 64)
    painter = QPainter(drawn)
    drawing.render(painter)
    painter.end()
    spots = [(x, y) for x in range(4, 256, 8) for y in range(4, 256, 8)]
    same = sum(painted.pixelColor(x, y) == drawn.pixelColor(x, y) for x, y in spots)
    assert same > 0.97 * len(spots)
    assert len({painted.pixelColor(x, y).name() for x, y in spots}) >= 3


def test_the_manual_page_has_every_command_and_option(linux_share: Path) -> None:
    page = gzip.decompress((linux_share / "man" / "man1" / "burrow.1.gz").read_bytes()).decode()
    shown = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=200"], input=page, capture_output=True, text=True, timeout=60, check=True
    )
    text = re.sub(r".\x08", "", shown.stdout)
    sections = re.split(r"^ {1,4}burrow ", text.partition("\nCOMMANDS")[2], flags=re.MULTILINE)[1:]
    by_command = {re.split(r" (?=\[)", section.partition("\n")[0])[0]: section for section in sections}
    by_command[""] = text.partition("\nOPTIONS")[2].partition("\nCOMMANDS")[0]
    found = dict(parsers())
    assert {words.split()[0] for words in found if words} >= SUBCOMMANDS
    assert by_command.keys() == found.keys()
    for words, parser in found.items():
        for flag in (flag for action in parser._actions for flag in action.option_strings):
            assert re.search(rf"(?<![\w-]){flag}(?![\w-])", by_command[words]), f"burrow {words} {flag}"


def test_the_manual_page_has_no_fault(linux_share: Path) -> None:
    page = gzip.decompress((linux_share / "man" / "man1" / "burrow.1.gz").read_bytes())
    checked = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning"], input=page, capture_output=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, b"")
