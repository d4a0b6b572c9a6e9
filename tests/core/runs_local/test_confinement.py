"""An agent's files and commands: one folder, asked for by mode, and nothing of the person's secrets."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.acp.messages import RpcError
from app.core.errors import Rejected
from app.core.redaction import hide
from app.core.runs.agent_environment import agent_environment
from app.core.runs.local.agents import agent_of_command, found_agents
from app.core.runs.local.approval import Consent, GrantedCalls, rule_of
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.masking import MaskedStream, masked
from app.core.runs.local.run_log import RunLog
from app.core.runs.local.servers import RunServers
from app.core.runs.local.status import RunPhase
from app.core.runs.local.terminals import MOST_TERMINALS, Terminals
from app.core.runs.long_texts import mask_long
from app.core.runs.transcript import Transcript
from tests.core.runs.logs import shown
from tests.core.runs_local.running import Watched, running, scripted
from tests.until import until

KEY = "bw_" + "k" * 43


@pytest.fixture
def folder(tmp_path: Path) -> WorkingFolder:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (work / "in").symlink_to(work)
    (work / "out").symlink_to(tmp_path)
    (work / "link.txt").symlink_to(tmp_path / "secret.txt")
    (work / "file.txt").write_text("one\ntwo\nthree\n")
    return WorkingFolder(work)


@pytest.mark.parametrize(
    "path", ["../secret.txt", "out/secret.txt", "link.txt", "/etc/passwd", "in/../../secret.txt", "in/out/secret.txt"]
)
def test_no_path_leads_out_of_the_folder(folder: WorkingFolder, path: str) -> None:
    for attempt in (lambda: folder.read_text(path), lambda: folder.write_text(path, "x")):
        with pytest.raises(RpcError, match="the only folder that Burrow gives access to"):
            attempt()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_folder_whose_name_no_agent_can_be_told_is_refused(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9").mkdir()
    with pytest.raises(Rejected, match=r"not UTF-8: .*caf"):
        WorkingFolder(tmp_path / "caf\udce9")


def test_a_link_that_is_put_in_the_place_of_a_folder_meanwhile_leads_nowhere(
    folder: WorkingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if it had been a folder when the path was checked.
    monkeypatch.setattr(folder, "resolve", lambda path: folder.path / path)
    with pytest.raises(RpcError, match="outside of"):
        folder.write_text("out/secret.txt", "x")
    with pytest.raises(RpcError, match="outside of"):
        folder.read_text("out/secret.txt")
    assert (tmp_path / "secret.txt").read_text() == "secret"


def test_files_are_read_in_part_and_written_with_the_mode_that_they_had(folder: WorkingFolder) -> None:
    assert folder.read_text("in/file.txt", 2, 1) == "two\n"
    assert folder.read_text(str(folder.path / "file.txt"), None, 2) == "one\ntwo\n"
    (folder.path / "file.txt").chmod(0o750)
    folder.write_text("file.txt", "new")
    folder.write_text("a/b/c.txt", "deep")
    assert (folder.path / "file.txt").read_text() == "new"
    assert (folder.path / "file.txt").stat().st_mode & 0o777 == 0o750
    assert (folder.path / "a/b/c.txt").read_text() == "deep"


def test_a_line_ends_where_agents_end_it(folder: WorkingFolder) -> None:
    folder.write_text("a.c", "one\n\x0ctwo\u2028\nthree\r\nfour")
    assert [folder.read_text("a.c", line, 1) for line in (2, 3, 4, 5)] == ["\x0ctwo\u2028\n", "three\r\n", "four", ""]


def test_a_file_that_is_written_twice_at_once_has_one_of_both_contents(folder: WorkingFolder) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: folder.write_text("a.txt", str(number % 10) * 50_000), range(40)))
    assert folder.read_text("a.txt") in [str(number) * 50_000 for number in range(10)]
    assert sorted(os.listdir(folder.path)) == ["a.txt", "file.txt", "in", "link.txt", "out"]


def test_a_name_that_is_too_long_is_refused_in_words(folder: WorkingFolder) -> None:
    for attempt in (lambda: folder.read_text("n" * 300), lambda: folder.write_text("n" * 300, "x")):
        with pytest.raises(RpcError, match="File name too long"):
            attempt()
    folder.write_text("ж" * 120, "x")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        *(("gone.txt", "No such file"), ("", "no path"), (5, "no path")),
        *(("a\0b", "no path"), ("a\ud800b", "no such path"), ("in", "is no file"), ("pipe", "no file")),
    ],
)
def test_what_is_no_file_is_refused_in_words(folder: WorkingFolder, path: object, words: str) -> None:
    os.mkfifo(folder.path / "pipe")
    with pytest.raises(RpcError, match=words):
        folder.read_text(path)


async def test_a_file_that_is_not_there_is_an_error_but_empty_for_an_agent_that_needs_that(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        assert "No such file" in await it.turn("read:gone.txt")
    async with running(tmp_path, scripted(name="gemini-cli")) as it:
        assert '"content": ""' in await it.turn("read:gone.txt")
        assert "the only folder" in await it.turn("read:../gone.txt")


async def test_reading_is_free_and_writing_is_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        (it.run.folder.path / "a.txt").write_text("old\n")
        assert '"content": "old\\n"' in await it.turn("read:a.txt")
        it.run.say("write:a.txt")
        [question] = await it.question()
        asked = it.stored()[-1]["params"]["toolCall"]
        assert (asked["title"], asked["content"][0]["oldText"]) == ("Write a.txt", "old\n")
        it.run.answer(question, "reject")
        await it.phase(RunPhase.READY)
        assert (it.run.folder.path / "a.txt").read_text() == "old\n"
        it.run.say("write:a.txt")
        it.run.answer((await it.question())[0], "allow_always")
        await it.phase(RunPhase.READY)
        await it.turn("write:b.txt")
        assert [(it.run.folder.path / each).read_text() for each in ("a.txt", "b.txt")] == ["new\n", "new\n"]
        # Until the person chooses a mode in which nothing is written.
        it.run._agent._mode = "plan"
        assert "no files are written" in await it.turn("write:c.txt")


async def test_gits_own_files_are_asked_for_where_commands_are(tmp_path: Path) -> None:
    async with running(tmp_path, scripted(modes="acceptEdits")) as it:
        assert "refused" not in await it.turn("write:a.txt")
        for place, answer in ((".git/hooks/pre-commit", "reject"), ("inside/.GIT/config", "reject")):
            it.run.say(f"write:{place}")
            [question] = await it.question()
            assert it.stored()[-1]["params"]["toolCall"]["title"] == f"Write {place}"
            it.run.answer(question, answer)
            await it.phase(RunPhase.READY)
            assert not (it.run.folder.path / place).exists()
    async with running(tmp_path, scripted(modes="bypassPermissions")) as it:
        await it.run.set_option("mode", "bypassPermissions")
        await it.turn("write:.git/config")
        assert (it.run.folder.path / ".git/config").read_text() == "new\n"


async def test_what_the_person_allowed_the_agent_is_not_asked_again_in_that_turn(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("ask write:granted.txt")
        it.run.answer((await it.question())[0], "yes")
        await it.phase(RunPhase.READY)
        assert (it.run.folder.path / "granted.txt").read_text() == "new\n"
        it.run.say("write:granted.txt")
        assert len(await it.question()) == 1


@pytest.mark.parametrize(
    ("allowed", "command", "arguments", "is_it"),
    [
        ("ls -l", "ls", ["-l"], True),
        ("ls -l", "ls -l", [], True),
        ("ls | wc", "/bin/sh", ["-c", "ls | wc"], True),
        (["bash", "-lc", "ls | wc"], "bash", ["-lc", "ls | wc"], True),
        ("ls", "sh", ["-c", "rm -rf .", "ls"], False),
        ("ls", "./anything", ["-c", "ls"], False),
        ("ls", "./sh", ["-c", "ls"], False),
        ("ls", "sh", ["-c", "ls; rm -rf ."], False),
        ("ls", "sh", ["-ci", "ls"], False),
        ("ls", "", [], False),
    ],
)
def test_a_command_is_the_one_that_was_allowed(
    allowed: object, command: str, arguments: list[str], is_it: bool
) -> None:
    granted = GrantedCalls()
    granted.remember({"rawInput": {"command": allowed}})
    assert granted.allows("execute", {"command": command, "args": arguments}) is is_it


@pytest.mark.parametrize(("name", "is_it"), [("CLAUDECODE", True), ("PATH", False), ("LD_PRELOAD", False)])
def test_a_command_is_another_one_with_variables_that_may_change_it(name: str, *, is_it: bool) -> None:
    granted = GrantedCalls()
    granted.remember({"rawInput": {"command": "ls"}})
    assert granted.allows("execute", {"command": "ls", "env": [{"name": name, "value": "1"}]}) is is_it
    assert not granted.allows("execute", {"command": "ls", "env": ["LD_PRELOAD=evil"]})


async def test_commands_that_start_at_once_are_counted(folder: WorkingFolder) -> None:
    terminals = Terminals(folder, dict(os.environ))
    sleep = {"command": "sleep", "args": ["60"]}
    made = await asyncio.gather(*(terminals.create(sleep) for _ in range(MOST_TERMINALS + 2)), return_exceptions=True)
    await terminals.end()
    assert [str(each) for each in made if not isinstance(each, dict)] == [
        f"There are {MOST_TERMINALS} terminals already; release some first (-32602)"
    ] * 2


async def test_what_a_command_is_given_is_shown_before_it_runs(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        given = [{"name": "GIT_SSH_COMMAND", "value": "evil"}]
        asking = asyncio.ensure_future(
            it.run._agent.requests.handle("terminal/create", {"command": "git", "args": ["fetch"], "env": given})
        )
        [question] = await it.question()
        assert it.stored()[-1]["params"]["toolCall"]["rawInput"]["env"] == given
        it.run.answer(question, "reject")
        with pytest.raises(RpcError, match="did not allow"):
            await asking


async def test_commands_run_in_the_folder_and_are_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        it.run.say("run:pwd;sleep${IFS}0.1;exit${IFS}3")
        it.run.answer((await it.question())[0], "allow")
        await it.phase(RunPhase.READY)
        said = str(it.stored())
        assert '"exitCode": 3' in said
        # The id of a terminal says nothing later, so the log has its output.
        shown = [each["params"]["update"] for each in it.stored() if "'toolCallId': 'run'" in str(each)]
        assert shown[-1]["content"][0]["content"]["text"] == f"{it.run.folder.path}\n"
        assert f"{it.run.folder.path}\\\\n" in said


async def test_the_mode_decides_what_is_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, scripted(modes="yolo")) as it:
        # The agent begins so by itself: nobody chose that it is asked about nothing.
        it.run.say("write:a.txt")
        it.run.answer((await it.question())[0], "reject")
        await it.phase(RunPhase.READY)
        assert not (it.run.folder.path / "a.txt").exists()
        await it.run.set_option("mode", "yolo")
        await it.turn("write:a.txt run:true")
        assert (it.run.folder.path / "a.txt").exists()
    async with running(tmp_path, scripted(modes="plan")) as it:
        assert "no files are written" in await it.turn("write:b.txt")
    assert rule_of("Accept edits").write is Consent.ALLOW
    assert rule_of("a mode of tomorrow") == (Consent.ASK, Consent.ASK)


class Clients:
    """The proxy's clients."""

    def __init__(self) -> None:
        self.revoked: list[str] = []
        self.made: list[tuple[str, Any]] = []

    async def create(self, name: str, program: str = "", servers: Any = None) -> tuple[Any, str]:
        self.made.append((name, servers))
        return type("Client", (), {"id": f"c-{len(self.made)}"})(), KEY

    async def revoke(self, client: str) -> None:
        self.revoked.append(client)


async def test_servers_come_through_the_proxy_with_a_key_that_ends_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide("a-token-that-burrow-keeps")
    environment = {
        **dict(os.environ),
        "POSTHOG_KEY": "phx_0123456789abcdefgh",
        "KEPT": "x a-token-that-burrow-keeps",
        "BURROW_DATA": "/x",
        "GIT_DIR": "/elsewhere/.git",
        "MODEL_API_KEY": "sk-the-person-wants-this",
    }
    clients = Clients()
    servers = RunServers(clients, lambda server: f"http://127.0.0.1:1/mcp/{server}", {"s1": "Search"}, "Run 1")
    given = agent_environment(environment)
    async with running(tmp_path, scripted(http="yes"), servers=servers, environment=given) as it:
        assert it.run.record.client == "c-1"
        it.run.say("env")
        await until(lambda: it.ends())
        said = json.loads(next(each for each in said_in(it) if each.startswith("{")).removesuffix("heard 3"))
        # The agent says what it was given: the key is masked even there.
        assert said["servers"] == [
            {
                "type": "http",
                "name": "Search",
                "url": "http://127.0.0.1:1/mcp/s1",
                "headers": [{"name": "Authorization", "value": "Bearer [redacted]"}],
            }
        ]
        assert said["environ"].keys() & {"POSTHOG_KEY", "KEPT", "BURROW_DATA", "GIT_DIR"} == set()
        assert "MODEL_API_KEY" in said["environ"]
        assert clients.made == [("Run 1", ("s1",))]
        assert clients.revoked == []
    assert clients.revoked == ["c-1"]
    assert it.run.record.client == ""
    for each in (it.run.log.path, tmp_path / "data" / "runs" / "run-1" / "run.json"):
        assert KEY not in each.read_text()


def said_in(it: Watched) -> list[str]:
    updates = [each["params"]["update"] for each in it.stored() if each.get("method") == "session/update"]
    return [each["content"]["text"] for each in updates if "content" in each]


async def test_credentials_are_masked_in_live_view_and_log_also_when_they_come_in_parts(tmp_path: Path) -> None:
    async with running(tmp_path, scripted()) as it:
        await it.turn("secret")
        await it.run.log.flush()
        whole = it.run.log.path.read_text() + json.dumps(it.live)
        for secret in ("abcdef0123456789", "_0123456789ab", "dXNlcjpwYXNz", '"abc"'):
            assert secret not in whole
        live = [each["notification"]["params"]["update"] for each in it.live if "chunk" in str(each)]
        assert "".join(each["content"]["text"] for each in live).startswith("The header is Authorization: [redacted]")
        assert '"path":"a=b"' in whole


async def test_what_is_large_is_masked_without_stopping_the_loop_and_keeps_its_place(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    told: list[str] = []
    log.added.subscribe(lambda entries: told.extend(each.message.method for each in entries))
    text = "some words of a line\n" * 100_000 + "Authorization: Bearer abcdef0123456789\n"
    log.notify("first")
    log.notify("large", text=text)
    log.update({"update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "after"}}})
    log.notify("last")
    assert told == ["first"]
    await log.close()
    assert [each for each in told if each != "session/update"] == ["first", "large", "last"]
    stored = [each.message.method for each in log.stored()]
    assert stored == ["first", "large", "session/update", "last"]
    assert "abcdef0123456789" not in log.path.read_text()
    assert mask_long(text).count("\n") == 100_001


async def test_a_large_part_of_a_text_is_shown_in_its_place_and_masked_beside_the_loop(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    shown: list[Any] = []
    log.added.subscribe(lambda entries: shown.extend(json.loads(each.raw)["notification"] for each in entries))
    parts = [
        "Author",
        "ization: Bearer abcdef",
        "0123456789\n" + "some words " * 20_000 + "the key is phx",
        "_0123456789ab.",
    ]
    for part in parts:
        log.update({"update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": part}}})
    # The loop was not held for the large one.
    assert len(str(shown)) < 1_000
    log.notify("last")
    await log.close()
    *live, whole = [each["params"]["update"]["content"]["text"] for each in shown[:-1]]
    assert whole == f"Authorization: [redacted]\n{'some words ' * 20_000}the key is [redacted]."
    assert "".join(live) == whole.removesuffix("[redacted].")
    assert shown[-1]["method"] == "last"


async def test_a_picture_in_a_message_stays_beside_the_text_around_it(tmp_path: Path) -> None:
    log, live, stored = RunLog(tmp_path / "log.jsonl"), Transcript(), Transcript()
    log.added.subscribe(live.apply)
    picture = {"type": "image", "data": "aa", "mimeType": "image/png"}
    for content in ({"type": "text", "text": "Look: "}, picture, {"type": "text", "text": "done"}):
        log.update({"update": {"sessionUpdate": "agent_message_chunk", "content": content}})
    await log.close()
    stored.apply(tuple(log.stored()))
    assert shown(live) == shown(stored) == ["says Look: ", "says [image]", "says done"]


def test_source_code_is_not_masked() -> None:
    code = "token = next(tokens)\npassword: str = ask()\n"
    assert masked({"content": {"text": code}}) == {"content": {"text": code}}


def test_a_word_waits_until_it_is_complete_and_a_long_one_is_shown() -> None:
    stream = MaskedStream()
    assert stream.feed("one two") == "one "
    assert stream.feed(" ") == "two "
    assert len(stream.feed("x" * 5_000)) == 3_000
    assert len(stream.flush()) == 2_000


def test_a_command_is_split_into_words_and_no_shell_sees_it() -> None:
    assert agent_of_command("npx -y 'a b' $HOME").command == ("npx", "-y", "a b", "$HOME")
    for wrong in ("", "   ", "a 'b"):
        with pytest.raises(Rejected):
            agent_of_command(wrong)


def test_known_agents_are_found_in_the_path(tmp_path: Path) -> None:
    for name in ("claude-agent-acp", "claude-code-acp", "gemini"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    found = found_agents({"PATH": str(tmp_path)})
    assert [each.command for each in found] == [("claude-agent-acp",), ("gemini", "--acp")]
    assert found_agents({"PATH": str(tmp_path / "nothing")}) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="folders without modes")
def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="is no folder"):
        WorkingFolder(tmp_path / "gone")
