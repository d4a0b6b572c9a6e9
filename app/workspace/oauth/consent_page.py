"""The consent page: plain HTML with a style sheet of its own, without scripts or anything loaded from elsewhere."""

from __future__ import annotations

import html
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = "all"
ORGANIZATION = "organization"
TEAM = "team"
LEVELS = (ALL, ORGANIZATION, TEAM)

STYLE = """
:root { color-scheme: light dark; --paper: #f3f4ef; --card: #ffffff; --ink: #1d1f1a; --soft: #5d6157;
  --line: #d9dbd2; --accent: #2f5d50; --on-accent: #ffffff; --warn: #7a4b00; --warn-paper: #fff3da; }
@media (prefers-color-scheme: dark) { :root { --paper: #161815; --card: #1f221e; --ink: #ecede8;
  --soft: #a5a99f; --line: #363a34; --accent: #8fcbb8; --on-accent: #10201b; --warn: #f0c77e;
  --warn-paper: #33290f; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px 16px;
  background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Cantarell, sans-serif; }
main { width: 100%; max-width: 480px; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; padding: 32px; }
h1 { font-size: 22px; line-height: 1.3; margin: 0 0 6px; text-wrap: balance; overflow-wrap: anywhere; }
h2, legend { font-size: 14px; font-weight: 600; margin: 0 0 8px; padding: 0; }
p { margin: 0 0 16px; } .soft { color: var(--soft); font-size: 14px; }
.note { background: var(--warn-paper); color: var(--warn); border-radius: 8px; padding: 10px 14px; font-size: 14px; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 99px; padding: 0 9px;
  font-size: 13px; font-weight: 500; color: var(--warn); vertical-align: middle; }
section { border-top: 1px solid var(--line); margin: 20px 0 0; padding: 20px 0 0; }
fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
input { accent-color: var(--accent); }
.code { display: block; width: 100%; margin-top: 6px; padding: 10px 12px; font: inherit; letter-spacing: 2px;
  color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
ul { margin: 0; padding: 0 0 0 20px; } li { margin: 2px 0; }
.choice { display: flex; gap: 10px; align-items: baseline; padding: 5px 0; }
.choice small { color: var(--soft); display: block; }
.buttons { display: flex; gap: 12px; margin-top: 28px; } .end { margin: 20px 0 0; }
.back { flex-direction: row-reverse; }
button { flex: 1; font: inherit; font-weight: 600; padding: 11px 16px; border-radius: 9px; cursor: pointer;
  border: 1px solid var(--line); background: transparent; color: var(--ink); }
button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
select { font: inherit; max-width: 100%; padding: 4px 8px; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; }
code { font-size: 13px; overflow-wrap: anywhere; } li code { color: var(--soft); }
summary { cursor: pointer; font-size: 14px; color: var(--soft); } details ul { margin-top: 8px; }
"""

SUBJECT_WORDS = {
    "action": "actions",
    "activity_log": "the activity log",
    "annotation": "annotations",
    "cohort": "cohorts",
    "dashboard": "dashboards",
    "error_tracking": "error reports",
    "event_definition": "event definitions",
    "experiment": "experiments",
    "feature_flag": "feature flags",
    "insight": "insights",
    "integration": "connected services such as GitHub",
    "notebook": "notebooks",
    "organization": "your organisation",
    "person": "people in your project",
    "project": "your project and its MCP servers",
    "property_definition": "property definitions",
    "query": "queries over your data",
    "session_recording": "session recordings",
    "survey": "surveys",
    "task": "your tasks and their runs",
    "user": "your name, e-mail address and settings",
}
OTHER_WORDS = {
    "*": "Everything you can do yourself",
    "openid": "Know who you are",
    "profile": "See your name",
    "email": "See your e-mail address",
    "introspection": "Check whether tokens are still valid",
}
MOST_SHOWN = 14


@dataclass(frozen=True)
class ConsentOption:
    """An organisation or project that the grant can be limited to."""

    id: str
    name: str


@dataclass(frozen=True)
class ConsentPage:
    """What the page shows.

    `redirect_source` is the Content-Security-Policy source of the redirect URI. `held` are the scopes that the person
    approved earlier for this client, and `chosen` is the organisation or project of the last time.
    """

    client_name: str
    unverified: bool
    person: str
    scopes: Sequence[str]
    organizations: Sequence[ConsentOption]
    projects: Sequence[ConsentOption]
    level: str
    csrf: str
    returns_to: str
    redirect_source: str
    held: Sequence[str] = ()
    chosen: str = ""
    problem: str | None = None

    @property
    def more(self) -> list[str]:
        """The requested scopes that are not held yet; empty at the first time."""
        first_time = not self.held
        return [] if first_time or "*" in self.held else [scope for scope in self.scopes if scope not in self.held]


def in_words(scopes: Sequence[str]) -> list[tuple[str, str]]:
    """Each scope with its words for a person. `x:write` includes `x:read`, which is then left out."""
    lines = []
    for scope in scopes:
        subject, _, level = scope.partition(":")
        if scope in OTHER_WORDS:
            lines.append((scope, OTHER_WORDS[scope]))
        elif level == "write":
            lines.append((scope, f"See and change {SUBJECT_WORDS.get(subject, subject)}"))
        elif f"{subject}:write" not in scopes:
            lines.append((scope, f"See {SUBJECT_WORDS.get(subject, subject)}"))
    return lines


def consent_page(page: ConsentPage, status: int = 200) -> HTMLResponse:
    name = html.escape(page.client_name)
    badge = ' <span class="badge">unverified</span>' if page.unverified else ""
    warning = (
        '<p class="note">Anyone can register an application under any name. '
        "Approve only if you have just started this sign-in yourself.</p>"
        if page.unverified
        else ""
    )
    problem = f'<p class="note" role="alert">{html.escape(page.problem)}</p>' if page.problem else ""
    asks = "asks for more access" if page.more else "asks for access"
    organizations = _select("organization", "Organisation", page.organizations, page.chosen)
    projects = _select("team", "Project", page.projects, page.chosen)
    body = f"""
<h1>{name}{badge} {asks}</h1>
<p class="soft">You are signed in to the workspace as {html.escape(page.person)}.</p>
{problem}{warning}
<form method="post" action="/oauth/authorize/">
<input type="hidden" name="csrf" value="{html.escape(page.csrf)}">
{_scopes(page)}
<section><fieldset><legend>Access to</legend>
{_level(page, ALL, "Everything", "All organisations and projects you belong to")}
{_level(page, ORGANIZATION, "One organisation", organizations)}
{_level(page, TEAM, "One project", projects)}
</fieldset></section>
<div class="buttons">
<button name="decision" value="deny">Deny</button>
<button class="main" name="decision" value="approve">Approve</button>
</div>
</form>
<p class="soft end">You will return to <code>{html.escape(page.returns_to)}</code></p>
"""
    return _html("Allow more access?" if page.more else "Allow access?", body, f"'self' {page.redirect_source}", status)


def code_page(csrf: str, redirect_source: str, problem: str | None, status: int) -> HTMLResponse:
    """Asks for the code that only the person whose workspace this is can see."""
    alert = f'<p class="note" role="alert">{html.escape(problem)}</p>' if problem else ""
    body = f"""
<h1>An application asks for access</h1>
<p id="help">Burrow did not open this page. Type the code that Burrow shows on its page Workspace lab, or that
<code>burrow workspace --code</code> prints.</p>
{alert}
<form method="post" action="/oauth/authorize/">
<input type="hidden" name="csrf" value="{html.escape(csrf)}">
<label for="code">Code</label>
<input class="code" name="person_code" id="code" aria-describedby="help" autocomplete="off" spellcheck="false"
maxlength="20" autofocus>
<div class="buttons back">
<button class="main" name="decision" value="continue">Continue</button>
<button name="decision" value="deny">Deny</button>
</div>
</form>
"""
    return _html("Who is there?", body, f"'self' {redirect_source}", status)


def message_page(title: str, text: str, status: int) -> HTMLResponse:
    body = f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>"
    return _html(title, body, "'none'", status)


def _scopes(page: ConsentPage) -> str:
    """What the client will be able to do. New scopes come first, with their names; those held already are folded."""
    if not page.more:
        return f'<section aria-labelledby="may"><h2 id="may">It will be able to</h2>{_list(page.scopes)}</section>'
    kept = [scope for scope in page.scopes if scope in page.held]
    return (
        f'<section aria-labelledby="may"><h2 id="may">It will also be able to</h2>{_list(page.more, named=True)}'
        f"</section><section><details><summary>What it can do now</summary>{_list(kept)}</details></section>"
    )


def _list(scopes: Sequence[str], *, named: bool = False) -> str:
    lines = [
        f"<li>{html.escape(words)}{f' <code>{html.escape(scope)}</code>' if named else ''}</li>"
        for scope, words in in_words(scopes)
    ]
    if not lines:
        return "<p>Nothing, except know that you approved</p>"
    rest = "".join(lines[MOST_SHOWN:])
    more = f"<details><summary>{len(lines) - MOST_SHOWN} more</summary><ul>{rest}</ul></details>" if rest else ""
    return f"<ul>{''.join(lines[:MOST_SHOWN])}</ul>{more}"


def _level(page: ConsentPage, value: str, label: str, extra: str) -> str:
    checked = " checked" if page.level == value else ""
    detail = extra if extra.startswith("<") else f"<small>{html.escape(extra)}</small>"
    return (
        f'<div class="choice"><input type="radio" name="access_level" id="level-{value}" value="{value}"{checked}>'
        f'<div><label for="level-{value}">{label}</label> {detail}</div></div>'
    )


def _select(name: str, label: str, choices: Sequence[ConsentOption], chosen: str) -> str:
    options = "".join(
        f'<option value="{html.escape(choice.id)}"{" selected" if choice.id == chosen else ""}>'
        f"{html.escape(choice.name)}</option>"
        for choice in choices
    )
    return f'<select name="{name}" aria-label="{label}">{options}</select>'


def _html(title: str, body: str, form_action: str, status: int) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    document = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style nonce="{nonce}">{STYLE}</style>
</head>
<body><main>{body}</main></body>
</html>
"""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
        # Not no-referrer: browsers would send `Origin: null` with the form, which the request guard refuses.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(document, status, headers)
