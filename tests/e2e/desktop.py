"""A private X desktop for tests: Xvfb on a free display with openbox, driven by xdotool, pictured by ImageMagick.

Without a window manager no window becomes active, so focus and shortcut tests need openbox.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from select import select
from typing import Self

START_SECONDS = 20.0
STOP_SECONDS = 5.0


class DesktopError(Exception):
    """The desktop did not start, or a tool used on it failed; the text is the tool's own."""


class Desktop:
    """`with Desktop() as desktop:` one screen of `size` pixels at 24 bits; everything started is ended on exit.

    `env` is what a program needs to open its window here. Raises `DesktopError`.
    """

    def __init__(self, size: tuple[int, int] = (1280, 800)) -> None:
        self.size = size
        self.display = ""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="burrow-desktop-")
        try:
            self.display = f":{self._start_x()}"
            self._start_openbox()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def env(self) -> dict[str, str]:
        """The process environment, on this display, with nothing of the person's own desktop."""
        foreign = {"WAYLAND_DISPLAY", "XAUTHORITY", "QT_QPA_PLATFORM", "QT_QPA_PLATFORMTHEME", "QT_STYLE_OVERRIDE"}
        own = {name: value for name, value in os.environ.items() if name not in foreign}
        return own | self.variables

    @property
    def variables(self) -> dict[str, str]:
        """Only what a program needs on top of another environment to open its window here."""
        return {"DISPLAY": self.display, "QT_QPA_PLATFORM": "xcb"}

    def xdotool(self, *arguments: str, seconds: float = 20.0) -> str:
        """What xdotool printed, without the last newline."""
        return self._tool("xdotool", *arguments, seconds=seconds)

    def find_window(self, name: str, seconds: float = 20.0) -> str:
        """The id of the first visible window whose title matches the regular expression `name`; waits for it."""
        return self.xdotool("search", "--sync", "--onlyvisible", "--name", name, seconds=seconds).splitlines()[0]

    def screenshot(self, path: Path, window: str = "root") -> Path:
        """Write the whole screen, or one window, to `path` (the suffix names the format)."""
        self._tool("import", "-window", window, str(path))
        return path

    def _tool(self, *command: str, seconds: float = 20.0) -> str:
        try:
            finished = subprocess.run(
                command, env=self.env, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise DesktopError(f"{' '.join(command)} did not end within {seconds} s") from error
        if finished.returncode:
            raise DesktopError(f"{' '.join(command)}: {finished.stderr.strip() or finished.returncode}")
        return finished.stdout.rstrip("\n")

    def _start_x(self) -> int:
        reader, writer = os.pipe()
        width, height = self.size
        command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"]
        try:
            server = self._start([*command, "-noreset"], pass_fds=(writer,))
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb"):
            number = _first_line(reader)
        if not number:
            raise DesktopError(f"Xvfb gave no display (exit code {server.poll()})")
        return int(number)

    def _start_openbox(self) -> None:
        reader, writer = os.pipe()
        try:
            manager = self._start(["openbox", "--startup", "echo ready"], env=self._quiet_env(), stdout=writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb"):
            if not _first_line(reader):
                raise DesktopError(f"openbox did not start (exit code {manager.poll()})")

    def _quiet_env(self) -> dict[str, str]:
        """A home of its own, so that a person's key bindings and themes do not decide a test."""
        assert self._folder is not None
        home = self._folder.name
        return self.env | {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "XDG_DATA_HOME": home}

    def _start(
        self,
        command: list[str],
        *,
        pass_fds: tuple[int, ...] = (),
        env: dict[str, str] | None = None,
        stdout: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        if shutil.which(command[0]) is None:
            raise DesktopError(f"{command[0]} is not installed")
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, pass_fds=pass_fds, env=env, stdin=quiet, stdout=stdout, stderr=quiet)
        self._processes.append(process)
        return process

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        self._processes.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _first_line(reader: int) -> str:
    """One line from a pipe, or what there was when its writers closed it or the time ran out."""
    text = b""
    while b"\n" not in text and select([reader], [], [], START_SECONDS)[0]:
        chunk = os.read(reader, 64)
        if not chunk:
            break
        text += chunk
    return text.decode().strip()
