"""What the activity keeps of MCP messages: everything that matters, nothing long."""

from __future__ import annotations

from typing import Any

TEXT_LIMIT = 2_000
ITEMS_LIMIT = 40
DEPTH_LIMIT = 8
NODES_LIMIT = 1_500


def shortened(value: object) -> Any:
    """A JSON-like copy of `value` with long texts, long lists and deep parts cut; costs the same for any size."""
    return _shortened(value, DEPTH_LIMIT, [NODES_LIMIT])


def _shortened(value: object, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return value if len(value) <= TEXT_LIMIT else f"{value[:TEXT_LIMIT]}… ({len(value)} characters)"
        case dict() if depth > 0:
            short: dict[str, Any] = {}
            for name, item in value.items():
                if left[0] <= 0 or len(short) >= ITEMS_LIMIT:
                    short["…"] = f"{len(value) - len(short)} more"
                    break
                short[str(name)[:TEXT_LIMIT]] = _shortened(item, depth - 1, left)
            return short
        case list() | tuple() if depth > 0:
            items: list[Any] = []
            for item in value:
                if left[0] <= 0 or len(items) >= ITEMS_LIMIT:
                    items.append(f"… {len(value) - len(items)} more")
                    break
                items.append(_shortened(item, depth - 1, left))
            return items
        case _:
            return f"… ({type(value).__name__})"
