"""The fault rules in force. `app.workspace.web.guard` applies them, `app.workspace.faults` sets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

FAULTS_PREFIX = "/_faults"
MOST_RULES = 1000


class TooManyRules(Exception):
    """No further rule is accepted before a reset."""


@dataclass
class FaultRule:
    """What happens to the next `left` requests to `path` (None: to every one until the rule is removed).

    A rule with a `status` answers, a rule with `drop` closes the connection, a rule with neither only delays.
    `path` is a prefix, or a glob when it contains one of `*?[`. `drop` is `before_commit` (the view never runs) or
    `after_commit` (the view runs and its answer is lost). `delay` in seconds.
    """

    id: int
    path: str
    method: str | None = None
    status: int | None = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: str | None = None
    left: int | None = 1
    kind: str = "path"

    def matches(self, method: str, path: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        if any(mark in self.path for mark in "*?["):
            return fnmatchcase(path, self.path)
        return path.startswith(self.path)

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "kind": self.kind,
            "path": self.path,
            "method": self.method,
            "status": self.status,
            "body": self.body.decode("utf-8", "replace"),
            "content_type": self.content_type,
            "headers": self.headers,
            "delay": self.delay,
            "drop": self.drop,
            "times": self.left,
        }


@dataclass
class FaultRules:
    """The rules, in the order they were added."""

    rules: list[FaultRule] = field(default_factory=list)
    _next_id: int = 1

    def add(self, rule: FaultRule) -> FaultRule:
        """Put a rule in force and number it. Raises `TooManyRules`."""
        if len(self.rules) >= MOST_RULES:
            raise TooManyRules
        rule.id, self._next_id = self._next_id, self._next_id + 1
        self.rules.append(rule)
        return rule

    def take(self, method: str, path: str) -> tuple[FaultRule | None, float]:
        """The first rule that answers or drops this request, and the sum of the delays, in seconds.

        Rules before that one can only delay, and all that match do; rules after it are not consulted. Each rule that
        took part is used up by one.
        """
        delay = 0.0
        # Over a copy: a rule that is used up leaves the list.
        for rule in list(self.rules):
            if not rule.matches(method, path):
                continue
            if rule.left is not None:
                rule.left -= 1
                if rule.left <= 0:
                    self.rules.remove(rule)
            delay += rule.delay
            if rule.status is not None or rule.drop is not None:
                return rule, delay
        return None, delay

    def remove(self, kind: str, path: str | None = None) -> None:
        """Lift the rules of one kind, or only those for `path`."""
        self.rules = [rule for rule in self.rules if rule.kind != kind or path not in (None, rule.path)]

    def clear(self) -> None:
        self.rules = []
