"""All keywords of JSON Schema that are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.mcp.forms.keywords import combined, members, values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.mcp.forms.evaluation import Keyword

KEYWORDS: Mapping[str, Keyword] = {**values.KEYWORDS, **members.KEYWORDS, **combined.KEYWORDS}
