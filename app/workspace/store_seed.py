"""The installations a new workspace starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.workspace.context import Workspace


async def seed_store(workspace: Workspace) -> None:
    """Fill an empty store once; called by the workspace's own seeding."""
