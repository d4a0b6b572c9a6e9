"""One set of Linux packages for all tests, and what the packages put below /usr/share."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.builds import ENVIRONMENT, EPOCH, package_set

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


@pytest.fixture(scope="session")
def linux_packages() -> Packages:
    """The `.deb`, the `.rpm`, the AppImage and their sums."""
    return Packages(package_set())


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
