"""The frozen application and one set of packages of it, made once for all tests and again when their content changed.

Several processes may ask at once: one makes it, the others wait. `prepare.py` makes all beside the other tests.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
FROZEN = ROOT / "build" / "frozen"
PACKAGES = ROOT / "build" / "linux-packages"
PACKAGE = ROOT / "packaging" / "package.py"
FROZEN_SECONDS = 600.0
PACKAGES_SECONDS = 300.0
EPOCH = 1_700_000_000
# What `packaging/` and the application are found by, as the environment of dev.py finds them.
PYTHONPATH = f"{ROOT}{os.pathsep}{ROOT / 'packaging'}"
ENVIRONMENT = os.environ | {"PYTHONPATH": PYTHONPATH, "SOURCE_DATE_EPOCH": str(EPOCH)}
# What makes packages of the finished folder.
ONLY_PACKAGES = ("packaging/linux/", "packaging/updates/", "packaging/package.py", "packaging/reproduce.py")


def content_hash(*, packages: bool = False) -> str:
    """A name for everything that decides what the build is: our files, the packages' versions, the Python.

    With `packages` also what makes packages of it.
    """
    sources = [path for path in sorted((ROOT / "app").rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    sources += [path for path in sorted((ROOT / "packaging").rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    if not packages:
        sources = [path for path in sources if not path.relative_to(ROOT).as_posix().startswith(ONLY_PACKAGES)]
    digest = hashlib.sha256(f"{sys.version} {sys.prefix}".encode())
    for path in [*sources, ROOT / "LICENSE"]:
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:20]


def kept(place: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` in `place`, by `make` if it is not there yet; those of older content are removed."""
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        finished = place / name
        if not finished.exists():
            for other in place.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
            half = place / "half-made"
            make(half)
            half.rename(finished)
    return finished


def frozen_build() -> Path:
    """The application's folder as `python3 dev.py package` builds it."""

    def make(output: Path) -> None:
        command = [sys.executable, str(ROOT / "packaging" / "build.py"), "--output", str(output)]
        built = subprocess.run(
            command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=FROZEN_SECONDS
        )
        assert built.returncode == 0, built.stdout

    return kept(FROZEN, content_hash(), make) / "burrow"


def build_packages(application: Path, output: Path, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run the command behind `dev.py package` on a finished one-folder build."""
    command = [sys.executable, str(PACKAGE), "--fast", "--application", str(application), "--output", str(output)]
    return subprocess.run(
        [*command, *words],
        env=ENVIRONMENT | changed,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PACKAGES_SECONDS,
        check=False,
    )


def package_set() -> Path:
    """The folder with the `.deb`, the `.rpm`, the AppImage and their sums, compressed quickly."""
    application = frozen_build()

    def make(output: Path) -> None:
        built = build_packages(application, output, "all")
        assert built.returncode == 0, built.stdout

    return kept(PACKAGES, content_hash(packages=True), make)
