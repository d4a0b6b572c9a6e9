"""The Python SDK as a client under load: `python -m tests.proof._client NAME KEY-FILE SECONDS CONNECTIONS PLANS`.

The plans are JSON: for each server its address `url`, and the tools `create` and `read` with their arguments, in which
`"TITLE"` stands for the title of what is created. It prints one line of JSON at its end: calls, failures, and the
titles of what it created.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mcp.client.client import Client

CALLS_IN_A_SESSION = 40
PAUSE_SECONDS = 0.1


@dataclass
class Report:
    """What became of a client's requests."""

    calls: int = 0
    sessions: int = 0
    failures: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    """What all lanes of the client share; `until` is on the monotonic clock."""

    name: str
    key: str
    until: float
    report: Report


@asynccontextmanager
async def connected(url: str, key: str, name: str) -> AsyncIterator[Client]:
    """The SDK's client with the key."""
    import httpx2
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.types import Implementation

    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(
            streamable_http_client(url, http_client=http),
            cache=None,
            client_info=Implementation(name=name, version="1"),
        ) as client,
    ):
        yield client


def filled(value: Any, title: str) -> Any:
    """A value with the title in its place, at any depth."""
    return json.loads(json.dumps(value).replace('"TITLE"', json.dumps(title)))


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> None:
    """Call a tool. Raises `RuntimeError` when it fails."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise RuntimeError(str(result.content))


async def session(load: Load, plan: dict[str, Any], lane: str, numbers: Iterator[int]) -> None:
    """One session of calls."""
    async with connected(plan["url"], load.key, load.name) as client:
        load.report.sessions += 1
        for number in range(CALLS_IN_A_SESSION):
            if monotonic() >= load.until:
                return
            load.report.calls += 1
            if number % 3 == 0:
                title = f"{load.name} {lane} {next(numbers)}"
                tool, arguments = plan["create"]
                await call(client, tool, filled(arguments, title))
                load.report.created.append(title)
            elif number % 3 == 1:
                await call(client, *plan["read"])
            elif not (await client.list_tools()).tools:
                raise RuntimeError("no tools")
            await asyncio.sleep(PAUSE_SECONDS)


async def run_lane(load: Load, plan: dict[str, Any], lane: str) -> None:
    """Sessions one after the other until the end."""
    numbers = itertools.count()
    while monotonic() < load.until:
        try:
            await session(load, plan, lane, numbers)
        except Exception as error:
            load.report.failures.append(f"{datetime.now(UTC).isoformat()} {plan['url']} {reason(error)}")
            await asyncio.sleep(0.5)


def reason(error: BaseException) -> str:
    """The innermost reason: the SDK raises groups of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def main(name: str, key: str, seconds: str, connections: str, plans: str) -> None:
    """Run all lanes to the end, and print the report."""
    load = Load(name, key, monotonic() + float(seconds), Report())
    lanes = [
        run_lane(load, plan, f"{at}.{number}")
        for at, plan in enumerate(json.loads(plans))
        for number in range(int(connections))
    ]
    await asyncio.gather(*lanes)
    sys.stdout.write(json.dumps(asdict(load.report)) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_text().strip(), *sys.argv[3:]))
