"""Keeps `data()`, delegates and event handlers from raising: such an exception surfaces in an unrelated Qt call."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)
# Functions whose failure was logged: one that fails in `data()` would write a line for each paint.
_logged: set[str] = set()


def guarded(default: Any = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return `default` instead of raising. The first failure of each function is logged with its traceback."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = f"{function.__module__}.{function.__qualname__}"

        @functools.wraps(function)
        def safe(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception:
                if name not in _logged:
                    _logged.add(name)
                    log.exception("%s failed; the view shows nothing in its place", name)
                return cast(R, default)

        return safe

    return decorate
