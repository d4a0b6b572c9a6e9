"""What every package says about Burrow: name, version, publisher. One place, read from the application itself.

Standard library only, and importable on every platform: recipes run before anything is frozen.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "Burrow"
SUMMARY = "PostHog tasks and MCP servers"
SCHEME = "burrow"
# The AppUserModelID and the ProgID on Windows, the bundle's identifier on macOS.
WINDOWS_ID = "Burrow"
BUNDLE_ID = "app.burrow.Burrow"
RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(?:a|b|rc)\d+|\.dev\d+)?")


def version() -> str:
    """The version as `app/__init__.py` says it, without importing it. Raises `ValueError` when it says none."""
    for statement in ast.parse((ROOT / "app" / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "__version__":
            found: object = ast.literal_eval(statement.value)
            if isinstance(found, str) and RELEASE.fullmatch(found):
                return found
    raise ValueError("app/__init__.py has no __version__ like 1.2.3 or 1.2.3rc1")


def three_parts(text: str) -> tuple[int, int, int]:
    """The release without what comes before it (1.2.3rc1 gives 1, 2, 3). Raises `ValueError`.

    Each part fits into 16 bits: Windows stores it so (VS_FIXEDFILEINFO).
    """
    match = RELEASE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no version like 1.2.3")
    major, minor, patch = (int(part) for part in match.groups())
    if max(major, minor, patch) > 0xFFFF:
        raise ValueError(f"a part of {text} is larger than 65535")
    return major, minor, patch


def holder() -> str:
    """Who publishes: the holder in the licence's copyright line. Raises `ValueError`."""
    return _copyright()[1]


def copyright_line() -> str:
    """The line as the licence has it: "Copyright (c) 2026 …"."""
    return _copyright()[0]


def _copyright() -> tuple[str, str]:
    match = re.search(r"^Copyright \(c\) \d{4} (.+)$", (ROOT / "LICENSE").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError("LICENSE has no line `Copyright (c) YEAR HOLDER`")
    return match[0].strip(), match[1].strip()
