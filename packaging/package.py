"""Builds the packages of this machine's system: `python3 dev.py package` runs this in the project's environment.

    python3 dev.py package                    everything that this machine can build, into dist/
    python3 dev.py package folder             only the one-folder application (packaging/build.py)
    python3 dev.py package deb --output DIR   only the Debian package, into DIR

Beside the packages it writes SHA256SUMS, and with a key SHA256SUMS.asc.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import build
import elsewhere
import reproduce
from linux import appimage, deb, extras, rpm
from linux.about import Release
from linux.appimage import RuntimeTrouble
from linux.dependencies import UnknownLibraries

import app
import dev

PACKAGING = Path(__file__).resolve().parent
ROOT = PACKAGING.parent
KINDS = {"deb": deb, "rpm": rpm, "appimage": appimage}
SUMS = "SHA256SUMS"


def main() -> int:
    if sys.platform in {"win32", "darwin"}:
        return elsewhere.main()
    parser = argparse.ArgumentParser(
        "dev.py package", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", nargs="*", choices=["folder", *KINDS, "all"], default="all", help="all by default")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where the packages are put")
    parser.add_argument("--application", type=Path, metavar="DIR", help="a one-folder build, instead of a new one")
    parser.add_argument("--fast", action="store_true", help="compress quickly, for tests")
    parser.add_argument("--sign", metavar="KEY", help=f"sign {SUMS} with this key of gpg")
    parser.add_argument("--check", action="store_true", help="build everything twice and compare; some minutes")
    asked = parser.parse_args()
    every = asked.kind == "all" or "all" in asked.kind
    wanted = list(KINDS) if every else [kind for kind in KINDS if kind in asked.kind]
    output: Path = asked.output.resolve()
    try:
        wanted = buildable(wanted, every=every)
        if asked.check:
            return reproduce.check(["folder", *wanted], fast=asked.fast)
        output.mkdir(parents=True, exist_ok=True)
        application = asked.application or frozen(output)
        packages = make(wanted, application.resolve(), output, fast=asked.fast)
        if packages:
            packages.append(write_sums(packages, output))
        if packages and asked.sign:
            packages.append(sign(output / SUMS, asked.sign))
    except subprocess.CalledProcessError as error:
        return int(error.returncode) or 1
    except (UnknownLibraries, RuntimeTrouble) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in packages or [application]))
    return 0


def buildable(kinds: list[str], *, every: bool) -> list[str]:
    """Those whose tools are here. Says what is left out of `every` kind, and stops for one that was asked for."""
    lacking = {kind: dev.missing(dev.PACKAGE_TOOLS[kind]) for kind in kinds}
    for kind, needs in lacking.items():
        if needs and not every:
            dev.stop(dev.missing_words(needs, dev.this_system()))
        if needs:
            sys.stderr.write(f"Left out: {kind}. It needs {', '.join(need.package for need in needs)}.\n")
    return [kind for kind in kinds if not lacking[kind]]


def frozen(output: Path) -> Path:
    """A new one-folder build. Raises `CalledProcessError`."""
    command = [sys.executable, str(PACKAGING / "build.py"), "--output", str(output)]
    subprocess.run(command, check=True)
    return output / "burrow"


def make(kinds: list[str], application: Path, output: Path, *, fast: bool) -> list[Path]:
    """The packages of these kinds. Raises `UnknownLibraries`, `RuntimeTrouble`, `CalledProcessError`."""
    release = Release(app.__version__, int(os.environ.get("SOURCE_DATE_EPOCH") or build.commit_time()))
    made: list[Path] = []
    if not kinds:
        return made
    with tempfile.TemporaryDirectory(prefix="burrow-package-") as folder:
        work = Path(folder)
        extras.write(work / "share", release)
        for kind in kinds:
            made.append(KINDS[kind].build(application, work / "share", output, work, release, fast=fast))
            shutil.rmtree(work / kind)
    return made


def write_sums(packages: list[Path], output: Path) -> Path:
    """What `sha256sum --check SHA256SUMS` reads."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in packages]
    (output / SUMS).write_text("".join(lines), "utf-8")
    return output / SUMS


def sign(sums: Path, key: str) -> Path:
    """The detached signature beside the file. Raises `CalledProcessError`."""
    signature = sums.with_name(f"{sums.name}.asc")
    signature.unlink(missing_ok=True)
    subprocess.run(
        ["gpg", "--batch", "--local-user", key, "--armor", "--detach-sign", "--output", signature, sums], check=True
    )
    return signature


if __name__ == "__main__":
    raise SystemExit(main())
