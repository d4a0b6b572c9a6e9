"""Which packages take along where updates come from: those that replace themselves, and no other."""

from __future__ import annotations

from pathlib import Path

import macos.build
import pytest
import windows.build
from linux.about import Release
from linux.stage import copy_application, stage
from updates.trust import ROOT_VARIABLE, URL_VARIABLE

from app.core.installation import InstalledApp, InstallKind
from app.core.updates.source import UpdateSource, WhyOff, source_of
from tests.packaging.test_windows_installer import application

URL = "https://updates.example/burrow/"
ROOT = b'{"signed": {"_type": "root"}}'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UpdateSource:
    """The one that the release's builder names."""
    root = tmp_path / "root.json"
    root.write_bytes(ROOT)
    monkeypatch.setenv(URL_VARIABLE, URL)
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    return UpdateSource(URL, ROOT)


def found(kind: InstallKind, executable: Path) -> UpdateSource | WhyOff:
    return source_of(InstalledApp(kind, (str(executable),), executable.parent))


def test_an_appimage_takes_it_along(tmp_path: Path, source: UpdateSource) -> None:
    copy_application(application(tmp_path), tmp_path / "image", "appimage")
    assert found(InstallKind.APPIMAGE, tmp_path / "image" / "burrow") == source


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_a_package_of_a_distribution_never_does(kind: str, tmp_path: Path, source: UpdateSource) -> None:
    (tmp_path / "share").mkdir()
    stage(application(tmp_path), tmp_path / "share", tmp_path / "root", kind, Release("0.1.0", 1, "x86_64"))
    assert not list((tmp_path / "root").rglob("updates*"))
    assert found(InstallKind(kind), tmp_path / "root" / "opt" / "burrow" / "burrow") is WhyOff.MANAGED


def test_on_windows_it_is_beside_the_executable(tmp_path: Path, source: UpdateSource) -> None:
    staged = windows.build.stage(application(tmp_path), tmp_path / "Burrow")
    assert found(InstallKind.WINDOWS, staged / "burrow.exe") == source


def test_on_macos_it_is_among_the_resources(tmp_path: Path, source: UpdateSource) -> None:
    (tmp_path / "Contents" / "Resources").mkdir(parents=True)
    macos.build.say_installed(tmp_path / "Contents" / "Resources")
    assert found(InstallKind.MACOS, tmp_path / "Contents" / "MacOS" / "burrow") == source


def test_a_build_that_names_none_has_updates_off(tmp_path: Path) -> None:
    copy_application(application(tmp_path), tmp_path / "image", "appimage")
    assert found(InstallKind.APPIMAGE, tmp_path / "image" / "burrow") is WhyOff.NO_SOURCE
