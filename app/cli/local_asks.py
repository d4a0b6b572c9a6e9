"""What an agent of this machine asks, on the terminal: by number keys. Without a terminal everything is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.keys import forget_keys, has_keys, read_key
from app.cli.terminal import printable, say
from app.core.errors import NotFound, Rejected
from app.core.runs.answers import QuestionAnswer
from app.core.runs.local.mode_names import asks_nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.runs.desk.local_conversation import LocalConversation
    from app.core.runs.items import Permission

CANNOT_ASK = "There is no terminal to ask on"


async def answer(conversation: LocalConversation, asked: Permission, *, bypass: bool) -> None:
    """Ask the person, and tell the agent. A question that is over meanwhile is left alone.

    An answer that lets the agent do everything without a question is offered with `bypass` only.
    """
    try:
        if not has_keys():
            await _refuse(conversation, asked)
        elif asked.questions:
            answers = []
            for question in asked.questions:
                say(printable(question.text))
                number = await choose([choice.label for choice in question.choices])
                answers.append(QuestionAnswer((question.choices[number].label,)))
            await conversation.answer(asked, answers=answers)
        else:
            say(f"The agent asks: {printable(asked.title)}")
            offered = [option for option in asked.options if bypass or not asks_nothing(option.option_id)]
            number = await choose([option.name or option.option_id for option in offered])
            await conversation.answer(asked, offered[number].option_id)
    except NotFound:
        return


async def choose(choices: Sequence[str]) -> int:
    """The place of the choice whose number was pressed. Raises `Rejected` when the terminal is gone."""
    forget_keys()
    for number, words in enumerate(choices[:9], 1):
        say(f"  {number}  {printable(words)}")
    while True:
        key = await read_key()
        if not key:
            raise Rejected("The terminal is gone, so nobody can answer.", action="Run the task again.")
        if key.isdecimal() and 1 <= int(key) <= len(choices[:9]):
            return int(key) - 1


async def agree_to_setup(conversation: LocalConversation) -> None:
    """Show the setup script that waits, and let it run or go on without it, as the person says."""
    asked = conversation.setup
    if asked is None:
        return
    environment = asked.environment
    if not has_keys():
        say(f"{CANNOT_ASK}, so the setup script of {printable(environment.file)} is not run.")
        await conversation.skip_setup()
        return
    say(f"{printable(environment.file)} wants to run this in the worktree:")
    for each in environment.script.splitlines():
        say(f"    {each}")
    if await choose(["Run the script", "Go on without it"]) == 0:
        await conversation.agree_to_setup()
    else:
        await conversation.skip_setup()


async def _refuse(conversation: LocalConversation, asked: Permission) -> None:
    say(f"{CANNOT_ASK}, so this is refused: {printable(asked.title)}")
    refusing = next((each for each in asked.options if each.kind.startswith("reject")), None)
    if refusing is None or asked.questions:
        await conversation.stop_turn()
    else:
        await conversation.answer(asked, refusing.option_id)
