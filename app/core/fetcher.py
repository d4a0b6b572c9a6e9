"""Fetcher: sends all REST requests. It returns an `Answer` or raises a `BurrowError`.

Requests to one host are gated before they reach httpx, whose pool collapses under many waiters (50 in flight: 85
requests a second, 6 in flight: 500). Authentication and its healing are `BearerAuth`'s; here answers become values and
failures become `app.core.errors`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from app.core.auth.http.classifier import Reply
from app.core.auth.http.clients import pause_before_repeating, transport_error
from app.core.auth.http.decoding import ACCEPTED
from app.core.auth.http.proxies import ProxySettings
from app.core.auth.http.target import ANSWER_DEADLINE, REFRESH_FAILURE, RULE, CredentialAtStake, Target
from app.core.auth.http.trace import TRACE, Trace
from app.core.auth.status import Trouble
from app.core.error_mapping import answer_error, concerns_token
from app.core.errors import (
    BurrowError,
    Facts,
    NotConnectable,
    Offline,
    OutcomeUnknown,
    ProtocolTrouble,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    Throttled,
    TimedOut,
)
from app.core.events import Event
from app.core.preferences import ANSWER, preferences
from app.core.streams import AnswerStream
from app.core.urls import is_loopback, origin_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from app.core.auth.credential import Credential
    from app.core.auth.http.bearer import BearerAuth
    from app.core.auth.http.clients import HttpClients
    from app.core.hosts import Host
    from app.core.storage import Scope

T = TypeVar("T")

IN_FLIGHT = 6
# A host's stream says something every 20 seconds (docs/wire.md, "Run stream").
SILENCE_SECONDS = 60.0
BODY_LIMIT = 64 * 1024 * 1024
# What a record holds of each body: a little more than the activity keeps of it.
WIRE_BYTES = 72 * 1024
# For a file of the largest size over a slow line.
UPLOAD_SECONDS = 300.0
PLAIN_SECONDS = 10.0
PLAIN_LIMIT = 8 * 1024 * 1024
JSON_BODY = {"Content-Type": "application/json"}
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. Header names are case-insensitive; `origin` is the server that gave it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    origin: str

    def decode(self, kind: type[T]) -> T:
        """The JSON body as `kind` (anything msgspec decodes: dataclasses, dicts, unions).

        Raises `ServerTrouble` for a page instead of data, `ProtocolTrouble` naming the path of the first wrong value.
        """
        try:
            return msgspec.json.decode(self.content, type=kind, strict=False)
        except msgspec.ValidationError as problem:
            raise ProtocolTrouble(
                f"{self.origin} answered with an unexpected value: {problem}.", self._facts()
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if self.content.lstrip()[:1] == b"<":
                raise ServerTrouble(f"{self.origin} answered with a page instead of data.", self._facts()) from None
            raise ProtocolTrouble(f"{self.origin} answered with something that is not JSON.", self._facts()) from None

    def _facts(self) -> Facts:
        return Facts(status=self.status, origin=self.origin)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One finished request, for the activity record.

    `credential` is the text of the key of the credential that it carried. `wire` is what was sent and received, with
    its secrets, which are not in the `repr`.
    """

    method: str
    path: str
    origin: str
    status: int | None
    milliseconds: float
    rule: str
    error: str | None
    size: int
    credential: str
    wire: Wire = field(repr=False)


class Wire(NamedTuple):
    """A request and its answer as they were. `url` is one of httpx, `ended` is `time.monotonic()`.

    `body` and `answer` are the beginnings of the bodies, the answer's decoded; `body_size` and `answer_size` are those
    of the whole ones, in bytes. Of a stream only the size is known.
    """

    url: object
    trace: Trace
    body: bytes
    answer: bytes
    body_size: int
    answer_size: int
    ended: float

    def __repr__(self) -> str:
        # Either body may have secrets in it.
        return f"Wire({self.body_size} bytes sent, {self.answer_size} received)"


class Admission(NamedTuple):
    """Says that it was certain a moment ago that `scope` is the account that is signed in."""

    scope: Scope | None


class RequestOwner(Protocol):
    """Whose requests they are (`app.core.backend`)."""

    @property
    def sure(self) -> bool:
        """Whether `scope` is certain to be the account that the credential's token is of."""

    @property
    def scope(self) -> Scope | None:
        """The account that is shown."""

    async def admit(self, scope: Scope | None) -> Admission:
        """Wait until `sure`. Raises `SignInNeeded` when it is another account than `scope`, and why it is not known.

        None is nobody's, and waits for nothing.
        """


class Fetcher:
    """Requests to one host as the signed-in person."""

    def __init__(
        self,
        transport: HttpClients,
        credential: Credential,
        host: Host,
        *,
        in_flight: int = IN_FLIGHT,
        gate: asyncio.Semaphore | None = None,
        owner: RequestOwner | None = None,
    ) -> None:
        """With an `owner`, requests belong to the account that it shows when they are asked for.

        Whenever somebody signs in they wait until it is known who that is, and are not sent for anybody else. `gate` is
        shared with another fetcher of the host.
        """
        self.finished: Event[RequestRecord] = Event()
        self._transport = transport
        self._credential = credential
        self._host = host
        self._gate = gate or asyncio.Semaphore(in_flight)
        self._target = Target(host.token_origins, name=host.name, credential=credential.key)
        self._auth: BearerAuth | None = None
        self._owner = owner

    async def get(self, path: str, *, params: Mapping[str, str | int | bool | None] | None = None) -> Answer:
        return await self.request("GET", path, params=params)

    async def post(self, path: str, body: object | None = None, *, admission: Admission | None = None) -> Answer:
        return await self.request("POST", path, body=body, admission=admission)

    async def patch(self, path: str, body: object) -> Answer:
        return await self.request("PATCH", path, body=body)

    async def delete(self, path: str, *, admission: Admission | None = None) -> Answer:
        return await self.request("DELETE", path, admission=admission)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | bool | None] | None = None,
        body: object | None = None,
        timeout: float | None = None,
        idempotent: bool | None = None,
        admission: Admission | None = None,
    ) -> Answer:
        """Send one request and return its 2xx answer.

        `path` is relative to the host, or an absolute address of it (`next` links). `timeout` is how many seconds the
        whole answer may take, by default what the user chose (`preferences.ANSWER`), counted anew each time that it is
        sent. A GET that the server refuses for the moment (429, 503) is sent once more.
        `admission` is what `RequestOwner.admit` answered for this operation; without it the account is the one shown
        now. `idempotent` says whether sending twice does no harm; by default the method decides (RFC 9110 section
        9.2.2).
        Raises `BurrowError` kinds only; `OutcomeUnknown` when something not idempotent may have taken effect, because
        the connection broke or the server failed with anything but a 503 (faults row 55).
        """
        repeatable = method in IDEMPOTENT if idempotent is None else idempotent
        scope = self._scope(admission)
        client = await self._transport.client()
        seconds = preferences().answer_seconds if timeout is None else timeout
        limits = client.timeout if timeout is None and seconds == ANSWER.default else _limits(client, seconds)
        request = self._request(client, method, path, params, body, limits)
        request.extensions[ANSWER_DEADLINE] = seconds
        admitted = admission is not None
        try:
            return await self._exchange(request, scope, admitted=admitted, repeatable=repeatable)
        except (Throttled, ServerTrouble) as failure:
            pause = pause_before_repeating(failure.facts.status, failure.facts.retry_after)
            if method != "GET" or pause is None:
                raise
        await asyncio.sleep(pause)
        return await self._exchange(request, scope, admitted=admitted, repeatable=repeatable)

    async def _exchange(
        self, request: httpx.Request, scope: Scope | None, *, admitted: bool, repeatable: bool
    ) -> Answer:
        """Send a request when it has its turn, and record what became of it."""
        client = await self._transport.client()
        trace = request.extensions[TRACE] = Trace()
        status: int | None = None
        content = b""
        error: BurrowError | None = None
        try:
            async with self._turn(scope, admitted=admitted):
                response = await self._send(client, request, repeatable)
                status, content = response.status_code, await self._read(response, repeatable)
            if status < 300:
                return Answer(status, response.headers, content, self._host.origin)
            raise self._error(request, response, content, repeatable)
        except BurrowError as failure:
            error = failure
            self._note(failure)
            raise
        finally:
            self._tell(request, trace, status, len(content), error, content)

    async def upload(self, url: str, fields: Mapping[str, str], name: str, kind: str, content: bytes) -> None:
        """Post a file to an address that the server has signed, which may be another server's: without the token.

        The form has `fields`, then `file`. The address is a secret, so the request is not recorded. It may be repeated.
        Raises `Rejected` for an address that is neither HTTPS nor this host's, and what requests raise.
        """
        try:
            origin = origin_of(url)
        except ValueError:
            raise Rejected("The server named no address to upload to.", Facts(origin=self._host.origin)) from None
        if urlsplit(url).scheme != "https" and origin != self._host.origin:
            raise Rejected("The server named an address without encryption to upload to.", Facts(origin=origin))
        form = {"data": dict(fields), "files": {"file": (name, content, kind)}}
        await self._ask_openly("POST", url, origin, UPLOAD_SECONDS, **form)

    async def get_openly(self, url: str) -> Answer:
        """GET an address of another server that needs no sign-in, or whose sign-in is a part of it: without the token.

        It may be a secret, so the request is not recorded. Raises `Rejected` for an address that is neither HTTPS nor
        on this machine, and what requests raise.
        """
        return await self._ask_openly("GET", url, self._open_origin(url), preferences().answer_seconds)

    async def _ask_openly(self, method: str, url: str, origin: str, seconds: float, **body: Any) -> Answer:
        """Send a request without the token, and read the answer to it within that time. `body` is httpx's."""
        import httpx

        client = await self._transport.client()
        try:
            request = client.build_request(method, url, **body)
            request.extensions[ANSWER_DEADLINE] = seconds
            response = await client.send(request, stream=True)
            content = await self._read(response, True)
        except httpx.HTTPError as failure:
            raise transport_error(failure, origin=origin) from None
        except (httpx.InvalidURL, ValueError):
            raise Rejected("This cannot be sent as it is.", Facts(origin=origin)) from None
        if response.status_code >= 300:
            raise answer_error(Reply(response.status_code, response.headers, content), name=origin, origin=origin)
        return Answer(response.status_code, response.headers, content, origin)

    @asynccontextmanager
    async def stream_openly(
        self,
        url: str,
        *,
        bearer: str = "",
        params: Mapping[str, str | int | bool | None] | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float = SILENCE_SECONDS,
    ) -> AsyncIterator[AnswerStream]:
        """As `stream`, from another server that the host names, with the `bearer` that the host gave for it, if any.

        Nothing is refreshed for it. The request is not recorded.
        """
        import httpx

        origin = self._open_origin(url)
        client = await self._transport.client()
        usual = client.timeout
        timeout = httpx.Timeout(connect=usual.connect, read=silence, write=usual.write, pool=usual.pool)
        sent = {**(headers or {}), **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        try:
            request = client.build_request("GET", url, params=_query(params), headers=sent, timeout=timeout)
            response = await client.send(request, stream=True)
        except httpx.HTTPError as failure:
            raise transport_error(failure, origin=origin) from None
        except (httpx.InvalidURL, ValueError):
            raise Rejected("This cannot be sent as it is.", Facts(origin=origin)) from None
        if response.status_code >= 300:
            content = await self._read(response, True)
            reply = Reply(response.status_code, response.headers, content, at_stake=CredentialAtStake.UNMANAGED)
            raise answer_error(reply, name=origin, origin=origin)
        try:
            yield AnswerStream(response, origin)
        finally:
            await response.aclose()

    def _open_origin(self, url: str) -> str:
        """The origin of another server's address. Raises `Rejected` unless it is HTTPS or on this machine."""
        try:
            origin, parts = origin_of(url), urlsplit(url)
        except ValueError:
            raise Rejected("The server named no address to read from.", Facts(origin=self._host.origin)) from None
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise Rejected("The server named an address without encryption to read from.", Facts(origin=origin))
        return origin

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str | int | bool | None] | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float = SILENCE_SECONDS,
        admission: Admission | None = None,
    ) -> AsyncIterator[AnswerStream]:
        """GET an answer that is read while it comes. It takes no place among the requests in flight meanwhile.

        `headers` may name where to go on (`Last-Event-ID`). `silence` is how many seconds may pass without a byte.
        Raises what `request` raises until the answer has begun; reading it, see `AnswerStream`.
        """
        import httpx

        client = await self._transport.client()
        usual = client.timeout
        timeout = httpx.Timeout(connect=usual.connect, read=silence, write=usual.write, pool=usual.pool)
        request = self._request(client, "GET", path, params, None, timeout, headers)
        trace = request.extensions[TRACE] = Trace()
        status: int | None = None
        error: BurrowError | None = None
        answer: AnswerStream | None = None
        refusal = b""
        try:
            async with self._turn(self._scope(admission), admitted=admission is not None):
                response = await self._send(client, request, repeatable=True)
                status = response.status_code
                if status >= 300:
                    refusal = await self._read(response, repeatable=True)
                    raise self._error(request, response, refusal, repeatable=True)
            answer = AnswerStream(response, self._host.origin)
            try:
                yield answer
            finally:
                await response.aclose()
        except BurrowError as failure:
            error = failure
            self._note(failure)
            raise
        finally:
            self._tell(request, trace, status, len(refusal) if answer is None else answer.size, error, refusal)

    def _scope(self, admission: Admission | None) -> Scope | None:
        if admission is not None:
            return admission.scope
        return None if self._owner is None else self._owner.scope

    def _tell(
        self,
        request: httpx.Request,
        trace: Trace,
        status: int | None,
        size: int,
        error: BurrowError | None,
        content: bytes = b"",
    ) -> None:
        ended, body = monotonic(), request.content
        self.finished.emit(
            RequestRecord(
                request.method,
                request.url.path,
                self._host.origin,
                status,
                (ended - trace.started) * 1000,
                request.extensions.get(RULE, ""),
                type(error).__name__ if error else None,
                size,
                self._credential.key.text,
                Wire(request.url, trace, body[:WIRE_BYTES], content[:WIRE_BYTES], len(body), size, ended),
            )
        )

    @asynccontextmanager
    async def _turn(self, scope: Scope | None, *, admitted: bool) -> AsyncIterator[None]:
        """A place among the requests in flight, while there is a token and it is that of `scope`.

        `admitted` operations are asked about again only when somebody else has signed in meanwhile.
        """
        owner, passed = self._owner, admitted
        while True:
            if owner is not None and not passed:
                # Outside of the gate: the requests that tell who is signed in need a place themselves.
                await self._admit(owner, scope, again=admitted)
            passed = False
            async with self._gate:
                if await self._credential.access_token() is None:
                    raise self._credential.no_token_error()
                if owner is None or scope is None or (owner.sure and owner.scope == scope):
                    yield
                    return

    async def _admit(self, owner: RequestOwner, scope: Scope | None, *, again: bool) -> None:
        try:
            await owner.admit(scope)
        except SignInNeeded:
            raise
        except BurrowError as trouble:
            # Whoever was admitted must learn that nothing was sent, whatever kept it from being known again.
            raise (Offline(trouble.cause, trouble.facts) if again else trouble) from None

    def _request(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        params: Mapping[str, str | int | bool | None] | None,
        body: object | None,
        timeout: httpx.Timeout | float,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        import httpx

        try:
            return client.build_request(
                method,
                self._address(path),
                params=_query(params),
                content=None if body is None else msgspec.json.encode(body),
                headers=headers if body is None else JSON_BODY,
                timeout=timeout,
            )
        except (httpx.InvalidURL, ValueError):
            # A link that is none, an address beyond 64 KB, half of a surrogate pair in what was typed or in a header.
            raise Rejected("This cannot be sent as it is.", Facts(origin=self._host.origin)) from None

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request, repeatable: bool) -> httpx.Response:
        """Send; a kept-alive connection that the server closed meanwhile is no failure for what may be repeated."""
        import httpx

        if self._auth is None:
            self._auth = self._credential.auth(self._target)
        for last_try in (not repeatable, True):
            try:
                return await client.send(request, auth=self._auth, stream=True)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as failure:
                if last_try:
                    raise transport_error(failure, origin=self._host.origin, repeatable=repeatable) from None
            except httpx.HTTPError as failure:
                raise transport_error(failure, origin=self._host.origin, repeatable=repeatable) from None
        raise AssertionError("the last try returns or raises")

    async def _read(self, response: httpx.Response, repeatable: bool) -> bytes:
        import httpx

        try:
            # The transport takes the length away where it decodes.
            length = response.headers.get("content-length", "")
            if length.isdecimal():
                if float(length) > BODY_LIMIT:
                    raise self._too_large(response, repeatable)
                return await response.aread()
            chunks: list[bytes] = []
            size = 0
            async for chunk in response.aiter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > BODY_LIMIT:
                    raise self._too_large(response, repeatable)
            return b"".join(chunks)
        except httpx.HTTPError as failure:
            raise transport_error(failure, origin=self._host.origin, repeatable=repeatable) from None
        finally:
            await response.aclose()
            # httpx ties an answer and its stream to each other: forty objects a request that only a collection frees.
            del response.stream

    def _error(self, request: httpx.Request, response: httpx.Response, content: bytes, repeatable: bool) -> BurrowError:
        failure = request.extensions.get(REFRESH_FAILURE)
        reply = Reply(response.status_code, response.headers, content, at_stake=self._target.at_stake)
        if isinstance(failure, BurrowError) and concerns_token(reply):
            return failure
        return answer_error(
            reply,
            name=self._host.name,
            origin=self._host.origin,
            repeatable=repeatable,
            credential=self._target.credential,
        )

    def _note(self, failure: BurrowError) -> None:
        if isinstance(failure, NotConnectable):
            # Not "offline": the user has to do something about it.
            self._credential.unreachable(Trouble.SERVER)
        elif isinstance(failure, Offline | TimedOut):
            self._credential.unreachable(Trouble.OFFLINE)
        elif isinstance(failure, ServerTrouble) and failure.facts.status is None:
            self._credential.unreachable(Trouble.SERVER)

    def _too_large(self, response: httpx.Response, repeatable: bool) -> BurrowError:
        kind = ProtocolTrouble if repeatable else OutcomeUnknown
        facts = Facts(status=response.status_code, origin=self._host.origin)
        return kind(f"{self._host.origin} sent more than {BODY_LIMIT // 2**20} MB.", facts)

    def _address(self, path: str) -> str:
        """The full address. Raises `ValueError` for what is none, `Rejected` for another server's."""
        if path.startswith("/") and not path.startswith("//"):
            return f"{self._host.origin}{path}"
        if origin_of(path) != self._host.origin:
            raise Rejected("The address belongs to another server.", Facts(origin=origin_of(path)))
        return path


async def plain_json(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: object | None = None
) -> Any:
    """One unauthenticated JSON request to a server on this machine (the workspace's own pages).

    Raises `Rejected` for any other address, `Offline`, `ServerTrouble` or `NotFound` as they come.
    """
    import ssl

    import httpx

    from app.core.auth.http.transport import NetTransport

    try:
        parts, origin = urlsplit(url), origin_of(url)
    except ValueError:
        raise Rejected("This is no address.") from None
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise Rejected("Only a server on this machine may be asked without a sign-in.", Facts(origin=origin))
    # No TLS on loopback: the certificate store, slow to load, is not needed.
    transport = NetTransport(httpx, ProxySettings(), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    content = bytearray()
    try:
        async with (
            httpx.AsyncClient(transport=transport, trust_env=False, headers={"Accept-Encoding": ACCEPTED}) as client,
            asyncio.timeout(PLAIN_SECONDS),
            client.stream(method, url, headers=dict(headers or {}), json=body, timeout=PLAIN_SECONDS) as response,
        ):
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > PLAIN_LIMIT:
                    raise ProtocolTrouble(f"{origin} sent more than {PLAIN_LIMIT // 2**20} MB.", Facts(origin=origin))
    except TimeoutError:
        raise TimedOut(f"{origin} did not answer in time.", Facts(origin=origin)) from None
    except httpx.HTTPError as failure:
        raise transport_error(failure, origin=origin) from None
    except (httpx.InvalidURL, ValueError):
        raise Rejected("This cannot be sent as it is.", Facts(origin=origin)) from None
    answer = bytes(content)
    if response.status_code >= 300:
        raise answer_error(Reply(response.status_code, response.headers, answer), name=origin, origin=origin)
    try:
        return msgspec.json.decode(answer) if answer else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ServerTrouble(f"{origin} answered with something that is not JSON.", Facts(origin=origin)) from None


def _limits(client: httpx.AsyncClient, seconds: float) -> httpx.Timeout:
    """The client's limits for an answer that may take so many seconds, and be silent for as long."""
    import httpx

    connect = client.timeout.connect
    return httpx.Timeout(seconds, connect=seconds if connect is None else min(connect, seconds))


def _query(params: Mapping[str, str | int | bool | None] | None) -> dict[str, str] | None:
    if params is None:
        return None
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in params.items()
        if value is not None
    }
