"""What the runs of a task have used, from what their agents said of it.

Agents tell it with the answer to a prompt, as sums over their session, and how full their context is meanwhile
(https://agentclientprotocol.com/rfds/session-usage).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

CENT = Decimal("0.01")
SAYING = (
    "SELECT l.run_id, l.entry FROM log_entries l JOIN runs r ON r.id = l.run_id WHERE r.task_id = ?"
    " AND (instr(l.entry, '\"usage\"') OR instr(l.entry, '\"usage_update\"')) ORDER BY l.position"
)


@dataclass
class Used:
    """Of one run: tokens, and US dollars where the agent says what it costs."""

    given: int = 0
    made: int = 0
    total: int = 0
    cost: Decimal = Decimal(0)

    def take(self, notification: object) -> None:
        """Read a message of the log. The newest sums count; an agent that tells none is known by its context only."""
        match notification:
            case {"result": {"usage": {**usage}}}:
                self.given, self.made = _count(usage, "inputTokens"), _count(usage, "outputTokens")
                self.total = _count(usage, "totalTokens") or self.given + self.made
            case {"params": {"update": {"sessionUpdate": "usage_update", **update}}}:
                if not self.given and not self.made:
                    self.total = max(self.total, _count(update, "used"))
                self.cost = _dollars(update.get("cost")) or self.cost


def usage_of_task(db: sqlite3.Connection, task_id: str) -> dict[str, object]:
    """The answer about a task: the sums over its runs. Computing costs nothing here."""
    runs: dict[str, Used] = {}
    for row in db.execute(SAYING, (task_id,)):
        runs.setdefault(row["run_id"], Used()).take(json.loads(row["entry"]).get("notification"))
    cost = sum((each.cost for each in runs.values()), Decimal(0)).quantize(CENT)
    return {
        "token_cost_usd": str(cost),
        "compute_cost_usd": "0.00",
        "total_cost_usd": str(cost),
        "input_tokens": sum(each.given for each in runs.values()),
        "output_tokens": sum(each.made for each in runs.values()),
        "total_tokens": sum(each.total for each in runs.values()),
    }


def _count(usage: Mapping[object, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _dollars(cost: object) -> Decimal | None:
    match cost:
        case {"amount": int() | float() as amount, "currency": "USD"} if 0 <= amount < 10**9:
            try:
                return Decimal(str(amount))
            except InvalidOperation:
                return None
        case _:
            return None
