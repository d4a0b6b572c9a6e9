"""What every Linux package says of Burrow."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field

NAME = "burrow"
SUMMARY = "Desktop client for PostHog's agent tasks and for MCP servers"
DESCRIPTION = (
    "Burrow shows the agent tasks of a PostHog project, starts new ones, and follows their runs.",
    "It signs in to MCP servers, calls their tools, and lends them to the programs of this machine by a local proxy.",
    "It also runs without a network or an account, on an embedded workspace, and by its command line without a window.",
)
DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def maintainer() -> str:
    """Who publishes this package, `Name <address>`: a distributor sets BURROW_MAINTAINER."""
    return os.environ.get("BURROW_MAINTAINER") or "The Burrow authors <burrow@localhost>"


@dataclass(frozen=True, slots=True)
class Release:
    """One version for one machine, by the kernel's name of it; `epoch` is the time of all files, seconds since 1970."""

    version: str
    epoch: int
    machine: str = field(default_factory=platform.machine)

    @property
    def debian_architecture(self) -> str:
        return DEBIAN_ARCHITECTURES[self.machine]

    @property
    def sortable_version(self) -> str:
        """The version as dpkg and rpm compare it: `1.0rc1` and `1.0.dev1` are before `1.0` (PEP 440), so `1.0~rc1`."""
        return re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", self.version)
