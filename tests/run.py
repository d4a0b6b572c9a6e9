"""What `python3 dev.py test` and `check` run in the environment: lint, types, layers, then every test, within a bound.

Every phase runs even after one failed; the closing lines say how each went and the exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
WHOLE_RUN_SECONDS = 870.0
# As many as the machines that this runs on have cores: more would make what waits for a program of another fail.
WORKERS = "2"
LAST_WORDS_SECONDS = 10.0
NOTHING_COLLECTED = 5
INTERRUPTED = 130


@dataclass(frozen=True)
class Phase:
    """One tool's run; `harmless` are the exit codes besides 0 that are no failure, `report` is pytest's JUnit file."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None
    harmless: Collection[int] = ()


def check_phases() -> list[Phase]:
    """Everything that reads the code without running it."""
    layers = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return [
        Phase("ruff check", (sys.executable, "-m", "ruff", "check")),
        Phase("ruff format", (sys.executable, "-m", "ruff", "format", "--check")),
        Phase("mypy", (sys.executable, "-m", "mypy")),
        Phase("import-linter", (sys.executable, "-c", layers)),
    ]


def test_phases(arguments: Sequence[str]) -> list[Phase]:
    """All tests, those marked serial alone after the others; or just what the person asked pytest for."""
    if arguments:
        return [_pytest("tests", *arguments)]
    return [
        _pytest("tests", "-n", WORKERS, "--dist", "worksteal", "-m", "not serial"),
        _pytest("serial tests", "-m", "serial", harmless={NOTHING_COLLECTED}),
    ]


def _pytest(name: str, *options: str, harmless: Collection[int] = ()) -> Phase:
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    return Phase(name, (sys.executable, "-m", "pytest", f"--junitxml={report}", *options), report, harmless)


def run_bounded(command: Sequence[str], seconds: float) -> int | None:
    """The command's exit code, or None when its time ran out and it was ended with all its children."""
    # Without its compiled files, each of the hundreds of processes of a test run would compile Burrow again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what still runs: politely if it is the command itself, at once if only its children are left."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(LAST_WORDS_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def tally(reports: Sequence[Path]) -> str:
    """pytest's reports as one closing line: `N passed, N failed, N skipped`."""
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for report in reports:
        for suite in ElementTree.parse(report).iter("testsuite"):
            for name in counts:
                counts[name] += int(suite.get(name, "0"))
    failed = counts["failures"] + counts["errors"]
    return f"{counts['tests'] - failed - counts['skipped']} passed, {failed} failed, {counts['skipped']} skipped"


def run_phases(phases: Sequence[Phase], seconds: float = WHOLE_RUN_SECONDS) -> int:
    """Run all phases within `seconds`, print how each went, and return 1 if any failed or ran out of time."""
    deadline = time.monotonic() + seconds
    rows: list[tuple[str, str, float]] = []
    for phase in phases:
        say(f"== {phase.name}")
        if phase.report is not None:
            phase.report.unlink(missing_ok=True)
        start = time.monotonic()
        code = run_bounded(phase.command, deadline - start)
        word = "ok" if code == 0 or code in phase.harmless else "out of time" if code is None else f"failed ({code})"
        rows.append((phase.name, word, time.monotonic() - start))
    say("")
    for name, word, took in rows:
        say(f"{name:14} {word:12} {took:6.1f} s")
    reports = [phase.report for phase in phases if phase.report is not None and phase.report.exists()]
    if reports:
        say(tally(reports))
    return int(any(word != "ok" for _, word, _ in rows))


def main() -> int:
    parser = argparse.ArgumentParser("run.py", add_help=False)
    parser.add_argument("--no-tests", action="store_true")
    asked, rest = parser.parse_known_args()
    return run_phases(check_phases() + ([] if asked.no_tests else test_phases(rest)))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
