"""Builds the frozen application once for all its tests, and again only when what goes into it changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / "build" / "frozen"
BUILD_SECONDS = 400.0


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


@pytest.fixture(scope="session")
def frozen_folder() -> Path:
    """The application's folder as `python3 dev.py package` builds it; builds of older content are removed."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    with FileLock(BUILDS / "lock"):
        finished = BUILDS / content_hash()
        if not finished.exists():
            for other in BUILDS.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
            half = BUILDS / "half-made"
            command = [sys.executable, str(ROOT / "packaging" / "build.py"), "--output", str(half)]
            built = subprocess.run(
                command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_SECONDS
            )
            assert built.returncode == 0, built.stdout
            half.rename(finished)
    return finished / "burrow"


@pytest.fixture(scope="session")
def burrow(frozen_folder: Path) -> Path:
    """The frozen executable."""
    return frozen_folder / ("burrow.exe" if sys.platform == "win32" else "burrow")


@pytest.fixture
def plain_environment(tmp_path: Path) -> dict[str, str]:
    """What a person's session has and a developer's has more of: no Python variables, a home and data of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QT_", "XDG_", "VIRTUAL"))
    }
    kept.pop("DBUS_SESSION_BUS_ADDRESS", None)
    home = tmp_path / "home"
    home.mkdir()
    return kept | {"HOME": str(home), "BURROW_DATA": str(tmp_path / "data"), "PATH": os.defpath}


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process with piped input and output that is ended, politely first, when the block is left."""
    with subprocess.Popen(
        command, env=environment, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def run_burrow(burrow: Path, plain_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the frozen executable to its end, from a foreign folder."""

    def run(*arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        command = [str(burrow), *arguments]
        return subprocess.run(
            command, env=plain_environment, cwd="/", capture_output=True, text=True, timeout=seconds, check=False
        )

    return run


from tests.packaging.linux_packages import linux_packages, linux_share  # noqa: E402, F401 - uses what is above
