"""A turn: what the survey agent does about one prompt."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from app.acp.messages import RpcError
from app.survey_agent.git import commit, run_git
from app.survey_agent.mcp import ToolServerFailed, call_tool, conversation, offered_tools
from app.survey_agent.options import MODES
from app.survey_agent.report import Told, patch_of, report, summary
from app.survey_agent.speech import diff_content
from app.survey_agent.survey import REPORT, Survey
from app.survey_agent.words import SLOW_SECONDS, branch_word, wishes_in

if TYPE_CHECKING:
    from app.survey_agent.mcp import ToolServer
    from app.survey_agent.session import SurveySession
    from app.survey_agent.voice import Card, Options, Voice

STEPS = (
    "Read the tree",
    "Read the files that say most",
    "Look at the history",
    "Ask the tools that were handed over",
    "Write the report",
    "Commit it",
)
END, CANCELLED, REFUSED = "end_turn", "cancelled", "refusal"
WRITE: Options = (
    ("allow", "Allow", "allow_once"),
    ("allow_always", "Allow always in this session", "allow_always"),
    ("reject", "Reject", "reject_once"),
)
KEEP_PLANNING = ("reject_with_feedback", "No, keep planning", "reject_once")
QUESTIONS = (
    ("What matters most to you?", "Focus", (("Tests", "What has no test"), ("Notes", "What was left to do"))),
    ("How long may the report be?", "Length", (("Short", "One page"), ("Long", "Everything"))),
)
LONG_LINE = 5 * 1024 * 1024
MANY_LINES = 500
TOOLS_OF_A_SERVER = 3
DEFAULT_BRANCHES = frozenset({"main", "master", "trunk", "develop", "HEAD"})
CRASH_CODE = 3
FAILED = -32603


class Turn:
    """One turn of a session. `prompt` is its text; `continues`: it came with what was said in another session."""

    def __init__(self, session: SurveySession, prompt: str, voice: Voice, *, continues: bool = False) -> None:
        self._session = session
        self._prompt = prompt
        self._voice = voice
        self._wishes = wishes_in(prompt)
        self._continues = continues
        self._survey = Survey(session.folder)
        self._told = Told()

    @property
    def stubborn(self) -> bool:
        """Whether the turn ignores that it is cancelled."""
        return self._wishes.hang

    @property
    def reason_when_stopped(self) -> str:
        """What the turn says of itself when it was cancelled."""
        return END if self._wishes.deny else CANCELLED

    async def run(self) -> str:
        """Do the work and return the stop reason. Raises `RpcError` when it fails on purpose."""
        voice, wishes = self._voice, self._wishes
        if wishes.crash:
            sys.stderr.write("survey-agent: asked to crash on purpose\n")
            sys.stderr.flush()
            os._exit(CRASH_CODE)
        earlier = " It continues earlier work." if self._continues or self._session.last_commit else ""
        words = self._prompt[:300] or "empty"
        await voice.think(f"The prompt is: {words}.{earlier} I look at the folder before I write.")
        if wishes.fail:
            raise RpcError(FAILED, "The survey failed on purpose, because the prompt asks for it.")
        if wishes.refuse:
            await voice.say("I do not do this.")
            return REFUSED
        if wishes.hang or wishes.deny:
            await voice.say("I wait.")
            await asyncio.Event().wait()
        await self._read()
        await self._step(3)
        await self._ask_tools()
        if wishes.long_line:
            await voice.say("x" * LONG_LINE)
        if wishes.much:
            await voice.say("\n".join(f"Line {number} of {MANY_LINES}." for number in range(1, MANY_LINES + 1)))
        for question in QUESTIONS[: 2 if wishes.ask_twice else 1] if wishes.ask else ():
            if not await self._ask(*question):
                return CANCELLED
        writes = not wishes.only_read
        if writes and self._session.options.current_mode.plans:
            decided = await self._approve_plan()
            if decided is None:
                return CANCELLED
            writes = decided
        head, branch = ("", "")
        if writes:
            written = await self._write()
            if written is None:
                return CANCELLED
            head, branch = written
        await voice.plan(STEPS, len(STEPS) if writes else 4, active=False)
        options = self._session.options
        how = f"Model `{options.model}`, effort `{options.effort}`, mode `{options.mode}`."
        await voice.say(f"{summary(self._survey, head, branch)}\n\n{how}")
        return END

    async def _step(self, number: int) -> None:
        """The next step of the plan. What was said meanwhile is taken up here."""
        await self._voice.plan(STEPS, number)
        if self._wishes.slow:
            await asyncio.sleep(SLOW_SECONDS)
        while self._session.steering:
            words = self._session.steering.pop(0)
            self._told.words.append(words)
            await self._voice.say(f"Noted: {words}")

    async def _read(self) -> None:
        survey, voice, options = self._survey, self._voice, self._session.options
        await self._step(0)
        survey.is_repository = (await run_git(survey.folder, "rev-parse", "--is-inside-work-tree")).code == 0
        async with voice.card("search", "List the files", rawInput={"command": "git ls-files"}) as card:
            listed = await run_git(survey.folder, "ls-files") if survey.is_repository else None
            paths = listed.lines if listed and not listed.code else await asyncio.to_thread(survey.list_files)
            await asyncio.to_thread(survey.take_files, paths)
            card.show("\n".join(survey.files[:200]) or "no files")
        await self._step(1)
        for path in survey.worth_reading(options.files):
            place = [{"path": str(survey.folder / path), "line": 1}]
            async with voice.card("read", f"Read {path}", locations=place) as card:
                card.show((await asyncio.to_thread(survey.read_file, path))[:2000])
        survey.check_tests()
        await self._step(2)
        if survey.is_repository:
            title = f"git log -{options.commits}"
            async with voice.card("execute", title, rawInput={"command": title, "cwd": str(survey.folder)}) as card:
                card.show(await survey.read_history(options.commits))

    async def _ask_tools(self) -> None:
        for server in self._session.servers:
            try:
                await self._ask_server(server)
            except ToolServerFailed as failure:
                await self._voice.say(f"The server {server.name} did not answer. {failure}")

    async def _ask_server(self, server: ToolServer) -> None:
        async with conversation(server, self._survey.folder) as asking:
            for tool in await offered_tools(asking, TOOLS_OF_A_SERVER):
                meta = {"claudeCode": {"toolName": f"mcp__{server.name}__{tool.name}"}}
                title = f"{tool.title} ({server.name})"
                async with self._voice.card("other", title, rawInput={}, _meta=meta) as card:
                    said, card.failed = await call_tool(asking, tool.name)
                    card.output = said
                    card.show(said)
                    self._told.tools[f"{server.name}: {tool.name}"] = said[:200]

    async def _ask(self, question: str, header: str, choices: tuple[tuple[str, str], ...]) -> bool:
        """Ask a question with choices; false when it is dismissed."""
        labels = [label for label, _ in choices]
        asked = {
            "question": question,
            "header": header,
            "multiSelect": False,
            "options": [{"label": label, "description": description} for label, description in choices],
        }
        options = (
            *((f"option_{number}", label, "allow_once") for number, label in enumerate(labels)),
            ("reject_with_feedback", "Dismiss", "reject_once"),
        )
        meta = {"codeToolKind": "question", "questions": [asked]}
        async with self._voice.card("other", question, _meta=meta) as card:
            choice = await self._voice.ask(card, question, options, _meta=meta)
            number = choice.option.removeprefix("option_")
            named = labels[int(number)] if number.isdigit() and int(number) < len(labels) else ""
            answer = choice.answers.get(question) or choice.feedback or named
            card.failed = choice.option in ("", "reject_with_feedback")
            card.show(answer or "No answer.")
        if not card.failed:
            self._told.answers[question] = answer or "no answer"
        elif not choice.feedback:
            return False
        return True

    async def _approve_plan(self) -> bool | None:
        """Whether to write; None when the turn is over."""
        options = self._session.options
        modes = [mode for mode in MODES[options.adapter] if not mode.plans]
        choices: Options = (
            *((mode.id, f"Yes: {mode.name}", "allow_always" if not mode.asks else "allow_once") for mode in modes),
            KEEP_PLANNING,
        )
        plan = "\n".join(f"{number}. {step}" for number, step in enumerate(STEPS[4:], start=1))
        async with self._voice.card("switch_mode", "Ready to write", rawInput={"plan": plan}) as card:
            card.show(plan)
            choice = await self._voice.ask(
                *(card, "Approve this plan?", choices),
                kind="switch_mode",
                rawInput={"plan": plan},
                content=card.content,
            )
            card.failed = choice.option not in {mode.id for mode in modes}
        if not card.failed:
            self._session.options = replace(options, mode=choice.option)
            await self._voice.options_changed()
            return True
        if choice.feedback:
            self._told.words.append(choice.feedback)
            await self._voice.say(f"I keep planning: {choice.feedback}")
            return False
        return None

    async def _write(self) -> tuple[str, str] | None:
        """Write and commit the report: commit and branch, or None when the turn is over."""
        await self._step(4)
        survey = self._survey
        branch = await self._own_branch() if survey.is_repository else ""
        path = survey.folder / REPORT
        if path.is_symlink():
            await self._voice.say(f"{REPORT} is a link, so I write nothing: it may lead out of the folder.")
            return "", branch
        old: str | None = None
        with suppress(OSError, UnicodeDecodeError):
            old = await asyncio.to_thread(path.read_text, "utf-8")
        changes = await self._changes() if survey.is_repository and old is not None else []
        new = report(self._prompt, survey, self._told, changes)
        diff = diff_content(str(path), old, new, patch_of(REPORT, old, new))
        place = [{"path": str(path), "line": 1}]
        async with self._voice.card("edit", f"Write {REPORT}", content=[diff], locations=place) as card:
            card.content = [diff]
            if not await self._may_write(card, diff, place):
                return None
            if not card.failed:
                await self._voice.write_file(path, new)
        if card.failed:
            return "", branch
        await self._step(5)
        return (await self._commit(new != old), branch) if survey.is_repository else ("", "")

    async def _may_write(self, card: Card, diff: dict[str, object], place: list[dict[str, object]]) -> bool:
        """Whether the turn goes on; the card has failed when the person refused with a reason."""
        session = self._session
        if not session.options.current_mode.asks or session.always_allowed:
            return True
        fields = {"kind": "edit", "content": [diff], "locations": place}
        choice = await self._voice.ask(card, f"Write {REPORT}", WRITE, **fields)
        session.always_allowed = choice.option == "allow_always"
        if choice.option in ("allow", "allow_always"):
            return True
        card.failed = True
        if choice.feedback:
            self._told.words.append(choice.feedback)
            await self._voice.say(f"I write nothing: {choice.feedback}")
            return True
        return False

    async def _own_branch(self) -> str:
        """The branch to commit to. The default branch is left alone."""
        current = (await run_git(self._survey.folder, "rev-parse", "--abbrev-ref", "HEAD")).output.strip()
        if current not in DEFAULT_BRANCHES:
            return current
        branch = f"survey/{branch_word(self._prompt)}-{self._session.id[-4:]}"
        async with self._voice.card("execute", f"git switch -c {branch}") as card:
            switched = await run_git(self._survey.folder, "switch", "-c", branch)
            card.failed = bool(switched.code)
            card.show(switched.output)
        return current if card.failed else branch

    async def _changes(self) -> list[str]:
        """The commits since the last report, and what is not committed."""
        folder = self._survey.folder
        reported = await run_git(folder, "log", "-1", "--format=%H", "--", REPORT)
        last = self._session.last_commit or reported.output.strip()
        if not last or reported.code:
            return []
        async with self._voice.card("execute", f"git log {last[:8]}..HEAD") as card:
            log = await run_git(folder, "log", "--format=%h %s", f"{last}..HEAD")
            status = await run_git(folder, "status", "--short")
            lines = [] if log.code else [*log.lines, *(f"not committed: {line}" for line in status.lines)]
            card.show("\n".join(lines) or "nothing")
        return lines or ["nothing"]

    async def _commit(self, changed: bool) -> str:
        """Commit the report; an empty text when git refused."""
        message = f"Survey: {self._prompt.splitlines()[0][:60] if self._prompt.strip() else 'the folder'}"
        if changed:
            async with self._voice.card("execute", f'git commit -m "{message}"') as card:
                done = await commit(self._survey.folder, REPORT, message)
                shown = await run_git(self._survey.folder, "show", "--stat", "--format=%h %s", "HEAD")
                card.failed = bool(done.code)
                card.show(done.output if done.code else shown.output)
            if card.failed:
                return ""
        head = (await run_git(self._survey.folder, "rev-parse", "HEAD")).output.strip()
        self._session.last_commit = head
        return head[:8]
