"""Builds the packages of this machine's system: `python3 dev.py package` runs this in the project's environment.

python3 dev.py package                    everything that this machine can build, into dist/
python3 dev.py package folder             only the one-folder application (packaging/build.py)
python3 dev.py package deb --output DIR   only the Debian package, into DIR
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import build
from linux import appimage, deb, extras, rpm
from linux.about import Release
from linux.dependencies import UnknownLibraries

import app

PACKAGING = Path(__file__).resolve().parent
ROOT = PACKAGING.parent

KINDS = {"deb": deb, "rpm": rpm, "appimage": appimage}


def main() -> int:
    parser = argparse.ArgumentParser(
        "dev.py package", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", nargs="*", choices=["folder", *KINDS, "all"], default="all", help="all by default")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where the packages are put")
    parser.add_argument("--application", type=Path, metavar="DIR", help="a one-folder build, instead of a new one")
    parser.add_argument("--fast", action="store_true", help="compress quickly, for tests")
    asked = parser.parse_args()
    output: Path = asked.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    try:
        application = asked.application or frozen(output)
        wanted = KINDS if asked.kind == "all" or "all" in asked.kind else [kind for kind in asked.kind if kind in KINDS]
        packages = make(list(wanted), application.resolve(), output, fast=asked.fast)
    except subprocess.CalledProcessError as error:
        return int(error.returncode) or 1
    except UnknownLibraries as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in packages or [application]))
    return 0


def frozen(output: Path) -> Path:
    """A new one-folder build. Raises `CalledProcessError`."""
    command = [sys.executable, str(PACKAGING / "build.py"), "--output", str(output)]
    subprocess.run(command, check=True)
    return output / "burrow"


def make(kinds: list[str], application: Path, output: Path, *, fast: bool) -> list[Path]:
    """The packages of these kinds. Raises `UnknownLibraries`, `CalledProcessError`."""
    release = Release(app.__version__, int(os.environ.get("SOURCE_DATE_EPOCH") or build.commit_time()))
    made = []
    with tempfile.TemporaryDirectory(prefix="burrow-package-") as folder:
        work = Path(folder)
        extras.write(work / "share", release)
        for kind in kinds:
            made.append(KINDS[kind].build(application, work / "share", output, work, release, fast=fast))
            shutil.rmtree(work / kind, ignore_errors=True)
    return made


if __name__ == "__main__":
    raise SystemExit(main())
