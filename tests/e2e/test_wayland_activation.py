"""On Wayland the token of the user's action goes from the further start to the compositor: sway, without a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.window import ROOT

NOBODY = 65534


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()


@pytest.fixture
def compositor(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of programs on a desktop of its own."""
    # Not below `tmp_path`, which only its owner can enter.
    folder = Path(tempfile.mkdtemp(prefix="burrow-sway-"))
    (folder / "config").write_text("output HEADLESS-1 resolution 1280x800\n")
    as_somebody: list[str] = []
    if os.geteuid() == 0:
        # sway does not run as root.
        os.chown(folder, NOBODY, NOBODY)
        as_somebody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    foreign = {"DISPLAY", "WAYLAND_DISPLAY", "SWAYSOCK"}
    plain = {name: value for name, value in os.environ.items() if name not in foreign} | {
        "XDG_RUNTIME_DIR": str(folder)
    }
    headless = {"WLR_BACKENDS": "headless", "WLR_RENDERER": "pixman", "WLR_LIBINPUT_NO_DEVICES": "1"}
    with (tmp_path / "sway.log").open("wb") as log:
        sway = subprocess.Popen(
            [*as_somebody, "sway", "-c", str(folder / "config")],
            env={**plain, **headless, "HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: list(folder.glob("wayland-?")) or sway.poll() is not None)
        (socket,) = folder.glob("wayland-?")
        yield {**plain, "WAYLAND_DISPLAY": socket.name, "QT_QPA_PLATFORM": "wayland"}
    finally:
        end(sway)
        shutil.rmtree(folder)


def test_the_compositor_gets_the_token_that_the_further_start_was_given(
    compositor: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "app", "--data", str(tmp_path / "data")]
    said = tmp_path / "said"
    with said.open("wb") as log:
        first = subprocess.Popen(command, env={**compositor, "WAYLAND_DEBUG": "1"}, cwd=ROOT, stderr=log)
    try:
        until(lambda: (tmp_path / "data" / "instance.sock").exists())
        for token in ("token-of-a-click", "token-of-another"):
            further = {**compositor, "XDG_ACTIVATION_TOKEN": token}
            assert subprocess.run(command, env=further, cwd=ROOT, timeout=20, check=False).returncode == 0
            asked = f'.activate("{token}", wl_surface'
            until(lambda asked=asked: asked in said.read_text("utf-8", "replace"))  # type: ignore[misc]
    finally:
        end(first)
    assert first.returncode == 0
