"""What tool calls and prompts contain, as parts of items, and what kind of tool was called."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.runs.items import DiffPart, FilePart, Location, OtherPart, Question, QuestionChoice, TextPart
from app.core.runs.params import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.core.runs.items import Part
    from app.core.runs.params import AskedQuestion, Block, Meta, ToolContent, ToolPlace

# MCP tools are named so by the agents: `mcp__server__tool`.
MCP_PREFIX = "mcp__"
QUESTION = "question"
SUB_AGENTS = frozenset({"Task", "Agent"})


class ToolIdentity(NamedTuple):
    """`kind` as in `ToolCall`, empty where nothing says it; `server` and `tool` of a tool of MCP."""

    kind: str = ""
    server: str = ""
    tool: str = ""


UNSAID = ToolIdentity()


def prompt_text(blocks: Iterable[Block]) -> tuple[str, tuple[str, ...]]:
    """The text of a prompt, and the names of what is attached. Blocks that are hidden are left out."""
    texts: list[str] = []
    files: list[str] = []
    for block in blocks:
        if block.meta is not None and block.meta.is_hidden:
            continue
        if block.type == "text" or (block.type is None and block.text):
            texts.append(block.text or "")
        else:
            files.append(_name(block))
    return "\n\n".join(text for text in texts if text), tuple(name for name in files if name)


def block_text(block: Block | None) -> str:
    """The text of one chunk of a message. What is no text is named."""
    if block is None:
        return ""
    if block.text is not None:
        return block.text
    name = _name(block)
    return f"[{name}]" if name else ""


def parts_of(contents: Sequence[ToolContent], *, terminal: bool) -> tuple[Part, ...]:
    """The parts of a tool call's content."""
    return tuple([part for part in (_part(each, terminal) for each in contents) if part is not None])


def locations_of(places: Iterable[ToolPlace]) -> tuple[Location, ...]:
    return tuple([Location(each.path, each.line) for each in places if each.path])


def questions_of(asked: Iterable[AskedQuestion]) -> tuple[Question, ...]:
    return tuple(
        Question(
            each.question,
            each.header or "",
            tuple(QuestionChoice(option.label, option.description or "") for option in each.options or ()),
            bool(each.multi_select),
        )
        for each in asked
    )


def identity_of(meta: Meta | None, title: str | None) -> ToolIdentity:
    """What the name of the tool says."""
    if meta is None and not title:
        return UNSAID
    name = title or ""
    if meta is not None:
        if meta.mcp is not None:
            server, tool = meta.mcp.server or meta.mcp.server_name, meta.mcp.tool or meta.mcp.tool_name
            if server and tool:
                return ToolIdentity("mcp", server, tool)
        if meta.code_tool_kind == QUESTION:
            return ToolIdentity(QUESTION)
        if meta.claude_code is not None and meta.claude_code.tool_name:
            name = meta.claude_code.tool_name
            if name in SUB_AGENTS:
                return ToolIdentity("agent")
            if name == "AskUserQuestion":
                return ToolIdentity(QUESTION)
    if name.startswith(MCP_PREFIX):
        server, mark, tool = name[len(MCP_PREFIX) :].partition("__")
        if mark and server and tool:
            return ToolIdentity("mcp", server, tool)
    return UNSAID


def parent_of(meta: Meta | None) -> str:
    """The id of the tool call of the sub-agent that something belongs to; empty at the top."""
    return (meta.claude_code.parent_tool_call_id or "") if meta is not None and meta.claude_code is not None else ""


def _part(content: ToolContent, terminal: bool) -> Part | None:
    if content.type == "diff":
        return DiffPart(content.path or "", content.old_text, content.new_text or "")
    block = content.content
    if block is None:
        # Some send the text without the block around it; a terminal's output is not in the log.
        return TextPart(content.text, terminal) if content.text else None
    if block.type == "text" or (block.type is None and block.text is not None):
        return TextPart(block.text or "", terminal)
    if block.type in {"image", "audio"}:
        return FilePart(_name(block), block.uri or "", block.mime_type or "", block.data or "")
    if block.type == "resource_link":
        return FilePart(_name(block), block.uri or "", block.mime_type or "")
    if block.type == "resource" and block.resource is not None:
        held = block.resource
        if held.text is not None:
            return TextPart(held.text, terminal)
        return FilePart(_name(block), held.uri or "", held.mime_type or "", held.blob or "")
    return OtherPart(text_of(msgspec.Raw(msgspec.json.encode(block))))


def _name(block: Block) -> str:
    uri = block.uri or (block.resource.uri if block.resource is not None else None) or ""
    return block.title or block.name or uri.rstrip("/").rpartition("/")[2] or uri or block.type or ""
