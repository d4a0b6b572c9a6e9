"""`burrow connect`: a key is shown once, a revoked one is refused, and every mistake is told with the way out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.keys import hash_of, is_key
from app.core.mcp.proxy.parts import ToolRule
from app.core.mcp.servers.definitions import HttpServer
from app.core.services import Services
from app.core.storage import Storage
from tests._command import DataFolder
from tests._in_process import CommandLine


class Terminal(CommandLine):
    """`burrow connect` on one data folder."""

    def run(self, *arguments: str, stdin: str = "") -> int:
        return super().run("connect", *arguments, stdin=stdin)

    def keys(self) -> dict[str, str]:
        """What is stored of keys: the clients by the hashes."""

        async def stored() -> dict[str, str]:
            storage = Storage.open(self.data)
            found = await storage.proxy_clients.all()
            await storage.close()
            return found.keys

        return asyncio.run(stored())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two servers of the user's own, one of whose titles is written twice."""
    data = tmp_path_factory.mktemp("connect")

    async def fill() -> None:
        services = Services(data, role="test", long_lived=False)
        for title, port in (("Ledger", 1), ("Twin", 2), ("twin", 3)):
            await services.own_servers.add(HttpServer("", title, f"http://127.0.0.1:{port}/mcp"))
        await services.close()

    asyncio.run(fill())
    return data


@pytest.fixture
def terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    import shutil

    shutil.copytree(folder, tmp_path / "data")
    return Terminal(tmp_path / "data", capsys, monkeypatch)


def ids(terminal: Terminal) -> dict[str, str]:
    """The ids of the servers by their titles."""

    async def listed() -> dict[str, str]:
        services = Services(terminal.data, role="test", long_lived=False)
        found = {server.title: server.id for server in await services.own_servers.definitions()}
        await services.close()
        return found

    return asyncio.run(listed())


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (("revoke", "nobody"), 5, "burrow connect list"),
        (("key", "nobody"), 5, "No client is called nobody"),
        (("servers", "nobody"), 5, "burrow connect list"),
        (("rule", "nobody", "Ledger", "t", "block"), 5, "burrow connect list"),
        (("snippet", "zed", "--client", "nobody"), 5, "burrow connect list"),
        (("add", " \n"), 2, "1 to 80 characters"),
        (("add", "x" * 81), 2, "1 to 80 characters"),
        (("add", "new", "--server", "TWIN"), 2, "Name one by its id"),
        (("add", "new", "--server", "No such"), 5, "burrow mcp servers"),
        (("snippet", "claude-desktop"), 2, "--client NAME"),
        (("snippet", "claude-desktop", "--via", "http"), 2, "--via stdio"),
        (("snippet", "zed", "--key", "-"), 2, "burrow connect key NAME"),
    ],
)
def test_a_mistake_is_told_with_the_way_out(terminal: Terminal, given: tuple[str, ...], code: int, words: str) -> None:
    assert terminal.run(*given, stdin="not a key\n") == code
    assert words in terminal.words
    assert terminal.out == ""
    assert terminal.read("list") == []


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("add",),
        ("add", "new", "--program", "netscape"),
        ("rule", "a", "b", "c", "sometimes"),
        ("snippet", "netscape"),
    ],
)
def test_what_is_no_command_is_told_with_the_usage(terminal: Terminal, given: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        terminal.run(*given)
    assert ended.value.code == 2
    assert "usage: burrow connect" in terminal.capture.readouterr().err


def test_nobody_has_access_at_first(terminal: Terminal) -> None:
    assert terminal.run("list") == 0
    assert terminal.out == ""
    assert "burrow connect add NAME" in terminal.words


def test_a_key_is_shown_once_and_only_its_hash_is_kept(terminal: Terminal) -> None:
    assert terminal.run("add", "my script") == 0
    key = terminal.out.strip()
    assert is_key(key)
    assert "not shown again" in terminal.words
    assert "http://127.0.0.1:41717/mcp/SERVER" in terminal.words
    assert key not in terminal.words
    assert list(terminal.keys()) == [hash_of(key)]
    kept = b"".join(path.read_bytes() for path in terminal.data.rglob("*") if path.is_file())
    assert key[3:].encode() not in kept
    [client] = terminal.read("list")
    assert (client["name"], client["state"], client["servers"], client["calls"]) == ("my script", "active", None, 0)
    assert key not in terminal.out
    assert terminal.run("add", "MY SCRIPT") == 2
    assert "Another client is called MY SCRIPT" in terminal.words


def test_a_known_program_gets_the_text_to_paste(terminal: Terminal) -> None:
    assert terminal.run("add", "Zed", "--program", "zed", "--server", "ledger") == 0
    key, _, text = terminal.out.partition("\n")
    [entry] = json.loads(text)["context_servers"].values()
    assert entry["headers"] == {"Authorization": f"Bearer {key}"}
    assert entry["url"] == f"http://127.0.0.1:41717/mcp/{ids(terminal)['Ledger']}"
    assert terminal.run("add", "Desktop", "--program", "claude-desktop") == 0
    key, _, text = terminal.out.partition("\n")
    entries = json.loads(text)["mcpServers"]
    assert len(entries) == 3
    assert key not in text
    [_, desktop] = terminal.read("list")
    for each in entries.values():
        assert each["args"][-6:-3] == ["connect", "stdio", desktop["id"]] or desktop["id"] in each["args"]
        assert each["args"][-2:] == ["--data", str(terminal.data)]


def test_a_snippet_has_the_key_only_if_it_is_given(terminal: Terminal) -> None:
    key = terminal.read("add", "Zed", "--server", "Ledger")["key"]
    assert terminal.run("snippet", "zed", "--client", "zed") == 0
    assert "Bearer YOUR-KEY" in terminal.out
    assert terminal.out.count('"url"') == 1
    assert "burrow connect key" in terminal.words
    assert terminal.run("snippet", "zed", "--client", "zed", "--key", "-", stdin=f"{key}\n") == 0
    assert f"Bearer {key}" in terminal.out
    assert "YOUR-KEY" not in terminal.words
    text = terminal.read("snippet", "zed", "--client", "zed", "--via", "stdio", "--server", "Ledger")
    assert text["language"] == "json"
    assert "stdio" in text["text"]
    assert "Bearer" not in text["text"]


def test_a_revoked_client_has_no_key_and_its_name_is_free(terminal: Terminal) -> None:
    first = terminal.read("add", "script")
    assert terminal.run("revoke", "SCRIPT") == 0
    assert terminal.keys() == {}
    assert terminal.run("revoke", "script") == 5
    assert terminal.run("key", "script") == 5
    second = terminal.read("add", "script")
    assert terminal.keys() == {hash_of(second["key"]): second["id"]}
    assert [(each["id"], each["state"]) for each in terminal.read("list")] == [
        (second["id"], "active"),
        (first["id"], "revoked"),
    ]
    assert terminal.run("list") == 0
    assert "revoked" in terminal.out.splitlines()[1]


def test_another_key_replaces_the_first(terminal: Terminal) -> None:
    first = terminal.read("add", "script")
    assert terminal.run("key", "script") == 0
    second = terminal.out.strip()
    assert terminal.keys() == {hash_of(second): first["id"]}
    third = terminal.read("key", first["id"])["key"]
    assert terminal.keys() == {hash_of(third): first["id"]}


def test_servers_and_rules_are_those_that_were_chosen(terminal: Terminal) -> None:
    server = ids(terminal)
    terminal.read("add", "script")
    assert terminal.run("servers", "script") == 0
    assert terminal.out == "all\n"
    assert terminal.read("servers", "script", "ledger", server["twin"]) == sorted([server["Ledger"], server["twin"]])
    assert terminal.run("servers", "script", "Ledger", "--all") == 2
    assert terminal.read("servers", "script", "--all") is None
    assert terminal.run("rule", "script", "Ledger", "drop table", "block") == 0
    assert "drop table of Ledger: block" in terminal.words
    rules = [{"server": server["Ledger"], "tool": "drop table", "rule": "block"}]
    assert terminal.read("list")[0]["rules"] == rules
    assert terminal.read("rule", "script", server["Ledger"], "drop table", "default")["rules"] == []


def test_what_clients_used_is_listed(terminal: Terminal) -> None:
    terminal.read("add", "script")

    async def use() -> None:
        storage = Storage.open(terminal.data)
        clients = ProxyClients(storage.proxy_clients)
        await clients.start()
        client = clients.called("script").client
        clients.used(client.id, "own:1", "a\u202egent 1", calls=2)
        await clients.set_rule(client.id, "own:1", "t", ToolRule.ASK)
        await clients.close()
        await storage.close()

    asyncio.run(use())
    [client] = terminal.read("list")
    assert (client["calls"], client["agent"]) == (2, "a gent 1")
    assert [use["server"] for use in client["use"]] == ["own:1"]
    assert terminal.run("list") == 0
    assert "2 calls, last 20" in terminal.out


def test_the_console_script_runs_it(terminal: Terminal) -> None:
    assert DataFolder(terminal.data).read("connect", "list") == []
