"""The programs that are known, where their files are, and the texts that connect them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.core import own_environment
from app.core.installation import NAMED_BY
from app.core.mcp.programs.entries import Access, entry_name, found_entry, plan
from app.core.mcp.programs.places import ProgramMachine, found
from app.core.mcp.programs.program import LINUX, MACOS, WINDOWS, OfferedServer, Program, Via
from app.core.mcp.programs.shim_command import burrow_command, server_of_shim, shim_command
from app.core.mcp.programs.snippets import NO_KEY, add_command, snippet
from app.core.mcp.programs.table import (
    CLAUDE_CODE,
    CLAUDE_DESKTOP,
    CODEX,
    CURSOR,
    GENERIC,
    PROGRAMS,
    VS_CODE,
    WINDSURF,
    ZED,
    program,
)

ADDRESS = "http://127.0.0.1:41717"
KEY = "bw_" + "k" * 43
POSTHOG = OfferedServer("posthog", "PostHog")
SERVERS = [POSTHOG, OfferedServer("own-1f", "My “sqlite” server")]


def machine(home: Path, platform: str = LINUX, **environment: str) -> ProgramMachine:
    """A machine with nothing on its PATH."""
    return ProgramMachine(platform, {"PATH": "", **environment}, home, home / "root")


def made(path: Path, text: str = "{}") -> Path:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_ids_are_unique_and_an_unknown_one_is_the_generic_program() -> None:
    assert len({each.id for each in PROGRAMS}) == len(PROGRAMS)
    assert all(program(each.id) is each for each in PROGRAMS)
    assert program("") is program("nobody") is GENERIC


@pytest.mark.parametrize(
    ("each", "platform", "environment", "file"),
    [
        (CLAUDE_CODE, LINUX, {}, ".claude.json"),
        (CLAUDE_CODE, MACOS, {"CLAUDE_CONFIG_DIR": "{home}/elsewhere"}, "elsewhere/.claude.json"),
        (CLAUDE_DESKTOP, MACOS, {}, "Library/Application Support/Claude/claude_desktop_config.json"),
        (CLAUDE_DESKTOP, WINDOWS, {}, "AppData/Roaming/Claude/claude_desktop_config.json"),
        (CLAUDE_DESKTOP, WINDOWS, {"APPDATA": "{home}/r"}, "r/Claude/claude_desktop_config.json"),
        (CLAUDE_DESKTOP, LINUX, {"XDG_CONFIG_HOME": "{home}/c"}, "c/Claude/claude_desktop_config.json"),
        (CURSOR, WINDOWS, {}, ".cursor/mcp.json"),
        (VS_CODE, LINUX, {}, ".config/Code/User/mcp.json"),
        (VS_CODE, LINUX, {"XDG_CONFIG_HOME": "relative"}, ".config/Code/User/mcp.json"),
        (VS_CODE, MACOS, {}, "Library/Application Support/Code/User/mcp.json"),
        (VS_CODE, WINDOWS, {}, "AppData/Roaming/Code/User/mcp.json"),
        (CODEX, LINUX, {}, ".codex/config.toml"),
        (CODEX, WINDOWS, {"CODEX_HOME": "{home}/x"}, "x/config.toml"),
        (ZED, LINUX, {}, ".config/zed/settings.json"),
        (ZED, MACOS, {"XDG_CONFIG_HOME": "{home}/c"}, ".config/zed/settings.json"),
        (ZED, WINDOWS, {}, "AppData/Roaming/Zed/settings.json"),
        (WINDSURF, LINUX, {}, ".codeium/windsurf/mcp_config.json"),
    ],
)
def test_a_program_that_is_not_there_yet_has_the_file_that_it_would_read(
    tmp_path: Path, each: Program, platform: str, environment: dict[str, str], file: str
) -> None:
    set_ = {name: value.replace("{home}", str(tmp_path)) for name, value in environment.items()}
    there = found(each, machine(tmp_path, platform, **set_))
    assert there.file is not None
    assert there.file.path == tmp_path / file
    assert not there.installed
    assert not there.file.exists


def test_the_file_of_the_installation_that_is_there_comes_first(tmp_path: Path) -> None:
    here = machine(tmp_path)
    made(tmp_path / ".var/app/com.visualstudio.code/config/Code/User/mcp.json")
    (tmp_path / ".config/Code - Insiders/User").mkdir(parents=True)
    there = found(VS_CODE, here)
    assert there.installed
    assert [(file.flavor, file.exists, file.sandbox) for file in there.files] == [
        ("Flatpak", True, True),
        ("Insiders", False, False),
    ]
    made(tmp_path / ".config/Code/User/mcp.json")
    assert [file.flavor for file in found(VS_CODE, here).files] == ["", "Flatpak", "Insiders"]


def test_the_packaged_claude_desktop_reads_the_file_of_its_package(tmp_path: Path) -> None:
    here = machine(tmp_path, WINDOWS)
    made(tmp_path / "AppData/Roaming/Claude/claude_desktop_config.json")
    assert [file.flavor for file in found(CLAUDE_DESKTOP, here).files] == [""]
    (tmp_path / "AppData/Local/Packages/Claude_pzs8sxrjxfjjc").mkdir(parents=True)
    there = found(CLAUDE_DESKTOP, here)
    assert [file.flavor for file in there.files] == ["package", ""]
    assert there.files[0].path == tmp_path / (
        "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json"
    )


def test_a_program_is_found_on_the_path_and_where_installers_put_it(tmp_path: Path) -> None:
    here = machine(tmp_path)
    assert found(CODEX, here).command is None
    folder = tmp_path / ".nvm/versions/node/v22.1.0/bin"
    command = made(folder / "codex", "#!/bin/sh\n")
    command.chmod(0o755)
    there = found(CODEX, here)
    assert there.installed
    assert there.command == command
    other = made(tmp_path / "bin-of-path" / "codex", "#!/bin/sh\n")
    other.chmod(0o755)
    assert found(CODEX, machine(tmp_path, PATH=str(other.parent))).command == other


def test_a_name_is_one_that_every_program_takes() -> None:
    assert entry_name(POSTHOG) == "posthog"
    assert entry_name(OfferedServer("x", "Google Workspace (me@example.com) of Ana")) == "google-workspace-me-exam"
    assert entry_name(OfferedServer("own-9", "—日本—")) == "own-9"
    assert entry_name(OfferedServer("日", "日")) == "server"
    assert entry_name(POSTHOG, ["PostHog"]) == "posthog-burrow"
    assert entry_name(POSTHOG, ["posthog", "posthog-burrow"]) == "posthog-burrow-2"


@pytest.mark.parametrize("each", PROGRAMS, ids=lambda each: each.id)
@pytest.mark.parametrize("via", Via)
def test_a_snippet_says_everything_and_the_key_only_over_http(tmp_path: Path, each: Program, via: Via) -> None:
    text = snippet(each, SERVERS, ADDRESS, KEY, client="client-1", via=via, machine=machine(tmp_path))
    way = via if via in each.vias else each.vias[0]
    assert (KEY in text.text) == (way is Via.HTTP)
    assert (ADDRESS in text.text) == (way is Via.HTTP)
    assert KEY not in repr(text)
    if text.language == "shell":
        lines = [shlex.split(line) for line in text.text.splitlines()]
        assert [line[:3] for line in lines] == [["claude", "mcp", "add"]] * 2
        return
    document = tomllib.loads(text.text) if text.language == "toml" else json.loads(text.text)
    assert set(document) == {each.key}
    assert list(document[each.key]) == ["posthog", "my-sqlite-server"]
    entries = [found_entry(name, entry) for name, entry in document[each.key].items()]
    assert [entry and entry.server for entry in entries] == ["posthog", "own-1f"]
    assert all(entry and entry.key == (KEY if way is Via.HTTP else "") for entry in entries)
    assert text.note


def test_the_commands_of_claude_code_have_the_header_behind_the_address(tmp_path: Path) -> None:
    text = snippet(CLAUDE_CODE, [POSTHOG], ADDRESS, KEY, machine=machine(tmp_path)).text
    words = shlex.split(text)
    assert words[-4:] == ["posthog", f"{ADDRESS}/mcp/posthog", "--header", f"Authorization: Bearer {KEY}"]
    shim = shlex.split(snippet(CLAUDE_CODE, [POSTHOG], ADDRESS, "", client="c", via=Via.STDIO).text)
    assert shim[shim.index("--") + 1 :] == list(shim_command("c", "posthog"))


def test_a_snippet_without_a_key_has_a_sign_in_its_place(tmp_path: Path) -> None:
    assert NO_KEY in snippet(CURSOR, [POSTHOG], ADDRESS, "", machine=machine(tmp_path)).text


def test_no_command_with_a_key_is_given_where_the_file_can_be_changed() -> None:
    for each in PROGRAMS:
        for entry in plan(each, [POSTHOG], Access(ADDRESS, KEY, "c"), each.vias[0], {}):
            assert each.owns_file or KEY not in " ".join(add_command(each, entry, each.vias[0]))
    shim = plan(VS_CODE, [POSTHOG], Access(ADDRESS, "", "c"), Via.STDIO, {})[0]
    command = add_command(VS_CODE, shim, Via.STDIO)
    assert command[:2] == ("code", "--add-mcp")
    assert json.loads(command[2])["args"][-2:] == ["--server", "posthog"]
    assert json.loads(command[2])["name"] == "posthog"


def test_the_shim_starts_burrow_from_any_folder_without_a_path(tmp_path: Path) -> None:
    made(tmp_path / "app" / "__init__.py", "raise SystemExit('the wrong one')")
    made(tmp_path / "app" / "__main__.py", "raise SystemExit('the wrong one')")
    environment = {"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(
        [*burrow_command(), "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert Path(burrow_command()[0]).is_absolute()


def test_a_frozen_burrow_starts_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/burrow/burrow")
    assert shim_command("c", "s", data=Path("/d")) == (
        *("/opt/burrow/burrow", "connect", "stdio", "c", "--server", "s", "--data", "/d"),
    )
    (tmp_path / NAMED_BY).write_text('{"kind": "appimage"}')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "burrow"))
    monkeypatch.setattr(own_environment, "_image", "/home/ana/Burrow.AppImage")
    assert burrow_command() == ("/home/ana/Burrow.AppImage",)
    assert server_of_shim(shim_command("c", "s")) == "s"


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "text",
        {},
        {"url": 1},
        {"url": f"{ADDRESS}/mcp/posthog"},
        {"url": f"{ADDRESS}/mcp/posthog", "headers": {"Authorization": "Bearer other"}},
        {"url": "http://example.com:41717/mcp/posthog", "headers": {"Authorization": f"Bearer {KEY}"}},
        {"url": f"{ADDRESS}/mcp/a/b", "headers": {"Authorization": f"Bearer {KEY}"}},
        {"url": "http://127.0.0.1:x/mcp/a", "headers": {"Authorization": f"Bearer {KEY}"}},
        {"url": f"{ADDRESS}/mcp/posthog", "headers": [KEY]},
        {"command": "npx", "args": ["-y", "x"]},
        {"command": "burrow", "args": ["connect", "stdio", "c"]},
        {"command": "burrow", "args": ["connect", "stdio", "c", "--server"]},
        {"command": "burrow", "args": "connect stdio c --server s"},
    ],
)
def test_an_entry_that_is_not_ours_is_not_taken_for_ours(entry: object) -> None:
    assert found_entry("x", entry) is None
