"""Whose things a place shows: when that changes, the place starts afresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.core.storage import Scope


class Identity(NamedTuple):
    """A connection, and the account and project on it as far as they are known. `backend` is its `id()`."""

    backend: int
    scope: Scope | None
    project: int | None


def identity_of(backend: Backend | None) -> Identity | None:
    """Two calls agree while nothing a place shows belongs to somebody else."""
    if backend is None:
        return None
    return Identity(id(backend), backend.scope, backend.project.id if backend.project is not None else None)
