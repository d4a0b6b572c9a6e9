"""Takes out guarding lines one at a time and runs the tests that should notice: `dev.py mutate [--list] [NAME …]`.

A guard is a line or two whose loss no ordinary use shows: a lock, a flush, a limit, an order of steps. `guards.toml`
names them with what takes their place. For each one a copy of the checkout is changed, and its tests run there until
one fails. A guard that can be taken out with all tests passing is reported as a survivor; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("app", "tests", "packaging", "docs")
AT_ONCE = 2
LONGEST_SECONDS = 600.0


class Guard(NamedTuple):
    """`old` stands exactly once in `file`, `new` takes its place; `tests` are those that should notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read_guards() -> tuple[Guard, ...]:
    """Those of `guards.toml`."""
    found = tomllib.loads((ROOT / "tests" / "guards.toml").read_text("utf-8"))["guard"]
    return tuple(Guard(**{**each, "tests": tuple(each["tests"])}) for each in found)


GUARDS = read_guards()


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def changed(guard: Guard, text: str) -> str:
    """`text` without the guard. Raises `ValueError` unless the guard stands in it once."""
    if text.count(guard.old) != 1:
        raise ValueError(f"{guard.file} has {text.count(guard.old)} times: {guard.name}")
    return text.replace(guard.old, guard.new)


def is_noticed(guard: Guard) -> tuple[bool, float]:
    """Whether a test fails without the guard, and how many seconds that took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="burrow-mutate-") as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "dev.py", "README.md", "CONTRIBUTING.md"):
            shutil.copy2(ROOT / name, copy / name)
        file = copy / guard.file
        file.write_text(changed(guard, file.read_text("utf-8")), "utf-8")
        environment = {
            **os.environ,
            "PYTHONPATH": folder,
            "QT_QPA_PLATFORM": "offscreen",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        tests = [name for name in guard.tests if (copy / name).exists()]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            done = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, timeout=LONGEST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            # Tests that hang without the guard notice its loss.
            return True, time.monotonic() - began
        if done.returncode not in {0, 1}:
            raise RuntimeError(f"{guard.name}: the tests could not be run\n{done.stdout.decode()[-2000:]}")
        return done.returncode == 1, time.monotonic() - began


def run(guards: Sequence[Guard]) -> list[Guard]:
    """Take out each guard; returns the survivors."""
    survivors = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for guard, (noticed, seconds) in zip(guards, pool.map(is_noticed, guards), strict=True):
            say(f"{'noticed ' if noticed else 'SURVIVES'} {seconds:5.0f} s  {guard.name}")
            if not noticed:
                survivors.append(guard)
    return survivors


def main(arguments: Iterable[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py mutate", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only guards whose names contain one of these")
    parser.add_argument("--list", action="store_true", help="list the guards and end")
    options = parser.parse_args(list(arguments))
    chosen = [guard for guard in GUARDS if not options.names or any(name in guard.name for name in options.names)]
    if options.list:
        say("\n".join(f"{guard.name}  ({guard.file})" for guard in chosen))
        return 0
    survivors = run(chosen)
    say(f"{len(survivors)} of {len(chosen)} guards survive ({len(survivors) / max(1, len(chosen)):.0%})")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
