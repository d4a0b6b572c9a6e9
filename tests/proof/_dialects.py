"""The HTTP interfaces of models that agents speak, as much as a scripted model needs: what was asked, and answers.

- `ChatCompletions`: https://platform.openai.com/docs/api-reference/chat
- `Responses`: https://platform.openai.com/docs/api-reference/responses
- `GenerateContent`: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Members = dict[str, Any]
TOKENS_IN, TOKENS_OUT = 100, 10


class ToolUse(NamedTuple):
    """A tool that the model calls. The input of one without arguments is `text`."""

    name: str
    arguments: Members
    text: str = ""


@dataclass(frozen=True)
class Asked:
    """What the person has said, what the tool that was called last has answered, and whether there are tools."""

    said: tuple[str, ...]
    result: str | None
    has_tools: bool


class Dialect(Protocol):
    """An answer is the data of server-sent events: those before the end of what is said, and the end."""

    def serves(self, path: str) -> bool: ...

    def plain(self, path: str) -> Members | None:
        """The answer to a request that is not for a stream; None for one that is."""

    def asked(self, body: Members) -> Asked: ...

    def answer(self, reply: str | ToolUse, number: int) -> tuple[list[str], list[str]]: ...


class ChatCompletions:
    """OpenAI's older interface, which most providers have."""

    def serves(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    def plain(self, path: str) -> Members | None:
        return None

    def asked(self, body: Members) -> Asked:
        messages = body.get("messages") or [{}]
        said = [_text(each.get("content")) for each in messages if each.get("role") == "user"]
        result = _text(messages[-1].get("content")) if messages[-1].get("role") == "tool" else None
        return Asked(_persons(said), result, bool(body.get("tools")))

    def answer(self, reply: str | ToolUse, number: int) -> tuple[list[str], list[str]]:
        if isinstance(reply, str):
            delta: Members = {"content": reply}
            reason = "stop"
        else:
            function = {"name": reply.name, "arguments": json.dumps(reply.arguments)}
            delta = {"tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]}
            reason = "tool_calls"
        usage = {
            "prompt_tokens": TOKENS_IN,
            "completion_tokens": TOKENS_OUT,
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        }
        began = self._chunk([{"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}])
        ended = self._chunk([{"index": 0, "delta": {}, "finish_reason": reason}])
        return [began], [ended, self._chunk([], usage=usage), "[DONE]"]

    def _chunk(self, choices: list[Members], **more: object) -> str:
        head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "script"}
        return json.dumps({**head, "choices": choices, **more})


class Responses:
    """OpenAI's newer interface, the only one that Codex speaks."""

    def serves(self, path: str) -> bool:
        return path.endswith("/responses")

    def plain(self, path: str) -> Members | None:
        return None

    def asked(self, body: Members) -> Asked:
        items = body.get("input") or [{}]
        said = [_text(each.get("content")) for each in items if each.get("role") == "user"]
        is_result = str(items[-1].get("type")).endswith("_call_output")
        result = _text(items[-1].get("output")) if is_result else None
        return Asked(_persons(said), result, bool(body.get("tools")))

    def answer(self, reply: str | ToolUse, number: int) -> tuple[list[str], list[str]]:
        item: Members
        if isinstance(reply, str):
            content = [{"type": "output_text", "text": reply, "annotations": []}]
            item = {"type": "message", "id": f"m_{number}", "role": "assistant", "content": content}
        elif reply.text:
            item = {"type": "custom_tool_call", "id": f"t_{number}", "name": reply.name, "input": reply.text}
        else:
            arguments = json.dumps(reply.arguments)
            item = {"type": "function_call", "id": f"t_{number}", "name": reply.name, "arguments": arguments}
        if isinstance(reply, ToolUse):
            item |= {"call_id": f"call_{number}"}
        usage = {
            "input_tokens": TOKENS_IN,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": TOKENS_OUT,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        }
        began = [
            self._event("response.created", response={"id": f"r_{number}"}),
            self._event("response.output_item.added", output_index=0, item=item),
        ]
        if isinstance(reply, str):
            place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            began.append(self._event("response.output_text.delta", **place, delta=reply))
        return began, [
            self._event("response.output_item.done", output_index=0, item=item),
            self._event("response.completed", response={"id": f"r_{number}", "usage": usage}),
        ]

    def _event(self, kind: str, **members: object) -> str:
        return json.dumps({"type": kind, **members})


class GenerateContent:
    """Google's interface, the one that the Gemini CLI speaks."""

    def serves(self, path: str) -> bool:
        return "/models/" in path

    def plain(self, path: str) -> Members | None:
        if ":streamGenerateContent" in path:
            return None
        # Asked beside the conversation, for instance which model is to answer. No answer leaves that to the agent.
        return {"totalTokens": TOKENS_IN} if ":countTokens" in path else {"candidates": []}

    def asked(self, body: Members) -> Asked:
        contents = body.get("contents") or [{}]
        parts = [part for each in contents if each.get("role") == "user" for part in each.get("parts", [])]
        said = [str(part["text"]) for part in parts if "text" in part]
        answered = [part["functionResponse"] for part in contents[-1].get("parts", []) if "functionResponse" in part]
        result = json.dumps(answered[-1].get("response")) if answered else None
        return Asked(_persons(said), result, bool(body.get("tools")))

    def answer(self, reply: str | ToolUse, number: int) -> tuple[list[str], list[str]]:
        part: Members = {"text": reply}
        if isinstance(reply, ToolUse):
            part = {"functionCall": {"name": reply.name, "args": reply.arguments}}
        return [self._chunk([part])], [self._chunk([{"text": ""}], finishReason="STOP")]

    def _chunk(self, parts: list[Members], **more: object) -> str:
        candidate = {"index": 0, "content": {"role": "model", "parts": parts}, **more}
        counts = {
            "promptTokenCount": TOKENS_IN,
            "candidatesTokenCount": TOKENS_OUT,
            "totalTokenCount": TOKENS_IN + TOKENS_OUT,
        }
        return json.dumps({"candidates": [candidate], "usageMetadata": counts, "modelVersion": "script"})


def _persons(said: Iterable[str]) -> tuple[str, ...]:
    """Without what agents say in the person's name: it is marked up."""
    return tuple(each.strip() for each in said if each.strip() and not each.lstrip().startswith("<"))


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
