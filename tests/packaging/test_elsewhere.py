"""`dev.py package` on Windows and macOS: what is made, and what is said when it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import elsewhere
import package
import pytest

from tests.packaging import recipes
from tests.packaging.test_macos import built
from tests.packaging.test_windows_installer import application


@pytest.fixture
def windows_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "on_windows", lambda: True)


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_the_command_of_linux_hands_over(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(elsewhere, "main", lambda: 7)
    assert package.main() == 7


def test_on_windows_the_installer_is_made_and_its_path_printed(
    windows_here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--application", str(application(tmp_path)), "--output", str(tmp_path / "dist")]
    assert elsewhere.main(words) == 0
    made = Path(capsys.readouterr().out.strip())
    assert made.is_file()
    assert made.name.endswith("-windows-x64-setup.exe")


def test_on_windows_the_folder_alone_is_made_without_an_installer(
    windows_here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = application(tmp_path)
    assert elsewhere.main(["folder", "--application", str(folder), "--output", str(tmp_path / "dist")]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    assert not (tmp_path / "dist").exists()


def test_on_macos_the_image_is_made_signed_and_its_path_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = recipes.FakeTools(tmp_path, monkeypatch)
    for name in ("codesign", "hdiutil"):
        tools.add(name)
    words = ["--application", str(built(tmp_path)), "--output", str(tmp_path / "dist"), "--sign-identity", "me"]
    assert elsewhere.main(words) == 0
    assert capsys.readouterr().out.strip().endswith(".dmg")
    assert {call[0] for call in tools.calls()} == {"codesign", "hdiutil"}


def test_a_notary_without_a_signature_is_refused_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert elsewhere.main(["--output", str(tmp_path), "--notary-profile", "burrow"]) == 1
    assert "give --sign-identity too" in capsys.readouterr().err


def test_a_password_is_never_printed_when_a_tool_fails(
    windows_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tools = recipes.FakeTools(tmp_path, monkeypatch)
    tools.add("signtool", "sys.exit(1)")
    monkeypatch.setattr("windows.signing.on_windows", lambda: True)
    password = tmp_path / "password"
    password.write_text("hunter2\n", encoding="utf-8")
    words = ["--application", str(application(tmp_path)), "--output", str(tmp_path / "dist")]
    words += ["--sign-pfx", str(tmp_path / "key.pfx"), "--sign-password", str(password)]
    assert elsewhere.main(words) == 1
    said = "".join(capfd.readouterr())
    assert "signtool failed" in said
    assert "hunter2" not in said
    (call,) = tools.calls()
    assert call[call.index("/p") + 1] == "hunter2"


def test_a_missing_compiler_is_named_with_the_way_to_get_it(
    windows_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert elsewhere.main(["--application", str(application(tmp_path)), "--output", str(tmp_path / "dist")]) == 1
    assert "winget install NSIS.NSIS" in capsys.readouterr().err
