"""The OAuth authorization server of the workspace: its routes from the modules of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.oauth import authorize, metadata, registration, token

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace


async def startup(workspace: Workspace) -> None:
    await registration.startup(workspace)


def routes() -> list[BaseRoute]:
    """The routes of this module, in matching order."""
    return [
        *metadata.routes(),
        *registration.routes(),
        *authorize.routes(),
        *token.routes(),
    ]
