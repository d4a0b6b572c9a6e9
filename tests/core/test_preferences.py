"""What the user chose for the process counts at once, and nonsense in the settings counts as the default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.auth.http.clients import HttpClients
from app.core.auth.http.proxies import ProxySettings, check_address
from app.core.errors import Offline, ProxyUnusable, TimedOut
from app.core.preferences import (
    ADDRESS,
    ANSWER,
    NONE,
    PROXY_ADDRESS,
    PROXY_MODE,
    SILENCE,
    SYSTEM,
    Preferences,
    ProxyChoice,
    preferences,
    use_preferences,
)
from app.core.services import Services
from tests.core._proxies import http_proxy, socks_proxy
from tests.core.conftest import signed_in
from tests.core.scripted import Reply, Request


class Stored(dict[str, Any]):
    """Settings in memory."""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    use_preferences(None)


NONSENSE: list[Any] = [None, True, "30", [], {}, float("nan"), float("inf"), -1, 0, 10**400, 1e9, [30]]


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize("duration", [ANSWER, SILENCE])
def test_a_duration_that_makes_no_sense_counts_as_the_default(duration: Any, value: Any) -> None:
    stored = Stored({duration.key: value})
    read = Preferences(stored)
    assert (read.answer_seconds, read.silence_seconds) == (ANSWER.default, SILENCE.default)


@pytest.mark.parametrize("mode", [*NONSENSE, "sometimes"])
@pytest.mark.parametrize("address", [value for value in NONSENSE if value != "30"] + [""])
def test_a_proxy_that_makes_no_sense_counts_as_that_of_the_system(mode: Any, address: Any) -> None:
    assert Preferences(Stored({PROXY_MODE: mode, PROXY_ADDRESS: address})).proxy == ProxyChoice(
        SYSTEM, address if isinstance(address, str) and mode != ADDRESS else ""
    )
    assert Preferences(Stored({PROXY_MODE: ADDRESS, PROXY_ADDRESS: address})).proxy.mode == SYSTEM


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("proxy.example:3128", "http://proxy.example:3128"),
        (" https://proxy.example ", "https://proxy.example"),
        ("socks://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_is_kept_in_the_form_that_is_used(address: str, kept: str) -> None:
    assert check_address(address) == kept


@pytest.mark.parametrize(
    "address", ["", "ftp://x", "http://", "a b", "http://x:99999", "user:secret@proxy:1", "http://user@proxy:1"]
)
def test_what_is_no_address_or_has_a_password_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ProxyUnusable) as caught:
        check_address(address)
    assert "the settings" in caught.value.cause
    assert "secret" not in caught.value.cause


def test_the_users_proxy_is_for_every_host_but_this_machine_and_those_that_the_environment_excepts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://other:1")
    monkeypatch.setenv("no_proxy", "inside.example")
    chosen = ProxySettings.chosen(ProxyChoice(ADDRESS, "http://mine:2"))
    assert chosen.proxy_for("https", "us.posthog.com") == "http://mine:2"
    assert chosen.proxy_for("http", "x.example") == "http://mine:2"
    assert chosen.proxy_for("https", "host.inside.example") is None
    assert chosen.proxy_for("http", "127.0.0.1") is None
    assert ProxySettings.chosen(ProxyChoice(NONE)).proxy_for("https", "us.posthog.com") is None
    assert ProxySettings.chosen(ProxyChoice()).proxy_for("https", "us.posthog.com") == "http://other:1"


async def test_another_proxy_counts_from_the_next_request_on() -> None:
    from app.core.auth.http.transport import NetTransport

    stored = Stored()
    use_preferences(stored)
    async with httpx.AsyncClient(transport=NetTransport(httpx), trust_env=False) as client:
        stored.update({PROXY_MODE: ADDRESS, PROXY_ADDRESS: "http://127.0.0.1:9"})
        preferences().refresh()
        with pytest.raises(httpx.ConnectError):
            await client.get("http://burrow.invalid/", timeout=5)
        stored[PROXY_ADDRESS] = "nonsense://x"
        preferences().refresh()
        with pytest.raises(httpx.ProxyError, match="the settings"):
            await client.get("http://burrow.invalid/", timeout=5)


@pytest.mark.parametrize("proxy", [http_proxy, socks_proxy])
async def test_requests_go_through_the_proxy_that_was_chosen_and_past_it_once_it_is_not(proxy: Any) -> None:
    stored = Stored()
    use_preferences(stored)
    clients = HttpClients()
    client = await clients.client()
    async with proxy() as chosen:
        stored.update({PROXY_MODE: ADDRESS, PROXY_ADDRESS: check_address(chosen.address)})
        preferences().refresh()
        assert (await client.get("http://posthog.invalid/api/")).json() == {"via": "the"}
        stored[PROXY_MODE] = NONE
        preferences().refresh()
        with pytest.raises(httpx.ConnectError):
            await client.get("http://posthog.invalid/api/", timeout=5)
    await clients.close()


async def test_the_time_that_an_answer_may_take_counts_from_the_next_request_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    async with signed_in(tmp_path) as rig:
        never = asyncio.Event()

        async def silent(request: Request) -> Reply:
            await never.wait()
            return Reply(200, {})

        rig.server.views["/api/x/"] = silent
        monkeypatch.setattr(preferences(), "answer_seconds", 0.1)
        with pytest.raises((TimedOut, Offline)):
            await rig.fetcher.get("/api/x/")


async def test_a_start_reads_the_choices_of_its_data_folder(tmp_path: Path) -> None:
    services = Services(tmp_path)
    await services.storage.settings.set(SILENCE.key, 90)
    await services.close()
    services = Services(tmp_path)
    assert preferences().silence_seconds == 90
    await services.close()
