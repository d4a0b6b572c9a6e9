"""The environment of an agent: the person's own, without what is Burrow's and without any live token of the person."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from app.core.redaction import holds_hidden

if TYPE_CHECKING:
    from collections.abc import Mapping

# Tokens of PostHog and keys of the local proxy (contract section 1.5 and 1.10). Keys of other services are the person's
# choice: agents need those of their models.
_OURS = re.compile(r"(?<![A-Za-z0-9])(?:ph[arx]_[\w-]{8}|bw_[\w-]{40})")
_PREFIX = "BURROW_"
# What a shell around Burrow may have set would make git work on another repository than that of the folder.
MISLEADING = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"),
        *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX"),
    }
)


def agent_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What an agent, a terminal or a script of a worktree gets. By default it is made of this process's environment."""
    given = os.environ if environment is None else environment
    kept = {name: value for name, value in given.items() if not name.startswith(_PREFIX) and name not in MISLEADING}
    return {name: value for name, value in kept.items() if not holds_token(value)}


def holds_token(value: str) -> bool:
    """Whether a text holds a token of PostHog, a key of the proxy, or a secret that this process keeps."""
    return _OURS.search(value) is not None or holds_hidden(value)
