"""The software bill of materials in the application's folder: CycloneDX 1.6 as JSON.

Specification: https://cyclonedx.org/docs/1.6/json/. It names the Python packages of the run-time lock that are
installed, and what comes with them or with Python: Qt and its ICU, CPython, OpenSSL, SQLite, PyInstaller's bootloader.
"""

from __future__ import annotations

import json
import platform
import re
import sqlite3
import ssl
import uuid
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FILE = "sbom.cdx.json"
QT_SOURCE = "https://download.qt.io/official_releases/qt/{short}/{version}/"
PYSIDE_SOURCE = "https://download.qt.io/official_releases/QtForPython/pyside6/PySide6-{version}-src/"


def bill(
    version: str, seconds: int, packages: list[metadata.Distribution], licences: dict[str, str], application: Path
) -> str:
    """The document for the folder `application`; the same input gives the same text. `licences` are by name."""
    parts = [_package(each, licences[each.name]) for each in packages] + _libraries(application)
    parts.sort(key=lambda part: str(part["bom-ref"]))
    me = f"pkg:generic/burrow@{version}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([me, seconds, parts]))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(seconds, UTC).isoformat(),
            "component": {
                "type": "application",
                "bom-ref": me,
                "name": "burrow",
                "version": version,
                "licenses": [{"expression": "MIT"}],
                "purl": me,
            },
        },
        "components": parts,
        "dependencies": [{"ref": me, "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _package(distribution: metadata.Distribution, licence: str) -> dict[str, Any]:
    name = re.sub(r"[-_.]+", "-", distribution.name).lower()
    expressions = distribution.metadata.get_all("License-Expression", [])
    said = {"expression": expressions[0]} if expressions else {"license": {"name": licence}}
    pages = []
    if name.startswith(("pyside6", "shiboken6")):
        pages.append(("source-distribution", PYSIDE_SOURCE.format(version=distribution.version)))
    return _component("library", (distribution.name, distribution.version), said, f"pypi/{name}", *pages)


def _libraries(application: Path) -> list[dict[str, Any]]:
    qt = metadata.version("PySide6-Essentials")
    source = ("source-distribution", QT_SOURCE.format(short=qt.rpartition(".")[0], version=qt))
    found = [
        _component("framework", ("Qt", qt), {"expression": "LGPL-3.0-only"}, "generic/qt", source),
        _component(
            "platform", ("CPython", platform.python_version()), {"expression": "Python-2.0.1"}, "generic/cpython"
        ),
        _component(
            "library", ("OpenSSL", ssl.OPENSSL_VERSION.split()[1]), {"expression": "Apache-2.0"}, "generic/openssl"
        ),
        _component("library", ("SQLite", sqlite3.sqlite_version), {"expression": "blessing"}, "generic/sqlite"),
    ]
    loader = {"expression": "GPL-2.0-or-later WITH Bootloader-exception"}
    found.append(_component("library", ("PyInstaller", metadata.version("pyinstaller")), loader, "pypi/pyinstaller"))
    for library in application.rglob("libicudata.so.*"):
        icu = ("ICU", library.suffix.removeprefix("."))
        found.append(_component("library", icu, {"expression": "Unicode-DFS-2016"}, "generic/icu"))
    return found


def _component(
    kind: str, named: tuple[str, str], licence: dict[str, Any], package: str, *pages: tuple[str, str]
) -> dict[str, Any]:
    """One component: its name with its version, the package URL without a version, and pages by their kind."""
    name, version = named
    reference = f"pkg:{package}@{version}"
    component: dict[str, Any] = {"type": kind, "bom-ref": reference, "name": name, "version": version}
    component |= {"licenses": [licence], "purl": reference}
    if pages:
        component["externalReferences"] = [{"type": which, "url": page} for which, page in pages]
    return component
