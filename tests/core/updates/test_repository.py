"""The tool that publishes releases, run as its publisher runs it; and what a build takes along to trust it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.installation import InstalledApp, InstallKind
from app.core.updates.source import UpdateSource, source_of
from app.core.updates.status import UpdateState
from tests.core.updates._repository import CONTENT, Rig, tool

TRUST = Path(__file__).parents[3] / "packaging" / "updates" / "trust.py"


def run(*arguments: str) -> None:
    """The tool in this process."""
    assert tool().main(list(arguments)) == 0


async def test_a_publisher_makes_keys_a_repository_and_releases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, other, folder = str(tmp_path / "keys"), str(tmp_path / "other"), str(tmp_path / "repository")
    file, notes = tmp_path / "Burrow-0.2.0.AppImage", tmp_path / "notes.md"
    file.write_bytes(CONTENT)
    notes.write_text("Much is new.", encoding="utf-8")

    run("keys", keys, "--roots", "3")
    run("init", folder, "--keys", keys, "--threshold", "2")
    made = ["--version", "0.2.0", "--platform", "linux", "--kind", "appimage", "--minimum-system", "2.36"]
    run("add", folder, str(file), "--keys", keys, *made, "--notes", str(notes))
    run("refresh", folder, "--keys", keys)
    run("keys", other, "--roots", "0", "--role", "timestamp")
    run("rotate", folder, "--keys", keys, "--new", other)

    root, path, second = capsys.readouterr().out.splitlines()
    assert path == "appimage/x86_64/0.2.0/Burrow-0.2.0.AppImage"
    assert (Path(root).name, Path(second).name) == ("1.root.json", "2.root.json")
    rig = Rig.of(tmp_path, Path(root))
    status = await rig.updates().check()
    assert status.release is not None
    assert (status.state, status.release.notes) == (UpdateState.AVAILABLE, "Much is new.")
    assert (await rig.updates().load()).state is UpdateState.AVAILABLE
    await rig.clients.close()
    rig.server.close()


def test_the_tool_runs_as_a_program_and_asks_for_a_version(tmp_path: Path) -> None:
    made = ["--version", "1", "--platform", "linux", "--kind", "appimage"]
    command = [sys.executable, str(TRUST.with_name("repository.py")), "add", str(tmp_path), "x", *made]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert finished.returncode == 1
    assert "is no version" in finished.stderr


def test_keys_may_have_a_password(tmp_path: Path) -> None:
    tool().make_keys(tmp_path, roots=1, password="horse")

    assert len(tool().load_keys([tmp_path], "horse")["root"]) == 1
    with pytest.raises((TypeError, ValueError)):
        tool().load_keys([tmp_path])


def test_a_root_is_not_replaced_by_too_few_keys(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, roots=2, threshold=2)
    rig.server.close()
    tool().make_keys(tmp_path / "next", roots=1)

    with pytest.raises(SystemExit):
        rig.repository.rotate(tool().load_keys([tmp_path / "next"]))
    assert not (rig.metadata / "2.root.json").exists()


def test_nothing_is_published_that_the_role_has_not_signed(tmp_path: Path) -> None:
    from tuf.api.exceptions import UnsignedMetadataError

    rig = Rig.make(tmp_path)
    rig.server.close()
    tool().make_keys(tmp_path / "other", roots=1)
    stranger = tool().UpdateRepository(tmp_path / "repository", tool().load_keys([tmp_path / "other"]))

    with pytest.raises(UnsignedMetadataError):
        stranger.refresh()


def trust(folder: Path, url: str, root: Path | str) -> subprocess.CompletedProcess[str]:
    """Run `write_trust` as a build does, with the standard library alone."""
    code = f"import sys; sys.path.insert(0, {str(TRUST.parent)!r}); from pathlib import Path; import trust; "
    code += f"print(trust.write_trust(Path({str(folder)!r})))"
    environment = {**os.environ, "BURROW_UPDATE_URL": url, "BURROW_UPDATE_ROOT": str(root)}
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_a_build_takes_along_whom_it_trusts(tmp_path: Path) -> None:
    root = tmp_path / "root.json"
    root.write_text(json.dumps({"signed": {"_type": "root"}}))
    folder = tmp_path / "burrow"
    folder.mkdir()

    assert trust(folder, "", "").stdout == "False\n"
    assert list(folder.iterdir()) == []
    assert trust(folder, "https://updates.example/burrow/", root).stdout == "True\n"

    found = source_of(InstalledApp(InstallKind.APPIMAGE, ("b",), folder))
    assert found == UpdateSource("https://updates.example/burrow/", root.read_bytes())


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("http://updates.example/", '{"signed": {"_type": "root"}}'),
        ("https://updates.example/", "{}"),
        ("https://updates.example/", None),
    ],
)
def test_a_build_with_half_of_a_source_stops(tmp_path: Path, url: str, content: str | None) -> None:
    root = tmp_path / "root.json"
    if content is not None:
        root.write_text(content)

    assert trust(tmp_path, url, root if content is not None else "").returncode == 1
    assert not (tmp_path / "updates.json").exists()
