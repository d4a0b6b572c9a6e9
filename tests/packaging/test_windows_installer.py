"""The installer for Windows, compiled for real: which files and registry values it writes, and takes away."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import version
from windows import build, layout
from windows.signing import Authenticode

from tests.packaging import recipes
from tests.packaging.nsis import DELETE_FILE, REMOVE_FOLDER, RENAME, Compiled

KEY = r"Software\Classes\burrow"
ARP = r"Software\Microsoft\Windows\CurrentVersion\Uninstall\Burrow"
APP_PATHS = r"Software\Microsoft\Windows\CurrentVersion\App Paths\burrow.exe"
# Names that NSIS or a careless list would take for something else.
CONTENT = {
    "burrow.exe": b"MZ window",
    "burrowc.exe": b"MZ console",
    "LICENSE": b"text",
    "_internal/Qt6Core.dll": b"library" * 1000,
    "_internal/a$b.dll": b"dollar",
    "_internal/licences/naïve – name.txt": "é".encode(),
}


def application(folder: Path) -> Path:
    for name, content in CONTENT.items():
        path = folder / "burrow" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "burrow"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installer and all that is in it, unpacked beside it."""
    folder = tmp_path_factory.mktemp("windows")
    installer = build.build(application(folder), folder / "dist")
    unpacked = folder / "unpacked"
    subprocess.run(["7z", "x", "-y", f"-o{unpacked}", str(installer)], check=True, capture_output=True, timeout=60)
    shutil.copy(installer, unpacked / "setup.exe")
    return unpacked


@pytest.fixture(scope="module")
def installer(compiled: Path) -> Compiled:
    return Compiled(compiled / "setup.exe")


@pytest.fixture(scope="module")
def uninstaller(compiled: Path) -> Compiled:
    return Compiled(compiled / "uninstall.exe")


def test_it_carries_every_file_of_the_application_byte_for_byte(compiled: Path) -> None:
    final = {"burrowc.exe": "burrow.com"}
    for name, content in CONTENT.items():
        assert (compiled / final.get(name, name)).read_bytes() == content, name
    assert (compiled / "installation.json").read_text(encoding="utf-8") == '{"kind": "windows"}\n'
    assert not (compiled / "burrowc.exe").exists()


def test_it_registers_the_links_of_burrow_and_passes_the_link_as_one_argument(installer: Compiled) -> None:
    values = installer.registry()
    assert values["SHCTX", KEY, "URL Protocol"] == ""
    assert values["SHCTX", KEY, ""] == "URL:Burrow"
    assert values["SHCTX", rf"{KEY}\shell\open\command", ""] == '"$INSTDIR\\burrow.exe" -- "%1"'
    assert values["SHCTX", rf"{KEY}\DefaultIcon", ""] == '"$INSTDIR\\burrow.exe",0'
    assert values["SHCTX", r"Software\RegisteredApplications", "Burrow"] == r"Software\Burrow\Capabilities"
    assert values["SHCTX", r"Software\Burrow\Capabilities\URLAssociations", "burrow"] == "burrow"


def test_it_is_listed_among_the_installed_programs(installer: Compiled) -> None:
    values = {name: text for (_, key, name), text in installer.registry().items() if key == ARP}
    assert values["DisplayName"] == "Burrow"
    assert values["DisplayVersion"] == version.version()
    assert values["Publisher"] == "The Burrow authors"
    assert values["InstallLocation"] == "$INSTDIR"
    assert values["UninstallString"] == '"$INSTDIR\\uninstall.exe"'
    assert values["QuietUninstallString"] == '"$INSTDIR\\uninstall.exe" /S'
    assert values["NoModify"] == values["NoRepair"] == "1"
    # In KiB, rounded up; with installation.json.
    size = sum(map(len, CONTENT.values())) + len('{"kind": "windows"}\n')
    assert int(values["EstimatedSize"]) == -(-size // 1024)


def test_it_starts_by_name_from_the_run_dialog(installer: Compiled) -> None:
    values = installer.registry()
    assert values["SHCTX", APP_PATHS, ""] == r"$INSTDIR\burrow.exe"
    assert values["SHCTX", APP_PATHS, "Path"] == "$INSTDIR"


def test_it_writes_only_into_the_part_of_the_registry_that_the_mode_chose(installer: Compiled) -> None:
    assert {root for root, _, _ in installer.registry()} == {"SHCTX"}


def test_the_uninstaller_deletes_every_key_that_was_written_and_the_start_at_login(
    installer: Compiled, uninstaller: Compiled
) -> None:
    deleted = uninstaller.deleted_registry()
    keys = [key for root, key, name in deleted if not name and root == "SHCTX"]
    for root, key, name in installer.registry():
        below = any(key == gone or key.startswith(gone + "\\") for gone in keys)
        assert below or (root, key, name) in deleted, (key, name)
    assert ("HKCU", r"Software\Microsoft\Windows\CurrentVersion\Run", "Burrow") in deleted
    approved = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
    assert ("HKCU", approved, "Burrow") in deleted
    # Nothing above Burrow's own keys.
    assert all("burrow" in f"{key}\\{name}".lower() for _, key, name in deleted)


def test_the_uninstaller_deletes_files_by_name_and_folders_only_when_empty(uninstaller: Compiled) -> None:
    files = {uninstaller.text(place) for place, *_ in uninstaller.of(DELETE_FILE)}
    final = [name.replace("burrowc.exe", "burrow.com").replace("/", "\\") for name in CONTENT]
    assert {rf"$INSTDIR\{name}" for name in [*final, "installation.json", "uninstall.exe"]} <= files
    folders = {uninstaller.text(place): flags for place, flags, *_ in uninstaller.of(REMOVE_FOLDER)}
    assert {r"$INSTDIR\_internal\licences", r"$INSTDIR\_internal", "$INSTDIR"} <= set(folders)
    # The flag 2 is `RMDir /r`.
    assert not any(flags & 2 for name, flags in folders.items() if name.startswith("$INSTDIR"))


def test_an_upgrade_moves_the_installed_version_aside_in_one_step_and_back_when_it_fails(installer: Compiled) -> None:
    moves = [(installer.text(source), installer.text(target)) for source, target, *_ in installer.of(RENAME)]
    to = dict(moves)
    assert "$INSTDIR" in to
    aside = to["$INSTDIR"]
    assert (aside, "$INSTDIR") in moves


def test_it_asks_for_no_administrator_and_knows_long_paths(compiled: Path) -> None:
    manifest = (compiled / "setup.exe").read_bytes()
    assert b'requestedExecutionLevel level="asInvoker"' in manifest or b'level="user"' in manifest
    assert b"longPathAware" in manifest
    assert b"requireAdministrator" not in manifest
    assert b"highestAvailable" not in manifest


def test_two_installers_of_one_folder_are_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    folder = application(tmp_path)
    # Before SOURCE_DATE_EPOCH, which makensis would put in the place of a later time.
    os.utime(folder / "LICENSE", (100_000_000, 100_000_000))
    again = build.build(folder, tmp_path / "dist")
    assert again.read_bytes() == (compiled / "setup.exe").read_bytes()


def test_the_window_the_console_the_uninstaller_and_the_installer_are_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With osslsigncode, as on Linux: real files, a fake signer."""
    tools = recipes.FakeTools(tmp_path, monkeypatch)
    tools.add(
        "osslsigncode",
        "source = pathlib.Path(arguments[arguments.index('-in') + 1])\n"
        "target = pathlib.Path(arguments[arguments.index('-out') + 1])\n"
        "target.write_bytes(source.read_bytes() + b'SIGNED')",
    )
    signing = Authenticode(pfx=tmp_path / "key.pfx", password=tmp_path / "password")
    installer = build.build(application(tmp_path), tmp_path / "dist", signing)
    calls = tools.calls()
    assert [Path(call[call.index("-in") + 1]).name for call in calls[:2]] == ["burrow.exe", "burrow.com"]
    assert calls[-1][calls[-1].index("-in") + 1] == str(installer)
    # The third is the uninstaller, by a name that makensis chose.
    assert len(calls) == 4
    for call in calls:
        assert call[call.index("-h") + 1] == "sha256"
        assert call[call.index("-ts") + 1].startswith("http")
    assert installer.read_bytes().endswith(b"SIGNED")
    unpacked = tmp_path / "unpacked"
    subprocess.run(["7z", "x", "-y", f"-o{unpacked}", str(installer)], check=False, capture_output=True, timeout=60)
    assert (unpacked / "burrow.exe").read_bytes() == CONTENT["burrow.exe"] + b"SIGNED"
    assert not list(installer.parent.glob("*.signed"))


def test_signtool_is_asked_for_sha256_and_a_timestamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = recipes.FakeTools(tmp_path, monkeypatch)
    tools.add("signtool")
    monkeypatch.setattr("windows.signing.on_windows", lambda: True)
    Authenticode(thumbprint="ab" * 20).sign(tmp_path / "burrow.exe")
    Authenticode(library=Path("dlib.dll"), metadata=Path("meta.json"), timestamp="").sign(tmp_path / "burrow.exe")
    by_store, by_service = tools.calls()
    line = Authenticode(thumbprint="ab" * 20).shell_line("%1")
    assert line.endswith(f'/sha1 {"ab" * 20} "%1"')
    file = str(tmp_path / "burrow.exe")
    time = ["/tr", "http://timestamp.digicert.com", "/td", "sha256"]
    assert by_store == ["signtool", "sign", "/fd", "sha256", *time, "/sha1", "ab" * 20, file]
    assert by_service == ["signtool", "sign", "/fd", "sha256", "/dlib", "dlib.dll", "/dmdf", "meta.json", file]


@pytest.mark.parametrize("arguments", [{}, {"thumbprint": "ab", "pfx": Path("x")}, {"library": Path("x")}])
def test_a_signing_that_is_not_one_way_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="signing"):
        Authenticode(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_internal/aux.py", "device"),
        ("_internal/com1", "device"),
        ("_internal/a:b", "no file name"),
        ("_internal/ends.", "no file name"),
        ("_internal/" + "n" * 200, "characters when installed"),
    ],
)
def test_a_file_that_windows_cannot_hold_stops_the_build(tmp_path: Path, name: str, words: str) -> None:
    folder = application(tmp_path)
    (folder / name).write_bytes(b"x")
    with pytest.raises(build.CannotBuild, match=words):
        build.build(folder, tmp_path / "dist")


def test_names_that_differ_only_in_case_stop_the_build(tmp_path: Path) -> None:
    folder = application(tmp_path)
    (folder / "_Internal").mkdir()
    (folder / "_Internal" / "x").write_bytes(b"x")
    with pytest.raises(build.CannotBuild, match="_internal: two names"):
        build.build(folder, tmp_path / "dist")


def test_a_folder_that_was_not_built_on_windows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "burrow").write_bytes(b"ELF")
    with pytest.raises(build.CannotBuild, match=r"no burrow\.exe"):
        build.build(tmp_path, tmp_path / "dist")


def test_the_longest_home_of_windows_is_counted_with_a_name_of_twenty_characters() -> None:
    fits = Path("f" * (layout.MAX_PATH - len(layout.LONGEST_HOME) - 1))
    assert layout.troubles([fits]) == []
    assert layout.troubles([Path(f"{fits}f")]) != []


@pytest.mark.packaged
def test_windows_can_hold_every_file_of_the_real_application(frozen_folder: Path) -> None:
    files = layout.files_of(frozen_folder)
    assert len(files) > 100
    assert layout.troubles(files) == []
