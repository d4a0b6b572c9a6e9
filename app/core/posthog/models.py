"""The models that a run can be carried out with (docs/wire.md, "Models")."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import NotFound, Rejected
from app.core.posthog.run_options import MODES, AgentModel, adapter_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.fetcher import Fetcher
    from app.core.hosts import Host

KEPT_SECONDS = 600.0
# Without a sign-in: what a server before `tasks/models/` has its models behind.
GATEWAYS = {
    "https://us.posthog.com": "https://gateway.us.posthog.com",
    "https://eu.posthog.com": "https://gateway.eu.posthog.com",
    "http://localhost:8010": "http://localhost:3308",
}
GATEWAY_PATH = "/posthog_code/v1/models"
ADAPTER_OF_OWNER = {"anthropic": "claude", "openai": "codex"}
HIDDEN = frozenset({"gpt-5-mini"})
NO_SUCH_VIEW = frozenset({404, 405})


class _Model(msgspec.Struct):
    runtime_adapter: str | None = None
    model: str | None = None
    display_name: str | None = None
    supported_efforts: list[object] | None = None


class _Models(msgspec.Struct):
    models: list[_Model] | None = None


class _GatewayModel(msgspec.Struct):
    id: str | None = None
    owned_by: str | None = None


class _GatewayModels(msgspec.Struct):
    data: list[_GatewayModel] | None = None


class AgentModels:
    """The models of a host, asked for at most every ten minutes. `project` returns the current project's id."""

    def __init__(self, fetcher: Fetcher, host: Host, project: Callable[[], int]) -> None:
        self._fetcher, self._host, self._project = fetcher, host, project
        self._known: dict[int, tuple[float, tuple[AgentModel, ...]]] = {}

    def known(self) -> tuple[AgentModel, ...]:
        """Those of the last answer, none before the first."""
        return self._known.get(self._project(), (0.0, ()))[1]

    async def list(self) -> tuple[AgentModel, ...]:
        """The models on offer; none where the server does not know them at the moment, or never will.

        Raises what requests raise, unless an earlier answer is there to go on with.
        """
        project = self._project()
        asked, known = self._known.get(project, (0.0, ()))
        if known and monotonic() - asked < KEPT_SECONDS:
            return known
        try:
            found = await self._of_server(project)
        except (NotFound, Rejected) as trouble:
            if trouble.facts.status not in NO_SUCH_VIEW:
                raise
            found = await self._of_gateway()
        # An empty list is the server's word for a gateway that it cannot reach.
        if found:
            self._known[project] = monotonic(), found
        return found or known

    async def _of_server(self, project: int) -> tuple[AgentModel, ...]:
        answer = await self._fetcher.get(f"/api/projects/{project}/tasks/models/")
        return tuple(
            AgentModel(
                each.runtime_adapter,
                each.model,
                each.display_name or "",
                None
                if each.supported_efforts is None
                else tuple(effort for effort in each.supported_efforts if isinstance(effort, str)),
            )
            for each in answer.decode(_Models).models or []
            if each.runtime_adapter and each.runtime_adapter in MODES and each.model
        )

    async def _of_gateway(self) -> tuple[AgentModel, ...]:
        gateway = GATEWAYS.get(self._host.origin)
        if gateway is None:
            return ()
        answer = await self._fetcher.get_openly(f"{gateway}{GATEWAY_PATH}")
        return tuple(
            AgentModel(ADAPTER_OF_OWNER.get(each.owned_by or "") or adapter_of(each.id), each.id)
            for each in answer.decode(_GatewayModels).data or []
            if each.id and each.id not in HIDDEN and (each.owned_by in ADAPTER_OF_OWNER or adapter_of(each.id))
        )
