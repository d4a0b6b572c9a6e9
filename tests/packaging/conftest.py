"""The frozen application and how tests run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.packaging.builds import frozen_build
from tests.packaging.linux_packages import linux_packages, linux_share  # noqa: F401
from tests.packaging.sharing import SharedParts, make_scheduler


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SharedParts | None:
    return make_scheduler(config, log)


@pytest.fixture(scope="session")
def frozen_folder() -> Path:
    """The application's folder as `python3 dev.py package` builds it."""
    return frozen_build()


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
