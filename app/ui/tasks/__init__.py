"""The Tasks place: list, composer, detail (contract sections 3.1 to 3.6)."""

from __future__ import annotations

from app.ui.tasks.place import TasksPlace

__all__ = ["TasksPlace"]
