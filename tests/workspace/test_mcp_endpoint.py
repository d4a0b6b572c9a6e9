"""The workspace's own MCP endpoint: who may enter, and tools that do real work, in both protocol eras."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError

from tests.conftest import RunningWorkspace
from tests.workspace.lab import Lab, Tokens
from tests.workspace.store_client import ERAS, Store, connected, modern, modern_headers, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcp.client.client import Client

ACCEPT = {"accept": "application/json, text/event-stream"}


def post(store: Store, message: object, token: str | None, **headers: str) -> httpx.Response:
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    return store.lab.http.post("/mcp", json=message, headers={**ACCEPT, **bearer, **headers})


def call(store: Store, name: str, **arguments: Any) -> httpx.Response:
    message = modern("tools/call", name=name, arguments=arguments)
    return post(store, message, store.tokens.access, **modern_headers(name))


def initialize() -> dict[str, Any]:
    info = {"name": "probe", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, "No token provided, please provide a valid API token."),
        ("nonsense", "Invalid token, please provide a valid API token"),
        ("pha_unknown", "OAuth token is inactive"),
        ("phx_unknown", "Invalid API key"),
    ],
)
def test_a_credential_that_does_not_open_is_refused_in_plain_text(store: Store, token: str | None, words: str) -> None:
    answer = post(store, modern("tools/list"), token)
    assert (answer.status_code, answer.text) == (401, words)
    assert answer.headers["content-type"].startswith("text/plain")
    metadata = f"{store.url}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{metadata}"' in answer.headers["www-authenticate"]
    assert store.lab.http.get(metadata).json()["resource"] == store.lab.workspace.ready["mcp_url"]


def test_killing_the_token_closes_the_endpoint_and_a_renewed_one_opens_it(store: Store) -> None:
    message, headers = modern("tools/list"), modern_headers(method="tools/list")
    assert post(store, message, store.tokens.access, **headers).status_code == 200
    store.lab.switch("kill-access-token")
    dead = post(store, message, store.tokens.access, **headers)
    assert (dead.status_code, dead.text) == (401, "OAuth token is inactive")
    renewed = store.lab.refreshed(store.tokens)
    assert post(store, message, renewed.access, **headers).status_code == 200


def test_an_expired_token_is_inactive(store: Store) -> None:
    store.lab.switch("advance-clock", seconds=604_801)
    answer = post(store, modern("tools/list"), store.tokens.access)
    assert (answer.status_code, answer.text) == (401, "OAuth token is inactive")


def test_a_personal_key_opens_it(store: Store) -> None:
    key = store.lab.state()["personal_api_key"]
    answer = post(store, modern("tools/list"), key, **modern_headers(method="tools/list"))
    assert answer.status_code == 200


def test_a_true_scope_gap_names_the_scope(store: Store) -> None:
    client = store.lab.register(scope="task:read")["client_id"]
    narrow = store.lab.sign_in(client, scope="task:read")
    answer = post(store, modern("tools/list"), narrow.access)
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="project:read"'


def without(store: Store, scope: str) -> Tokens:
    """What somebody holds who agreed to everything that is usual but this."""
    usual = "project:read task:read task:write project:write"
    asked = " ".join(each for each in usual.split() if each != scope)
    return store.lab.sign_in(store.lab.register()["client_id"], scope=asked)


@pytest.mark.parametrize(
    ("scope", "tool", "arguments"),
    [
        ("task:write", "create_task", {"title": "Not mine to make"}),
        ("project:write", "write_document", {"document": "x", "title": "x", "markdown": "x"}),
        ("project:write", "forget_person", {"person": "reader-001", "confirm": "delete"}),
    ],
)
def test_a_tool_beyond_the_scopes_is_refused_before_it_runs_and_names_the_scope(
    store: Store, scope: str, tool: str, arguments: dict[str, Any]
) -> None:
    store.tokens = without(store, scope)
    refused = call(store, tool, **arguments)
    assert (refused.status_code, refused.text) == (403, f"This needs the scope {scope}.")
    assert refused.headers["content-type"].startswith("text/plain")
    assert refused.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    assert "resource_metadata" not in refused.headers["www-authenticate"]
    assert call(store, "search_tasks", query="Not mine").json()["result"]["structuredContent"]["result"] == []
    store.tokens = store.lab.sign_in(store.tokens.client_id, scope="*")
    allowed = call(store, tool, **{**arguments, "title": "Mine"} if "title" in arguments else arguments)
    assert allowed.json()["result"]["isError"] is False


def test_a_session_of_the_handshake_is_refused_likewise_and_lives_on(store: Store) -> None:
    store.tokens = without(store, "task:write")
    session = post(store, initialize(), store.tokens.access).headers["mcp-session-id"]
    headers = {"mcp-session-id": session, "mcp-protocol-version": "2025-11-25"}

    def called(name: str, **arguments: str) -> httpx.Response:
        params = {"name": name, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        return post(store, message, store.tokens.access, **headers)

    assert called("create_task", title="Not mine to make").status_code == 403
    assert called("list_tasks").status_code == 200


def test_a_call_that_the_endpoint_reads_otherwise_than_the_tools_do_is_refused_by_them(store: Store) -> None:
    store.tokens = without(store, "task:write")
    text = json.dumps(modern("tools/call", name="create_task", arguments={"title": "Not mine to make"}))
    headers = {**ACCEPT, **store.tokens.header, **modern_headers("create_task"), "content-type": "application/json"}
    answer = store.lab.http.post("/mcp", content=text.replace('"title"', '"left": 1e999, "title"'), headers=headers)
    result = answer.json()["result"]
    assert result["isError"] is True
    assert "API key missing required scope 'task:write'" in result["content"][0]["text"]


def test_there_is_no_listen_stream_to_get(store: Store) -> None:
    answer = store.lab.http.get("/mcp", headers={**store.tokens.header, "accept": "text/event-stream"})
    assert (answer.status_code, answer.text) == (405, "")


def test_an_unsupported_revision_is_told_which_are_served(store: Store) -> None:
    headers = {**modern_headers(method="tools/list"), "mcp-protocol-version": "2031-01-01"}
    message = modern("tools/list", meta={"io.modelcontextprotocol/protocolVersion": "2031-01-01"})
    answer = post(store, message, store.tokens.access, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32022)
    assert "2026-07-28" in answer.json()["error"]["data"]["supported"]


@pytest.mark.parametrize("shape", ["error", "result"])
def test_a_tool_can_fail_as_if_the_api_had_refused_the_token(store: Store, shape: str) -> None:
    store.lab.switch("mcp", tool_authentication_failed=1, shape=shape)
    failed, after = call(store, "who_am_i"), call(store, "who_am_i")
    assert [failed.status_code, after.status_code] == [200, 200]
    assert "authentication_failed" in failed.text
    assert ("error" in failed.json()) is (shape == "error")
    assert after.json()["result"]["isError"] is False


def test_a_session_survives_a_renewed_token_unless_it_is_bound_to_one(store: Store) -> None:
    def session() -> str:
        return post(store, initialize(), store.tokens.access).headers["mcp-session-id"]

    def listed(session_id: str, token: str) -> httpx.Response:
        headers = {"mcp-session-id": session_id, "mcp-protocol-version": "2025-11-25"}
        return post(store, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, token, **headers)

    free = session()
    store.tokens = store.lab.refreshed(store.tokens)
    assert listed(free, store.tokens.access).status_code == 200
    store.lab.switch("mcp", bind_sessions_to_token=True)
    bound = session()
    assert listed(bound, store.tokens.access).status_code == 200
    renewed = store.lab.refreshed(store.tokens)
    refused = listed(bound, renewed.access)
    assert refused.status_code == 404
    assert "Session not found" in refused.text


async def test_every_tool_says_what_it_is_in_both_eras(store: Store) -> None:
    listed, versions = [], []
    for era in ERAS:
        async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, era) as client:
            tools = (await client.list_tools()).tools
            assert client.server_info is not None
            assert client.server_info.name == "burrow-workspace"
            versions.append(client.protocol_version)
        assert len(tools) >= 14
        for tool in tools:
            assert tool.title
            assert tool.description
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint is not None
            assert tool.annotations.destructive_hint is not None
        listed.append([tool.name for tool in tools])
    assert listed[0] == listed[1]
    assert versions == ["2025-11-25", "2026-07-28"]


class Tools:
    """Calls that must succeed, through the SDK's client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def data(self, name: str, **arguments: Any) -> Any:
        result = await self.client.call_tool(name, arguments)
        assert not result.is_error, result.content
        return result.structured_content

    async def error(self, name: str, **arguments: Any) -> str:
        result = await self.client.call_tool(name, arguments)
        assert result.is_error
        return str(result.content[0].text)


async def test_a_task_made_by_a_tool_is_a_task(store: Store) -> None:
    async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, "auto") as client:
        tools = Tools(client)
        made = await tools.data("create_task", title="Mend the gift card page", repository="hedgerow/shop")
        assert made["state"] == "not_started"
        rest = store.lab.http.get(f"/api/projects/1/tasks/{made['id']}/", headers=store.tokens.header).json()
        assert (rest["title"], rest["slug"]) == ("Mend the gift card page", made["slug"])
        found = (await tools.data("search_tasks", query="gift mend"))["result"]
        assert [one["id"] for one in found] == [made["id"]]
        for handle in (made["id"], made["slug"], made["slug"].split("-")[1]):
            assert (await tools.data("get_task", task=handle))["id"] == made["id"]
        changed = await tools.data("update_task", task=made["slug"], description="It is blank on phones.")
        assert (changed["title"], changed["description"]) == (made["title"], "It is blank on phones.")
        assert (await tools.data("archive_task", task=made["id"]))["archived"] is True
        listed = (await tools.data("list_tasks", limit=100))["result"]
        assert made["id"] not in [one["id"] for one in listed]
        assert {one["state"] for one in listed} > {"not_started", "completed"}
        failed = (await tools.data("list_tasks", state="failed"))["result"]
        assert {one["state"] for one in failed} == {"failed"}
        assert "There is no task" in await tools.error("get_task", task="nope")


async def test_events_can_be_counted_filtered_broken_down_and_followed(store: Store) -> None:
    async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, "auto") as client:
        tools = Tools(client)
        names = (await tools.data("list_event_names"))["result"]
        assert {one["event"] for one in names} == {
            "$pageview",
            "signed_up",
            "checkout_started",
            "checkout_completed",
            "error_shown",
        }
        whole = await tools.data("count_events", event="checkout_started")
        assert whole["events"] >= whole["people"] > 0
        slices = (await tools.data("breakdown_events", event="checkout_started", by="$browser"))["result"]
        assert sum(one["events"] for one in slices) == whole["events"]
        safari = {"kind": "equals", "property": "$browser", "value": "Safari"}
        some = await tools.data("count_events", event="checkout_started", filters=[safari])
        assert some["events"] == next(one["events"] for one in slices if one["value"] == "Safari")
        others = {"kind": "one_of", "property": "$browser", "values": ["Chrome", "Firefox", "Edge"]}
        rest = await tools.data("count_events", event="checkout_started", filters=[others])
        assert some["events"] + rest["events"] == whole["events"]
        cheap, dear = ({"kind": "between", "property": "value", **bound} for bound in ({"high": 20}, {"low": 20.001}))
        halves = [await tools.data("count_events", event="checkout_started", filters=[one]) for one in (cheap, dear)]
        assert sum(one["events"] for one in halves) == whole["events"]
        absent = {"kind": "is_set", "property": "value", "present": False}
        assert (await tools.data("count_events", event="$pageview", filters=[absent]))["events"] > 0
        trend = await tools.data("event_trend", events=["checkout_started", "signed_up"], days=30)
        assert len(trend["rows"]) == 30
        assert sum(row["counts"][0] for row in trend["rows"]) == whole["events"]


async def test_a_funnel_takes_names_steps_and_windows(store: Store) -> None:
    async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, "auto") as client:
        tools = Tools(client)
        step = {"event": "checkout_completed", "name": "Bought", "filters": []}
        window = {"amount": 2, "unit": "hours"}
        first, second = (await tools.data("funnel", steps=["checkout_started", step], within=window))["result"]
        assert (first["name"], first["share_of_first"], second["name"]) == ("checkout_started", 1.0, "Bought")
        assert 0 < second["people"] < first["people"]
        wider = (await tools.data("funnel", steps=["checkout_started", step], within=14))["result"]
        assert wider[1]["people"] >= second["people"]
        assert "validation error" in await tools.error("funnel", steps=["only one"])


async def test_a_chart_is_a_real_picture(store: Store) -> None:
    async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, "auto") as client:
        result = await client.call_tool("chart_events", {"events": ["$pageview", "error_shown"], "days": 14})
    image = result.content[0]
    assert (image.type, image.mime_type) == ("image", "image/png")
    raw = base64.b64decode(image.data)
    assert raw.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    at = raw.index(b"IDAT")
    pixels = zlib.decompress(raw[at + 4 : at + 4 + int.from_bytes(raw[at - 4 : at], "big")])
    assert len(pixels) == height * (1 + 3 * width)


async def test_documents_are_resources_and_tools_link_to_them(store: Store) -> None:
    for era in ERAS:
        async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, era) as client:
            resources = (await client.list_resources()).resources
            assert resources
            assert {one.mime_type for one in resources} == {"text/markdown"}
            [contents] = (await client.read_resource(resources[0].uri)).contents
            result = await client.call_tool("read_document", {"document": resources[0].name})
            [link] = [block for block in result.content if block.type == "resource_link"]
            assert link.uri == resources[0].uri
            assert result.structured_content["words"] == len(contents.text.split())
            [template] = (await client.list_resource_templates()).resource_templates
            assert template.uri_template == "workspace://documents/{document_id}"
            with pytest.raises(MCPError, match="There is no document"):
                await client.read_resource("workspace://documents/none")


async def test_writing_a_document_is_heard_by_who_listens(store: Store) -> None:
    async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, "2026-07-28") as client:
        async with client.listen(resources_list_changed=True) as changes:
            written = await client.call_tool(
                "write_document", {"document": "notes", "title": "Notes", "markdown": "# Notes\n\nOne."}
            )
            assert not written.is_error, written.content
            async for _change in changes:
                break
        names = [one.name for one in (await client.list_resources()).resources]
    assert "notes" in names


async def test_the_switchboard_changes_the_tool_list_and_who_listens_hears_it(store: Store) -> None:
    async def names(client: Client) -> list[str]:
        return [tool.name for tool in (await client.list_tools()).tools]

    async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, "2026-07-28") as client:
        before = await names(client)
        async with client.listen(tools_list_changed=True) as changes:
            assert store.lab.switch("mcp", extra_tool=True)["listeners"] == 1
            await anext(changes)
            assert await names(client) == [*before, "extra_tool"]
            assert not (await client.call_tool("extra_tool", {})).is_error
            store.lab.switch("mcp", extra_tool=True)
            store.lab.switch("reset")
            await anext(changes)
        assert await names(client) == before


async def test_the_switchboard_cuts_listen_streams_and_nothing_else(store: Store) -> None:
    async def cut(client: Client) -> None:
        async with client.listen(tools_list_changed=True) as changes:
            store.lab.switch("mcp", cut_listeners=True)
            await anext(changes)

    async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, "2026-07-28") as client:
        with pytest.raises(SubscriptionLost):
            await cut(client)
        assert not (await client.call_tool("who_am_i", {})).is_error
        await asyncio.to_thread(until, lambda: store.lab.switch("mcp")["listeners"] == 0)


async def test_there_is_a_prompt(store: Store) -> None:
    for era in ERAS:
        async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, era) as client:
            [prompt] = (await client.list_prompts()).prompts
            assert [argument.name for argument in prompt.arguments or []] == ["focus", "days"]
            filled = await client.get_prompt(prompt.name, {"focus": "search"})
            assert "search" in filled.messages[0].content.text


async def test_a_slow_tool_tells_its_progress(store: Store) -> None:
    for era in ERAS:
        seen: list[tuple[float, float | None, str | None]] = []

        async def note(*step: Any, seen: list[Any] = seen) -> None:
            seen.append(step)

        async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, era) as client:
            result = await client.call_tool("slow_report", {"seconds": 0.2, "steps": 2}, progress_callback=note)
        assert seen == [(0, 2, "Part 1 of 2"), (1, 2, "Part 2 of 2"), (2, 2, "Done")]
        assert result.content[0].text.startswith("# The last 30 days")


def stopped(store: Store, cancelled: int) -> bool:
    return bool(store.lab.switch("mcp")["reports_cancelled"] == cancelled)


async def test_a_cancelled_call_stops_working_in_both_eras(store: Store) -> None:
    for era in ERAS:
        before = store.lab.switch("mcp")["reports_cancelled"]
        started = asyncio.Event()

        async def note(*_step: Any, started: asyncio.Event = started) -> None:
            started.set()

        async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, era) as client:
            calling = asyncio.ensure_future(
                client.call_tool("slow_report", {"seconds": 60, "steps": 60}, progress_callback=note)
            )
            await started.wait()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await asyncio.to_thread(until, partial(stopped, store, before + 1))
            assert store.lab.switch("mcp")["reports_running"] == 0
            assert not (await client.call_tool("who_am_i", {})).is_error


async def test_a_failing_tool_and_a_wrong_argument_are_results_of_the_tool(store: Store) -> None:
    for era in ERAS:
        async with connected(store.lab.workspace.ready["mcp_url"], store.tokens.access, era) as client:
            tools = Tools(client)
            assert "was switched off" in await tools.error("import_legacy_export", address="ftp://old/export")
            assert "validation error" in await tools.error("list_tasks", limit=0)


async def test_forgetting_a_person_deletes_their_events_once(start_workspace: Callable[..., RunningWorkspace]) -> None:
    with Lab(start_workspace()) as lab:
        store = Store(lab)
        async with connected(lab.workspace.ready["mcp_url"], store.tokens.access, "auto") as client:
            tools = Tools(client)
            export = await client.call_tool("export_events", {"event": "$pageview", "days": 30, "limit": 1})
            assert export.content[1].resource.mime_type == "text/csv"
            person = export.content[1].resource.text.splitlines()[1].split(",")[1]
            assert "validation error" in await tools.error("forget_person", person=person, confirm="yes")
            assert (await tools.data("forget_person", person=person, confirm="delete"))["events"] > 0
            assert "no events" in await tools.error("forget_person", person=person, confirm="delete")


def test_the_first_request_waits_for_the_import_instead_of_failing(tmp_path: Path) -> None:
    # Not a fork, which would begin with the SDK imported.
    command = [sys.executable, "-m", "app", "workspace", "--watch-stdin", "--data", str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with Lab(RunningWorkspace(ready["url"], ready, process, tmp_path)) as lab:
            key = lab.state()["personal_api_key"]
            headers = {**ACCEPT, **modern_headers(method="tools/list"), "Authorization": f"Bearer {key}"}
            answer = lab.http.post("/mcp", json=modern("tools/list"), headers=headers)
            assert (answer.status_code, len(answer.json()["result"]["tools"]) >= 14) == (200, True)
        process.kill()
