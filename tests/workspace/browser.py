"""A headless Chromium driven over its debugging pipe: open a page, read it, click, see where it leads.

Speaks the DevTools protocol over two file descriptors (`--remote-debugging-pipe`), so no further package and
no open port is needed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

SECONDS = 20.0
MIDDLE = """(() => {
    const element = document.querySelector(%s);
    element.scrollIntoView();
    const box = element.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
})()"""
# The protocol wants descriptors 3 and 4 exactly; they are put there between fork and exec by a process of its own.
PLACE = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium() -> str | None:
    """The browser's program, if this machine has one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    return None


def type_code(browser: Browser, code: str) -> None:
    """Prove to a consent page that was opened by hand who sits there."""
    browser.wait_for("document.querySelector('input[name=person_code]') !== null")
    browser.evaluate(f"document.querySelector('input[name=person_code]').value = {json.dumps(code)}")
    browser.click("button[value=continue]")


class PageReplaced(Exception):
    """The page that was asked has gone: another one takes its place."""


class Browser:
    """One tab. Every call raises `TimeoutError` after 20 s. `options` are further ones of the program."""

    def __init__(self, profile: Path, *options: str) -> None:
        program = chromium()
        assert program is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        arguments = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            *options,
            "about:blank",
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", PLACE, str(theirs_in), str(theirs_out), program, *arguments],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._number = 0
        self.requested: list[str] = []
        try:
            self._session = self._attach()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call("Browser.close")
            self._process.wait(SECONDS)
        except (OSError, TimeoutError, EOFError, subprocess.TimeoutExpired):
            pass
        finally:
            self._end()

    def open(self, url: str) -> None:
        """Navigate; use `wait_for` to know when something is there."""
        self._call("Page.navigate", session=self._session, url=url)

    def evaluate(self, script: str) -> Any:
        """The value of a script in the page, outside its content security policy."""
        answer = self._call("Runtime.evaluate", session=self._session, expression=script, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Ask until the script gives something true."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            # While the page is replaced by the next one there is nothing to ask.
            with contextlib.suppress(PageReplaced):
                value = self.evaluate(script)
                if value:
                    return value
            self._drain(0.05)
        raise TimeoutError(script)

    def click(self, selector: str) -> None:
        """A real mouse click in the middle of an element."""
        x, y = self.evaluate(MIDDLE % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self._call(
                "Input.dispatchMouseEvent",
                session=self._session,
                type=kind,
                x=x,
                y=y,
                button="left",
                clickCount=1,
            )

    def screenshot(self, path: Path) -> None:
        """Save what the page shows as PNG."""
        answer = self._call("Page.captureScreenshot", session=self._session, format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    @property
    def address(self) -> str:
        return str(self.evaluate("location.href"))

    def _attach(self) -> str:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = str(self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Network", "Runtime"):
            self._call(f"{domain}.enable", session=session)
        return session

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)
        os.close(self._out)
        os.close(self._in)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            answer = self._read(end - time.monotonic())
            if answer is not None and answer.get("id") == self._number:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise PageReplaced(method)
                assert "error" not in answer, answer
                return answer["result"]
        raise TimeoutError(method)

    def _drain(self, seconds: float) -> None:
        while self._read(seconds) is not None:
            seconds = 0.0

    def _read(self, seconds: float) -> Any:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, seconds))
            if not ready:
                return None
            piece = os.read(self._in, 65536)
            if not piece:
                raise EOFError("the browser ended")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(message)
        if found.get("method") == "Network.requestWillBeSent":
            self.requested.append(found["params"]["request"]["url"])
        return found
