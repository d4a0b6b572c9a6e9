"""Forked processes of tests are processes like others: streams, environment, exit codes and signals of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import Forked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")

STREAMS = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@pytest.mark.parametrize(("text", "ended"), [("[1]", (0, "[\n    1\n]\n", "")), ("[", (1, "", "Expecting value"))])
def test_what_it_reads_writes_and_ends_with_is_its_own(text: str, ended: tuple[int, str, str]) -> None:
    with Forked("command", "json.tool", (), **STREAMS) as process:
        out, err = process.communicate(text, 20)
        assert (process.wait(0), out, err[: len(ended[2])]) == ended
        assert process.pid != os.getpid()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_and_nothing_beside_it(number: signal.Signals) -> None:
    with Forked("command", "json.tool", (), **STREAMS) as ended, Forked("command", "json.tool", (), **STREAMS) as other:
        assert ended.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            ended.wait(0.01)
        ended.send_signal(number)
        assert ended.wait(20) == -number
        assert other.poll() is None
        assert other.communicate("{}", 20)[0] == "{}\n"


def test_it_has_the_environment_and_the_folder_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "TZ": "UTC+7", "ONLY": "here"}
    (tmp_path / "shown.py").write_text("import os, time\nprint(os.environ['ONLY'], os.getcwd(), time.timezone)\n")
    with Forked("command", "shown", (), env=environment, **STREAMS) as process:
        assert process.communicate("", 20)[0].split() == ["here", str(tmp_path), str(7 * 3600)]
