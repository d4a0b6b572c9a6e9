"""A defect in a command ends with exit code 1 and a report, and not with a bare traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.cli import accounts
from app.core.diagnostics.crashes import CrashReports
from tests._in_process import CommandLine


def test_a_command_that_fails_by_a_defect_names_its_report_which_has_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defective(_options: Any) -> int:
        raise KeyError("access_token=pha_canary0123456789")

    monkeypatch.setattr(accounts, "show_status", defective)
    command = CommandLine(tmp_path / "data", capsys, monkeypatch)
    assert command.run("status") == 1
    [report] = CrashReports(tmp_path / "data", {}).all()
    assert str(report.path) in command.words
    assert "Traceback" not in command.words
    assert "canary0123456789" not in command.words
    text = report.read()
    assert "An exception left a command." in text
    assert "in defective" in text
    assert "canary0123456789" not in text
