"""Words that stand in a table and are translated where they are shown. Imports no Qt before something is shown."""

from __future__ import annotations


def marked(context: str, text: str) -> str:
    """`text` unchanged; for lupdate, which is run with `-tr-function-alias QT_TRANSLATE_NOOP+=marked`."""
    return text


def translate(context: str, text: str) -> str:
    """`text`, marked with the same context, in the user's language."""
    from PySide6.QtCore import QCoreApplication

    return QCoreApplication.translate(context, text)
