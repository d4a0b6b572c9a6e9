"""ConfigRefused: a program's configuration file was not changed."""

from __future__ import annotations

from app.core.errors import Rejected


class ConfigRefused(Rejected):
    """A configuration file cannot be read, understood or written. It is as it was."""

    title = "The file was not changed"
    action = "Correct the file, or paste the text into it yourself."
