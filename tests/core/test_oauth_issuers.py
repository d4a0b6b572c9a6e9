"""An answer of one authorization server is never taken for that of another one (RFC 9207, MCP 2026-07-28)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from app.core.auth.credential import Credential
from app.core.auth.key import CredentialKey
from app.core.auth.oauth.sign_in import BrowserSignIn
from app.core.auth.profile import CredentialProfile
from app.core.auth.status import CredentialState
from app.core.errors import ProtocolTrouble, SignInNeeded
from tests.core._authorization_server import ScriptedIssuer, servers
from tests.core._data_folder import DataFolder, opened

RESOURCE = "http://127.0.0.1:1/mcp"


@dataclass
class Flow:
    """A sign-in that waits for the browser."""

    issuer: ScriptedIssuer
    credential: Credential
    sign_in: BrowserSignIn
    finishing: asyncio.Task[None]

    async def answer(self) -> str:
        """Where the consent page sends the browser."""
        async with httpx.AsyncClient(trust_env=False) as browser:
            return str((await browser.get(self.sign_in.url)).headers["location"])

    @property
    def exchanges(self) -> int:
        return len(self.issuer.forms("authorization_code"))


async def begun(data: DataFolder, issuer: ScriptedIssuer) -> Flow:
    profile = CredentialProfile(
        CredentialKey(issuer.issuer, RESOURCE), "Example", "http://127.0.0.1:1", issuer.issuer, resource=RESOURCE
    )
    credential = data.credential(profile)
    sign_in = await credential.begin_sign_in(open_browser=False)
    return Flow(issuer, credential, sign_in, asyncio.create_task(sign_in.finish()))


@asynccontextmanager
async def flows(folder: Path, *paths: str, promised: bool = True) -> AsyncIterator[list[Flow]]:
    """Sign-ins that run at once, at an issuer of its own origin for each path, or at one origin where paths differ."""
    async with AsyncExitStack() as stack:
        data = await stack.enter_async_context(opened(folder))
        origins = await stack.enter_async_context(servers(len(paths)))
        first = next(origins)
        own_origins = len(set(paths)) < len(paths)
        issuers = [ScriptedIssuer(first, paths[0])]
        issuers += [ScriptedIssuer(next(origins) if own_origins else first, path) for path in paths[1:]]
        for issuer in issuers:
            issuer.metadata["authorization_response_iss_parameter_supported"] = promised
        under_way = [await begun(data, issuer) for issuer in issuers]
        yield under_way
        for flow in under_way:
            flow.finishing.cancel()
        await asyncio.gather(*(flow.finishing for flow in under_way), return_exceptions=True)


async def visit(address: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as browser:
        return (await browser.get(address)).status_code


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def with_query(address: str, query: Any) -> str:
    return urlsplit(address)._replace(query=urlencode(query)).geturl()


FOREIGN = [
    lambda own, others: others,
    lambda own, others: {**own, "state": others["state"]},
    lambda own, others: {"error": "access_denied", "state": others["state"], "iss": own["iss"]},
]
# With the state that the listener waits for, as a server would send it that wants the other one's code.
MIXED_UP = [
    lambda own, others: {**others, "state": own["state"]},
    lambda own, others: {**own, "iss": others["iss"]},
    lambda own, others: {"error": "access_denied", "state": own["state"], "iss": others["iss"]},
]


async def refused_at_once(flow: Flow) -> None:
    """The sign-in ends without the three minutes, and its code went nowhere."""
    with pytest.raises(ProtocolTrouble, match="another server"):
        await flow.finishing
    assert flow.exchanges == 0
    assert flow.credential.status.state is not CredentialState.SIGNED_IN


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("paths", [("", ""), ("/one", "/two")])
async def test_an_answer_to_another_request_is_refused_and_the_sign_in_goes_on(
    tmp_path: Path, promised: bool, paths: tuple[str, str]
) -> None:
    async with flows(tmp_path, *paths, promised=promised) as (first, second):
        answers = [await first.answer(), await second.answer()]
        own, others = query_of(answers[1]), query_of(answers[0])
        for forged in FOREIGN:
            assert await visit(with_query(answers[1], forged(own, others))) == 400
            assert not second.finishing.done()
        assert (first.exchanges, second.exchanges) == (0, 0)
        for flow, answer in zip((first, second), answers, strict=True):
            assert await visit(answer) == 200
            await flow.finishing
            assert flow.credential.status.state is CredentialState.SIGNED_IN
        assert (first.exchanges, second.exchanges) == (1, 1)
        assert first.issuer.forms("authorization_code")[0]["code"] == others["code"]


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("paths", [("", ""), ("/one", "/two")])
@pytest.mark.parametrize("number", range(len(MIXED_UP)))
async def test_an_answer_of_another_issuer_ends_the_sign_in_at_once(
    tmp_path: Path, promised: bool, paths: tuple[str, str], number: int
) -> None:
    async with flows(tmp_path, *paths, promised=promised) as (first, second):
        answers = [await first.answer(), await second.answer()]
        forged = MIXED_UP[number](query_of(answers[1]), query_of(answers[0]))
        assert await visit(with_query(answers[1], forged)) == 400
        await refused_at_once(second)
        assert await visit(answers[0]) == 200
        await first.finishing
        assert first.credential.status.state is CredentialState.SIGNED_IN


WRONG = [
    lambda issuer: f"{issuer}/",
    lambda issuer: issuer.replace("http", "HTTP"),
    lambda issuer: issuer.replace("tenant", "%74enant"),
    lambda issuer: issuer.rpartition("/")[0],
    lambda issuer: f"{issuer} ",
    lambda issuer: "https://evil.example",
    lambda issuer: "",
]


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("number", range(len(WRONG)))
async def test_an_issuer_in_an_answer_is_compared_character_by_character(
    tmp_path: Path, promised: bool, number: int
) -> None:
    async with flows(tmp_path, "/tenant", promised=promised) as [flow]:
        answer = await flow.answer()
        wrong = {**query_of(answer), "iss": WRONG[number](flow.issuer.issuer)}
        assert await visit(with_query(answer, wrong)) == 400
        await refused_at_once(flow)


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("denied", [True, False])
async def test_an_answer_without_an_issuer_is_refused_where_one_was_promised(
    tmp_path: Path, promised: bool, denied: bool
) -> None:
    async with flows(tmp_path, "/tenant", promised=promised) as [flow]:
        flow.issuer.names_issuer = False
        answer = await flow.answer()
        assert "iss" not in query_of(answer)
        error = {"error": "access_denied", "state": query_of(answer)["state"]}
        sent = with_query(answer, error) if denied else answer
        assert await visit(sent) == (400 if promised else 200)
        if promised:
            await refused_at_once(flow)
        elif denied:
            with pytest.raises(SignInNeeded, match="denied"):
                await flow.finishing
        else:
            await flow.finishing


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("name", ["iss", "state", "code", "error"])
async def test_an_answer_that_says_something_twice_is_refused(tmp_path: Path, promised: bool, name: str) -> None:
    async with flows(tmp_path, "/tenant", promised=promised) as [flow]:
        answer = await flow.answer()
        once = query_of(answer)
        twice = [*once.items(), (name, once.get(name, "a")), *([("error", "b")] if name == "error" else [])]
        assert await visit(with_query(answer, twice)) == 400
        if name == "state":
            assert not flow.finishing.done()
        else:
            with pytest.raises(ProtocolTrouble, match="more than once"):
                await flow.finishing
        assert flow.exchanges == 0


async def test_an_answer_with_an_error_is_an_error_whatever_code_it_has(tmp_path: Path) -> None:
    async with flows(tmp_path, "/tenant") as [flow]:
        answer = await flow.answer()
        await visit(with_query(answer, {**query_of(answer), "error": "access_denied"}))
        with pytest.raises(SignInNeeded, match="denied"):
            await flow.finishing
        assert flow.exchanges == 0


async def test_an_answer_with_an_empty_code_is_none(tmp_path: Path) -> None:
    async with flows(tmp_path, "/tenant") as [flow]:
        answer = await flow.answer()
        await visit(with_query(answer, {**query_of(answer), "code": ""}))
        with pytest.raises(SignInNeeded, match="did not sign you in"):
            await flow.finishing
        assert flow.exchanges == 0


async def test_an_empty_error_beside_a_code_is_none(tmp_path: Path) -> None:
    async with flows(tmp_path, "/tenant") as [flow]:
        answer = await flow.answer()
        await visit(with_query(answer, {**query_of(answer), "error": ""}))
        await flow.finishing
        assert flow.exchanges == 1


async def test_the_issuer_is_compared_as_its_metadata_spells_it(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins), "/tenant")
        issuer.metadata["issuer"] = issuer.issuer.replace("tenant", "%74enant")
        flow = await begun(data, issuer)
        assert await visit(await flow.answer()) == 200
        await flow.finishing
        assert flow.credential.grant is not None
        assert flow.credential.grant.issuer == issuer.metadata["issuer"]
