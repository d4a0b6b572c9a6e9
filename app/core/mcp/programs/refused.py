"""The errors of changing a program's configuration file."""

from __future__ import annotations

from app.core.errors import Rejected


class ConfigRefused(Rejected):
    """A configuration file cannot be read, understood or written. It is as it was."""

    title = "The file was not changed"
    action = "Correct the file, or paste the text into it yourself."


class ConfigChanged(ConfigRefused):
    """The file is no longer what was shown. Nothing was written."""

    title = "The file has changed meanwhile"
    action = "Look at the difference again, then add it."
