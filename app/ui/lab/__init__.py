"""The Workspace lab: the fault switchboard of the embedded workspace as a page."""

from __future__ import annotations

from app.ui.lab.place import LabPlace

__all__ = ["LabPlace"]
