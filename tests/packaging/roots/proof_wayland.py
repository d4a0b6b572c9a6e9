"""The installed window on a Wayland compositor, without any X server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.accessible import Accessibility
from tests.packaging.roots.bare import PERSON
from tests.packaging.roots.conftest import on_suite
from tests.packaging.roots.root import wait_until

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root
    from tests.packaging.roots.session import SessionBus

pytestmark = [pytest.mark.packaged, on_suite("trixie")]

SECONDS = 60.0


@contextmanager
def compositor(bus: SessionBus) -> Iterator[dict[str, str]]:
    """Weston without a screen, this machine's; the variables with which a program reaches it."""
    reading = {"WAYLAND_DISPLAY": "wayland-burrow", "XDG_SESSION_TYPE": "wayland"}
    command = ["weston", "--backend=headless-backend.so", f"--socket={reading['WAYLAND_DISPLAY']}", "--idle-time=0"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*command, "--no-config"], env=bus.env, user=PERSON, stdout=quiet, stderr=quiet) as weston:
        try:
            yield {**bus.variables, **reading}
        finally:
            weston.terminate()


def test_the_window_opens_on_wayland_with_nothing_but_what_the_package_depends_on(root: Root, bus: SessionBus) -> None:
    assert shutil.which("weston"), "weston is not installed"
    with compositor(bus) as variables, Accessibility(bus.env, user=PERSON) as eyes:
        socket = root.folder / variables["XDG_RUNTIME_DIR"].strip("/") / variables["WAYLAND_DISPLAY"]
        wait_until(socket.exists)
        said = root.run("burrow", "self-test", person=True, variables=variables).stdout
        assert json.loads(said)["window"]["platform"] == "wayland"
        environment = root.variables(person=True, **variables, QT_LINUX_ACCESSIBILITY_ALWAYS_ON="1")
        command = root.command("burrow", "--workspace", person=True)
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as burrow:
            try:
                eyes.find(re.compile(r"HED-\d+"), "cell", seconds=SECONDS)
            finally:
                burrow.terminate()
            assert burrow.wait(SECONDS) == 0
            assert burrow.stderr is not None
            assert "Traceback" not in burrow.stderr.read()
