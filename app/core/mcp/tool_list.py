"""The tool list of a server: raw JSON into rows. Invalid tools are kept, with the reason in `ToolInfo.problem`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.core.mcp.tools import Annotations, ToolInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NO_NAME = "The server gave this tool no name, so it cannot be called."
NOT_AN_OBJECT = "The server sent something that is not a tool."
NO_SCHEMA = "The server does not say what arguments this tool takes."
SAME_NAME = "An earlier tool of this server has the same name; a call reaches only one of them."
TASKS_ONLY = "This tool runs only as an MCP task, which Burrow does not offer yet."


def read_tools(raw: Sequence[object], check: Callable[[dict[str, Any]], str | None] | None = None) -> list[ToolInfo]:
    """Every item of `raw` as a row, in the server's order.

    `check` may name a problem that only the protocol revision in use knows of.
    """
    rows: list[ToolInfo] = []
    seen: set[str] = set()
    for number, item in enumerate(raw):
        tool = _read(item, number)
        if tool.problem is None:
            if tool.name in seen:
                tool = replace(tool, problem=SAME_NAME)
            elif check is not None:
                tool = replace(tool, problem=check(tool.raw))
            seen.add(tool.name)
        rows.append(tool)
    return rows


def _read(item: object, number: int) -> ToolInfo:
    if not isinstance(item, dict):
        return ToolInfo(name="", problem=NOT_AN_OBJECT, raw={"value": item}, row=number)
    annotations = item.get("annotations")
    claims = annotations if isinstance(annotations, dict) else {}
    schema = item.get("inputSchema")
    output = item.get("outputSchema")
    tool = ToolInfo(
        name=_text(item, "name"),
        title=_text(item, "title") or _text(claims, "title"),
        description=_text(item, "description"),
        input_schema=schema if isinstance(schema, dict) else {},
        output_schema=output if isinstance(output, dict) else None,
        annotations=Annotations(
            read_only=_claim(claims, "readOnlyHint"),
            destructive=_claim(claims, "destructiveHint"),
            idempotent=_claim(claims, "idempotentHint"),
            open_world=_claim(claims, "openWorldHint"),
        ),
        raw=item,
        row=number,
    )
    return replace(tool, problem=_problem(tool, item))


def _problem(tool: ToolInfo, item: dict[str, Any]) -> str | None:
    if not tool.name:
        return NO_NAME
    if not isinstance(item.get("inputSchema"), dict):
        return NO_SCHEMA
    execution = item.get("execution")
    if isinstance(execution, dict) and execution.get("taskSupport") == "required":
        return TASKS_ONLY
    return None


def _claim(claims: dict[str, Any], name: str) -> bool | None:
    value = claims.get(name)
    return value if isinstance(value, bool) else None


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""
