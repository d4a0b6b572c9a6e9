"""How an installed Burrow knows what it is where the executable is not beside what the package says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.core.installation import InstallKind, installation


@pytest.mark.parametrize(
    ("platform", "executable", "stated", "kind"),
    [
        ("darwin", "Burrow.app/Contents/MacOS/burrow", "Burrow.app/Contents/Resources", InstallKind.MACOS),
        ("darwin", "Burrow.app/Contents/MacOS/burrow", "Burrow.app/Contents/MacOS", InstallKind.FOLDER),
        ("win32", "Burrow/burrow.com", "Burrow", InstallKind.WINDOWS),
    ],
)
def test_the_package_says_what_it_is_where_its_system_allows_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, executable: str, stated: str, kind: InstallKind
) -> None:
    for folder in (Path(executable).parent, Path(stated)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    name = "macos" if platform == "darwin" else "windows"
    (tmp_path / stated / "installation.json").write_text(f'{{"kind": "{name}"}}', encoding="utf-8")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / executable))
    monkeypatch.setattr(sys, "platform", platform)
    found = installation()
    assert found.kind is kind
    assert found.command == (str(tmp_path / executable),)
