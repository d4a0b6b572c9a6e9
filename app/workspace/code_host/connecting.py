"""The code host's own page, on which a person connects their account. It loads nothing from elsewhere."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.routing import Route

from app.workspace.code_host.rows import INSTALLATION, connect_account
from app.workspace.runtime.context import workspace_of
from app.workspace.runtime.one_time import OneTimeValues
from app.workspace.web.pages import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace

PATH = "/_vendor/github/connect"
# As long as PostHog's client waits for the person.
TICKET_SECONDS = 300.0
TITLE = "Connect GitHub"


class Connecting(NamedTuple):
    """Who connects an account, and for which project; 0 where the client named none."""

    user_id: int
    project: int


class ConnectTickets(OneTimeValues[Connecting]):
    """Who may connect an account with a ticket."""

    def __init__(self) -> None:
        super().__init__(TICKET_SECONDS)


def routes() -> list[BaseRoute]:
    """The page and its form."""
    return [Route(PATH, ask, methods=["GET"]), Route(PATH, decide, methods=["POST"])]


def connect_url(workspace: Workspace, user_id: int, project: int) -> str:
    """The address of the page for this person; it works once, within `TICKET_SECONDS`."""
    ticket = workspace.state(ConnectTickets).put(Connecting(user_id, project), workspace.clock.now())
    return f"{workspace.settings.url}{PATH}?ticket={ticket}"


async def ask(request: Request) -> Response:
    """Ask the person. The ticket is used by the answer only, so that the page can be loaded again."""
    ticket = html.escape(request.query_params.get("ticket", ""), quote=True)
    form = (
        f'<form method="post" action="{PATH}"><input type="hidden" name="ticket" value="{ticket}">'
        '<div class="buttons"><button name="decision" value="approve">Connect</button>'
        '<button name="decision" value="deny">Cancel</button></div></form>'
    )
    words = (
        "This page stands for GitHub: the workspace reaches no other machine. Connect your account, so that runs can"
        " act in your name on the repositories of this workspace."
    )
    return page(TITLE, words, form)


async def decide(request: Request) -> Response:
    try:
        given = await request.form(max_files=0, max_fields=5)
    except HTTPException:
        return page(TITLE, "The browser sent no form. Start again from Burrow.", status=400)
    workspace = workspace_of(request)
    now = workspace.clock.now()
    ticket, decision = given.get("ticket"), given.get("decision")
    if isinstance(ticket, UploadFile) or isinstance(decision, UploadFile):
        ticket = None
    who = workspace.state(ConnectTickets).take(ticket or "", now)
    if who is None:
        return page(TITLE, "This link was used already, or it is too old. Start again from Burrow.", status=400)
    if decision != "approve":
        return page(TITLE, "Nothing was connected.", _back(who.project, status="error", error_code="access_denied"))
    await workspace.db.run(lambda db: connect_account(db, who.user_id, now))
    words = "Runs can act in your name now."
    return page("GitHub is connected", words, _back(who.project, installation_id=INSTALLATION, status="success"))


def _back(project: int, **said: str) -> str:
    """The link by which Burrow learns of it, and what to do where the browser opens no such link."""
    if not project:
        return "<p>You can close this page and go back to Burrow.</p>"
    query = urlencode({"provider": "github", "project_id": project, **said, "host": "workspace"})
    return (
        f'<div class="buttons"><a class="button" href="burrow://integration?{html.escape(query, quote=True)}">'
        "Go back to Burrow</a></div><p>If that opens nothing, close this page and go back to Burrow yourself. It looks"
        " when its window becomes active.</p>"
    )
