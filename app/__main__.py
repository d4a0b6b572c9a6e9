"""`burrow` and `python -m app`: subcommands run without a window, everything else opens it."""

from __future__ import annotations

import sys

SUBCOMMANDS = frozenset({"login", "logout", "status", "tasks", "mcp", "workspace"})
# Their value is not the subcommand, even if it is spelled like one: `--data tasks`.
OPTIONS_WITH_VALUE = frozenset({"--host", "--data", "--store", "--screenshot", "--place", "--client-id", "--account"})


def main() -> int:
    """Dispatch on the subcommand; imports stay inside so that each way in pays only for itself."""
    command, arguments = split(sys.argv[1:])
    if command == "workspace":
        from app.workspace.__main__ import main as run_workspace

        placed = any(argument == "--data" or argument.startswith("--data=") for argument in arguments)
        return run_workspace(arguments if placed else [*arguments, "--data", _workspace_folder()])
    if command is not None:
        from app.cli.main import main as run_command

        return run_command([command, *arguments])
    from app.main import main as run_window

    return run_window(arguments)


def _workspace_folder() -> str:
    from app.core.services import WORKSPACE_FOLDER, data_folder

    return str(data_folder() / WORKSPACE_FOLDER)


def split(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The subcommand, if there is one, and the other arguments.

    Options before it are moved behind its own words, where the subcommand's parser reads them.
    """
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        position += 2 if arguments[position] in OPTIONS_WITH_VALUE else 1
    if position >= len(arguments) or arguments[position] not in SUBCOMMANDS:
        return None, arguments
    return arguments[position], arguments[position + 1 :] + arguments[:position]


if __name__ == "__main__":
    raise SystemExit(main())
