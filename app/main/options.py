"""What a start of the window is asked for on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app import __version__
from app.core import safe_mode
from app.ui.places import PLACES

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKSPACE = "workspace"
# More than the longest link has.
LONGEST_ARGUMENT = 33_000


@dataclass(frozen=True, slots=True)
class StartOptions:
    """The options of one start. What was not given is empty, None or false."""

    workspace: bool
    host: str | None
    data: str | None
    offscreen: bool
    screenshot: str | None
    hidden: bool
    place: str | None
    safe_mode: bool
    new_window: bool
    link: str | None

    @property
    def named_host(self) -> str:
        """The host that the arguments name, empty where they name none."""
        return self.host or (WORKSPACE if self.workspace else "")

    def safely(self) -> StartOptions:
        """The same in safe mode, which hides no window."""
        return replace(self, safe_mode=True, hidden=False)

    def repeated(self) -> list[str]:
        """The arguments of this start that the next one has too."""
        found = ["--data", self.data] if self.data else []
        if self.workspace:
            found.append("--workspace")
        return [*found, "--host", self.host] if self.host else found


def read_options(arguments: Sequence[str]) -> StartOptions:
    """The options of these arguments. Raises `SystemExit` where they are wrong, and for `--help` and `--version`."""
    options = StartOptions(**vars(parser().parse_args(arguments)))
    return options.safely() if options.safe_mode else options


def parser() -> argparse.ArgumentParser:
    """The parser of the window's command line. Its destinations are the fields of `StartOptions`."""
    found = argparse.ArgumentParser(
        prog="burrow",
        description="A desktop client for PostHog's agent tasks and for MCP servers.",
        epilog="Without a window: burrow login|logout|status|tasks|mcp|connect|proxy|update|workspace --help",
    )
    where = found.add_mutually_exclusive_group()
    where.add_argument("--workspace", action="store_true", help="open the embedded workspace: no account, no network")
    where.add_argument(
        "--host", type=lambda text: text[:LONGEST_ARGUMENT], help="us, eu, workspace or the address of a server"
    )
    found.add_argument("--data", metavar="DIR", help="the folder for all data (also BURROW_DATA)")
    found.add_argument("--offscreen", action="store_true", help="run without a display")
    found.add_argument("--screenshot", metavar="FILE", help="save a picture of the window once it has loaded, and quit")
    found.add_argument(
        "--hidden", action="store_true", help="start in the tray, or minimised where the desktop has none"
    )
    found.add_argument("--place", choices=[place.id for place in PLACES], help="the place to show")
    found.add_argument(
        safe_mode.OPTION, action="store_true", help="start with the standard look and nothing that starts by itself"
    )
    found.add_argument(
        "--new-window", action="store_true", help="open another window, though one is open on the same data"
    )
    found.add_argument("link", nargs="?", type=_link, metavar="LINK", help="a burrow:// link to open")
    found.add_argument("--version", action="version", version=f"Burrow {__version__}")
    return found


def _link(text: str) -> str:
    """What looks like a link; whether it is one, the window says."""
    if not text.startswith("burrow:"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a command nor a burrow:// link")
    # One that is longer is refused in any case, and need not be sent.
    return text[:LONGEST_ARGUMENT]
