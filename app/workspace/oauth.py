"""The OAuth authorization server of the workspace: its routes from the `oauth_*` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace import oauth_authorize, oauth_metadata, oauth_register, oauth_token

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from app.workspace.context import Workspace


async def startup(workspace: Workspace) -> None:
    await oauth_register.startup(workspace)


def routes() -> list[BaseRoute]:
    """The routes of this module, in matching order."""
    return [
        *oauth_metadata.routes(),
        *oauth_register.routes(),
        *oauth_authorize.routes(),
        *oauth_token.routes(),
    ]
