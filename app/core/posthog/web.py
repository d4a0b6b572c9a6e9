"""Addresses of pages for people on a host. See docs/wire.md, "Tasks"."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from app.core.hosts import Host


def task_page(host: Host, task_id: str) -> str | None:
    """The web page of a task; None on the embedded workspace, which has no such pages."""
    return None if host.embedded else f"{host.origin}/code/task/{quote(task_id, safe='')}"


def billing_page(host: Host) -> str | None:
    """The page of plan and billing; None on the embedded workspace, which has no such pages."""
    return None if host.embedded else f"{host.origin}/organization/billing"
