"""What the user chose for the whole process: the proxy, and how long to wait. Asked where it is needed, each time.

The choices are of the process, like its environment: every client of every server follows them at once. They are kept
in the settings as JSON values; what another program or version wrote there and makes no sense counts as the default.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

PROXY_MODE, PROXY_ADDRESS = "net.proxy", "net.proxy_address"
ANSWER_SETTING, SILENCE_SETTING = "net.answer_seconds", "net.silence_seconds"
SYSTEM, NONE, ADDRESS = "system", "none", "address"
PROXY_MODES = (SYSTEM, NONE, ADDRESS)


class Seconds(NamedTuple):
    """A duration that can be chosen: its key in the settings, the default and the bounds, in seconds."""

    key: str
    default: float
    least: float
    most: float

    def of(self, value: object) -> float:
        """`value`, if it is a number within the bounds; else the default."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.default
        return float(value) if self.least <= value <= self.most else self.default


ANSWER = Seconds(ANSWER_SETTING, 45.0, 5.0, 600.0)
"""How long a whole answer to a REST request may take."""
SILENCE = Seconds(SILENCE_SETTING, 60.0, 5.0, 1800.0)
"""How long a tool call may be silent before the user is asked whether to go on waiting."""


class Stored(Protocol):
    """Where the choices are kept (`storage.settings`)."""

    def get(self, key: str, default: object = None) -> object: ...


class ProxyChoice(NamedTuple):
    """`mode` is one of `PROXY_MODES`. `address` counts only with the mode `address`."""

    mode: str = SYSTEM
    address: str = ""


class Preferences:
    """The choices as they were last read. `proxy` is the same object until it is read again."""

    def __init__(self, stored: Stored | None = None) -> None:
        """Read them from `stored`. Without it everything has its default."""
        self._stored = stored
        self.refresh()

    def refresh(self) -> None:
        """Read the choices again: one was changed."""
        self.proxy = _proxy(self._of(PROXY_MODE), self._of(PROXY_ADDRESS))
        self.answer_seconds = ANSWER.of(self._of(ANSWER.key))
        self.silence_seconds = SILENCE.of(self._of(SILENCE.key))

    def _of(self, key: str) -> object:
        return None if self._stored is None else self._stored.get(key)


def _proxy(mode: object, address: object) -> ProxyChoice:
    known = mode if isinstance(mode, str) and mode in PROXY_MODES else SYSTEM
    text = address if isinstance(address, str) else ""
    # An address that is missing means that of the system.
    return ProxyChoice() if known == ADDRESS and not text else ProxyChoice(known, text)


_in_force = Preferences()


def preferences() -> Preferences:
    """The choices of this process."""
    return _in_force


def use_preferences(stored: Stored | None) -> None:
    """Follow these settings from now on; None: the defaults."""
    global _in_force
    _in_force = Preferences(stored)
