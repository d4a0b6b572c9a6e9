"""A bare OAuth client and the fault switchboard's handle, for driving a workspace process from tests."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx

if TYPE_CHECKING:
    from types import TracebackType

    from tests.conftest import RunningWorkspace

REDIRECT = "http://127.0.0.1:43210/callback"


@dataclass(frozen=True)
class Tokens:
    """What a token answer brought, and for whom."""

    access: str
    refresh: str
    client_id: str
    answer: dict[str, Any]

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}


class Lab:
    """One workspace, seen by a client and by the holder of its secret."""

    def __init__(self, workspace: RunningWorkspace) -> None:
        self.workspace = workspace
        self.http = httpx.Client(trust_env=False, base_url=workspace.url, timeout=10, verify=False)
        self.first_party = str(workspace.ready["client_id"])

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    @property
    def guard(self) -> dict[str, str]:
        return {"X-Workspace-Secret": self.workspace.secret}

    def switch(self, name: str, **body: Any) -> Any:
        answer = self.http.post(f"/_faults/{name}", json=body, headers=self.guard)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self) -> Any:
        return self.http.get("/_faults/state", headers=self.guard).json()

    def counters(self) -> Any:
        return self.state()["counters"]

    def wait_for_request(self, path: str) -> None:
        """Until a request to `path` has arrived; at most 10 s."""
        end = time.monotonic() + 10
        while not self.counters()["requests"].get(path):
            assert time.monotonic() < end, f"no request to {path} arrived"

    def ticket(self, **body: Any) -> str:
        return str(self.http.post("/_tickets", json=body, headers=self.guard).json()["ticket"])

    def page_ticket(self, challenge: str) -> str:
        """What the application opens the consent page of one request with."""
        answer = self.http.post("/_tickets/page", json={"code_challenge": challenge}, headers=self.guard)
        return str(answer.json()["ticket"])

    def person_code(self) -> str:
        """What a person types into a consent page that they opened by hand."""
        return str(self.http.post("/_tickets/code", headers=self.guard).json()["code"])

    def register(self, **metadata: Any) -> dict[str, Any]:
        body = {"redirect_uris": ["http://127.0.0.1/callback"], "client_name": "Probe", **metadata}
        answer = self.http.post("/oauth/register/", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def request(self, client_id: str, verifier: str, **changes: str | None) -> dict[str, str]:
        """Parameters of an authorization request; a change to None leaves one out."""
        values: dict[str, str | None] = {
            "client_id": client_id,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            "scope": "*",
            "state": "st-1",
            **changes,
        }
        return {name: value for name, value in values.items() if value is not None}

    def authorize(self, parameters: dict[str, str]) -> httpx.Response:
        return self.http.get("/oauth/authorize/", params=parameters)

    def page(self, parameters: dict[str, str]) -> httpx.Response:
        """The consent page as the application opens it."""
        ticket = self.page_ticket(parameters["code_challenge"])
        return self.authorize({**parameters, "page_ticket": ticket})

    def code(self, client_id: str, verifier: str, *, ticket: dict[str, Any] | None = None, **changes: str) -> str:
        parameters = self.request(client_id, verifier, login_ticket=self.ticket(**(ticket or {})), **changes)
        return returned(self.authorize(parameters))["code"]

    def token(self, **form: str) -> httpx.Response:
        return self.http.post("/oauth/token/", data=form)

    def exchange(self, client_id: str, code: str, verifier: str, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "client_id": client_id,
            "code_verifier": verifier,
        }
        return self.token(**{**form, **changes})

    def sign_in(self, client_id: str | None = None, *, ticket: dict[str, Any] | None = None, **changes: str) -> Tokens:
        client_id = client_id or self.first_party
        verifier = secrets.token_urlsafe(32)
        answer = self.exchange(client_id, self.code(client_id, verifier, ticket=ticket, **changes), verifier)
        assert answer.status_code == 200, answer.text
        return tokens(answer, client_id)

    def refresh(self, held: Tokens, **changes: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": held.refresh, "client_id": held.client_id}
        return self.token(**{**form, **changes})

    def refreshed(self, held: Tokens, **changes: str) -> Tokens:
        answer = self.refresh(held, **changes)
        assert answer.status_code == 200, answer.text
        return tokens(answer, held.client_id)

    def me(self, held: Tokens) -> httpx.Response:
        return self.http.get("/api/users/@me/", headers=held.header)


def tokens(answer: httpx.Response, client_id: str) -> Tokens:
    body = answer.json()
    return Tokens(body["access_token"], body["refresh_token"], client_id, body)


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def returned(answer: httpx.Response) -> dict[str, str]:
    """The query of a redirect back to the client."""
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))
