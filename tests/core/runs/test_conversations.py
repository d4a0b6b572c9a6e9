"""Always: a tool of an installed server is allowed by the name that agents use for it."""

from __future__ import annotations

from pathlib import Path

from app.core.posthog.store import McpStore
from app.core.runs.conversations import approve_tool
from tests.core.conftest import signed_in
from tests.core.scripted import Reply

STORE = "/api/environments/7/mcp_server_installations/"


async def test_a_tool_is_allowed_of_the_server_that_agents_call_so(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        found = [{"id": "i1", "name": "Linear"}, {"id": "i2", "name": "My Notes"}]
        rig.server.views[STORE] = Reply(body={"results": found, "count": 2, "next": None})
        rig.server.views[f"{STORE}i2/tools/search/"] = Reply(body={"tool_name": "search"})
        await approve_tool(McpStore(rig.fetcher, lambda: 7), "my-notes", "search")
        assert [request.path for request in rig.server.seen if request.method == "PATCH"] == [
            f"{STORE}i2/tools/search/"
        ]
        await approve_tool(McpStore(rig.fetcher, lambda: 7), "unheard-of", "search")
        assert len([request for request in rig.server.seen if request.method == "PATCH"]) == 1
