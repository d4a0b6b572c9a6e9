"""How each kind of item is shown."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from app.core.runs.items import (
    Item,
    Message,
    Notice,
    Permission,
    Plan,
    Prompt,
    Setup,
    ShellCommand,
    Thought,
    ToolCall,
    TurnEnd,
    Unknown,
)
from app.core.runs.reducer import ELSEWHERE
from app.ui.theme.state import State, by_name
from app.ui.transcript.card import LONGEST_OUTPUT, CardPart, ItemCard, bounded, json_part, nothing, terminal_part
from app.ui.transcript.card_words import (
    ANSWER_GLYPHS,
    NOTICE_GLYPHS,
    PLAN_STATES,
    SETUP_STATES,
    TURN_ENDS,
    tr,
)
from app.ui.transcript.shown_text import one_line, plain
from app.ui.transcript.tool_cards import content_parts, tool_card
from app.ui.widgets.times import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.ui.theme.tokens import Tone

# Of the files of a prompt.
FILES_SHOWN = 20


@singledispatch
def card_of(item: Item) -> ItemCard:
    """How an item is shown."""
    name = type(item).__name__
    return ItemCard("card", name, nothing, "question", title=name, late=item.late)


@card_of.register
def _(item: Prompt) -> ItemCard:
    def parts() -> Iterator[CardPart]:
        yield from bounded("plain", item.text)
        if item.files:
            named = ", ".join(map(one_line, item.files[:FILES_SHOWN]))
            more = len(item.files) - FILES_SHOWN
            yield CardPart("caption", tr("Files: {0}").format(named))
            if more > 0:
                yield CardPart("caption", tr("and {0} more").format(more))

    spoken = tr("You: {0}").format(one_line(item.text))
    return ItemCard("raised", spoken, parts, "user", "accent", tr("You"), took=_clock(item), late=item.late)


@card_of.register
def _(item: ToolCall) -> ItemCard:
    return tool_card(item)


@card_of.register
def _(item: Message) -> ItemCard:
    return ItemCard(
        "open", tr("Agent: {0}").format(one_line(item.text)), lambda: bounded("markdown", item.text), late=item.late
    )


@card_of.register
def _(item: Thought) -> ItemCard:
    title = tr("Thinking…") if item.open else tr("Thought")
    line = one_line(item.text)
    return ItemCard(
        "line",
        f"{title}: {line}",
        lambda: bounded("markdown", item.text, tone="muted"),
        "dashed",
        title=title,
        detail=line,
        folds=True,
        open_first=False,
        late=item.late,
    )


@card_of.register
def _(item: Plan) -> ItemCard:
    done = sum(entry.status == "completed" for entry in item.entries)
    detail = tr("{0} of {1} done").format(done, len(item.entries))

    def parts() -> Iterator[CardPart]:
        for entry in item.entries:
            state = by_name(PLAN_STATES, entry.status)
            tone: Tone = "muted" if entry.status == "completed" else "text"
            yield CardPart("plain", plain(entry.content[:LONGEST_OUTPUT]), state.glyph, tone)

    return ItemCard(
        "card", f"{tr('Plan')}, {detail}", parts, "tasks", title=tr("Plan"), detail=detail, folds=True, late=item.late
    )


@card_of.register
def _(item: Setup) -> ItemCard:
    statuses = [step.status for step in item.steps]
    worst = next((status for status in ("failed", "in_progress") if status in statuses), "completed")
    state = by_name(SETUP_STATES, worst)
    title = tr("Setting up: {0}").format(one_line(item.group)) if item.group else tr("Setting up")

    def parts() -> Iterator[CardPart]:
        for step in item.steps:
            shown = by_name(SETUP_STATES, step.status)
            words = one_line(step.label or step.step)
            yield CardPart("plain", words, shown.glyph, "bad" if step.status == "failed" else "text")
            if step.detail:
                yield from bounded("caption", step.detail)

    return ItemCard(
        "card",
        f"{title}, {state.word}",
        parts,
        "settings",
        title=title,
        detail=one_line(item.steps[-1].label) if item.steps and worst != "completed" else "",
        state=state,
        folds=True,
        open_first=worst == "failed",
        late=item.late,
    )


@card_of.register
def _(item: Permission) -> ItemCard:
    chosen = next((option for option in item.options if option.option_id == item.answer), None)
    if not item.answer:
        state = State("question", tr("Needs you"), "attention")
    elif item.answer == "cancelled":
        state = State("cancelled", tr("Stopped"), "muted")
    elif item.answer == ELSEWHERE and chosen is None:
        state = State("check", tr("Answered elsewhere"), "muted")
    else:
        glyph, tone = ANSWER_GLYPHS.get(chosen.kind if chosen is not None else "", ("check", "good"))
        state = State(glyph, one_line(item.answer_name or item.answer, 60), tone)
    title = one_line(item.title) or tr("The agent asks")

    def parts() -> Iterator[CardPart]:
        for question in item.questions:
            yield from bounded("plain", question.text)
            for choice in question.choices:
                yield CardPart("caption", f"• {one_line(choice.label)}")
        if item.plan:
            yield from bounded("markdown", item.plan)
        # Some agents send their plan as text too.
        yield from content_parts(
            part for part in item.parts if getattr(part, "text", None) != item.plan or not item.plan
        )
        if item.input and not item.parts and not item.plan and not item.questions:
            yield from json_part(item.input)

    spoken = tr("The agent asks: {0}, {1}").format(title, state.word)
    return ItemCard(
        "card",
        spoken,
        parts,
        "question",
        "attention" if not item.answer else "muted",
        title,
        state=state,
        folds=True,
        # What waits is asked below the transcript.
        open_first=False,
        late=item.late,
    )


@card_of.register
def _(item: Notice) -> ItemCard:
    glyph, tone = NOTICE_GLYPHS.get(item.level, ("info", "muted"))
    words = f"{one_line(item.source, 60)}: {item.text}" if item.source and item.level != "info" else item.text
    return ItemCard("open", one_line(words), lambda: bounded("plain", words, glyph=glyph, tone=tone), late=item.late)


@card_of.register
def _(item: ShellCommand) -> ItemCard:
    if item.exit_code is None:
        state = State("play", tr("Running"), "accent")
    elif item.exit_code == 0:
        state = State("check", tr("Done"), "good")
    else:
        state = State("cross", tr("Exit code {0}").format(item.exit_code), "bad")

    def parts() -> Iterator[CardPart]:
        yield from bounded("mono", f"$ {item.command}")
        yield from terminal_part(item.output)

    line = one_line(item.command)
    spoken = tr("You ran {0}, {1}").format(line, state.word)
    return ItemCard(
        "card", spoken, parts, "code", title=tr("You ran"), detail=line, state=state, folds=True, late=item.late
    )


@card_of.register
def _(item: TurnEnd) -> ItemCard:
    known = TURN_ENDS.get(item.reason)
    words = tr(known) if known else tr("Turn ended: {0}").format(one_line(item.reason, 60))
    return ItemCard("separator", words, nothing, title=words, took=_clock(item), late=item.late)


@card_of.register
def _(item: Unknown) -> ItemCard:
    title, method = tr("Unknown entry"), one_line(item.method)
    return ItemCard(
        "card",
        f"{title}: {method}",
        lambda: json_part(item.text),
        "question",
        title=title,
        detail=method,
        folds=True,
        open_first=False,
        late=item.late,
    )


def _clock(item: Item) -> str:
    return clock(item.at) if item.at is not None else ""
