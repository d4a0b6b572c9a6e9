"""Builds the one-folder application: `python3 dev.py package` runs this in the project's environment.

Two builds of one commit are the same bytes: file times come from the commit (SOURCE_DATE_EPOCH,
https://reproducible-builds.org/specs/source-date-epoch/) and hashing is not randomised.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import macos.build
from same_bytes import check_reproducible
from sbom import FILE, bill
from trim import level, trim

PACKAGING = Path(__file__).resolve().parent
ROOT = PACKAGING.parent
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|authors)", re.IGNORECASE)


def commit_time() -> str:
    """When the commit that is built was made, in seconds since 1970; 1980 (the oldest a zip can say) outside git."""
    command = ["git", "log", "-1", "--format=%ct"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return finished.stdout.strip() or "315532800"


def source_date() -> str:
    """The time that every build of this source says it was made at."""
    return os.environ.get("SOURCE_DATE_EPOCH") or commit_time()


def freeze(output: Path, work: Path) -> Path:
    """Run PyInstaller and trim what it made; the application's folder below `output`. Raises `CalledProcessError`."""
    same_bytes = {
        "SOURCE_DATE_EPOCH": source_date(),
        "PYTHONHASHSEED": "1",
        "PYINSTALLER_CONFIG_DIR": str(work / "cache"),
    }
    command = [
        sys.executable,
        "-m",
        "PyInstaller",
        str(PACKAGING / "burrow.spec"),
        "--noconfirm",
        "--log-level",
        "WARN",
    ]
    command += ["--distpath", str(output), "--workpath", str(work)]
    subprocess.run(command, cwd=ROOT, env=os.environ | same_bytes, check=True)
    trim(output / "burrow")
    return output / "burrow"


def shipped_distributions() -> list[metadata.Distribution]:
    """The packages of the run-time lock that are installed on this platform, by name."""
    lock = (PACKAGING / "requirements.lock").read_text(encoding="utf-8")
    found = []
    for name in re.findall(r"^([a-z0-9][a-z0-9.-]*)==", lock, re.MULTILINE):
        try:
            found.append(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            continue
    return found


def write_licences(application: Path) -> None:
    """Put our licence, the notices, and every shipped package's own texts into the application's folder."""
    shutil.copy(ROOT / "LICENSE", application)
    shutil.copy(PACKAGING / "NOTICES.md", application)
    licences = application / "licences"
    shutil.copytree(PACKAGING / "licences", licences, dirs_exist_ok=True)
    # On Windows it is beside the interpreter.
    for place in (Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))):
        if (place / "LICENSE.txt").exists():
            shutil.copy(place / "LICENSE.txt", licences / "CPython.txt")
    rows = ["# Packages inside this application", "", "| package | version | licence |", "|---|---|---|"]
    for distribution in shipped_distributions():
        rows.append(f"| {distribution.name} | {distribution.version} | {licence_of(distribution)} |")
        for file in distribution.files or ():
            if ".dist-info" in file.parts[0] and LICENCE_FILE.search(file.name):
                target = licences / distribution.name / file.name
                target.parent.mkdir(exist_ok=True)
                shutil.copy(Path(str(distribution.locate_file(file))), target)
    (licences / "THIRD_PARTY.md").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_bill(application: Path) -> None:
    """Put the software bill of materials into the application's folder."""
    packages = shipped_distributions()
    version = runpy.run_path(str(ROOT / "app" / "__init__.py"))["__version__"]
    licences = {each.name: licence_of(each) for each in packages}
    text = bill(version, int(source_date()), packages, licences, application)
    (application / FILE).write_text(text, encoding="utf-8")


def licence_of(distribution: metadata.Distribution) -> str:
    """The licence in the words of the package's metadata: the SPDX expression, the classifiers, or the old field."""

    def field(name: str) -> list[str]:
        return distribution.metadata.get_all(name) or []

    named = [text.rsplit(" :: ", 1)[-1] for text in field("Classifier") if text.startswith("License ::")]
    first_lines = [text.strip().split("\n")[0] for text in field("License")]
    return ", ".join(field("License-Expression") or named or first_lines) or "see its own text"


def main() -> int:
    parser = argparse.ArgumentParser("build.py", description="Build the one-folder application.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where the folder `burrow` is put")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "pyinstaller", help="scratch space")
    parser.add_argument("--check-reproducible", action="store_true", help="build twice and compare; keeps neither")
    asked = parser.parse_args()
    try:
        if asked.check_reproducible:
            return check_reproducible(source_date())
        application = freeze(asked.output.resolve(), asked.work.resolve())
    except subprocess.CalledProcessError as error:
        return int(error.returncode) or 1
    write_licences(application)
    write_bill(application)
    level(application, int(source_date()))
    if macos.build.bundle_of(application).exists():
        macos.build.finish(application, int(source_date()))
    sys.stdout.write(f"{application / 'burrow'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
