"""What the sign-in bar says about one sign-in. An account that is alone in the bar is not named."""

from __future__ import annotations

from typing import NamedTuple

from PySide6.QtCore import QCoreApplication

from app.ui.translation import marked


class Waiting(NamedTuple):
    """What waits for a sign-in: changes that were not sent, and calls of tools."""

    changes: int = 0
    calls: int = 0


# By whether changes and calls wait; `{0}` and `{1}` are their counts in words.
KEPT = {
    (False, False): marked("Bar", "Your drafts are kept."),
    (True, False): marked("Bar", "Your draft and {0} are kept."),
    (False, True): marked("Bar", "Your draft and {1} are kept."),
    (True, True): marked("Bar", "Your draft, {0} and {1} are kept."),
}


def needed(title: str, waiting: Waiting, *, drafts: bool) -> str:
    """A new sign-in is needed. `title` is empty where it is not named; `drafts` says whether drafts belong to it."""
    ask = _tr("Sign in to {0} again to keep going.").format(title) if title else _tr("Sign in again to keep going.")
    kept = _kept(waiting) if drafts else _kept_calls(waiting.calls)
    return f"{ask} {kept}".strip()


def asked_for(title: str) -> str:
    """A client of the proxy needs a server that nobody is signed in to."""
    return (
        _tr("A program on this computer uses {0}. Sign in to let it go on.").format(title)
        if title
        else _tr("A program on this computer uses your account. Sign in to let it go on.")
    )


def failed(title: str, cause: str, *, drafts: bool) -> str:
    """A sign-in was tried and failed."""
    words = _tr("Sign-in to {0} failed.").format(title) if title else _tr("Sign-in failed.")
    return " ".join(part for part in (words, cause, _tr("Drafts are kept.") if drafts else "") if part)


def in_browser(title: str) -> str:
    """The browser is waited for."""
    return (
        _tr("Waiting for your browser to sign in to {0}…").format(title) if title else _tr("Waiting for your browser…")
    )


def back(title: str, sent: int, repeated: int) -> str:
    """Signed in again, and what has gone out since."""
    parts = [_tr("Signed in to {0}.").format(title) if title else _tr("Signed in.")]
    if sent:
        parts.append(_tr("Sent 1 message.") if sent == 1 else _tr("Sent {0} messages.").format(sent))
    if repeated:
        parts.append(_tr("Repeated 1 call.") if repeated == 1 else _tr("Repeated {0} calls.").format(repeated))
    return " ".join(parts)


def about(title: str, words: str) -> str:
    """Words about a sign-in that do not name it."""
    return _tr("{0}: {1}").format(title, words) if title else words


def _kept(waiting: Waiting) -> str:
    changes, calls = waiting
    parts = [
        _tr("1 waiting change") if changes == 1 else _tr("{0} waiting changes").format(changes),
        _tr("1 waiting call") if calls == 1 else _tr("{0} waiting calls").format(calls),
    ]
    return _tr(KEPT[bool(changes), bool(calls)]).format(*parts)


def _kept_calls(calls: int) -> str:
    if not calls:
        return ""
    return _tr("1 waiting call is kept.") if calls == 1 else _tr("{0} waiting calls are kept.").format(calls)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Bar", text)
