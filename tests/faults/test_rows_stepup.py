"""Row 46: a token that lacks a permission is asked for once more, of the person, and twice at most."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.auth.credential import Credential
from app.core.auth.http.target import CredentialAtStake
from app.core.auth.oauth.step_up import MissingScopes, StepUp, StepUpOption, format_scopes
from app.core.auth.status import CredentialState
from app.core.diagnostics.activity import Activity
from app.core.errors import PermissionMissing, SignInNeeded, TimedOut
from app.core.hosts import Host
from app.core.mcp.servers.account import McpAccount
from app.core.mcp.servers.host_source import HostSource
from app.core.mcp.servers.registry import Servers
from app.core.mcp.servers.store_source import StoreSource
from app.core.posthog.profile import SCOPES, sign_in_with_key
from app.core.posthog.store import McpStore
from app.core.storage import Scope, Storage
from tests.conftest import RunningWorkspace
from tests.core.conftest import Rig
from tests.core.scripted import Reply, Request
from tests.faults.authority import AUTHORIZE, Authority, browser_client, sign_in_at, visit
from tests.faults.consenting import approve, at_workspace, deny, person_code, sign_in_there
from tests.faults.measure import Measure
from tests.workspace.browser import Browser, chromium, type_code

PATH = "/api/x/"


class Person:
    """Signs in to a credential in a browser when asked, and counts how often. `whose` is the account they have."""

    def __init__(
        self, credential: Credential, measure: Measure, act: Callable[[str], Awaitable[object]] = visit
    ) -> None:
        self.credential, self.act = credential, act
        self.whose: object = "ana"
        self.addresses: list[str] = []
        self._measure = measure
        self.step_up = StepUp(lambda: credential.grant, lambda: self.whose, self._ready)

    async def browser(self, scopes: Sequence[str]) -> None:
        """What asks in the window: the browser opens, the person acts, the sign-in ends."""
        sign_in = await self.credential.begin_sign_in(scopes=scopes, open_browser=False)
        self._measure.prompted(1)
        self.addresses.append(sign_in.url)
        finishing = asyncio.create_task(sign_in.finish())
        await self.act(sign_in.url)
        await finishing

    async def ask(self, need: MissingScopes) -> bool:
        return await self.step_up.ask(need, self.browser)

    @property
    def asked(self) -> list[str]:
        """The permissions that the last page was to grant."""
        return parse_qs(urlsplit(self.addresses[-1]).query)["scope"][0].split()

    async def _ready(self) -> None:
        return None


def need_of(failure: object, operation: str = PATH) -> MissingScopes:
    assert isinstance(failure, PermissionMissing)
    assert failure.facts.origin is not None
    return MissingScopes(failure.facts.origin, operation, failure.facts.scopes)


@asynccontextmanager
async def lacking(
    folder: Path, measure: Measure, *scopes: str, then: Any = None
) -> AsyncIterator[tuple[Rig, Authority, Person]]:
    """Signed in with the usual permissions; a view needs `scopes` besides."""
    async with browser_client(folder) as (rig, authority):
        measure.watch_credential(rig.credential)
        measure.count_refreshes(lambda: authority.refreshes)
        await sign_in_at(rig.credential)
        rig.server.views[PATH] = authority.needs(*scopes, then=then)
        yield rig, authority, Person(rig.credential, measure)


async def test_row_46_a_missing_permission_is_asked_for_with_those_granted_and_only_what_waited_is_sent_again(
    tmp_path: Path, measure: Measure
) -> None:
    done: list[bytes] = []

    def once(request: Request) -> Reply:
        done.append(request.body)
        return Reply(201, {})

    async with lacking(tmp_path, measure, "gmail:send", "gmail:read", then=once) as (rig, authority, person):
        measure.count_effects(lambda: max(0, len(done) - 1))
        refused = await rig_error(rig)
        need = need_of(refused)
        assert need.scopes == ("gmail:send", "gmail:read")
        assert "This sign-in lacks gmail:send, gmail:read." in refused.advice
        assert person.step_up.option_for(need) is StepUpOption.ASK
        assert await person.ask(need)
        assert person.asked == [*SCOPES, "gmail:send", "gmail:read"]
        assert (await rig.fetcher.post(PATH, {"n": 1})).status == 201
        assert done == [b'{"n":1}']
        assert authority.refreshes == 0
        measure.expect(R=0, B=1)


async def rig_error(rig: Rig) -> PermissionMissing:
    """The refusal of a request with an effect."""
    with pytest.raises(PermissionMissing) as caught:
        await rig.fetcher.post(PATH, {"n": 1})
    return caught.value


async def test_row_46_what_was_granted_before_is_asked_for_again_at_the_next_step(
    tmp_path: Path, measure: Measure
) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, authority, person):
        assert await person.ask(need_of(await rig_error(rig)))
        rig.server.views["/api/y/"] = authority.needs("gmail:send", "calendar:read")
        with pytest.raises(PermissionMissing) as caught:
            await rig.fetcher.get("/api/y/")
        assert await person.ask(need_of(caught.value, "/api/y/"))
        assert person.asked == [*SCOPES, "gmail:send", "calendar:read"]
        assert (await rig.fetcher.get("/api/y/")).status == 200
        measure.expect(R=0, B=2)


async def test_row_46_a_permission_that_is_not_granted_is_asked_for_twice_and_never_again(
    tmp_path: Path, measure: Measure
) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, authority, person):
        authority.allowed = frozenset(SCOPES)
        helps: list[StepUpOption] = []
        for _ in range(100):
            need = need_of(await measure.one(rig.fetcher.post(PATH, {})))
            helps.append(person.step_up.option_for(need))
            if helps[-1] is StepUpOption.ASK:
                assert not await person.ask(need)
        assert helps == [StepUpOption.ASK] * 2 + [StepUpOption.TRIED] * 98
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0, V=1, B=2)


async def test_row_46_a_denial_is_a_try_and_leaves_the_sign_in_as_it_was(tmp_path: Path, measure: Measure) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, authority, person):
        authority.denies = True
        before = rig.credential.grant
        need = need_of(await rig_error(rig))
        assert not await person.ask(need)
        assert not await person.ask(need)
        assert person.step_up.option_for(need) is StepUpOption.TRIED
        assert rig.credential.grant is before
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        rig.server.views["/api/y/"] = authority.guard()
        assert (await rig.fetcher.get("/api/y/")).status == 200
        measure.expect(R=0, B=2)


async def test_row_46_what_keeps_the_person_from_answering_is_no_try(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, _authority, person):
        before = rig.credential.grant
        need = need_of(await rig_error(rig))

        async def cancel(_address: str) -> None:
            rig.credential._cancel_sign_in()

        async def nothing(_address: str) -> None:
            return None

        for act, kind in ((cancel, SignInNeeded), (nothing, TimedOut)):
            person.act = act
            monkeypatch.setattr("app.core.auth.oauth.attempt.LIMIT_SECONDS", 0.05 if act is nothing else 30)
            with pytest.raises(kind):
                await person.ask(need)
        assert rig.credential.grant is before
        assert person.step_up.tries(need) == 0
        assert person.step_up.option_for(need) is StepUpOption.ASK
        measure.expect(R=0, B=2)


async def test_row_46_a_server_that_refuses_what_is_granted_is_not_asked_about(
    tmp_path: Path, measure: Measure
) -> None:
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="task:write user:read"'}
    async with lacking(tmp_path, measure) as (rig, _authority, person):
        rig.server.views[PATH] = Reply(403, "no", challenge)
        need = need_of(await measure.one(rig.fetcher.post(PATH, {})))
        assert person.step_up.option_for(need) is StepUpOption.GRANTED
        measure.expect(R=0, V=1, B=0)


async def test_row_46_tries_are_counted_for_each_operation_and_forgotten_with_the_account(
    tmp_path: Path, measure: Measure
) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, authority, person):
        authority.denies = True
        need = need_of(await rig_error(rig))
        elsewhere = (replace(need, operation="/api/y/"), replace(need, resource="https://other.example"))
        for _ in range(2):
            await person.ask(need)
        assert [person.step_up.tries(each) for each in (need, *elsewhere)] == [2, 0, 0]
        person.whose = None
        assert person.step_up.option_for(need) is StepUpOption.TRIED
        person.whose = "ben"
        assert person.step_up.option_for(need) is StepUpOption.ASK
        person.whose = "ana"
        assert person.step_up.option_for(need) is StepUpOption.ASK
        measure.expect(R=0, B=2)


async def test_row_46_somebody_else_who_signs_in_is_given_nothing_that_waited(tmp_path: Path, measure: Measure) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, _authority, person):
        need = need_of(await rig_error(rig))

        async def as_ben(address: str) -> None:
            await visit(address)
            person.whose = "ben"

        person.act = as_ben
        assert not await person.ask(need)
        assert person.step_up.met(need)
        assert person.step_up.tries(need) == 0
        measure.expect(R=0, B=1)


async def test_row_46_an_account_that_was_not_known_yet_is_no_other_one(tmp_path: Path, measure: Measure) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, _authority, person):
        need = need_of(await rig_error(rig))
        person.whose = None

        async def known_afterwards(address: str) -> None:
            await visit(address)
            person.whose = "ana"

        person.act = known_afterwards
        assert await person.ask(need)
        measure.expect(R=0, B=1)


async def test_row_46_a_key_and_a_vendors_credential_are_not_the_persons_to_widen(
    tmp_path: Path, measure: Measure
) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, _authority, person):
        need = need_of(await rig_error(rig))
        for owner in (CredentialAtStake.VENDOR_BEHIND, CredentialAtStake.UNMANAGED):
            assert person.step_up.option_for(replace(need, at_stake=owner)) is StepUpOption.NOT_OURS
        assert person.step_up.option_for(replace(need, scopes=())) is StepUpOption.NOT_OURS
        await sign_in_with_key(rig.credential, "phx_1")
        assert person.step_up.option_for(need) is StepUpOption.KEY
        measure.expect(R=0)


async def test_row_46_a_token_answer_without_scopes_grants_what_was_asked_for(tmp_path: Path, measure: Measure) -> None:
    async with lacking(tmp_path, measure, "gmail:send") as (rig, authority, person):
        honest = authority._token

        async def silent(request: Request) -> Reply:
            answer = await honest(request)
            assert isinstance(answer.body, dict)
            return Reply(200, {name: value for name, value in answer.body.items() if name != "scope"})

        need = need_of(await rig_error(rig))
        rig.server.views["/oauth/token/"] = silent
        assert await person.ask(need)
        assert person.step_up.granted == (*SCOPES, "gmail:send")
        assert rig.server.requests[AUTHORIZE] == 3
        measure.expect(R=0, B=1)


def test_row_46_a_long_list_of_permissions_is_named_in_part() -> None:
    assert format_scopes(("a", "b")) == "a, b"
    assert format_scopes(tuple("abcdefg")) == "a, b, c, d, e …"


@asynccontextmanager
async def servers_of(credential: Credential, fetcher: Any, folder: Path) -> AsyncIterator[Servers]:
    """The MCP servers of a signed-in credential."""
    storage = Storage.open(folder / "data")
    store = McpStore(fetcher, lambda: 1)
    origin = credential.profile.origin
    host = Host(origin, "Workspace", origin, f"{origin}/mcp")
    scope = Scope(host.key, "ana")
    account = McpAccount(host, credential, scope=lambda: scope, project=lambda: 1)
    servers = Servers(Activity(storage.activity), storage.cache, (HostSource(account), StoreSource(account, store)))
    try:
        yield servers
    finally:
        await servers.close()
        await storage.close()


async def write(servers: Servers) -> str:
    """Write a document with a tool that needs a permission that is not usual."""
    arguments = {"document": "written-once", "title": "Written", "markdown": "by hand"}
    result = await servers.start_call("workspace", "write_document", arguments).result()
    assert not result.is_error
    return "done"


async def documents(servers: Servers) -> list[str]:
    result = await servers.start_call("workspace", "list_documents", {}).result()
    assert isinstance(result.structured, dict)
    return [each["id"] for each in result.structured["result"]]


async def test_row_46_a_tool_of_a_workspace_is_refused_denied_allowed_and_runs_once(
    workspace: RunningWorkspace, tmp_path: Path, measure: Measure
) -> None:
    async with (
        at_workspace(workspace, tmp_path) as (credential, fetcher),
        servers_of(credential, fetcher, tmp_path) as servers,
    ):
        measure.watch_credential(credential)
        await sign_in_there(workspace, credential)
        person = Person(credential, measure, deny)
        refused = await measure.one(write(servers))
        need = need_of(refused, "write_document")
        assert need.scopes == ("project:write",)
        assert not await person.ask(need)
        assert "written-once" not in await documents(servers)
        person.act = lambda address: approve(address, workspace.secret)
        assert await person.ask(need)
        assert await measure.one(write(servers)) == "done"
        assert "written-once" in await documents(servers)
        measure.expect(R=0, V=1, B=2)


@pytest.mark.skipif(sys.platform == "win32" or chromium() is None, reason="no Chromium to drive here")
async def test_row_46_a_click_on_the_real_page_allows_it(
    workspace: RunningWorkspace, tmp_path: Path, measure: Measure
) -> None:
    async with (
        at_workspace(workspace, tmp_path) as (credential, fetcher),
        servers_of(credential, fetcher, tmp_path) as servers,
    ):
        measure.watch_credential(credential)
        await sign_in_there(workspace, credential)
        shown: list[str] = []

        def click(address: str) -> None:
            with Browser(tmp_path / "profile") as browser:
                browser.open(address)
                type_code(browser, person_code(workspace))
                browser.wait_for("document.querySelector('button[value=approve]') !== null")
                shown.append(browser.evaluate("document.querySelector('main').innerText"))
                browser.click("button[value=approve]")
                browser.wait_for("document.title === 'You are signed in'")

        person = Person(credential, measure, lambda address: asyncio.to_thread(click, address))
        assert await person.ask(need_of(await measure.one(write(servers)), "write_document"))
        assert "asks for more access" in shown[0]
        assert "See and change your project and its MCP servers project:write" in " ".join(shown[0].split())
        assert await measure.one(write(servers)) == "done"
        measure.expect(R=0, V=1, B=1)
