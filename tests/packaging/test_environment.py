"""What the frozen application starts gets the person's environment: a program with another OpenSSL loads its own."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.until import until

if TYPE_CHECKING:
    from tests.conftest import RunningWorkspace

if sys.platform != "linux":
    pytest.skip("the dynamic loader of Linux", allow_module_level=True)

pytestmark = pytest.mark.packaged

PROGRAM = Path(__file__).parent / "_linked_program.py"
LIBRARIES = ("libcrypto.so.3", "libssl.so.3")


def own_libraries() -> list[Path]:
    """The OpenSSL that this Python loads without help."""
    assert ssl.OPENSSL_VERSION
    lines = Path("/proc/self/maps").read_text("utf-8").splitlines()
    return sorted({Path(line.split()[-1]) for line in lines if line.endswith(LIBRARIES)})


def program(report: Path, *arguments: str) -> str:
    return shlex.join([sys.executable, "-I", str(PROGRAM), str(report), *arguments])


def told(report: Path) -> dict[str, Any]:
    asyncio.run(until(report.exists, 30))
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


@pytest.fixture(params=["without libraries of their own", "with libraries of their own"])
def libraries(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], list[str]]:
    """What the person says of libraries, and the OpenSSL that their programs load then."""
    ours = own_libraries()
    if request.param.startswith("without"):
        return {}, [str(each) for each in ours]
    folder = tmp_path / "libraries"
    folder.mkdir()
    theirs = [str(shutil.copy(each, folder)) for each in ours]
    return {"LD_LIBRARY_PATH": str(folder)}, theirs


def test_the_browser_gets_the_persons_variables_and_loads_their_openssl(
    burrow: Path,
    plain_environment: dict[str, str],
    libraries: tuple[dict[str, str], list[str]],
    workspace: RunningWorkspace,
    tmp_path: Path,
) -> None:
    said, theirs = libraries
    report = tmp_path / "report"
    session = {
        **plain_environment,
        **said,
        "BROWSER": program(report, "%s"),
        "OPENSSL_MODULES": "/home/ana/modules",
        "QT_API": "pyqt5",
        "QT_PLUGIN_PATH": "/home/ana/qt/plugins",
    }
    command = [str(burrow), "login", "--host", workspace.url, "--store", "file"]
    with subprocess.Popen(
        command, env=session, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            found = told(report)
        finally:
            process.terminate()
    assert found["loaded"] == theirs
    assert found["environment"] == session


def test_a_server_on_its_pipes_loads_its_own_openssl(
    burrow: Path, plain_environment: dict[str, str], libraries: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    report = tmp_path / "report"
    command = [str(burrow), "mcp", "tools", "--stdio", program(report), "--json"]
    finished = subprocess.run(
        command, env={**plain_environment, **libraries[0]}, cwd="/", capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    # Servers inherit a few variables only, and no LD_LIBRARY_PATH.
    assert told(report)["loaded"] == [str(each) for each in own_libraries()]
