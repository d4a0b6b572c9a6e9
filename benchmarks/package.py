"""The one-folder application: its size by part, and its first window against that of the source.

Both are started in turn under one X server, on one data folder with 1,000 cached tasks and a sign-in. The time is from
the start of the process to the first painted pixel in the middle of the screen, seen from outside. The first round is
not counted: it fills the caches of files and of bytecode. Trust the ratios: absolute times are the machine's, and on a
busy machine that of processor times says more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

ROUNDS = 11
WINDOW_SECONDS = 30.0
LARGEST_MEGABYTES = 120
LARGEST_RATIO = 1.2
SCREEN = (1280, 800)
# The first part whose text is in a file's path has it.
PARTS = {
    "ICU's data": ("libicudata",),
    "Qt's libraries": ("PySide6/Qt/lib/",),
    "Qt's plugins": ("PySide6/Qt/plugins/",),
    "Qt for Python": ("PySide6/", "shiboken6/"),
    "cryptography": ("cryptography/",),
    "pydantic": ("pydantic_core/",),
    "patterns of forms": ("corvus_json_schema_rs/",),
    "Python": ("libpython", "python3.", "base_library.zip", "python3"),
    "OpenSSL, SQLite, zlib …": ("_internal/lib",),
    "our code and pure packages": ("burrow",),
    "licences": ("licences/", "NOTICES", "LICENSE", "sbom"),
    "other": ("",),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--application", type=Path, help="a folder that was built; without it, one is built")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        application = options.application or built(Path(name))
        report_size(application)
        passed, processor = times(application.resolve(), Path(name), options.rounds)
        report_times(passed, "first window")
        report_times(processor, "its processor time")
    return 0


def built(folder: Path) -> Path:
    command = [
        sys.executable,
        str(ROOT / "packaging" / "build.py"),
        "--output",
        str(folder),
        "--work",
        f"{folder}/work",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "burrow"


def report_size(application: Path) -> None:
    sizes: Counter[str] = Counter()
    for path in application.rglob("*"):
        if path.is_file() and not path.is_symlink():
            place = path.relative_to(application).as_posix()
            part = next(part for part, texts in PARTS.items() if any(text in place for text in texts))
            sizes[part] += path.stat().st_size
    for part, size in sizes.most_common():
        print(f"{part:<28} {size / 1e6:6.1f} MB")
    print(f"{'whole folder':<28} {sizes.total() / 1e6:6.1f} MB  target {LARGEST_MEGABYTES} MB")


def times(application: Path, folder: Path, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds to the first painted pixel, and of processor time until then, by arm."""
    from benchmarks._first_pixel import Screen
    from benchmarks.startup import prepare
    from tests.e2e.desktop import Desktop

    arms = {"source": [sys.executable, "-m", "app"], "folder": [str(application / "burrow")]}
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    processor: dict[str, list[float]] = {arm: [] for arm in arms}
    with Desktop(SCREEN) as desktop, Screen(desktop.display) as screen:
        environment = {**desktop.env, "BURROW_DATA": str(folder / "data")}
        for unwanted in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(unwanted, None)
        workspace = subprocess.Popen(
            [*arms["source"], "workspace", "--watch-stdin", "--data", str(folder / "workspace")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert workspace.stdin is not None
        assert workspace.stdout is not None
        ready = json.loads(workspace.stdout.readline())
        asyncio.run(prepare(folder / "data", ready["url"], ready["secret"]))
        middle = (SCREEN[0] // 2, SCREEN[1] // 2)
        empty = screen.pixel(*middle)
        for turn in range(rounds + 1):
            for arm in arms if turn % 2 else reversed(arms):
                started = time.perf_counter()
                process = subprocess.Popen(
                    arms[arm], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                try:
                    painted = screen.wait_for(*middle, changed_from=empty, seconds=WINDOW_SECONDS)
                finally:
                    process.kill()
                    _pid, _status, used = os.wait4(process.pid, 0)
                    process.returncode = 0
                screen.wait_until(*middle, empty, seconds=WINDOW_SECONDS)
                if turn:
                    found[arm].append((painted - started) * 1000)
                    processor[arm].append((used.ru_utime + used.ru_stime) * 1000)
        workspace.stdin.close()
        workspace.wait(10)
        workspace.stdout.close()
    return found, processor


def report_times(found: dict[str, list[float]], what: str) -> None:
    middle = {arm: statistics.median(values) for arm, values in found.items()}
    for arm, values in found.items():
        print(f"{what}, {arm:<8} median {middle[arm]:6.0f} ms  min {min(values):.0f}  max {max(values):.0f}")
    ratio = middle["folder"] / middle["source"]
    least = min(found["folder"]) / min(found["source"])
    print(f"{what}: {ratio:.2f} x the source (least times {least:.2f}), target {LARGEST_RATIO}")


if __name__ == "__main__":
    raise SystemExit(main())
