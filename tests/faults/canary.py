"""A process that meets its secrets everywhere they can turn up, and dies: `python -m tests.faults.canary FOLDER`.

Reads the secrets as JSON from standard input. What it writes to standard output and into FOLDER is what a person may
send to somebody else.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

import httpx

from app.core.auth.cause import ASKED
from app.core.auth.grant.grant import Grant
from app.core.auth.http import recovery
from app.core.auth.tokens import TokenSet
from app.core.diagnostics.logs import start_logging
from app.core.errors import BurrowError
from app.core.hosts import Host
from app.core.posthog.profile import sign_in_with_key
from app.core.services import Services
from tests.core.scripted import DEAD, Reply, ScriptedServer

METHODS = ("GET", "POST")


class Canary:
    """One walk through everything that can go wrong with `secrets` at hand."""

    def __init__(self, folder: Path, secrets: dict[str, str]) -> None:
        self.folder = folder
        self.secrets = secrets
        self.failures: list[BaseException] = []

    async def walk(self) -> None:
        services = Services(self.folder)
        async with ScriptedServer() as server:
            self.server = server
            host = Host("scripted", "Scripted", server.origin, client_id="client", secret=self.secrets["host"])
            self.backend = await services.connect(host, restore=False)
            self.credential = self.backend.credential
            await self.credential.choose_store("file")
            self.script()
            tokens = TokenSet(self.secrets["access"], self.secrets["refresh"], generation=1)
            await self.credential.sign_in(Grant(tokens, "client"), "test")
            await self.requests()
            await self.renewals()
            await self.bugs()
            await self.sign_in()
            await self.key()
            self.records(services)
            await services.activity.flush()
            await services.activity.export(self.folder / "exported.jsonl")
            self.shown(await self.credential.journal.recent(50))
            await services.close()

    def script(self) -> None:
        """A server that quotes what it was sent wherever it can."""
        s, origin = self.secrets, self.server.origin
        signed = f"https://b.s3.amazonaws.com/run?X-Amz-Signature={s['signature']}&X-Amz-Credential={s['credential']}"
        self.server.views |= {
            "/api/echo/": lambda r: Reply(400, {"code": "invalid", "detail": f"What is {r.bearer}?", "attr": "x"}),
            "/api/words/": Reply(400, f"The token {s['access']} is not for this server."),
            "/api/page/": Reply(500, f"<html>refresh_token={s['refresh']}</html>", {"Content-Type": "text/html"}),
            "/api/signed/": Reply(404, {"code": "not_found", "detail": f"{signed} is gone"}),
            "/api/away/": Reply(302, b"", {"Location": f"{origin}/cb?code={s['code']}&state={s['state']}"}),
            "/api/cookie/": Reply(200, {"ok": True}, {"Set-Cookie": f"sessionid={s['cookie']}"}),
            "/api/dead/": DEAD,
            "/api/nonsense/": Reply(200, f"<{s['access']}", {"Content-Type": "application/json"}),
            "/.well-known/oauth-authorization-server": Reply(
                200,
                {
                    "issuer": origin,
                    "authorization_endpoint": f"{origin}/oauth/authorize/",
                    "token_endpoint": f"{origin}/oauth/token/",
                    "code_challenge_methods_supported": ["S256"],
                },
            ),
            "/oauth/token/": lambda r: Reply(400, {"error": "invalid_request", "error_description": r.body.decode()}),
        }

    async def requests(self) -> None:
        for path in [path for path in self.server.views if path.startswith("/api/")]:
            for method in METHODS:
                await self.try_(self.backend.fetcher.request(method, path, body={"password": self.secrets["password"]}))
        answer = await self.backend.fetcher.get("/api/cookie/")
        try:
            (await self.backend.fetcher.get("/api/nonsense/")).decode(dict[str, Any])
        except BurrowError as failure:
            self.failures.append(failure)
        self.shown(answer)

    async def renewals(self) -> None:
        grant = self.credential.grant
        assert grant is not None
        await self.try_(self.credential.refresh(grant.tokens, ASKED))
        self.server.views["/oauth/token/"] = Reply(
            200,
            {
                "access_token": self.secrets["next_access"],
                "refresh_token": self.secrets["next_refresh"],
                "token_type": "Bearer",
                "expires_in": 3600,
            },
        )
        self.credential.wake()
        await self.try_(self.credential.refresh(grant.tokens, ASKED))
        self.server.views["/oauth/token/"] = Reply(400, {"error": "invalid_client", "hint": self.secrets["refresh"]})
        assert self.credential.grant is not None
        await self.try_(self.credential.refresh(self.credential.grant.tokens, ASKED))

    async def bugs(self) -> None:
        """Exceptions that carry secrets, in the healing, in a task, in a thread and in nobody's hands."""

        def broken(*_: object) -> Any:
            raise RuntimeError(f"bug at {self.secrets['next_access']} and Bearer {self.secrets['password']}")

        original = recovery.classify
        recovery.classify = broken  # type: ignore[assignment]
        await self.try_(self.backend.fetcher.get("/api/dead/"))
        recovery.classify = original
        thread = threading.Thread(target=broken)
        thread.start()
        thread.join()
        task = asyncio.get_running_loop().create_task(self.raising(broken))
        await asyncio.wait({task})
        del task
        gc.collect()
        try:
            broken()
        except RuntimeError as failure:
            sys.excepthook(type(failure), failure, failure.__traceback__)
            self.failures.append(failure)
            logging.getLogger("burrow").exception("with %s", self.secrets["refresh"])
        warnings.warn(f"token={self.secrets['next_refresh']}", stacklevel=1)

    async def raising(self, broken: Any) -> None:
        broken()

    async def sign_in(self) -> None:
        attempt = await self.credential.begin_sign_in(open_browser=False)
        callback = httpx.URL(attempt.url).params["redirect_uri"]
        async with httpx.AsyncClient(trust_env=False) as client:
            for state in (self.secrets["state"], httpx.URL(attempt.url).params["state"]):
                await client.get(callback, params={"code": self.secrets["code"], "state": state})
        self.shown(attempt)
        await self.try_(attempt.finish())

    async def key(self) -> None:
        await sign_in_with_key(self.credential, self.secrets["key"])
        await self.try_(self.backend.fetcher.get("/api/echo/"))

    def records(self, services: Services) -> None:
        """What the activity is given of messages."""
        s = self.secrets
        services.activity.record(
            "mcp",
            "Notion",
            f"tools/call with {s['access']}",
            detail={
                "params": {"arguments": {"headers": {"Authorization": f"Bearer {s['password']}"}, "note": s["access"]}},
                "text": f"x-api-key: {s['key']}\r\nCookie: a={s['cookie']}",
            },
        )

    async def try_(self, work: Any) -> None:
        try:
            self.shown(await work)
        except BurrowError as failure:
            self.failures.append(failure)

    def shown(self, value: object) -> None:
        """Somebody prints it while looking for a fault."""
        sys.stdout.write(f"{value!r} {value}\n")

    def everything(self) -> None:
        """Every object of Burrow that is alive, as a debugger would show it, and every error with its trace."""
        for thing in gc.get_objects():
            # A type may have any attribute of this name.
            if str(type(thing).__module__).startswith("app."):
                sys.stdout.write(f"{thing!r}\n")
        for failure in self.failures:
            sys.stdout.write("".join(traceback.format_exception(failure)) if isinstance(failure, BurrowError) else "")
            sys.stdout.write(f"{failure!r} {getattr(failure, 'facts', None)!r}\n" * isinstance(failure, BurrowError))


def main() -> None:
    folder = Path(sys.argv[1])
    canary = Canary(folder, json.loads(sys.stdin.readline()))
    start_logging(folder)
    asyncio.run(canary.walk())
    canary.everything()
    sys.stdout.write("end of the walk\n")
    sys.stdout.flush()
    faulthandler._sigsegv()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
