"""Data on disk: settings, drafts, the outbox, cached lists and the activity, in SQLite."""

from __future__ import annotations

from app.core.storage.storage import Storage
from app.core.storage.values import ActivityRow, Cached, Draft, OutboxItem, RaisedPolicy, Scope

__all__ = ["ActivityRow", "Cached", "Draft", "OutboxItem", "RaisedPolicy", "Scope", "Storage"]
