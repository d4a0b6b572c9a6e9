"""Counts of what clients did, for tests and for the people who watch."""

from __future__ import annotations

from dataclasses import dataclass, field

# Clients choose the paths, so their number is bounded.
DISTINCT_PATHS = 2000


@dataclass
class RequestCounters:
    """Counts since start or the last reset.

    `refreshes_accepted` counts refresh requests that issued new tokens, `refreshes_replayed` those that repeated an
    earlier answer within the grace period, `refreshes_rejected` those that the token endpoint itself refused (not a
    fault rule). `requests` counts by path; beyond `DISTINCT_PATHS` paths the rest is counted together.
    """

    refreshes_accepted: int = 0
    refreshes_replayed: int = 0
    refreshes_rejected: int = 0
    grants_revoked: int = 0
    requests: dict[str, int] = field(default_factory=dict)

    def request(self, path: str) -> None:
        if path not in self.requests and len(self.requests) >= DISTINCT_PATHS:
            path = "(others)"
        self.requests[path] = self.requests.get(path, 0) + 1

    def reset(self) -> None:
        self.refreshes_accepted = self.refreshes_replayed = 0
        self.refreshes_rejected = self.grants_revoked = 0
        self.requests = {}

    def as_json(self) -> dict[str, object]:
        return {
            "refreshes_accepted": self.refreshes_accepted,
            "refreshes_replayed": self.refreshes_replayed,
            "refreshes_rejected": self.refreshes_rejected,
            "grants_revoked": self.grants_revoked,
            "requests": dict(self.requests),
        }
