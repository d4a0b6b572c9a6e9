"""What a process knows of the proxy's clients is never older than about a second, and no key is ever shown."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from app.core.errors import NotFound, Rejected, StorageTrouble
from app.core.mcp.proxy import clients as clients_module
from app.core.mcp.proxy.clients import AHEAD_SECONDS, VALID_SECONDS, KnownClient, ProxyClients
from app.core.mcp.proxy.keys import hash_of, is_key, new_key
from app.core.mcp.proxy.parts import ProxyClient, ToolRule
from app.core.redaction import REDACTED, redact, redact_text
from app.core.storage import Storage
from app.core.storage.database import Database
from app.core.storage.storage import FILE_NAME
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Process:
    """A storage with its clients, as a process has them."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage.open(folder)
        self.clients = ProxyClients(self.storage.proxy_clients)

    async def __aenter__(self) -> ProxyClients:
        await self.clients.start()
        return self.clients

    async def __aexit__(self, *exception: object) -> None:
        await self.clients.close()
        await self.storage.close()


@pytest.fixture(autouse=True)
def minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot counts for a minute, so that no test depends on how quick it is."""
    monkeypatch.setattr(clients_module, "VALID_SECONDS", 60.0)
    monkeypatch.setattr(clients_module, "AHEAD_SECONDS", 30.0)


def test_a_snapshot_counts_for_a_second_and_is_looked_at_ahead_of_that() -> None:
    assert (VALID_SECONDS, AHEAD_SECONDS) == (1.0, 0.5)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries of every process from now on."""
    queries: list[str] = []
    read = Database.read

    def watched(database: Database, sql: str, parameters: Any = ()) -> list[Any]:
        queries.append(sql)
        return read(database, sql, parameters)

    monkeypatch.setattr(Database, "read", watched)
    return queries


def aged(clients: ProxyClients, seconds: float) -> None:
    """Make the snapshot older."""
    clients._looked -= seconds


def all_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_a_key_that_nobody_has_opens_nothing(tmp_path: Path) -> None:
    async with Process(tmp_path) as clients:
        client, key = await clients.create("Cursor", "cursor")
        assert is_key(key)
        for wrong in ("", "bw_", key[:-1], key + "A", key.upper(), hash_of(key), "bw_" + "\ud800" * 43, "x" * 100_000):
            assert clients.client_of(wrong) is None
            assert await clients.find_client(wrong) is None
        assert await clients.find_client(new_key()) is None
        assert clients.client_of(key) == client == ProxyClient(client.id, "Cursor", "cursor", None)
        assert await clients.find_client(key) == client


async def test_the_key_is_nowhere_in_the_folder_nor_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Process(tmp_path) as clients:
        client, key = await clients.create("Cursor")
        clients.used(client.id, "own:1", f"agent {key}", calls=1)
        await clients.look()
        other = await clients.renew_key(client.id)
        assert other != key
        shown = (
            f"{clients!r} {clients._snapshot!r} {client!r} {clients.clients!r} {redact([key, other])!r} {caplog.text}"
        )
        assert redact_text(f"a{key} of {other[:40]}") == f"a{REDACTED} of {REDACTED}"
    kept = all_of(tmp_path)
    for secret in (key, other):
        assert secret[3:20] not in shown
        assert secret[3:20].encode() not in kept


async def test_a_client_made_by_another_process_is_known_at_its_first_request(tmp_path: Path) -> None:
    async with Process(tmp_path) as serving, Process(tmp_path) as command:
        client, key = await command.create("script", servers=["own:2", "own:1"])
        assert serving.client_of(key) is None
        assert await serving.find_client(key) == client
        assert serving.client_of(key) == client
        assert client.servers == {"own:1", "own:2"}


async def test_a_key_revoked_by_another_process_stops_within_the_time_that_a_snapshot_counts(tmp_path: Path) -> None:
    async with Process(tmp_path) as serving, Process(tmp_path) as command:
        client, key = await serving.create("script")
        gone: list[None] = []
        serving.narrowed.subscribe(gone.append)
        await command.look()
        await command.revoke(client.id)
        assert command.client_of(key) is None
        aged(serving, clients_module.VALID_SECONDS)
        # What nobody looked at for a second tells nothing, so the door has to look.
        assert serving.client_of(key) is None
        assert await serving.find_client(key) is None
        assert gone == [None]
        assert not serving.has_access(client.id, "own:1")
        assert [known.revoked_at is not None for known in serving.clients] == [True]


async def test_requests_keep_the_snapshot_new_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Process(tmp_path) as serving, Process(tmp_path) as command:
        client, key = await serving.create("script")
        await command.look()
        await command.revoke(client.id)
        queries = reads(monkeypatch)
        aged(serving, clients_module.AHEAD_SECONDS)
        # The request that notices is still answered from memory.
        threads = [threading.Thread(target=serving.client_of, args=(key,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        await until(lambda: all(known.revoked_at for known in serving.clients), 20)
        assert serving.client_of(key) is None
        # A look asks once, and once more when it reads everything.
        assert sum(query == "PRAGMA data_version" for query in queries) < len(threads)


async def test_guessing_keys_looks_at_the_database_once_in_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Process(tmp_path) as clients:
        await clients.create("Cursor")
        queries = reads(monkeypatch)
        began = time.monotonic()
        for _ in range(5):
            found = await asyncio.gather(*(clients.find_client(new_key()) for _ in range(100)))
            assert set(found) == {None}
        looks = 1 + (time.monotonic() - began) / clients_module.LOOK_APART
        assert 1 <= len(queries) <= looks
        assert set(queries) == {"PRAGMA data_version"}


async def test_what_was_stored_before_the_question_is_seen_even_while_a_look_is_under_way(tmp_path: Path) -> None:
    async with Process(tmp_path) as serving, Process(tmp_path) as command:
        await serving.look()
        early = asyncio.create_task(serving.find_client(new_key()))
        await until(lambda: serving._coming is None or early.done())
        _, key = await command.create("script")
        assert await serving.find_client(key) is not None
        assert await early is None


async def test_rules_are_those_of_the_client_alone_and_an_unknown_one_blocks(tmp_path: Path) -> None:
    async with Process(tmp_path) as clients:
        client, _ = await clients.create("Cursor")
        other, _ = await clients.create("script")
        await clients.set_rule(client.id, "own:1", "drop", ToolRule.ASK)
        assert clients.rule_of(client.id, "own:1", "drop") is ToolRule.ASK
        assert clients.rule_of(other.id, "own:1", "drop") is None
        assert clients.rule_of(client.id, "own:2", "drop") is None
        assert clients.rule_of("nobody", "own:1", "drop") is None
        with pytest.raises(Rejected):
            await clients.set_rule(client.id, "own:1", "half of a pair \ud800", ToolRule.BLOCK)
        connection = sqlite3.connect(tmp_path / FILE_NAME)
        connection.execute("UPDATE proxy_rules SET rule = 'ask twice'")
        connection.commit()
        connection.close()
        await clients.look()
        assert clients.rule_of(client.id, "own:1", "drop") is ToolRule.BLOCK
        await clients.set_rule(client.id, "own:1", "drop", None)
        assert clients.rule_of(client.id, "own:1", "drop") is None


async def test_rules_of_many_tools_are_one_change_and_none_of_them_is_kept_when_one_cannot_be(tmp_path: Path) -> None:
    async with Process(tmp_path) as clients:
        client, _ = await clients.create("Cursor")
        told: list[int] = []
        clients.changed.subscribe(lambda _nothing: told.append(len(clients.rules_of(client.id))))
        names = [f"tool {number}" for number in range(3000)]
        await clients.set_rules(client.id, "own:1", dict.fromkeys(names, ToolRule.ASK))
        assert told == [3000]
        with pytest.raises(Rejected):
            await clients.set_rules(client.id, "own:1", {"tool 1": None, "half of a pair \ud800": ToolRule.BLOCK})
        await clients.set_rules(client.id, "own:1", {"tool 2": None, "tool 3": ToolRule.ALLOW})
        assert told == [3000, 2999]
        kept = [clients.rule_of(client.id, "own:1", f"tool {number}") for number in range(5)]
        assert kept == [ToolRule.ASK, ToolRule.ASK, None, ToolRule.ALLOW, ToolRule.ASK]


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\x00b", "a\u202eb", "\ud800"])
async def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path, name: str) -> None:
    async with Process(tmp_path) as clients:
        with pytest.raises(Rejected) as caught:
            await clients.create(name)
        assert caught.value.facts.attr == "name"
        client, _ = await clients.create("good")
        with pytest.raises(Rejected):
            await clients.rename(client.id, name)
        assert [known.client for known in clients.clients] == [client]


async def test_a_name_that_another_process_took_is_refused(tmp_path: Path) -> None:
    async with Process(tmp_path) as one, Process(tmp_path) as two:
        first, _ = await one.create(" my \n Cursor ")
        assert first.name == "my Cursor"
        with pytest.raises(Rejected, match="called MY CURSOR"):
            await two.create("MY CURSOR")
        second, _ = await two.create("other")
        with pytest.raises(Rejected, match="my cursor"):
            await two.rename(second.id, "my cursor")
        await two.rename(second.id, "Other")
        assert two.called("OTHER").client.id == two.called(second.id).client.id == second.id
        with pytest.raises(NotFound, match="nobody"):
            two.called("nobody")


@pytest.mark.parametrize(
    "change",
    [
        lambda clients, client: clients.rename(client, "x"),
        lambda clients, client: clients.renew_key(client),
        lambda clients, client: clients.choose_servers(client, None),
        lambda clients, client: clients.set_rule(client, "s", "t", ToolRule.ALLOW),
    ],
)
async def test_a_client_that_another_process_revoked_cannot_be_changed(
    tmp_path: Path, change: Callable[[ProxyClients, str], Any]
) -> None:
    async with Process(tmp_path) as one, Process(tmp_path) as two:
        client, key = await one.create("Cursor")
        await two.revoke(client.id)
        with pytest.raises(NotFound):
            await change(one, client.id)
        assert one.client_of(key) is None
        await one.revoke(client.id)
        with pytest.raises(NotFound):
            one.called("Cursor")


async def test_a_renewed_key_replaces_the_one_before_at_once(tmp_path: Path) -> None:
    async with Process(tmp_path) as clients:
        client, key = await clients.create("Cursor")
        narrowed: list[None] = []
        clients.narrowed.subscribe(narrowed.append)
        other = await clients.renew_key(client.id)
        assert clients.client_of(key) is None
        assert clients.client_of(other) == client
        await clients.choose_servers(client.id, ["own:1"])
        assert clients.client_of(other) == ProxyClient(client.id, "Cursor", "", frozenset({"own:1"}))
        # What is open with the former key ends, and what is open at other servers.
        assert narrowed == [None, None]
        assert not clients.admits(hash_of(key), "")
        assert [clients.admits(hash_of(other), server) for server in ("", "own:1", "own:2")] == [True, True, False]
        await clients.choose_servers(client.id, ["own:1", "own:2"])
        await clients.rename(client.id, "Other")
        await clients.choose_servers(client.id, None)
        assert narrowed == [None, None]


async def test_what_clients_use_is_told_to_a_window_that_watches_and_is_there_after_a_restart(tmp_path: Path) -> None:
    async with Process(tmp_path) as clients:
        client, _ = await clients.create("Cursor")
        changes: list[tuple[KnownClient, ...]] = []
        clients.changed.subscribe(lambda _: changes.append(clients.clients))
        threads = [
            threading.Thread(target=clients.used, args=(client.id, "own:1"), kwargs={"calls": 1}) for _ in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clients.used(client.id, "own:2", "Cursor\n 1.2 \x1b[31m")
        watching = asyncio.create_task(clients.watch())
        await until(lambda: changes)
        watching.cancel()
        [known] = changes[-1]
        assert (known.calls, known.agent) == (50, "Cursor 1.2 [31m")
        assert known.last_used is not None
    async with Process(tmp_path) as clients:
        [known] = clients.clients
        assert {each.server: each.calls for each in known.use} == {"own:1": 50, "own:2": 0}


async def test_a_look_that_fails_is_told_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Process(tmp_path) as clients:
        client, key = await clients.create("Cursor")

        def fails(*_: object) -> list[Any]:
            raise StorageTrouble("planted")

        with monkeypatch.context() as broken:
            broken.setattr(Database, "read", fails)
            with pytest.raises(StorageTrouble, match="planted"):
                await clients.find_client(key)
            aged(clients, clients_module.VALID_SECONDS)
            assert clients.client_of(key) is None
        assert await clients.find_client(key) == client


async def test_an_older_read_that_ends_later_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Process(tmp_path) as clients:
        client, key = await clients.create("Cursor")
        old = await clients._stored.all()
        release = asyncio.Event()
        real = clients._stored.all

        async def late() -> Any:
            await release.wait()
            return old

        monkeypatch.setattr(clients._stored, "all", late)
        reading = asyncio.create_task(clients._read())
        await asyncio.sleep(0)
        monkeypatch.setattr(clients._stored, "all", real)
        await clients.revoke(client.id)
        release.set()
        await reading
        assert clients.client_of(key) is None


async def test_closing_during_a_look_ends_it(tmp_path: Path) -> None:
    process = Process(tmp_path)
    async with process as clients:
        _, key = await clients.create("Cursor")
        await clients.look()
        looking = asyncio.create_task(clients.look())
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await looking
    aged(clients, clients_module.AHEAD_SECONDS)
    assert clients.client_of(key) is not None
