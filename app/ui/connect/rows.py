"""The rows of the lists: the proxy and the clients, the servers, the tools with a client's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.marks import revealed_name
from app.ui.connect.wording import (
    RuleChoice,
    client_state,
    host_of,
    shown_name,
    state_of_client,
    state_of_proxy,
    state_of_rule,
    state_of_server,
    tr,
    used_words,
)
from app.ui.widgets.rows import Group, Row
from app.ui.widgets.times import absolute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.mcp.tools import ToolInfo
    from app.ui.connect.facts import ClientFacts, ProxiedServer, ProxyFacts

# The key of the row of the proxy. Ids of clients have no colon.
PROXY_ROW = "proxy:"
# Nobody reads more of a description in a row, and eliding a long text for each row takes time.
SHOWN_DESCRIPTION = 160
LOOKED_AT = 4_000
# The states of policies of the MCP store (docs/wire.md, "Tools and approval states").
POLICIES = {"approved": RuleChoice.ALLOW, "needs_approval": RuleChoice.ASK, "do_not_use": RuleChoice.BLOCK}


def proxy_row(proxy: ProxyFacts) -> Row:
    """The proxy, its state and address."""
    return Row(PROXY_ROW, tr("Local proxy"), host_of(proxy.address), state_of_proxy(proxy))


def client_row(client: ClientFacts, proxy: ProxyFacts, servers: Sequence[ProxiedServer]) -> Row:
    """A client, its state and use."""
    state = state_of_client(client_state(client, proxy, servers))
    used, name = used_words(client), shown_name(client.name)
    agent = revealed_name(client.agent) if client.agent else ""
    tip = [tr("Last used {0}").format(absolute(client.last_used)) if client.last_used else "", agent]
    return Row(
        client.id,
        name,
        used,
        state,
        muted=client.revoked,
        accessible=", ".join(part for part in (name, state.word, used.replace("  ·  ", ", ")) if part),
        tooltip="\n".join(part for part in tip if part),
    )


def client_groups(clients: Sequence[ClientFacts], proxy: ProxyFacts, servers: Sequence[ProxiedServer]) -> list[Group]:
    """The proxy first, then the clients, the ones used last at the top; at the end those that were revoked."""
    order = sorted(clients, key=lambda each: each.name.casefold())
    order.sort(key=lambda each: each.last_used.timestamp() if each.last_used else 0.0, reverse=True)
    current = tuple(client_row(each, proxy, servers) for each in order if not each.revoked)
    revoked = tuple(client_row(each, proxy, servers) for each in order if each.revoked)
    return [
        Group("", "", (proxy_row(proxy),)),
        Group("clients", tr("Clients"), current),
        Group("revoked", tr("Revoked"), revoked),
    ]


def server_row(server: ProxiedServer) -> Row:
    """A server, its state, and its address at the proxy."""
    name, state = shown_name(server.server.title), state_of_server(server)
    return Row(
        server.id,
        name,
        server.address,
        state,
        accessible=", ".join(part for part in (name, state.word, server.address) if part),
        tooltip=revealed_name(server.server.trouble or ""),
    )


def key_of(tool: ToolInfo) -> str:
    """The key of a tool's row. Names are not unique."""
    return f"{tool.row}:{tool.name}"


def tool_row(tool: ToolInfo, rule: RuleChoice) -> Row:
    """A tool with the client's rule, and in words the policy of the server, where it has one."""
    policy = POLICIES.get(tool.policy or "")
    words = tool.problem or shown_name(_first_line(tool.description)[:SHOWN_DESCRIPTION])
    set_to = ""
    if policy is not None:
        words_of = tr("Server: {0}, which counts") if _overrules(policy, rule, tool.locked) else tr("Server: {0}")
        set_to = words_of.format(state_of_rule(policy).word)
    state = state_of_rule(rule)
    name = revealed_name(tool.name)
    return Row(
        key_of(tool),
        tool.label,
        "  ·  ".join(part for part in (set_to, words) if part),
        side=state,
        struck=tool.problem is not None,
        accessible=", ".join(part for part in (tool.label, state.word, set_to, tool.problem or "") if part),
        tooltip=name if tool.title else "",
    )


def _overrules(policy: RuleChoice, rule: RuleChoice, locked: bool) -> bool:
    """Whether the server's policy counts in the place of the client's rule (`app.core.mcp.proxy.tool_rules`)."""
    if rule in {RuleChoice.AS_SET, policy}:
        return False
    return policy is RuleChoice.BLOCK or (policy is RuleChoice.ASK and rule is RuleChoice.ALLOW and locked)


def _first_line(text: str) -> str:
    return next((" ".join(line.split()) for line in text[:LOOKED_AT].splitlines() if line.strip()), "")
