"""What a client's state means, and the words for it: connected is only what could be used now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.mcp.servers.server import ServerState
from app.core.mcp.tools import ToolInfo
from app.ui.connect.facts import ClientFacts, ProxyFacts, ProxyPhase
from app.ui.connect.rows import tool_row
from app.ui.connect.wording import (
    ClientState,
    RuleChoice,
    client_state,
    host_of,
    proxy_sentence,
    reason,
    state_of_client,
    state_of_proxy,
    used_words,
)
from tests.ui._connect_fakes import ADDRESS, NOW, plain, proxied, used

SERVING = ProxyFacts(ProxyPhase.SERVING, 41717, ADDRESS)
CLIENT = ClientFacts("c1", "Cursor", use=(used(),))
READY, SIGN_IN = proxied("posthog", "PostHog"), proxied("notion", "Notion", ServerState.SIGN_IN)
OFF, BROKEN = proxied("sqlite", "sqlite", ServerState.DISABLED), proxied("x", "X", ServerState.TROUBLE)
RECONNECT = proxied("v", "Vendor", ServerState.RECONNECT)


@pytest.mark.parametrize(
    ("client", "proxy", "servers", "state"),
    [
        (CLIENT, SERVING, [SIGN_IN, READY], ClientState.CONNECTED),
        (CLIENT, replace(SERVING, phase=ProxyPhase.STANDING_BY), [READY], ClientState.CONNECTED),
        (CLIENT, SERVING, [proxied("n", "New", ServerState.UNKNOWN)], ClientState.CONNECTED),
        (replace(CLIENT, use=()), SERVING, [READY], ClientState.UNUSED),
        (CLIENT, SERVING, [SIGN_IN], ClientState.WAITS),
        (CLIENT, SERVING, [RECONNECT, OFF], ClientState.WAITS),
        (replace(CLIENT, use=()), SERVING, [SIGN_IN], ClientState.WAITS),
        (replace(CLIENT, servers=frozenset({"notion"})), SERVING, [SIGN_IN, READY], ClientState.WAITS),
        (replace(CLIENT, servers=frozenset()), SERVING, [READY], ClientState.NO_SERVER),
        (CLIENT, SERVING, [OFF, BROKEN], ClientState.NO_SERVER),
        (CLIENT, SERVING, [], ClientState.NO_SERVER),
        (CLIENT, ProxyFacts(ProxyPhase.OFF), [READY], ClientState.PROXY_OFF),
        (CLIENT, ProxyFacts(ProxyPhase.STARTING), [READY], ClientState.STARTING),
        (CLIENT, ProxyFacts(ProxyPhase.FAILED), [READY], ClientState.PROXY_FAILED),
        (CLIENT, replace(SERVING, phase=ProxyPhase.PORT_TAKEN, temporary=True), [READY], ClientState.OTHER_PORT),
        (replace(CLIENT, revoked_at=NOW), SERVING, [READY], ClientState.REVOKED),
    ],
)
def test_a_client_is_connected_only_if_it_could_use_a_server_now(
    client: ClientFacts, proxy: ProxyFacts, servers: list, state: ClientState
) -> None:
    assert client_state(client, proxy, servers) is state


def test_every_state_but_connected_has_a_reason_and_no_two_states_look_alike() -> None:
    assert [state for state in ClientState if not reason(state)] == [ClientState.CONNECTED]
    for table in ([state_of_client(each) for each in ClientState], [state_of_proxy(ProxyFacts(p)) for p in ProxyPhase]):
        assert len({state.word for state in table}) == len(table)
        assert len({(state.glyph, state.tone) for state in table}) == len(table)


def test_what_is_wrong_with_the_proxy_is_said_in_sentences() -> None:
    assert proxy_sentence(SERVING) == ("", "")
    assert proxy_sentence(ProxyFacts(ProxyPhase.OFF))[1].startswith("No client")
    title, text = proxy_sentence(replace(SERVING, temporary=True, trouble="Port 41717 is taken."))
    assert (title, text) == ("Another port for now", "Port 41717 is taken.")
    assert proxy_sentence(ProxyFacts(ProxyPhase.FAILED, trouble="The disk is full."))[1] == "The disk is full."


def test_the_use_of_a_client_says_when_how_often_and_who_it_says_it_is() -> None:
    assert used_words(replace(CLIENT, use=())) == ""
    assert plain(used_words(replace(CLIENT, use=(used(),)))) == "now  ·  14 calls  ·  cursor 1.7.2"
    two = replace(CLIENT, use=(used(calls=1, agent=""), used("notion", 0, "")))
    assert used_words(two) == "now  ·  1 call"
    assert "\u202e" not in used_words(replace(CLIENT, use=(used(agent="evil\u202e1"),)))
    assert host_of("http://127.0.0.1:1/") == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("rule", "policy", "locked", "words"),
    [
        (RuleChoice.AS_SET, "do_not_use", False, "Server: Block"),
        (RuleChoice.ALLOW, "needs_approval", False, "Server: Ask"),
        (RuleChoice.ALLOW, "needs_approval", True, "Server: Ask, which counts"),
        (RuleChoice.BLOCK, "needs_approval", True, "Server: Ask"),
        (RuleChoice.ALLOW, "do_not_use", False, "Server: Block, which counts"),
        (RuleChoice.ASK, "do_not_use", False, "Server: Block, which counts"),
        (RuleChoice.BLOCK, "do_not_use", False, "Server: Block"),
        (RuleChoice.BLOCK, "approved", False, "Server: Allow"),
        (RuleChoice.ASK, "approved", True, "Server: Allow"),
        (RuleChoice.ALLOW, None, False, ""),
    ],
)
def test_a_rule_that_the_policy_of_the_server_overrules_is_told_so(
    rule: RuleChoice, policy: str | None, locked: bool, words: str
) -> None:
    assert tool_row(ToolInfo("a", policy=policy, locked=locked), rule).detail == words
