"""`burrow` and `python -m app`: subcommands run without a window, everything else opens it."""

from __future__ import annotations

import sys

SUBCOMMANDS = frozenset({"login", "logout", "status", "tasks", "mcp", "workspace"})


def main() -> int:
    """Dispatch on the first argument; imports stay inside so that each way in pays only for itself."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["workspace"]:
        from app.workspace.__main__ import main as run_workspace

        return run_workspace(arguments[1:])
    if arguments and arguments[0] in SUBCOMMANDS:
        from app.cli import main as run_command

        return run_command(arguments)
    from app.main import main as run_window

    return run_window(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
