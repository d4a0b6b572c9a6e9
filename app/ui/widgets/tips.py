"""Tooltips of text that others wrote."""

from __future__ import annotations

import html


def plain_tip(text: str) -> str:
    """The text for a tooltip. Qt reads a tooltip as HTML when it looks like some, and HTML loads pictures and files."""
    if "<" not in text:
        return text
    return f'<span style="white-space: pre-wrap">{html.escape(text)}</span>'
