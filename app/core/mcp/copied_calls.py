"""A call as text that a person can run elsewhere: with curl, as a Python program, or as a command of Burrow.

No credential is in it. Where the server asks for one, the text reads it from the environment variable `BURROW_TOKEN`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from app.core.mcp.json_text import NotJson, write_json
from app.core.mcp.servers.definitions import SseServer, StdioServer
from app.core.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.mcp.servers.server import Server

LEGACY, MODERN = "2025-11-25", "2026-07-28"
CLIENT = '{"name":"curl","version":"1"}'
# A shell accepts no longer single argument on Linux (MAX_ARG_STRLEN), and a terminal no control characters in a paste.
LONGEST_WORD = 100_000
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_NOT_ASCII = re.compile("[^\x00-\x7e]")

_CURL_HEAD = """\
# Set BURROW_TOKEN to an access token if the server asks for one.
URL={url}
send() {{
  curl -sS "$URL" ${{BURROW_TOKEN:+-H "Authorization: Bearer $BURROW_TOKEN"}} \\
    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' "$@" --data-binary @-
}}
"""
_CURL_LEGACY = """\
SESSION=$(send -D - -o /dev/null <<'JSON' | awk '{{ sub("\\r$", "") }} tolower($1) == "mcp-session-id:" {{ print $2 }}'
{initialize}
JSON
)
send -H 'MCP-Protocol-Version: {version}' ${{SESSION:+-H "Mcp-Session-Id: $SESSION"}} <<'JSON'
{{"jsonrpc":"2.0","method":"notifications/initialized"}}
JSON
send -H 'MCP-Protocol-Version: {version}' ${{SESSION:+-H "Mcp-Session-Id: $SESSION"}} <<'JSON'
{call}
JSON
"""
_CURL_MODERN = """\
send -H 'MCP-Protocol-Version: {version}' -H 'Mcp-Method: tools/call' -H {name} <<'JSON'
{call}
JSON
"""
_PYTHON = """\
# Needs the MCP SDK: pip install mcp
import asyncio
import os

{imports}

ARGUMENTS = {arguments}


async def main() -> None:
{body}


asyncio.run(main())
"""
_PYTHON_HTTP = """\
    # Set BURROW_TOKEN to an access token if the server asks for one.
    token = os.environ.get("BURROW_TOKEN")
    headers = {{"Authorization": f"Bearer {{token}}"}} if token else {{}}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client({url}, http_client=http)) as client:
            print((await client.call_tool({tool}, ARGUMENTS)).model_dump_json(indent=2, by_alias=True))"""
_PYTHON_SSE = """\
    # Set BURROW_TOKEN to an access token if the server asks for one.
    token = os.environ.get("BURROW_TOKEN")
    headers = {{"Authorization": f"Bearer {{token}}"}} if token else {{}}
    async with Client(sse_client({url}, headers=headers)) as client:
        print((await client.call_tool({tool}, ARGUMENTS)).model_dump_json(indent=2, by_alias=True))"""
_PYTHON_STDIO = """\
    server = StdioServerParameters(command={command}, args={words}, cwd={folder}, env={{{environment}}})
    async with Client(server) as client:
        print((await client.call_tool({tool}, ARGUMENTS)).model_dump_json(indent=2, by_alias=True))"""


class NotCopied(ValueError):
    """A call that cannot be written in this form. The message says why, in a sentence."""


@dataclass(frozen=True)
class CopiedCall:
    """A call to write down. `address` is where the server is called, of HTTP servers."""

    server: Server
    address: str
    tool: str
    arguments: Mapping[str, Any]


def as_curl(call: CopiedCall) -> str:
    """A POSIX shell script for a server over streamable HTTP. Raises `NotCopied` for any other server."""
    match call.server.definition:
        case StdioServer():
            raise NotCopied("The server is a process on its pipes, which curl cannot call.")
        case SseServer():
            raise NotCopied("The server answers on a stream of its own (HTTP+SSE), which one curl call cannot follow.")
    head = _CURL_HEAD.format(url=shlex.quote(_printable(redact_text(call.address), "address")))
    name = _ascii(_json(call.tool))
    params = f'{{"name":{name},"arguments":{_ascii(_json(call.arguments))}'
    if call.server.protocol == MODERN:
        prefix = "io.modelcontextprotocol/"
        meta = (
            f'{{"{prefix}protocolVersion":"{MODERN}","{prefix}clientInfo":{CLIENT},"{prefix}clientCapabilities":{{}}}}'
        )
        body = _request(1, "tools/call", f'{params},"_meta":{meta}}}')
        return head + _CURL_MODERN.format(
            version=MODERN, name=shlex.quote(f"Mcp-Name: {_header(call.tool)}"), call=body
        )
    hello = f'{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{CLIENT}}}'
    return head + _CURL_LEGACY.format(
        version=LEGACY, initialize=_request(1, "initialize", hello), call=_request(2, "tools/call", f"{params}}}")
    )


def as_python(call: CopiedCall) -> str:
    """A Python program that uses the MCP SDK. Raises `NotCopied` for arguments that Python cannot write."""
    url = ascii(redact_text(call.address))
    tool = ascii(call.tool)
    match call.server.definition:
        case StdioServer(command=(program, *words), folder=folder, environment=environment):
            imports = "from mcp import Client, StdioServerParameters"
            names = ", ".join(f"{name!a}: os.environ[{name!a}]" for name, _value in environment)
            body = _PYTHON_STDIO.format(
                command=ascii(program),
                words=ascii([redact_text(word) for word in words]),
                folder=ascii(folder or None),
                environment=f"**os.environ, {names}" if names else "**os.environ",
                tool=tool,
            )
        case StdioServer():
            raise NotCopied("The server has no command.")
        case SseServer():
            imports = "from mcp import Client\nfrom mcp.client.sse import sse_client"
            body = _PYTHON_SSE.format(url=url, tool=tool)
        case _:
            imports = (
                "import httpx2\nfrom mcp import Client\nfrom mcp.client.streamable_http import streamable_http_client"
            )
            body = _PYTHON_HTTP.format(url=url, tool=tool)
    return _PYTHON.format(imports=imports, arguments=_literal(call.arguments), body=body)


def as_command(call: CopiedCall) -> str:
    """A command of Burrow, for a POSIX shell. Raises `NotCopied` for a name that a shell cannot be given."""
    names = [_printable(call.server.id, "id"), _printable(call.tool, "name")]
    # What begins with a hyphen would be an option.
    end = ["--"] if any(name.startswith("-") for name in names) else []
    text = _ascii(_json(call.arguments))
    words = ["burrow", "mcp", "call"]
    if len(text) > LONGEST_WORD:
        return f"{shlex.join([*words, '--args', '-', *end, *names])} <<'JSON'\n{text}\nJSON\n"
    return shlex.join([*words, *(["--args", text] if call.arguments else []), *end, *names])


FORMS: Mapping[str, Callable[[CopiedCall], str]] = {"curl": as_curl, "python": as_python, "command": as_command}


def _request(identity: int, method: str, params: str) -> str:
    return f'{{"jsonrpc":"2.0","id":{identity},"method":"{method}","params":{params}}}'


def _json(value: object) -> str:
    try:
        return write_json(value, indent=None)
    except (NotJson, RecursionError) as problem:
        raise NotCopied(f"The arguments cannot be written: {problem}.") from None


def _ascii(text: str) -> str:
    """JSON in ASCII, so that no terminal or clipboard changes a character of it."""
    return _NOT_ASCII.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _printable(text: str, what: str) -> str:
    if _CONTROLS.search(text) is not None:
        raise NotCopied(f"The {what} has control characters, which a terminal does not take.")
    return text


def _header(text: str) -> str:
    """A text as the value of a header (MCP 2026-07-28, "Value Encoding")."""
    from mcp.shared.inbound import encode_header_value

    return encode_header_value(text)


def _literal(value: object) -> str:
    """A value as Python writes it, in ASCII."""
    try:
        return ascii(_as_python(value))
    except NotCopied:
        raise
    except (RecursionError, ValueError):
        raise NotCopied("The arguments are nested too deeply, or a number has too many digits.") from None


def _as_python(value: object) -> object:
    match value:
        case Decimal():
            number = float(value)
            # The SDK sends floats. Another number than the person's must not be sent without a word.
            if Decimal(repr(number)) != value:
                raise NotCopied(f"Python would round the number {str(value)[:60]}. Copy it as curl instead.")
            return number
        case dict():
            return {str(name): _as_python(item) for name, item in value.items()}
        case list() | tuple():
            return [_as_python(item) for item in value]
        case _:
            return value
