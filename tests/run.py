"""What `python3 dev.py test` and `check` run in the environment: lint, types, layers, then every test, within a bound.

Every phase runs even after one failed; the closing lines say how each went and the exit code is 1 if any failed. What
the tests of packages begin with is made beside the phases before theirs. In a fresh checkout, the tests are compiled
beside the checks, once for all processes that run them.
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
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
# What the tests of packages begin with, and where it says what it made.
PREPARE = (sys.executable, "-m", "tests.packaging.prepare")
PREPARED = REPORTS / "prepared.txt"
# pytest keeps what it compiles. Each process that finds nothing kept takes ten seconds more to collect the tests.
COMPILE = (sys.executable, "-m", "pytest", "--collect-only", "--quiet")
WHOLE_RUN_SECONDS = 870.0
# As many as the machines that this runs on have cores: more would make what waits for a program of another fail.
WORKERS = "2"
# `--whole` runs these too, and the tests of packages: they start many interpreters, or real windows under X.
WHOLE, WHOLE_SECONDS = "--whole", 1800.0
LONG = (
    "tests/e2e/test_ends.py",
    "tests/e2e/test_tray.py",
    "tests/e2e/test_window_screens.py",
    "tests/e2e/test_further_start.py",
    "tests/core/updates/test_end_to_end.py",
)
LAST_WORDS_SECONDS = 10.0
PREPARATION_SECONDS = 600.0
NOTHING_COLLECTED = 5
INTERRUPTED = 130


@dataclass(frozen=True)
class Phase:
    """One tool's run; `harmless` are the exit codes besides 0 that are no failure, `report` is pytest's JUnit file.

    Nothing is prepared any more while a phase runs that is `undisturbed`.
    """

    name: str
    command: tuple[str, ...]
    report: Path | None = None
    harmless: Collection[int] = ()
    undisturbed: bool = False


def check_phases() -> list[Phase]:
    """Everything that reads the code without running it."""
    layers = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return [
        Phase("ruff check", (sys.executable, "-m", "ruff", "check")),
        Phase("ruff format", (sys.executable, "-m", "ruff", "format", "--check")),
        Phase("mypy", (sys.executable, "-m", "mypy")),
        Phase("import-linter", (sys.executable, "-c", layers)),
    ]


def test_phases(arguments: Sequence[str], *, whole: bool) -> list[Phase]:
    """All tests within the bound, or with `whole` all there are; or just what the person asked pytest for."""
    if arguments:
        return [_pytest("tests", *arguments)]
    two, alone = ("-n", WORKERS, "--dist"), "not serial and not packaged and not windowed"
    left_out = () if whole else tuple(f"--ignore={file}" for file in LONG)
    packages = ("loadscope", "-m", "packaged", "tests/packaging")
    last = ("-m", "serial or windowed", *_files_with("serial", "windowed"))
    return [
        _pytest("tests", *two, "worksteal", "-m", alone, *left_out, undisturbed=not whole),
        *([_pytest("package tests", *two, *packages, undisturbed=True)] if whole else []),
        _pytest("serial tests", *last, harmless={NOTHING_COLLECTED}, undisturbed=True),
    ]


def preparation(arguments: Sequence[str], *, whole: bool, root: Path = ROOT) -> Sequence[str]:
    """What runs beside the first phases."""
    if arguments:
        return ()
    compiled = any((root / "tests" / "__pycache__").glob("*-pytest-*.pyc"))
    return PREPARE if whole else () if compiled else COMPILE


def _files_with(*marks: str) -> list[str]:
    """The files that use one of these marks: collecting all the others takes ten seconds."""
    words = [f"pytest.mark.{mark}" for mark in marks]
    files = {file: file.read_text("utf-8") for file in sorted((ROOT / "tests").rglob("test_*.py"))}
    return [str(file.relative_to(ROOT)) for file, text in files.items() if any(word in text for word in words)]


def _pytest(name: str, *options: str, harmless: Collection[int] = (), undisturbed: bool = False) -> Phase:
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    command = (sys.executable, "-m", "pytest", f"--junitxml={report}", *options)
    return Phase(name, command, report, harmless, undisturbed)


def run_bounded(command: Sequence[str], seconds: float) -> int | None:
    """The command's exit code, or None when its time ran out and it was ended with all its children."""
    with _group(command) as process:
        return _wait(process, seconds)


@contextlib.contextmanager
def _group(command: Sequence[str], log: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is ended with all its children when the block is left."""
    # Without its compiled files, each of the hundreds of processes of a test run would compile Burrow again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stdout=log, stderr=log)
    try:
        yield process
    finally:
        _end_group(process)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        return None


class Preparation:
    """`with Preparation(command, log) as preparation:` the command runs beside the block, at most until its end.

    What it says goes to the file `log`. Without a command nothing runs.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._command:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            log = self._stack.enter_context(self._log.open("wb"))
            self._process = self._stack.enter_context(_group(self._command, log))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def finish(self, seconds: float) -> None:
        """Wait for its end, or end it when the time is over; what it has not made, the tests make or fail without."""
        if self._process is None:
            return
        code = _wait(self._process, seconds)
        self._process = None
        self._stack.close()
        if code != 0:
            say(f"not prepared ({'out of time' if code is None else code}), see {self._log}")


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


def run_phases(
    phases: Sequence[Phase], seconds: float = WHOLE_RUN_SECONDS, *, beside: Sequence[str] = (), log: Path = PREPARED
) -> int:
    """Run all phases within `seconds`, print how each went, and return 1 if any failed or ran out of time.

    The command `beside` runs from the beginning until the first phase that is to be undisturbed.
    """
    deadline = time.monotonic() + seconds
    rows: list[tuple[str, str, float]] = []
    with Preparation(beside, log) as preparation:
        for phase in phases:
            start = time.monotonic()
            if phase.undisturbed:
                preparation.finish(min(deadline - start, PREPARATION_SECONDS))
            rows.append((phase.name, _run_phase(phase, deadline - time.monotonic()), time.monotonic() - start))
    say("")
    for name, word, took in rows:
        say(f"{name:14} {word:12} {took:6.1f} s")
    reports = [phase.report for phase in phases if phase.report is not None and phase.report.exists()]
    if reports:
        say(tally(reports))
    return int(any(word != "ok" for _, word, _ in rows))


def _run_phase(phase: Phase, seconds: float) -> str:
    """How it went, as one word."""
    say(f"== {phase.name}")
    if phase.report is not None:
        phase.report.unlink(missing_ok=True)
    code = run_bounded(phase.command, seconds)
    return "ok" if code == 0 or code in phase.harmless else "out of time" if code is None else f"failed ({code})"


def main() -> int:
    parser = argparse.ArgumentParser("run.py", add_help=False)
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument(WHOLE, action="store_true")
    asked, rest = parser.parse_known_args()
    if asked.no_tests:
        return run_phases(check_phases())
    phases = check_phases() + test_phases(rest, whole=asked.whole)
    seconds = WHOLE_SECONDS if asked.whole else WHOLE_RUN_SECONDS
    return run_phases(phases, seconds, beside=preparation(rest, whole=asked.whole))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
