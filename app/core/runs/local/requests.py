"""AgentRequests: what an agent asks of its client, one handler for each method, in a table.

Everything is confined to the working folder, and asked for by the mode (`approval.py`).
https://agentclientprotocol.com/protocol/file-system, /terminals
"""

from __future__ import annotations

import asyncio
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from app.acp.messages import INVALID_PARAMS, METHOD_NOT_FOUND, RESOURCE_NOT_FOUND, RpcError
from app.core.runs.local import version2
from app.core.runs.local.approval import ASKING, Consent, GrantedCalls, rule_of
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.mode_names import asks_nothing
from app.core.runs.local.questions import ALLOWING, PERMISSION, Questions
from app.core.runs.local.terminals import Terminals, command_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from app.core.runs.local.run_log import RunLog

    Answering = Awaitable[Mapping[str, object] | None]

ALLOW, ALWAYS, REJECT = "allow", "allow_always", "reject"
# Hooks and settings there are run as programs: writing them is as much as running a command.
GIT_EDIT = "edit of git's own files"
# A larger file is not compared for the question; its beginning is shown.
COMPARED_CHARACTERS = 200_000


class AgentRequests:
    """Answers an agent's requests. `mode` is asked for the mode in force, by its name."""

    def __init__(
        self,
        log: RunLog,
        folder: WorkingFolder,
        environment: Mapping[str, str],
        mode: Callable[[], str],
        *,
        files: Path | None = None,
    ) -> None:
        """`files` has what went with messages. It may be read, too."""
        self.questions = Questions(log)
        self.granted = GrantedCalls()
        self.terminals = Terminals(folder, environment)
        self.version = 1
        # Whether a file that is not there is read as an empty one.
        self.missing_as_empty = False
        # Whether the person chose a mode that asks for nothing. An agent may also begin in one by itself.
        self.unasked = False
        self._folder = folder
        self._files = files
        self._mode = mode
        self._handlers: dict[str, Callable[[dict[str, object]], Answering]] = {
            PERMISSION: self._permission,
            "fs/read_text_file": self._read_or_empty,
            "fs/write_text_file": self._write,
            "terminal/create": self._run,
            "terminal/output": self.terminals.output,
            "terminal/wait_for_exit": self.terminals.wait_for_exit,
            "terminal/kill": self.terminals.kill,
            "terminal/release": self.terminals.release,
        }

    def handle(self, method: str, params: dict[str, object]) -> Answering:
        """Begin to answer, in the order of arrival. Raises `RpcError` for a method that is not known."""
        handler = self._handlers.get(method)
        if handler is None:
            raise RpcError(METHOD_NOT_FOUND, f"Burrow does not know {method}")
        return handler(params)

    def chose_mode(self, mode: str) -> None:
        """The person chose this, which may be a mode."""
        self.unasked = self.unasked or asks_nothing(mode)

    def _permission(self, params: dict[str, object]) -> Answering:
        asked = params if self.version == 1 else version2.permission(params)
        return self._remember(self.questions.ask(asked), asked)

    async def _remember(
        self, answer: Awaitable[Mapping[str, object]], asked: dict[str, object]
    ) -> Mapping[str, object]:
        outcome = await answer
        if _kind_of(outcome, asked) in ALLOWING:
            self.granted.remember(asked.get("toolCall"))
            self.chose_mode(_option_of(outcome))
        return outcome

    async def _read(self, params: dict[str, object]) -> dict[str, object]:
        return {"content": await asyncio.to_thread(self._read_text, params)}

    def _read_text(self, params: dict[str, object]) -> str:
        path, files = params.get("path"), self._files
        among_files = isinstance(path, str) and files is not None and Path(path).is_relative_to(files)
        folder = WorkingFolder(files) if among_files and files is not None and files.is_dir() else self._folder
        return folder.read_text(path, params.get("line"), params.get("limit"))

    async def _write(self, params: dict[str, object]) -> None:
        path, content = params.get("path"), params.get("content")
        if not isinstance(content, str):
            raise RpcError(INVALID_PARAMS, "The content is no text")
        within = (await asyncio.to_thread(self._folder.resolve, path)).relative_to(self._folder.path)
        kind = GIT_EDIT if ".git" in map(str.casefold, within.parts) else "edit"
        if not self.granted.allows(kind, params):
            await self._ask(kind, f"Write {within}", params, lambda: self._shown(path, content))
        await asyncio.to_thread(self._folder.write_text, path, content)

    async def _run(self, params: dict[str, object]) -> dict[str, object]:
        words = command_of(params)
        folder = params.get("cwd")
        if folder is not None:
            await asyncio.to_thread(self._folder.resolve, folder)
        if not self.granted.allows("execute", params):
            await self._ask("execute", " ".join(words), params, None)
        return await self.terminals.create(params)

    async def _ask(
        self, kind: str, title: str, params: Mapping[str, object], shown: Callable[[], dict[str, object]] | None
    ) -> None:
        """Return when it may be done. Raises `RpcError` when it may not."""
        mode = self._mode()
        rule = ASKING if asks_nothing(mode) and not self.unasked else rule_of(mode)
        consent = rule.run if kind == "execute" else rule.write
        if kind == GIT_EDIT and consent is Consent.ALLOW:
            consent = rule.run
        if consent is Consent.ALLOW:
            return
        if consent is Consent.REFUSE:
            raise RpcError(INVALID_PARAMS, f"In the mode “{self._mode()}” no files are written")
        if self.granted.always_allows(kind):
            return
        content = [] if shown is None else [await asyncio.to_thread(shown)]
        names = ("command", "args", "cwd", "env", "path")
        words = {name: params[name] for name in names if params.get(name) is not None}
        call = {"toolCallId": "", "title": title, "kind": kind.partition(" ")[0], "content": content, "rawInput": words}
        options = [
            {"optionId": ALLOW, "name": "Allow", "kind": "allow_once"},
            {"optionId": ALWAYS, "name": "Allow in this run", "kind": "allow_always"},
            {"optionId": REJECT, "name": "Reject", "kind": "reject_once"},
        ]
        asked: dict[str, object] = {"sessionId": params.get("sessionId"), "toolCall": call, "options": options}
        answer = _kind_of(await self.questions.ask(asked), asked)
        if answer not in ALLOWING:
            raise RpcError(INVALID_PARAMS, "The person did not allow it")
        if answer == "allow_always":
            self.granted.always(kind)

    def _shown(self, path: object, content: str) -> dict[str, object]:
        """The change that a write would make, as content of a tool call."""
        try:
            former = self._folder.read_text(path)
        except RpcError:
            return {"type": "diff", "path": path, "oldText": None, "newText": content[:COMPARED_CHARACTERS]}
        if max(len(former), len(content)) <= COMPARED_CHARACTERS:
            return {"type": "diff", "path": path, "oldText": former, "newText": content}
        lines = difflib.unified_diff(former.splitlines()[:2_000], content.splitlines()[:2_000], lineterm="")
        return {"type": "content", "content": {"type": "text", "text": "\n".join(lines)[:COMPARED_CHARACTERS]}}

    async def _read_or_empty(self, params: dict[str, object]) -> dict[str, object]:
        try:
            return await self._read(params)
        except RpcError as failure:
            if failure.code == RESOURCE_NOT_FOUND and self.missing_as_empty:
                return {"content": ""}
            raise


def _kind_of(outcome: Mapping[str, object], asked: Mapping[str, object]) -> str:
    """The kind of the option that was chosen, empty when the question was cancelled."""
    option, options = _option_of(outcome), asked.get("options")
    for each in options if isinstance(options, list) else ():
        if isinstance(each, dict) and option and each.get("optionId") == option:
            return str(each.get("kind") or "")
    return ""


def _option_of(outcome: Mapping[str, object]) -> str:
    """The id of the option that was chosen, empty when the question was cancelled."""
    chosen = outcome.get("outcome")
    option = chosen.get("optionId") if isinstance(chosen, dict) else None
    return option if isinstance(option, str) else ""
