"""Nothing of a root is left, however the process ends that made it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots.conftest import on_suite
from tests.packaging.roots.root import wait_until

if TYPE_CHECKING:
    from tests.packaging.roots.conftest import Installed

pytestmark = pytest.mark.packaged

KILLED = """
import subprocess, sys
from pathlib import Path
from tests.packaging.roots.root import Root
with Root(Path(sys.argv[1])) as root:
    sleep = subprocess.Popen(root.command("sleep", "86399", person=True), env=root.variables())
    while not root.processes():
        pass
    print(root.folder, flush=True)
    sys.stdin.read()
"""


def running(words: str) -> bool:
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in place.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                return True
        except OSError:
            continue
    return False


@on_suite("trixie")
def test_nothing_is_left_running_or_mounted_when_the_runner_of_the_tests_is_killed(installed: Installed) -> None:
    lower = installed.root.lower[-1]
    command = [sys.executable, "-c", KILLED, str(lower)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        folder = Path(runner.stdout.readline().strip())
        assert running("sleep 86399")
        assert (folder / "etc/passwd").exists()
        runner.send_signal(signal.SIGKILL)
    wait_until(lambda: not running("sleep 86399"))
    wait_until(lambda: not folder.exists())
    stage = str(folder).partition("/root/")[2]
    assert stage not in Path("/proc/self/mounts").read_text()
