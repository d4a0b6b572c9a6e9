"""A pytest plugin: collects what the tests of the fault matrix measured, and writes `docs/faults.md` from it.

Registered by `tests/conftest.py`, because with several workers only what is loaded at the start sees all reports.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.table import Measured, table

PROPERTY = "fault-row"
ROW = re.compile(r"test_row_(\d{2,3})_")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


class Report:
    """What this run measured."""

    def __init__(self) -> None:
        self.measured: list[Measured] = []
        self.failed = False
        self.written = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect, also from the workers of xdist."""
        self.failed |= report.failed
        if report.when == "teardown":
            found = (value for name, value in report.user_properties if name == PROPERTY)
            self.measured.extend(Measured(*value) for value in found)  # type: ignore[misc]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the document when every row was measured; a run of some of them leaves it alone."""
        text = None if self.failed else table(self.measured)
        if text is not None and (not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != text):
            DOCUMENT.write_text(text, encoding="utf-8")
            self.written = True
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why a run in which every test passed has failed."""
        if self.written:
            terminalreporter.section("docs/faults.md", red=True)
            terminalreporter.line("It did not say what this run measured and was written anew: look at it, commit it.")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(), "fault-report")
