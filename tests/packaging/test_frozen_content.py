"""What is in the frozen application's folder, and what is not: licences, a bill of materials, no path of a build."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import app

pytestmark = pytest.mark.packaged

LARGEST_MEGABYTES = 120
ROOT = Path(__file__).resolve().parents[2]
ANSWERS = Path(__file__).parent / "_icu_answers.py"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="ELF files")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def libraries(folder: Path) -> list[str]:
    return [str(path) for path in files(folder) if ".so" in path.suffixes]


def test_the_licences_and_qt_notices_come_along(frozen_folder: Path) -> None:
    notices = (frozen_folder / "NOTICES.md").read_text(encoding="utf-8")
    packages = (frozen_folder / "licences" / "THIRD_PARTY.md").read_text(encoding="utf-8")
    assert (frozen_folder / "LICENSE").exists()
    assert "Lesser General Public License" in notices
    for text in ("LGPL-3.0.txt", "GPL-3.0.txt", "ICU.txt"):
        assert f"licences/{text}" in notices
        assert (frozen_folder / "licences" / text).stat().st_size > 7000
    (qt_version,) = re.findall(r"\| PySide6_Essentials \| (\S+) \|", packages)
    assert f"version {qt_version}" in notices
    assert not re.search(r"\| A?GPL", packages, re.MULTILINE), "a GPL-only package"


def test_the_bill_of_materials_names_all_that_is_shipped_and_where_qt_comes_from(frozen_folder: Path) -> None:
    bill: dict[str, Any] = json.loads((frozen_folder / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == app.__version__
    parts = {part["name"]: part for part in bill["components"]}
    table = (frozen_folder / "licences" / "THIRD_PARTY.md").read_text(encoding="utf-8")
    for name, version in re.findall(r"^\| (\S+) \| (\d\S*) \|", table, re.MULTILINE):
        assert parts[name]["version"] == version
        assert parts[name]["licenses"]
    assert {"tuf", "Qt", "CPython", "OpenSSL", "SQLite"} <= parts.keys()
    assert f"qt/{parts['Qt']['version'][:4]}" in parts["Qt"]["externalReferences"][0]["url"]
    assert len({part["bom-ref"] for part in parts.values()}) == len(bill["components"])


def test_qt_stays_replaceable_and_nothing_unused_is_carried(frozen_folder: Path) -> None:
    names = {path.name for path in files(frozen_folder)}
    assert any(name.startswith(("libQt6Core.so", "Qt6Core.dll")) for name in names)
    for unused in ("libQt6Qml", "libQt6Quick", "libQt6Network", "libgtk-3", "libX11", "libqsqlite", "RECORD"):
        assert not [name for name in names if name.startswith(unused)]
    assert sum(path.stat().st_size for path in files(frozen_folder)) <= LARGEST_MEGABYTES * 1_000_000


@LINUX
def test_every_library_finds_what_it_needs_without_the_build_machine(frozen_folder: Path) -> None:
    found = libraries(frozen_folder)
    listing = subprocess.run(["ldd", *found], capture_output=True, text=True, timeout=60, check=False).stdout
    assert [line.strip() for line in listing.splitlines() if "not found" in line] == []
    entries = subprocess.run(["readelf", "-d", *found], capture_output=True, text=True, timeout=60, check=True).stdout
    paths = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", entries)
    assert paths, "no library has a path any more, not even Qt's"
    assert [path for path in paths if not path.startswith("$ORIGIN")] == []


def test_no_file_says_where_it_was_built(frozen_folder: Path, burrow: Path) -> None:
    from PyInstaller.archive.readers import CArchiveReader

    places = [os.fsencode(place) for place in (str(ROOT), sys.prefix)]
    for path in files(frozen_folder):
        content = path.read_bytes()
        assert [place for place in places if place in content] == [], path
    modules = CArchiveReader(str(burrow)).open_embedded_archive("PYZ.pyz")
    absolute = set()
    for name in modules.toc:
        code = modules.extract(name)
        if isinstance(code, CodeType) and os.path.isabs(code.co_filename):
            absolute.add(code.co_filename)
    assert absolute == set()


@LINUX
def test_qt_gets_the_same_answers_from_its_smaller_icu_data(frozen_folder: Path) -> None:
    (smaller,) = frozen_folder.rglob("libicudata.so.*")

    def answers(**variables: str) -> dict[str, Any]:
        command = [sys.executable, str(ANSWERS)]
        ended = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    whole = answers()
    assert all(whole["known"].values())
    assert answers(LD_PRELOAD=str(smaller)) == whole
    assert whole["order"]["sv_SE"] != whole["order"]["de_DE"]
