"""`burrow` and `python -m app`: subcommands run without a window, everything else opens it."""

from __future__ import annotations

import os
import sys

SUBCOMMANDS = frozenset({"login", "logout", "status", "tasks", "mcp", "connect", "proxy", "update", "workspace"})
# Not for people: the process that holds the proxy's port while Burrow is started again (`core/mcp/proxy/keeper.py`).
KEEP_PORT = "keep-port"
# Nor is this: packages ask it whether Burrow finds what it needs on a machine (`self_test.py`).
SELF_TEST = "self-test"
# Nor this: it speaks to another program, which starts it for each run (`survey_agent`).
SURVEY_AGENT = "survey-agent"
# Their value is not the subcommand, even if it is spelled like one: `--data tasks`.
OPTIONS_WITH_VALUE = frozenset({"--host", "--data", "--store", "--screenshot", "--place", "--client-id", "--account"})


OPTIONS_WITH_PATH = frozenset({"--data", "--screenshot"})


def main() -> int:
    """Dispatch on the subcommand; imports stay inside so that each way in pays only for itself."""
    open_standard_streams()
    if getattr(sys, "frozen", False):
        from app.core.own_environment import give_back

        give_back()
    if sys.argv[1:2] == [KEEP_PORT]:
        from app.core.mcp.proxy.keeper import main as keep_port

        return keep_port(sys.argv[2:])
    if sys.argv[1:2] == [SELF_TEST]:
        from app.self_test import main as self_test

        return self_test(sys.argv[2:])
    if sys.argv[1:2] == [SURVEY_AGENT]:
        from app.survey_agent.__main__ import main as run_survey_agent

        return run_survey_agent(sys.argv[2:])
    command, arguments = split(texts(sys.argv[1:]))
    if command == "workspace":
        from app.workspace.__main__ import main as run_workspace

        placed = any(argument == "--data" or argument.startswith("--data=") for argument in arguments)
        folder = [] if placed else _workspace_folder()
        return 1 if folder is None else run_workspace([*arguments, *folder])
    if command == "connect" and arguments[:1] == ["stdio"]:
        # Programs start it many times, so it starts without the other commands.
        from app.cli.shim import main as run_shim

        return run_shim(arguments[1:])
    if command is not None:
        from app.cli.main import main as run_command

        return run_command([command, *arguments])
    from app.main import main as run_window

    return run_window(arguments)


def open_standard_streams() -> None:
    """Give a process that was started without standard input or standard error an empty one.

    Python leaves them None. The next file that is opened would get their number: what a child process or a library
    writes to standard error would go into the database. Standard output stays None, so that a command can tell.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for the whole process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def texts(arguments: list[str]) -> list[str]:
    """The arguments as UTF-8, whatever the locale says; paths stay as the system functions want them.

    With the POSIX locale Python takes each byte beyond ASCII for one that is no text.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return arguments
    paths = {position + 1 for position, argument in enumerate(arguments) if argument in OPTIONS_WITH_PATH}
    return [
        argument
        if position in paths or argument.partition("=")[0] in OPTIONS_WITH_PATH
        else os.fsencode(argument).decode("utf-8", "surrogateescape")
        for position, argument in enumerate(arguments)
    ]


def _workspace_folder() -> list[str] | None:
    """The option that names the workspace's folder; None when that is not known, which the user was told."""
    from app.core.data_folder import data_folder
    from app.core.errors import StorageTrouble
    from app.core.services import WORKSPACE_FOLDER

    try:
        return ["--data", str(data_folder() / WORKSPACE_FOLDER)]
    except StorageTrouble as failure:
        sys.stderr.write(f"burrow: {failure.title}: {failure.cause}\n        {failure.advice}\n")
        return None


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
