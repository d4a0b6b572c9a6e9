"""What `dev.py package` builds where tools are missing, and how versions are written for package managers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import dev
from tests.packaging.builds import ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path


def python(code: str, *, path: str) -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT | {"PATH": path}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )


def test_a_kind_whose_tools_are_missing_is_left_out_of_all_and_named(tmp_path: Path) -> None:
    code = "import package; print(package.buildable(['deb', 'rpm', 'appimage'], every=True))"
    done = python(code, path=str(tmp_path))
    assert done.stdout == "[]\n"
    assert "Left out: rpm. It needs rpm.\n" in done.stderr
    assert "Left out: appimage. It needs squashfs-tools, gcc" in done.stderr


def test_a_kind_that_was_asked_for_stops_without_its_tools(tmp_path: Path) -> None:
    done = python("import package; package.buildable(['rpm'], every=False)", path=str(tmp_path))
    assert done.returncode == 1
    assert "rpm" in done.stderr


@pytest.mark.parametrize(
    ("version", "sortable"),
    [("1.2.0", "1.2.0"), ("1.2.0rc1", "1.2.0~rc1"), ("1.2.0.dev3", "1.2.0~dev3"), ("1.2.0b2", "1.2.0~b2")],
)
def test_a_version_before_the_release_sorts_before_it(version: str, sortable: str) -> None:
    code = f"from linux.about import Release; print(Release({version!r}, 0).sortable_version)"
    done = python(code, path="/usr/bin:/bin")
    assert done.stdout == f"{sortable}\n"
    if sortable != "1.2.0":
        subprocess.run(["dpkg", "--compare-versions", sortable, "lt", "1.2.0"], check=True, timeout=10)


def test_the_tools_of_a_kind_are_needed_for_that_kind_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "can_install", lambda: False)
    names = {need.package for need in dev.needs_of("package", ["rpm"])}
    assert "rpm" in names
    assert "squashfs-tools" not in names
    assert "rpm" not in {need.package for need in dev.needs_of("package", [])}
    monkeypatch.setattr(dev, "can_install", lambda: True)
    assert {"rpm", "squashfs-tools"} <= {need.package for need in dev.needs_of("package", [])}
    assert "rpm" not in {need.package for need in dev.needs_of("package", ["folder"])}
