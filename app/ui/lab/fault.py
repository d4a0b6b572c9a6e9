"""Fault: something that can be set on a workspace, with what should be seen then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.core.lab import Lab


@dataclass(frozen=True)
class Fault:
    """`expected` says what the person should see when Burrow recovers."""

    key: str
    title: str
    expected: str
    act: Callable[[Lab], Coroutine[Any, Any, object]]
    ends_session: bool = False
