"""The exact forms in which permissions and questions are answered (docs/wire.md, "Commands to a run")."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.errors import Facts, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.posthog.types import TaskRun
    from app.core.runs.items import Permission, PermissionOption, Question, SessionState

DISMISSED = "User cancelled the permission request."
REJECT_WITH_FEEDBACK = "reject_with_feedback"
ALLOW_ALWAYS = "allow_always"
SWITCH_MODE = "switch_mode"
MODE = "mode"
# What "always" means for the rest of the session, by adapter.
TRUSTING_MODES = {"claude": "acceptEdits", "codex": "auto"}
# The options that stand for a text of the user's own, and for the answers to several questions.
OTHERS = ("other", "_other")
SUBMIT = "_submit"
SEPARATOR = ", "


class QuestionAnswer(NamedTuple):
    """What was chosen of one question: the labels, and a text of the user's own."""

    labels: tuple[str, ...] = ()
    text: str = ""

    @property
    def said(self) -> str:
        return SEPARATOR.join((*self.labels, self.text) if self.text else self.labels)


class PermissionAnswer(NamedTuple):
    """What is sent. `separate` is a text that the chosen option cannot carry: it is sent as a message of its own."""

    option_id: str
    text: str = ""
    answers: Mapping[str, str] | None = None
    separate: str = ""

    def params(self, request_id: str) -> dict[str, object]:
        """The parameters of `permission_response`."""
        found: dict[str, object] = {"requestId": request_id, "optionId": self.option_id}
        if self.text:
            found["customInput"] = self.text
        if self.answers is not None:
            found["answers"] = dict(self.answers)
        return found


def chosen_option(permission: Permission, option_id: str, text: str = "") -> PermissionAnswer:
    """An option, and what the user wrote beside it. Raises `Rejected` for an option that was not offered."""
    option = _option(permission, option_id)
    if option is None:
        raise Rejected(f"The agent offers no answer {option_id}.", Facts(attr="option_id"))
    said = text.strip()
    if said and not option.wants_text:
        return PermissionAnswer(option_id, separate=said)
    return PermissionAnswer(option_id, said)


def answered_questions(permission: Permission, answers: Sequence[QuestionAnswer]) -> PermissionAnswer:
    """The answers to all questions, in their order. Raises `Rejected`, naming the first that has none."""
    questions = permission.questions
    if len(answers) != len(questions):
        raise Rejected(f"The agent asks {len(questions)} questions.", Facts(attr="answers"))
    for question, answer in zip(questions, answers, strict=True):
        if not answer.said.strip():
            raise Rejected(f"“{question.header or question.text}” has no answer.", Facts(attr=question.text))
        if not {each.label for each in question.choices}.issuperset(answer.labels):
            raise Rejected(f"“{question.header or question.text}” has no such answer.", Facts(attr=question.text))
        if len(answer.labels) > 1 and not question.several:
            raise Rejected(f"“{question.header or question.text}” takes one answer.", Facts(attr=question.text))
    said = {question.text: answer.said for question, answer in zip(questions, answers, strict=True)}
    if len(questions) > 1:
        return PermissionAnswer(_offered(permission, SUBMIT), answers=said)
    return PermissionAnswer(_question_option(permission, questions[0], answers[0]), answers=said)


def dismissed(permission: Permission) -> PermissionAnswer:
    """The user answers nothing: the agent learns that it was refused, and its turn is cancelled after that."""
    rejecting = [each.option_id for each in permission.options if each.kind.startswith("reject")]
    if _option(permission, REJECT_WITH_FEEDBACK) is not None or not rejecting:
        return PermissionAnswer(REJECT_WITH_FEEDBACK, DISMISSED)
    return PermissionAnswer(rejecting[0], DISMISSED)


def trusting_mode(permission: Permission, option_id: str, run: TaskRun | None, state: SessionState) -> tuple[str, str]:
    """The setting and its value that an answer of "always" raises besides; empty where it raises none."""
    option = _option(permission, option_id)
    always = option is not None and (option.kind == ALLOW_ALWAYS or option_id == ALLOW_ALWAYS)
    if not always or permission.kind == SWITCH_MODE or permission.plan or permission.questions:
        return "", ""
    mode = TRUSTING_MODES.get((run.runtime_adapter if run is not None else None) or "", "")
    setting = next((each for each in state.options if MODE in {each.category, each.id}), None)
    if not mode or (setting is not None and setting.choices and mode not in {each.value for each in setting.choices}):
        return "", ""
    if setting is not None and setting.value == mode:
        return "", ""
    return (setting.id if setting is not None else MODE), mode


def _option(permission: Permission, option_id: str) -> PermissionOption | None:
    return next((each for each in permission.options if each.option_id == option_id), None)


def _offered(permission: Permission, wanted: str) -> str:
    """The id of an option as the agent offers it, with or without the underscore in front."""
    names = {each.option_id for each in permission.options}
    return next((each for each in (wanted, wanted.removeprefix("_"), f"_{wanted}") if each in names), wanted)


def _question_option(permission: Permission, question: Question, answer: QuestionAnswer) -> str:
    if not answer.labels:
        return next((each for each in OTHERS if _option(permission, each) is not None), OTHERS[0])
    first = answer.labels[0]
    # The options stand for the choices, in their order.
    number = [each.label for each in question.choices].index(first)
    named = next((each.option_id for each in permission.options if each.name == first), None)
    return named or f"option_{number}"
