"""The models that the workspace offers for runs (docs/wire.md, "Models").

They belong to the survey agent, which has no model: a model decides how much it reads, the effort how closely. A
workspace with another agent passes every name on to it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OfferedModel:
    """A model of one adapter; `efforts` are those it supports, in ascending order."""

    adapter: str
    name: str
    title: str
    efforts: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return {
            "runtime_adapter": self.adapter,
            "model": self.name,
            "display_name": self.title,
            "supported_efforts": list(self.efforts),
        }


MODELS = (
    OfferedModel("claude", "survey-large", "Survey Large", ("low", "medium", "high", "xhigh", "max", "ultracode")),
    OfferedModel("claude", "survey-small", "Survey Small", ("low", "medium", "high")),
    OfferedModel("codex", "survey-codex", "Survey Codex", ("low", "medium", "high", "xhigh")),
    OfferedModel("codex", "survey-codex-mini", "Survey Codex Mini", ()),
)
BY_NAME = {model.name: model for model in MODELS}


def model_refusal(adapter: str, name: str, effort: str | None) -> tuple[str, str] | None:
    """The field that is wrong and the sentence about it; None when the three go together.

    A name that is not offered is no mistake here: earlier versions ran others, and another agent has its own.
    """
    model = BY_NAME.get(name)
    if model is None:
        return None
    if model.adapter != adapter:
        return "model", f'The model "{name}" is not available for the adapter "{adapter}".'
    if effort is not None and effort not in model.efforts:
        known = ", ".join(model.efforts) or "none"
        return "reasoning_effort", f'The model "{name}" does not support the effort "{effort}". It supports: {known}.'
    return None
