"""The words of the place: states of the proxy, of clients and of servers, rules, steps. No widgets.

The tables hold the words untranslated; the functions translate them (context `Connect`, states `State`).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QLocale

from app.core.mcp.proxy.parts import ToolRule
from app.core.mcp.servers.server import ServerState
from app.marks import isolated, revealed_name
from app.ui.connect.facts import ProxyPhase, StepOutcome
from app.ui.server_states import SERVER_STATES
from app.ui.theme.state import State, translated
from app.ui.translation import marked
from app.ui.widgets.times import relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.ui.connect.facts import ClientFacts, ProgramFacts, ProxiedServer, ProxyFacts


class ClientState(Enum):
    """Whether a client could use a server now, else the first reason why not."""

    CONNECTED = "connected"
    UNUSED = "unused"
    WAITS = "waits"
    NO_SERVER = "no server"
    STARTING = "starting"
    PROXY_OFF = "proxy off"
    PROXY_FAILED = "proxy failed"
    OTHER_PORT = "other port"
    REVOKED = "revoked"


class RuleChoice(Enum):
    """The client's own rule for a tool. `AS_SET`: the server's policy counts alone."""

    AS_SET = "as-set"
    ALLOW = "allow"
    ASK = "ask"
    BLOCK = "block"

    @staticmethod
    def of(rule: ToolRule | None) -> RuleChoice:
        return RuleChoice.AS_SET if rule is None else RuleChoice(rule.value)

    @property
    def rule(self) -> ToolRule | None:
        return None if self is RuleChoice.AS_SET else ToolRule(self.value)


PROXY_STATES: Mapping[ProxyPhase, State] = {
    ProxyPhase.OFF: State("ring", marked("State", "Off"), "muted"),
    ProxyPhase.STARTING: State("clock", marked("State", "Starting"), "info"),
    ProxyPhase.SERVING: State("dot", marked("State", "Serving"), "good"),
    ProxyPhase.STANDING_BY: State("dashed", marked("State", "Standing by"), "good"),
    ProxyPhase.PORT_TAKEN: State("warning", marked("State", "Port taken"), "attention"),
    ProxyPhase.FAILED: State("cross", marked("State", "Failed"), "bad"),
}
# It serves, but not where clients look for it.
OTHER_PORT = State("warning", marked("State", "Other port"), "attention")
CLIENT_STATES: Mapping[ClientState, State] = {
    ClientState.CONNECTED: State("dot", marked("State", "Connected"), "good"),
    ClientState.UNUSED: State("dashed", marked("State", "Not used yet"), "muted"),
    ClientState.WAITS: State("key", marked("State", "Waits for sign-in"), "attention"),
    ClientState.NO_SERVER: State("warning", marked("State", "No server to use"), "attention"),
    ClientState.STARTING: State("clock", marked("State", "Proxy is starting"), "info"),
    ClientState.PROXY_OFF: State("ring", marked("State", "Proxy is off"), "muted"),
    ClientState.PROXY_FAILED: State("cross", marked("State", "Proxy failed"), "bad"),
    ClientState.OTHER_PORT: State("offline", marked("State", "Other port"), "attention"),
    ClientState.REVOKED: State("block", marked("State", "Revoked"), "muted"),
}
RULES: Mapping[RuleChoice, State] = {
    RuleChoice.AS_SET: State("servers", marked("State", "As set"), "muted"),
    RuleChoice.ALLOW: State("check", marked("State", "Allow"), "good"),
    RuleChoice.ASK: State("question", marked("State", "Ask"), "attention"),
    RuleChoice.BLOCK: State("block", marked("State", "Block"), "bad"),
}
STEPS: Mapping[StepOutcome, State] = {
    StepOutcome.RUNNING: State("clock", marked("State", "Running"), "info"),
    StepOutcome.DONE: State("check", marked("State", "Done"), "good"),
    StepOutcome.FAILED: State("cross", marked("State", "Failed"), "bad"),
    StepOutcome.SKIPPED: State("minus", marked("State", "Not tried"), "muted"),
}
# A server that was not asked yet may well work: it is asked when a client needs it.
USABLE = frozenset({ServerState.READY, ServerState.UNKNOWN})
WAITING = frozenset({ServerState.SIGN_IN, ServerState.RECONNECT})


NOT_SERVED = {ProxyPhase.STARTING: ClientState.STARTING, ProxyPhase.FAILED: ClientState.PROXY_FAILED}


def client_state(client: ClientFacts, proxy: ProxyFacts, servers: Iterable[ProxiedServer]) -> ClientState:
    """Whether a client could use a server now: the port is served, the key valid, one of its servers usable."""
    if client.revoked:
        return ClientState.REVOKED
    if proxy.temporary:
        # What was set up has the address that was chosen.
        return ClientState.OTHER_PORT
    if not proxy.phase.serves:
        return NOT_SERVED.get(proxy.phase, ClientState.PROXY_OFF)
    states = {each.server.state for each in servers if client.may_use(each.id)}
    if not states & USABLE:
        return ClientState.WAITS if states & WAITING else ClientState.NO_SERVER
    return ClientState.CONNECTED if client.last_used is not None else ClientState.UNUSED


def state_of_proxy(proxy: ProxyFacts) -> State:
    """Glyph, word and tone."""
    elsewhere = proxy.temporary and proxy.phase.serves
    return translated(OTHER_PORT if elsewhere else PROXY_STATES[proxy.phase])


def state_of_client(state: ClientState) -> State:
    """Glyph, word and tone."""
    return translated(CLIENT_STATES[state])


def state_of_server(server: ProxiedServer) -> State:
    """Glyph, word and tone."""
    return translated(SERVER_STATES[server.server.state])


def state_of_rule(rule: RuleChoice) -> State:
    """Glyph, word and tone."""
    return translated(RULES[rule])


def state_of_step(outcome: StepOutcome) -> State:
    """Glyph, word and tone."""
    return translated(STEPS[outcome])


def proxy_sentence(proxy: ProxyFacts) -> tuple[str, str]:
    """What is wrong with the proxy and what can be done, each a sentence; empty while nothing is."""
    if proxy.temporary:
        return tr("Another port for now"), proxy.trouble
    if proxy.phase is ProxyPhase.PORT_TAKEN:
        return tr("Port {0} is used by another program").format(proxy.port), proxy.trouble
    if proxy.phase is ProxyPhase.FAILED:
        return tr("The proxy could not start"), proxy.trouble
    if proxy.phase is ProxyPhase.STANDING_BY:
        return "", _owner_words(proxy)
    if proxy.phase is ProxyPhase.OFF:
        return "", tr("No client gets through while it is off.")
    return "", ""


def _owner_words(proxy: ProxyFacts) -> str:
    """Which process serves, and how to serve from here."""
    if proxy.owner == "window":
        words = tr(
            "Another window of Burrow serves (process {0}), and asks there about calls. Close it to serve from here."
        )
    elif proxy.owner == "headless":
        words = tr("burrow proxy serves (process {0}) and hands over to this window. If it does not, end it.")
    else:
        return tr("Another process of Burrow on this computer serves. This window takes over when it ends.")
    return words.format(proxy.pid)


def reason(state: ClientState) -> str:
    """Why a client cannot use anything now and what helps; empty where it can."""
    return {
        ClientState.CONNECTED: "",
        ClientState.UNUSED: tr("It has not sent a request yet. Add the snippet to the program, then restart it."),
        ClientState.WAITS: tr("All of its servers need a sign-in. It works again right after that."),
        ClientState.NO_SERVER: tr("None of its servers can be used now. Choose others under Servers."),
        ClientState.OTHER_PORT: tr("Clients are answered on another port than the one that it was set up with."),
        ClientState.STARTING: tr("Requests wait until it serves."),
        ClientState.PROXY_FAILED: tr("The proxy could not start. Its page says why."),
        ClientState.PROXY_OFF: tr("Nothing answers at its address. Switch the proxy on."),
        ClientState.REVOKED: tr("Its key is refused. To use the program again, add it as a new client."),
    }[state]


def host_of(address: str) -> str:
    """An address without its scheme: `127.0.0.1:41717`."""
    return address.partition("://")[2].rstrip("/") or address


def shown_name(name: str) -> str:
    """A name from outside as it is shown: one name does not look like another, and reorders nothing beside it."""
    return isolated(revealed_name(name))


def program_words(program: ProgramFacts) -> str:
    """`Cursor 1.7 · installed`, or only the name."""
    if not program.found:
        return program.title
    name = f"{program.title} {revealed_name(program.version)}".strip()
    return tr("{0}  ·  installed").format(name)


def used_words(client: ClientFacts) -> str:
    """`5 min ago  ·  14 calls  ·  cursor 1.7`; empty before the first request."""
    if client.last_used is None:
        return ""
    agent = shown_name(client.agent) if client.agent else ""
    return "  ·  ".join(part for part in (relative(client.last_used), calls_words(client.calls), agent) if part)


def calls_words(count: int) -> str:
    """`1 call`, `1,204 calls`."""
    return tr("1 call") if count == 1 else tr("{0} calls").format(QLocale().toString(count))


def tr(text: str) -> str:
    """`text` in the person's language."""
    return QCoreApplication.translate("Connect", text)
