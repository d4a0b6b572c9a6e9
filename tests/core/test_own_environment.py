"""A frozen process gives the person's environment back: exactly the values that they started it with."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from app.core import own_environment
from app.core.installation import NAMED_BY, InstallKind, installation
from app.core.own_environment import QT_PLUGINS, give_back, own_qt_plugins, persons_environment

if TYPE_CHECKING:
    from pathlib import Path

BUNDLE = "/opt/burrow/_internal"
EXECUTABLE = "/opt/burrow/burrow"
OWN = {"HOME": "/home/ana", "QT_PLUGIN_PATH": "/home/ana/qt", "SSL_CERT_FILE": "/etc/own.pem"}
BOOTLOADER = {"_PYI_ARCHIVE_FILE": EXECUTABLE, "_PYI_PARENT_PROCESS_LEVEL": "-1", "_PYI_LINUX_PROCESS_NAME": "burrow"}


@pytest.mark.parametrize(
    ("before", "changed"),
    [
        ({}, {"LD_LIBRARY_PATH": BUNDLE}),
        (
            {"LD_LIBRARY_PATH": "/a:/b"},
            {"LD_LIBRARY_PATH": f"{BUNDLE}:/a:/b", "LD_LIBRARY_PATH_ORIG": "/a:/b"},
        ),
        # Another frozen program, which keeps its copy to itself no better, started this one.
        ({"LD_LIBRARY_PATH_ORIG": "/old"}, {"LD_LIBRARY_PATH": BUNDLE, "LD_LIBRARY_PATH_ORIG": "/old"}),
        # The person has the program's own folder there.
        ({"LD_LIBRARY_PATH": BUNDLE}, {"LD_LIBRARY_PATH": f"{BUNDLE}:{BUNDLE}", "LD_LIBRARY_PATH_ORIG": BUNDLE}),
        ({"LD_LIBRARY_PATH": f"{BUNDLE}-of-theirs"}, {"LD_LIBRARY_PATH": f"{BUNDLE}-of-theirs"}),
    ],
)
def test_the_persons_variables_come_back_as_they_were(before: dict[str, str], changed: dict[str, str]) -> None:
    assert persons_environment({**OWN, **changed, **BOOTLOADER}, EXECUTABLE, BUNDLE) == {**OWN, **before}


def test_what_the_runtime_of_its_own_appimage_set_is_taken_out(tmp_path: Path) -> None:
    mounted = tmp_path / "mount"
    executable = mounted / "usr" / "burrow"
    runtime = {
        "APPIMAGE": "/home/ana/Burrow.AppImage",
        "APPDIR": str(mounted),
        "ARGV0": "./Burrow.AppImage",
        "OWD": "/",
    }
    assert persons_environment({**OWN, **runtime}, str(executable), BUNDLE) == OWN
    # A terminal that is an AppImage starts an installed Burrow.
    assert persons_environment({**OWN, **runtime}, EXECUTABLE, BUNDLE) == {**OWN, **runtime}


def test_the_installation_still_knows_its_appimage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAMED_BY).write_text('{"kind": "appimage"}', "utf-8")
    executable = tmp_path / "burrow"
    changed = {"APPIMAGE": "/home/ana/Burrow.AppImage", "APPDIR": str(tmp_path), "LD_LIBRARY_PATH": f"{BUNDLE}:/a"}
    environment = {**OWN, **changed, **BOOTLOADER}
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", BUNDLE, raising=False)
    monkeypatch.setattr(sys, "executable", str(executable))
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(own_environment, "_image", "")
    give_back()
    assert environment == {**OWN, "LD_LIBRARY_PATH": "/a"}
    assert installation().kind is InstallKind.APPIMAGE
    assert installation().command == ("/home/ana/Burrow.AppImage",)


def test_qt_of_a_frozen_process_does_not_see_where_another_qt_has_its_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {name: f"/home/ana/{name}" for name in QT_PLUGINS}
    monkeypatch.setattr(os, "environ", {"HOME": "/home/ana", **given})
    with own_qt_plugins():
        assert os.environ == {"HOME": "/home/ana", **given}
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with own_qt_plugins():
        assert os.environ == {"HOME": "/home/ana"}
    assert os.environ == {"HOME": "/home/ana", **given}
