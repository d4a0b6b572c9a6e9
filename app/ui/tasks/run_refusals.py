"""What to say when a run could not be started, and what helps. One table, by the server's codes and by types."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal, NamedTuple

from app.core.errors import (
    BurrowError,
    NotFound,
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    QuotaReached,
    Rejected,
    ServerTrouble,
    Throttled,
    TimedOut,
)
from app.ui.translation import marked, translate
from app.ui.widgets.times import absolute, due

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTEXT = "RunRefusals"
# What is chosen in the form of a run, by the names of the API.
OF_THE_FORM = frozenset(
    {"model", "runtime_adapter", "reasoning_effort", "initial_permission_mode", "branch", "sandbox_environment_id"}
)


class RunHelp(Enum):
    """What a person can do about it. The value is the untranslated words of the button."""

    CONNECT_GITHUB = marked(CONTEXT, "Connect GitHub")
    AS_BOT = marked(CONTEXT, "Run with the bot as author")
    PLAN = marked(CONTEXT, "See plan and billing")
    CHOOSE = marked(CONTEXT, "Choose otherwise…")
    SEND_AGAIN = marked(CONTEXT, "Send them again")
    LOOK = marked(CONTEXT, "Look, then try again")
    AGAIN = marked(CONTEXT, "Try again")
    START = marked(CONTEXT, "Start the run")
    CANCEL = marked(CONTEXT, "Cancel run")
    LEAVE = marked(CONTEXT, "Do not start it")

    @property
    def words(self) -> str:
        return translate(CONTEXT, self.value)


OF_THE_PERSON = frozenset({RunHelp.CONNECT_GITHUB, RunHelp.PLAN, RunHelp.CHOOSE, RunHelp.START})


class RunRefusal(NamedTuple):
    """The words of a card, what helps, the most likely first, and whether it is a failure or waits for the person."""

    title: str
    cause: str
    advice: str
    helps: tuple[RunHelp, ...]
    tone: Literal["bad", "attention"]


class _Entry(NamedTuple):
    """Untranslated words. Without a cause the server's own is shown; `advice` adds what depends on the answer."""

    title: str
    cause: str = ""
    advice: Callable[[BurrowError], str] | str = ""
    helps: tuple[RunHelp, ...] = (RunHelp.AGAIN,)


def refusal_of(error: BurrowError) -> RunRefusal | None:
    """What to say about the start of a run that failed; None where the error's own words say all."""
    entry = _entry(error)
    if entry is None:
        return None
    cause = translate(CONTEXT, entry.cause) if entry.cause else error.cause
    advice = entry.advice(error) if callable(entry.advice) else translate(CONTEXT, entry.advice)
    tone: Literal["bad", "attention"] = "attention" if entry.helps[0] in OF_THE_PERSON else "bad"
    return RunRefusal(translate(CONTEXT, entry.title), cause, advice, entry.helps, tone)


def _when_it_resets(error: BurrowError) -> str:
    """When a limit resets, in the person's own time zone, and whether a plan lifts it."""
    limit = error.facts.limit
    if limit is None:
        return _tr("Wait until it resets, or see the plan of the account.")
    said = []
    if limit.resets_at is not None:
        said.append(_tr("It resets {0}, at {1}.").format(due(limit.resets_at), absolute(limit.resets_at)))
    if limit.paid is False:
        said.append(_tr("A paid plan has a higher limit."))
    elif limit.paid:
        said.append(_tr("The account has a paid plan already."))
    return " ".join(said)


def _missing_files(error: BurrowError) -> str:
    return _tr("Nothing was started. They are still here: {0}.").format(", ".join(error.facts.missing_files))


ABOUT_PLAN = (RunHelp.PLAN, RunHelp.AGAIN)
# The first that fits decides.
BY_CODE: Mapping[str, _Entry] = {
    "github_authorization_required": _Entry(
        marked(CONTEXT, "Connect GitHub to run this"),
        marked(CONTEXT, "Pull requests of this run are to be yours, and GitHub is not connected to your account."),
        marked(CONTEXT, "The browser opens. Come back here when it is done, and the run starts."),
        (RunHelp.CONNECT_GITHUB, RunHelp.AS_BOT),
    ),
    "usage_limit_exceeded": _Entry(marked(CONTEXT, "The usage limit is reached"), "", _when_it_resets, ABOUT_PLAN),
    "billing_limit": _Entry(
        marked(CONTEXT, "The billing limit is reached"),
        "",
        marked(CONTEXT, "Whoever manages billing can raise it."),
        ABOUT_PLAN,
    ),
    # Of Burrow itself (`StartCutOff`).
    "run_not_started": _Entry(
        marked(CONTEXT, "This run was not started"),
        marked(CONTEXT, "Burrow ended before it was started. It waits on the server."),
        marked(CONTEXT, "What it begins with is kept, and so are its files."),
        (RunHelp.START, RunHelp.CANCEL),
    ),
    "run_not_sent": _Entry(
        marked(CONTEXT, "This run was not started"),
        marked(CONTEXT, "Burrow ended before the server had it."),
        marked(CONTEXT, "What it begins with is kept, and so are its files."),
        (RunHelp.START, RunHelp.LEAVE),
    ),
    "signal_report_task_cap": _Entry(
        marked(CONTEXT, "Enough runs were started from reports for now"),
        "",
        marked(CONTEXT, "There may be ten of them an hour, and thirty a day."),
    ),
}
PERHAPS_STARTED = _Entry(
    marked(CONTEXT, "Sent, outcome unknown"),
    "",
    marked(CONTEXT, "Burrow looks for the run first, and starts another one only if there is none."),
    (RunHelp.LOOK,),
)
BY_TYPE: tuple[tuple[type[BurrowError], _Entry], ...] = (
    (
        QuotaReached,
        _Entry(marked(CONTEXT, "A limit of the account is reached"), "", _when_it_resets, ABOUT_PLAN),
    ),
    (
        Throttled,
        _Entry(marked(CONTEXT, "Too many requests"), "", marked(CONTEXT, "Wait a moment. Nothing was started.")),
    ),
    (
        PermissionMissing,
        _Entry(
            marked(CONTEXT, "You may not start runs here"),
            "",
            marked(CONTEXT, "Ask an administrator of the project, or sign in with an account that may."),
        ),
    ),
    (
        NotFound,
        _Entry(
            marked(CONTEXT, "The server does not have this task"),
            "",
            marked(CONTEXT, "It may have been deleted, or belong to another project."),
        ),
    ),
    (OutcomeUnknown, PERHAPS_STARTED),
    (TimedOut, PERHAPS_STARTED),
    (
        Offline,
        _Entry(
            marked(CONTEXT, "Run not started"),
            "",
            marked(CONTEXT, "Try again when the server can be reached. Burrow does not do so by itself."),
        ),
    ),
)
FILES_MISSING = _Entry(
    marked(CONTEXT, "The server has lost files of this run"), "", _missing_files, (RunHelp.SEND_AGAIN,)
)
NOT_VERIFIED = _Entry(
    marked(CONTEXT, "The server could not check the plan"),
    "",
    marked(CONTEXT, "Nothing was started. It may work in a moment."),
)
NO_MODEL = _Entry(
    marked(CONTEXT, "Choose a model first"), "", marked(CONTEXT, "Nothing was started."), (RunHelp.CHOOSE,)
)
WRONG_CHOICE = _Entry(
    marked(CONTEXT, "The server does not accept this choice"), "", "", (RunHelp.CHOOSE, RunHelp.AGAIN)
)


def _entry(error: BurrowError) -> _Entry | None:
    code = error.facts.code
    if code is not None and code in BY_CODE:
        return BY_CODE[code]
    if error.facts.missing_files:
        return FILES_MISSING
    if isinstance(error, ServerTrouble) and error.facts.status == 503:
        return NOT_VERIFIED
    if isinstance(error, Rejected) and error.facts.attr in OF_THE_FORM:
        # Without a status the server was not asked.
        return NO_MODEL if error.facts.status is None else WRONG_CHOICE
    return next((entry for kind, entry in BY_TYPE if isinstance(error, kind)), None)


def _tr(text: str) -> str:
    return translate(CONTEXT, text)
