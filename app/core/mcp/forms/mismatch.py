"""Whether the structured content of a result matches the tool's `outputSchema`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.validation import check

if TYPE_CHECKING:
    from app.core.mcp.forms.validation import FieldProblem

PROBLEMS_LIMIT = 5


def mismatch(output_schema: Any, structured: Any) -> tuple[FieldProblem, ...]:
    """The first few problems of `structured`; none if it matches, or if nothing can be said. Never raises.

    It may take as long as `check` may: call it in a worker thread.
    """
    if not isinstance(output_schema, dict):
        return ()
    return check(output_schema, structured).problems[:PROBLEMS_LIMIT]
