"""The pages of vendors in a browser: without scripts, in the browser's colour scheme."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from starlette.responses import Response

PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    # Not no-referrer: browsers would send `Origin: null` with the form, which the request guard refuses.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f4f6f2; color: #1d241c; }
main { max-width: 26rem; margin: 1.5rem; padding: 2rem; border-radius: 12px; }
main { background: #fff; border: 1px solid #d8dfd5; }
h1 { margin: 0 0 .75rem; font-size: 1.25rem; } ul { padding-left: 1.2rem; } p { margin: .5rem 0; }
.buttons { display: flex; gap: .75rem; margin-top: 1.5rem; }
button { font: inherit; padding: .55rem 1.1rem; border-radius: 8px; border: 1px solid #9aa896; }
button { background: none; color: inherit; cursor: pointer; }
a.button { padding: .55rem 1.1rem; border-radius: 8px; background: #256b3f; color: #fff; text-decoration: none; }
a.button:focus-visible { outline: 3px solid #7fb38f; outline-offset: 2px; }
button[value=approve] { background: #256b3f; border-color: #256b3f; color: #fff; }
button:focus-visible { outline: 3px solid #7fb38f; outline-offset: 2px; }
@media (prefers-color-scheme: dark) {
  body { background: #131813; color: #e6ece4; } main { background: #1c231c; border-color: #354034; }
}
"""


def page(title: str, words: str, form: str = "", status: int = 200) -> Response:
    """A page that loads nothing from elsewhere. `form` is inserted as it is; the other texts are escaped."""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{html.escape(title)}</h1><p>{html.escape(words)}</p>{form}</main></body></html>",
        status,
        PAGE_HEADERS,
    )
