"""One set of Linux packages for all tests, compressed quickly, built again only when what goes into them changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests.packaging.conftest import ROOT, content_hash

BUILDS = ROOT / "build" / "linux-packages"
PACKAGE = ROOT / "packaging" / "package.py"
BUILD_SECONDS = 300.0
EPOCH = 1_700_000_000
# What `packaging/` and the application are found by, as the environment of dev.py finds them.
PYTHONPATH = f"{ROOT}{os.pathsep}{ROOT / 'packaging'}"
ENVIRONMENT = os.environ | {"PYTHONPATH": PYTHONPATH, "SOURCE_DATE_EPOCH": str(EPOCH)}

WRITE = """
import sys
from pathlib import Path
from linux import extras
from linux.about import Release
import app
extras.write(Path(sys.argv[1]), Release(app.__version__, int(sys.argv[2]), "x86_64"))
"""


@dataclass(frozen=True)
class Packages:
    """The files that `dev.py package` made in one folder."""

    folder: Path

    @property
    def deb(self) -> Path:
        return self._only("*.deb")

    @property
    def rpm(self) -> Path:
        return self._only("*.rpm")

    @property
    def appimage(self) -> Path:
        return self._only("*.AppImage")

    def _only(self, pattern: str) -> Path:
        (found,) = self.folder.glob(pattern)
        return found


def build_packages(application: Path, output: Path, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run the command behind `dev.py package` on a finished one-folder build."""
    command = [sys.executable, str(PACKAGE), "--fast", "--application", str(application), "--output", str(output)]
    environment = ENVIRONMENT | changed
    return subprocess.run(
        [*command, *words],
        env=environment,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )


@pytest.fixture(scope="session")
def linux_packages(frozen_folder: Path) -> Packages:
    """The `.deb`, the `.rpm`, the AppImage and their sums; sets of older content are removed."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    with FileLock(BUILDS / "lock"):
        finished = BUILDS / content_hash(packages=True)
        if not finished.exists():
            for other in BUILDS.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
            built = build_packages(frozen_folder, BUILDS / "half-made", "all")
            assert built.returncode == 0, built.stdout
            (BUILDS / "half-made").rename(finished)
    return Packages(finished)


def write_share(target: Path, **changed: str) -> Path:
    command = [sys.executable, "-c", WRITE, str(target), str(EPOCH)]
    written = subprocess.run(
        command, env=ENVIRONMENT | changed, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert written.returncode == 0, written.stderr
    return target


@pytest.fixture(scope="session")
def linux_share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the packages put below /usr/share."""
    return write_share(tmp_path_factory.mktemp("linux") / "share")
