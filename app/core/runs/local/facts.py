"""What an agent says of itself and of a session, in values: versions 1 and 2 of the protocol say it differently.

https://agentclientprotocol.com/protocol/initialization, https://agentclientprotocol.com/protocol/v2/migration
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.errors import ProtocolTrouble
from app.core.posthog.types import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = (1, 2)
# They take any error for one that has nothing to do with the file, and then write no new file
# (https://github.com/google-gemini/gemini-cli/issues/17588). An empty one is understood.
MISSING_AS_EMPTY = frozenset({"Gemini CLI", "gemini-cli"})


class SignInHint(Value, frozen=True):
    """A way to sign in that an agent offers. `command` is what the person runs in a terminal, empty without."""

    id: str
    name: str
    description: str = ""
    command: tuple[str, ...] = ()


class AgentFacts(Value, frozen=True):
    """`loads`: an earlier session is replayed (`session/load`). `resumes`: it goes on without that. `images` and
    `embedded`: what a message may contain. `more_folders`: a session may have folders beside its working folder.
    """

    version: int
    name: str = ""
    agent_version: str = ""
    loads: bool = False
    resumes: bool = False
    closes: bool = False
    http_servers: bool = False
    images: bool = False
    embedded: bool = False
    more_folders: bool = False
    sign_in: tuple[SignInHint, ...] = ()


def client_part(version: int, burrow: str) -> dict[str, object]:
    """The parameters of `initialize`, with `burrow` as the client's version.

    An agent that answers with an older version reads the older members, so both are there.
    """
    info = {"name": "burrow", "title": "Burrow", "version": burrow}
    older = {
        "fs": {"readTextFile": True, "writeTextFile": True},
        "terminal": True,
        # Agents name the command of their sign-in to who says this; the member in `_meta` is the older way.
        "auth": {"terminal": True},
        "_meta": {"terminal-auth": True},
    }
    params: dict[str, object] = {"protocolVersion": version, "clientCapabilities": older, "clientInfo": info}
    return params if version == 1 else {**params, "capabilities": {"auth": {"terminal": {}}}, "info": info}


def agent_facts(result: Mapping[str, object], command: tuple[str, ...] = ()) -> AgentFacts:
    """What an agent that was started with `command` answered to `initialize`.

    Raises `ProtocolTrouble` for a version that is not spoken here.
    """
    version = result.get("protocolVersion")
    if not isinstance(version, int) or isinstance(version, bool) or version not in VERSIONS:
        raise ProtocolTrouble(
            f"The agent speaks version {version} of the Agent Client Protocol, and Burrow versions 1 and 2.",
            action="Install another version of the agent.",
        )
    info = _members(result.get("agentInfo") if version == 1 else result.get("info"))
    name, agent_version = _text(info.get("title")) or _text(info.get("name")), _text(info.get("version"))
    sign_in = _sign_in(result.get("authMethods"), command)
    if version == 1:
        has = _members(result.get("agentCapabilities"))
        session, prompt = _members(has.get("sessionCapabilities")), _members(has.get("promptCapabilities"))
        return AgentFacts(
            *(version, name, agent_version),
            loads=has.get("loadSession") is True,
            resumes=session.get("resume") is not None,
            closes=session.get("close") is not None,
            http_servers=_members(has.get("mcpCapabilities")).get("http") is True,
            images=prompt.get("image") is True,
            embedded=prompt.get("embeddedContext") is True,
            more_folders=session.get("additionalDirectories") is not None,
            sign_in=sign_in,
        )
    session = _members(_members(result.get("capabilities")).get("session"))
    prompt = _members(session.get("prompt"))
    return AgentFacts(
        *(version, name, agent_version),
        # One method does both, and every agent has it.
        loads=True,
        resumes=True,
        closes=True,
        http_servers=_members(session.get("mcp")).get("http") is not None,
        images=prompt.get("image") is not None,
        embedded=prompt.get("embeddedContext") is not None,
        more_folders=session.get("additionalDirectories") is not None,
        sign_in=sign_in,
    )


def config_options(result: Mapping[str, object]) -> list[object]:
    """The settings of a session: its `configOptions`, or its `modes` and `models`, which are older, in that form."""
    options = result.get("configOptions")
    if isinstance(options, list):
        return options_with_id(options)
    modes, models = _members(result.get("modes")), _members(result.get("models"))
    return [
        *_older_option("mode", "Mode", modes.get("availableModes"), "id", modes.get("currentModeId")),
        *_older_option("model", "Model", models.get("availableModels"), "modelId", models.get("currentModelId")),
    ]


def options_with_id(options: list[object]) -> list[object]:
    """The settings in the words of version 1: version 2 calls their `id` `configId`."""
    return [
        {**each, "id": each["configId"]} if isinstance(each, dict) and "configId" in each else each for each in options
    ]


def mode_of(options: list[object]) -> str:
    """The mode that the settings say, empty without one."""
    for each in options:
        option = _members(each)
        if "mode" in (option.get("id"), option.get("category")):
            return _text(option.get("currentValue"))
    return ""


def with_value(options: list[object], option: str, value: str) -> list[object]:
    """The settings with another value of one of them."""
    return [
        {**each, "currentValue": value} if isinstance(each, dict) and each.get("id") == option else each
        for each in options
    ]


def _older_option(option: str, name: str, available: object, key: str, value: object) -> list[object]:
    if not isinstance(available, list):
        return []
    choices = [
        {"value": each[key], "name": each.get("name") or each[key], "description": each.get("description")}
        for each in available
        if isinstance(each, dict) and isinstance(each.get(key), str)
    ]
    setting = {"id": option, "name": name, "category": option, "type": "select", "options": choices}
    return [{**setting, "currentValue": value}]


def _sign_in(methods: object, command: tuple[str, ...]) -> tuple[SignInHint, ...]:
    hints = []
    for each in methods if isinstance(methods, list) else ():
        method = _members(each)
        name_of_it = _text(method.get("id")) or _text(method.get("methodId"))
        if not name_of_it:
            continue
        terminal = _members(_members(method.get("_meta")).get("terminal-auth"))
        own: tuple[str, ...] = (_text(terminal.get("command")),) if terminal.get("command") else ()
        if method.get("type") == "terminal":
            # The agent's own command, with other arguments.
            own, terminal = command[:1], method
        arguments = terminal.get("args")
        words = (*own, *map(str, arguments if isinstance(arguments, list) else ())) if own else ()
        name = _text(method.get("name")) or name_of_it
        hints.append(SignInHint(name_of_it, name, _text(method.get("description")), words))
    return tuple(hints)


def _members(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
