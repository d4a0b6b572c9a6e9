"""The page on which a person lets an application use their account of a vendor."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from app.workspace.web.pages import page

if TYPE_CHECKING:
    from starlette.responses import Response

    from app.workspace.vendors.names import Issuer


def consent_page(issuer: Issuer, ticket: str, client_name: str, asked: list[str]) -> Response:
    words = dict(issuer.scopes)
    scopes = "".join(f"<li>{html.escape(words[scope])}</li>" for scope in asked)
    form = (
        f'<ul>{scopes}</ul><form method="post" action="{issuer.path}/authorize">'
        f'<input type="hidden" name="ticket" value="{ticket}"><div class="buttons">'
        '<button name="decision" value="approve">Allow</button>'
        '<button name="decision" value="deny">Do not allow</button></div></form>'
    )
    return page(f"Connect {issuer.name}", f"{client_name} would like to use your {issuer.name} account:", form)
