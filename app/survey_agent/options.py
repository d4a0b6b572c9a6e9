"""What a client can set in a session: mode, model and effort, with what each of them changes.

The modes are those that PostHog's clients know for its two adapters. A model decides how many files are read, the
effort how much of the history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ADAPTERS = ("claude", "codex")
EFFORTS = {"low": 5, "medium": 10, "high": 20, "xhigh": 50, "max": 100, "ultracode": 200}
"""How many commits of the history are read."""
DEFAULT_EFFORT = "medium"
DEFAULT_FILES = 6


@dataclass(frozen=True)
class SurveyModel:
    """A "model": how many files it reads. `efforts` are those it takes, in ascending order."""

    adapter: str
    name: str
    title: str
    files: int
    efforts: tuple[str, ...]


MODELS = (
    SurveyModel("claude", "survey-large", "Survey Large", 12, tuple(EFFORTS)),
    SurveyModel("claude", "survey-small", "Survey Small", 4, ("low", "medium", "high")),
    SurveyModel("codex", "survey-codex", "Survey Codex", 8, ("low", "medium", "high", "xhigh")),
    SurveyModel("codex", "survey-codex-mini", "Survey Codex Mini", 3, ()),
)


@dataclass(frozen=True)
class SurveyMode:
    """A mode of a session. `asks` before it writes; `plans` and asks for approval of the plan first."""

    id: str
    name: str
    description: str
    asks: bool = True
    plans: bool = False


MODES = {
    "claude": (
        SurveyMode("default", "Default", "Asks before it writes"),
        SurveyMode("acceptEdits", "Accept edits", "Writes files without asking", asks=False),
        SurveyMode("plan", "Plan", "Reads, and asks for approval of its plan", plans=True),
        SurveyMode("bypassPermissions", "Bypass permissions", "Never asks", asks=False),
        SurveyMode("auto", "Auto", "Asks only for what it cannot take back", asks=False),
    ),
    "codex": (
        SurveyMode("plan", "Plan", "Reads, and asks for approval of its plan", plans=True),
        SurveyMode("read-only", "Read only", "Asks before it writes"),
        SurveyMode("auto", "Auto", "Works in the folder without asking", asks=False),
        SurveyMode("full-access", "Full access", "Never asks", asks=False),
    ),
}
FIRST_MODE = {"claude": "default", "codex": "auto"}


class UnknownOption(ValueError):
    """There is no such option or value. The text names both."""


@dataclass(frozen=True)
class SessionOptions:
    """The options of one session."""

    adapter: str
    mode: str
    model: str
    effort: str

    @classmethod
    def first(cls, adapter: str, model: str | None, effort: str | None) -> SessionOptions:
        """Those of a new session; a model that is not known is used as it is named."""
        chosen = model or next(each.name for each in MODELS if each.adapter == adapter)
        options = cls(adapter, FIRST_MODE[adapter], chosen, DEFAULT_EFFORT)
        efforts = options.efforts
        wanted = effort or DEFAULT_EFFORT
        return replace(options, effort=wanted if wanted in efforts else (efforts or (DEFAULT_EFFORT,))[0])

    @property
    def current_mode(self) -> SurveyMode:
        return next(mode for mode in MODES[self.adapter] if mode.id == self.mode)

    @property
    def efforts(self) -> tuple[str, ...]:
        """The efforts that the model takes."""
        return next((each.efforts for each in MODELS if each.name == self.model), tuple(EFFORTS))

    @property
    def files(self) -> int:
        """How many files are read."""
        return next((each.files for each in MODELS if each.name == self.model), DEFAULT_FILES)

    @property
    def commits(self) -> int:
        """How many commits are read."""
        return EFFORTS.get(self.effort, EFFORTS[DEFAULT_EFFORT])

    def with_value(self, option: str, value: str) -> SessionOptions:
        """The options with one of them changed. Raises `UnknownOption`."""
        known = {each["value"] for each in self._choices(option)}
        if value not in known:
            raise UnknownOption(f'"{value}" is no value of "{option}"; there are: {", ".join(sorted(known))}.')
        changed = replace(self, **{option: value})
        if option == "model" and changed.effort not in changed.efforts:
            changed = replace(changed, effort=(changed.efforts or (DEFAULT_EFFORT,))[0])
        return changed

    def as_modes(self) -> dict[str, object]:
        """The modes as revision 1 has them."""
        shown = [{"id": each.id, "name": each.name, "description": each.description} for each in MODES[self.adapter]]
        return {"currentModeId": self.mode, "availableModes": shown}

    def as_config(self, version: int) -> list[dict[str, object]]:
        """The options as `configOptions`."""
        name_of_id = "id" if version < 2 else "configId"
        shown: list[dict[str, object]] = []
        for option, title, category, current in (
            ("mode", "Mode", "mode", self.mode),
            ("model", "Model", "model", self.model),
            ("effort", "Effort", "thought_level", self.effort),
        ):
            choices = self._choices(option)
            if choices:
                shown.append(
                    {
                        name_of_id: option,
                        "name": title,
                        "category": category,
                        "type": "select",
                        "currentValue": current,
                        "options": choices,
                    }
                )
        return shown

    def _choices(self, option: str) -> list[dict[str, str]]:
        if option == "mode":
            return [
                {"value": each.id, "name": each.name, "description": each.description} for each in MODES[self.adapter]
            ]
        if option == "model":
            models = {each.name: each.title for each in MODELS if each.adapter == self.adapter}
            return [{"value": name, "name": title} for name, title in {self.model: self.model, **models}.items()]
        if option == "effort":
            return [{"value": effort, "name": effort.capitalize()} for effort in self.efforts]
        raise UnknownOption(f'There is no option "{option}"; there are: mode, model, effort.')
