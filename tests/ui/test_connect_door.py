"""The Connect place on the real services: a proxy that serves, clients that are stored, files that are changed."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.vault.base import StoreKind
from app.core.errors import NotFound, Rejected
from app.core.mcp.proxy.parts import ToolRule
from app.core.mcp.proxy.service import PORT_SETTING, ProxyState
from app.core.mcp.servers.definitions import HttpServer
from app.core.services import Services
from app.ui.connect.door import ServicesDoor
from app.ui.connect.facts import PreviewOutdated, ProxyPhase, StepOutcome
from tests.core.proxy._service import free_port, state_is

MINE = HttpServer("own-1", "Mine", "http://127.0.0.1:9/mcp")
CONFIG = '{\n  // what is mine\n  "mcpServers": {\n    "other": {"command": "x"},\n  },\n}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: no test reads or changes the files of a person's programs."""
    folder = tmp_path / "home"
    (folder / ".cursor").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", str(folder))
    return folder


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[ServicesDoor, Services]]:
    services = Services(folder, store=StoreKind.FILE)
    try:
        await services.storage.settings.set(PORT_SETTING, free_port())
        await services.own_servers.add(MINE)
        door = ServicesDoor(services)
        await services.proxy.start()
        await state_is(services.proxy, ProxyState.SERVING)
        await door.load()
        yield door, services
    finally:
        await services.proxy.stop(keep=False)
        await services.close()


async def test_what_is_set_up_gets_the_chosen_port_while_it_is_taken(qapp: QApplication, tmp_path: Path) -> None:
    async with served(tmp_path / "data") as (door, services):
        client_id, key = await door.create("Cursor", "cursor", None)
        chosen = door.proxy().address
        await services.proxy.stop(keep=False)
        with closing(socket.create_server(("127.0.0.1", services.proxy.port))):
            await services.proxy.start()
            await state_is(services.proxy, ProxyState.PORT_TAKEN)
            assert door.proxy().temporary
            assert chosen != door.proxy().address
            [way, _command] = await door.snippets(client_id, key)
            assert f"{chosen}/mcp/own-1" in way.text
            file = tmp_path / "mcp.json"
            assert f"{chosen}/mcp/own-1" in (await door.preview(client_id, way.id, key, str(file))).diff


async def status_with(door: ServicesDoor, key: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{door.proxy().address}/mcp/nowhere", headers={"authorization": f"Bearer {key}"})
        return answer.status_code


async def test_what_is_shown_is_what_serves(qapp: QApplication, tmp_path: Path) -> None:
    async with served(tmp_path / "data") as (door, services):
        facts = door.proxy()
        assert facts.phase is ProxyPhase.SERVING
        assert facts.address == f"http://127.0.0.1:{facts.port}"
        assert [(each.id, each.address) for each in door.servers()] == [("own-1", f"{facts.address}/mcp/own-1")]
        assert door.account == ""
        told: list[None] = []
        door.changed.subscribe(told.append)
        await door.set_on(False)
        assert door.proxy().phase is ProxyPhase.OFF
        assert told
        await door.set_on(True)
        await state_is(services.proxy, ProxyState.SERVING)
        other = free_port()
        await door.set_port(other)
        await state_is(services.proxy, ProxyState.SERVING)
        assert door.proxy().address == f"http://127.0.0.1:{other}"


async def test_a_client_is_let_in_until_it_is_revoked_and_a_new_key_ends_the_former(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with served(tmp_path / "data") as (door, _services):
        client_id, key = await door.create("Cursor", "cursor", frozenset({"own-1"}))
        assert await status_with(door, "bw_" + "x" * 43) == 401
        assert await status_with(door, key) != 401
        with pytest.raises(Rejected):
            await door.create("cursor", "", None)
        other = await door.renew_key(client_id)
        assert await status_with(door, key) == 401
        assert await status_with(door, other) != 401
        await door.rename(client_id, "Laptop")
        await door.choose_servers(client_id, None)
        await door.set_rules(client_id, "own-1", [("a", ToolRule.ASK), ("b", ToolRule.BLOCK)])
        assert door.rule_of(client_id, "own-1", "b") is ToolRule.BLOCK
        await door.set_rules(client_id, "own-1", [("b", None)])
        assert door.rule_of(client_id, "own-1", "b") is None
        [known] = door.clients()
        assert (known.name, known.servers, known.revoked, known.last_used) == ("Laptop", None, False, None)
        await door.revoke(client_id)
        assert await status_with(door, other) == 401
        assert door.clients()[0].revoked


async def test_a_snippet_has_the_key_only_while_it_is_known_and_no_line_end_that_would_run_it(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with served(tmp_path / "data") as (door, _services):
        client_id, key = await door.create("Claude", "claude-code", None)
        over_http, command = await door.snippets(client_id, key)
        assert over_http.command
        assert over_http.files == ()
        assert key in over_http.text
        assert not over_http.text.endswith("\n")
        assert f"{door.proxy().address}/mcp/own-1" in over_http.text
        assert key not in command.text
        assert not command.keyed
        assert client_id in command.text
        assert str(tmp_path / "data") in command.text
        assert key not in (await door.snippets(client_id, None))[0].text
        assert key not in repr(over_http)


async def test_what_was_shown_is_added_to_the_file_and_nothing_else_changes(
    qapp: QApplication, tmp_path: Path, home: Path
) -> None:
    file = home / ".cursor" / "mcp.json"
    file.write_text(CONFIG)
    async with served(tmp_path / "data") as (door, _services):
        programs = {each.id: each.found for each in await door.programs()}
        assert programs["cursor"]
        assert not programs["zed"]
        client_id, key = await door.create("Cursor", "cursor", None)
        [way, _] = await door.snippets(client_id, key)
        assert way.files == (str(file),)
        shown = await door.preview(client_id, way.id, key, way.files[0])
        assert file.read_text() == CONFIG
        assert not shown.new
        assert key not in shown.diff
        assert "own-1" in shown.diff
        copy = await door.write(shown)
        [kept] = file.parent.glob("mcp.json.burrow-backup*")
        assert (str(kept), kept.read_text()) == (copy, CONFIG)
        assert "// what is mine" in file.read_text()
        assert key in file.read_text()
        assert (await door.preview(client_id, way.id, key, way.files[0])).diff == ""


async def test_a_file_that_changed_since_it_was_shown_is_not_written(
    qapp: QApplication, tmp_path: Path, home: Path
) -> None:
    file = home / ".cursor" / "mcp.json"
    file.write_text(CONFIG)
    async with served(tmp_path / "data") as (door, _services):
        client_id, _key = await door.create("Cursor", "cursor", None)
        shown = await door.preview(client_id, "stdio", None, str(file))
        file.write_text(CONFIG.replace("other", "another"))
        with pytest.raises(PreviewOutdated):
            await door.write(shown)
        assert "own-1" not in file.read_text()
        again = await door.preview(client_id, "stdio", None, str(file))
        file.write_text("{ no JSON")
        with pytest.raises(Rejected):
            await door.preview(client_id, "stdio", None, str(file))
        with pytest.raises(PreviewOutdated):
            await door.write(again)
        assert file.read_text() == "{ no JSON"


async def test_a_file_that_others_can_read_is_told_before_a_key_is_written_into_it(
    qapp: QApplication, tmp_path: Path, home: Path
) -> None:
    file = home / ".cursor" / "mcp.json"
    file.write_text(CONFIG)
    async with served(tmp_path / "data") as (door, _services):
        client_id, key = await door.create("Cursor", "cursor", None)
        file.chmod(0o644)
        assert "Other users" in (await door.preview(client_id, "http", key, str(file))).note
        assert (await door.preview(client_id, "stdio", None, str(file))).note == ""
        file.chmod(0o600)
        assert (await door.preview(client_id, "http", key, str(file))).note == ""


async def test_a_new_file_is_made_for_a_program_that_has_none(qapp: QApplication, tmp_path: Path, home: Path) -> None:
    async with served(tmp_path / "data") as (door, _services):
        client_id, key = await door.create("Cursor", "cursor", None)
        file = home / ".cursor" / "mcp.json"
        shown = await door.preview(client_id, "http", key, str(file))
        assert shown.new
        assert await door.write(shown) == ""
        assert key in json.dumps(json.loads(file.read_text()))


async def test_a_test_tells_each_step_and_what_failed(qapp: QApplication, tmp_path: Path) -> None:
    async with served(tmp_path / "data") as (door, _services):
        client_id, key = await door.create("Any", "", None)
        steps = [step async for step in door.test(client_id, key)]
        last = {step.title: step for step in steps}
        assert last["Mine"].outcome is StepOutcome.FAILED
        assert last["Mine"].detail
        assert door.clients()[0].last_used is None


async def test_a_client_that_is_gone_has_no_snippet(qapp: QApplication, tmp_path: Path) -> None:
    async with served(tmp_path / "data") as (door, _services):
        with pytest.raises(NotFound):
            await door.snippets("nobody", None)
