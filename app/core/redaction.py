"""Removes secrets from whatever is logged, shown, stored or exported.

It recognises bearer credentials, the token formats of PostHog and other vendors, OAuth parameters in query strings,
forms and JSON, credential headers and signed URLs. A secret that has no such format and no name beside it is recognised
only after `hide` was called with it. Burrow does so for each secret that it holds.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REDACTED = "[redacted]"
MAX_DEPTH = 24
# A credential has a handful of secrets. Those of a sign-in and of the last refreshes come on top.
HIDDEN_SECRETS = 48
# A shorter secret may be an ordinary word of a text.
LEAST_HIDDEN = 12
# A value that a tool calls secret is one, however ordinary it looks. A server often quotes it.
LEAST_HIDDEN_ARGUMENT, HIDDEN_ARGUMENTS = 8, 48

# Names are compared in lower case and without punctuation. A name with one of these words has a secret value.
_HIDDEN_WORDS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "privatekey",
    "credential",
    "assertion",
    "signature",
)
_HIDDEN_KEYS = frozenset({"authorization", "proxyauthorization", "cookie", "setcookie", "codeverifier", "pwd", "sig"})
# Names with "token" in them whose values are no secrets.
_HARMLESS_TOKEN_KEYS = frozenset(
    {
        "tokentype",
        "tokentypehint",
        "tokenendpoint",
        "tokenendpointauthmethod",
        "tokenendpointauthmethodssupported",
        "tokenurl",
        "progresstoken",
        "tokencount",
        "tokenlimit",
        "maxtokens",
        "inputtokens",
        "outputtokens",
        "totaltokens",
    }
)
# Names of secrets in OAuth that are ordinary names elsewhere: `code` may be an error code, `state` a status.
_OPAQUE_KEYS = frozenset({"code", "state", "nonce"})
_CODE_KEYS = frozenset({"usercode", "devicecode", "authcode", "authorizationcode", "sessionid", "mcpsessionid"})
_HEADER_KEYS = frozenset({"authorization", "proxyauthorization", "cookie", "setcookie"})

# What such a name may hold without being a secret: a plain word or a small number.
_OPAQUE_WORD = re.compile(r"[a-z]{1,20}(?:[_-][a-z]{1,20}){0,6}|\d{1,3}|-\d{1,5}|")
_EMPTY_WORDS = frozenset({"", "null", "none", "true", "false"})

_PUNCTUATION = re.compile(r"[\W_]+")
# The expressions run on text from strangers, on the loop. So they avoid backtracking, and cheap tests decide first
# whether one is worth running.
_HINT = re.compile(r"token|code|state|nonce|pass|secret|key|credential|assertion|signature|pwd|sig|auth|cookie")
_NAMED = re.compile(
    r"""
    (?: (?P<quote>\\{0,8}["']) | %3F | %26 | (?<![\w.-]) )
    (?P<name> api\ key | [\w.-]++ )
    (?(quote)(?P=quote))
    \s{0,4} (?P<mark>=|:|,|%3D) \s{0,4}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_VALUE = re.compile(
    r"""
      b?(?P<fence>\\{0,8}["']) (?P<fenced>.*?) (?P<end>(?<!\\)(?P=fence)|\Z)
    | (?P<bare>(?:[^&\s"'<>\\]|\\(?!["'nrt]))+)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_HEADER_START = r"(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,4}:\s{0,4})"
_HEADER = re.compile(_HEADER_START + r"([^\r\n\"']+)", re.IGNORECASE)
_OPEN_HEADER = re.compile(_HEADER_START + r"[^\r\n\"']+\Z", re.IGNORECASE)
_HEADER_END = re.compile(r"[\r\n\"']")
_SCHEME = re.compile(
    r"(?<!\w)(bearer|basic|dpop)(\s{1,4})"
    r"(?!(?:tokens?|auth|authentication|information)(?![\w.~+/=-])|[a-z_]+=\\{0,8}\")([\w.~+/=%-]+)",
    re.IGNORECASE,
)
# The known shapes of secrets, with `_PREFIXES` the only list of them: letters that each has, then its expression. Many
# have a look-behind, because longer words end like the beginning of a token. It lets a letter pass that ends an escape
# such as `\n` in JSON. Where the rest of the shape is unmistakable, nothing is asked of what precedes it.
_SHAPES = (
    # PostHog: access, refresh, personal and project keys.
    ("ph", r"ph[acersx]_(?<![^\\][A-Za-z]ph\w_)[\w-]+"),
    ("ph", r"ph[arx]_[\w-]{20,}"),
    # JWS and JWE in compact form (RFC 7515, RFC 7516): base64url of `{"`, or of `{ "` and a line break.
    ("eyJ", r"eyJ[\w-]{4,}\.(?:[\w-]+|(?=\.))(?:\.[\w-]*)*"),
    ("eyA", r"eyA[\w-]{4,}\.[\w-]{4,}\.[\w-]*(?:\.[\w-]*)*"),
    ("ewo", r"ewo[\w-]{4,}\.[\w-]{4,}\.[\w-]*(?:\.[\w-]*)*"),
    # Private keys in PEM (RFC 7468), OpenSSH's and OpenPGP's, also cut off before their end.
    (
        "-----BEGIN",
        # Spaces may be encoded as in a form.
        r"-----BEGIN(?=[A-Z0-9 %+]{1,50}PRIVATE(?: |%20|\+)KEY)[A-Z0-9 %+]+-----.*?(?:-----END[A-Z0-9 %+]+-----|\Z)",
    ),
    # GitHub, npm, PyPI, Hugging Face.
    ("gh", r"gh[oprsu]_(?:(?<![^\\][A-Za-z]gh\w_)[\w-]{12,}|[A-Za-z0-9]{30,})"),
    ("npm_", r"npm_(?:(?<![^\\]\wnpm_)(?=[\w-]*\d)[\w-]{16,}|[A-Za-z0-9]{30,})"),
    ("pypi-", r"pypi-(?<![^\\]\wpypi-)[\w-]{24,}"),
    ("hf_", r"hf_(?<![^\\]\whf_)[A-Za-z0-9]{24,}"),
    # Slack: bot, user, app and configuration tokens, cookies, hooks.
    ("xox", r"xox[a-z](?:\.xox[a-z])?-[\w%.+/-]{8,}"),
    ("xapp-", r"xapp-(?<![^\\]\wxapp-)[\w-]{12,}"),
    ("hooks.slack.com/", r"(?<=hooks\.slack\.com/)\w+/[\w/]{12,}"),
    # Google: access and refresh tokens.
    ("ya29.", r"ya29\.[\w.-]{10,}"),
    ("1//0", r"1//0(?<!\d1//0)[\w-]{20,}"),
    ("1%2F%2F0", r"1%2F%2F0(?<!\d1%2F%2F0)[\w-]{20,}"),
    # AWS: the ids of keys.
    ("A", r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{12,}"),
    # OpenAI, Anthropic, Stripe and those who follow them.
    ("sk", r"sk[-_](?<![^\\][A-Za-z]sk[-_])[\w-]{12,}"),
    # Burrow's own, of the clients of its proxy.
    ("bw_", r"bw_(?:(?<![^\\][A-Za-z]bw_)[\w-]{20,}|[\w-]{43,})"),
    ("SG.", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
)
# Beginnings that no other text has. Of GitHub, GitLab, Docker, Google, Stripe, Shopify, Linear, Grafana, Sentry, Figma,
# DigitalOcean, HashiCorp Vault and Atlassian.
_PREFIXES = (
    *(
        "github_pat_",
        "glpat-",
        "gloas-",
        "gldt-",
        "glrt-",
        "glcbt-",
        "glptt-",
        "glft-",
        "glsoat-",
        "glimt-",
        "glagent-",
    ),
    *("dckr_pat_", "dckr_oat_", "AIza", "GOCSPX-", "rk_live_", "rk_test_", "whsec_", "shpat_", "shpca_", "shppa_"),
    *("shpss_", "lin_api_", "lin_oauth_", "glsa_", "sntrys_", "figd_", "dop_v1_", "doo_v1_", "dor_v1_", "hvs.", "hvb."),
    *("hvr.", "ATATT"),
)
_TOKENS = (
    *((hint, re.compile(shape, re.DOTALL)) for hint, shape in _SHAPES),
    *((prefix, re.compile(rf"{re.escape(prefix)}[\w=+/-]{{12,}}")) for prefix in _PREFIXES),
)
_PRIVATE_KEY = re.compile(dict(_SHAPES)["-----BEGIN"], re.DOTALL)
_AWS_ID = re.compile(r"A(?:KIA|SIA)[A-Z0-9]{12,}")
_AWS_SECRET = re.compile(r"(?<![\w/+])[A-Za-z0-9/+]{40}(?![\w/+])")
_USER = re.compile(r"://[^/?#\s\"'<>]*@")
_QUERY = re.compile(r"\?[^\s\"'<>]*")
_SIGNED = re.compile(r"[?&;](?:x-amz-|x-goog-|(?:signature|sig|awsaccesskeyid|key-pair-id)=)", re.IGNORECASE)


_hidden: dict[str, None] = {}
# Apart, so that no argument of a call takes the place of a credential.
_hidden_arguments: dict[str, None] = {}


def hide(*secrets: str | None) -> None:
    """Redact these secrets from now on, wherever they occur. The newest 48 are remembered, in memory only."""
    for secret in secrets:
        if secret is not None and len(secret) >= LEAST_HIDDEN:
            _remember(_hidden, secret, HIDDEN_SECRETS)


def hide_arguments(*secrets: str) -> None:
    """As `hide`, for secret arguments of a call. The newest 48 are remembered, beside those of `hide`."""
    for secret in secrets:
        if len(secret) >= LEAST_HIDDEN_ARGUMENT:
            _remember(_hidden_arguments, secret, HIDDEN_ARGUMENTS)


def _remember(secrets: dict[str, None], secret: str, most: int) -> None:
    # Removed first, so that a secret that is still in use counts as new.
    secrets.pop(secret, None)
    secrets[secret] = None
    while len(secrets) > most:
        secrets.pop(next(iter(secrets)), None)


def redact_text(text: str) -> str:
    """`text` with every recognised secret replaced by `[redacted]`; safe to encode as UTF-8."""
    return _masked(text, assigned=True)


def _masked(text: str, *, assigned: bool, key_ids: bool = False) -> str:
    # Lone surrogates cannot be encoded and would make the caller's log or file fail.
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    # Before everything else: a later rule could replace a part of a secret, which would then no longer be found.
    text = _without_hidden(text)
    folded = text.lower()
    if "://" in text and "@" in text:
        text = _USER.sub(f"://{REDACTED}@", text)
    if "?" in text:
        text = _QUERY.sub(_clean_query, text)
    if "authorization" in folded or "cookie" in folded:
        text = _HEADER.sub(rf"\1\2{REDACTED}", text)
    if "bearer" in folded or "basic" in folded or "dpop" in folded:
        text = _SCHEME.sub(rf"\1\2{REDACTED}", text)
    if assigned and ("=" in text or ":" in text or "," in text or "%3d" in folded) and _HINT.search(folded):
        text = _clean_assigned(text)
    if key_ids or has_key_id(text):
        # The secret has no shape of its own. Beside the id of a key, its length is shape enough.
        text = _AWS_SECRET.sub(REDACTED, text)
    for hint, token in _TOKENS:
        if hint in text:
            text = token.sub(REDACTED, text)
    return text


def mask_credentials(text: str, *, key_ids: bool = False) -> str:
    """As `redact_text`, but what only stands beside a name stays: in a program, `token = next(tokens)` is no secret.

    For text that people work on, such as source code. Credentials of headers and addresses, and what has the shape of a
    secret or was hidden, are masked. `key_ids`: `text` is a piece of one that `has_key_id`.
    """
    return _masked(text, assigned=False, key_ids=key_ids)


def mask_spanning(text: str) -> str:
    """Mask what may stand on several lines: secrets that were hidden, and private keys. The rest stays."""
    text = _without_hidden(text)
    return _PRIVATE_KEY.sub(REDACTED, text) if "-----BEGIN" in text else text


def has_key_id(text: str) -> bool:
    """Whether it has the id of a key of AWS, whose secret has no shape of its own and may stand anywhere."""
    return ("AKIA" in text or "ASIA" in text) and _AWS_ID.search(text) is not None


def end_of_header(text: str, begin: int, end: int) -> int:
    """Where a credential header ends that begins in this piece of a line and goes on behind it; else `end`."""
    if _OPEN_HEADER.search(text, begin, end) is None:
        return end
    found = _HEADER_END.search(text, end)
    return found.start() if found is not None else len(text)


def _without_hidden(text: str) -> str:
    for secret in (*_hidden, *_hidden_arguments):
        if secret in text:
            text = text.replace(secret, REDACTED)
    return text


def holds_hidden(text: str) -> bool:
    """Whether a secret that `hide` was called with is in it."""
    return any(secret in text for secret in _hidden)


def names_secret(name: str) -> bool:
    """Whether a member with this name has a secret value. An id of a session counts as one."""
    return _verdict(name[:256]) in {"hidden", "token"}


def redact(value: object, *, limit: int = 65_536) -> Any:
    """A copy of `value` as JSON values, without secrets and cut to about `limit` characters.

    Where something is left out, the copy says so.
    """
    return _Copier(limit).copy(value, "", 0)


@lru_cache(maxsize=4096)
def _verdict(name: str) -> str | None:
    """Whether a value with this name is a secret.

    `hidden`: always. `token`: unless it is a number. `opaque`: unless it is a plain word or a number. None: no.
    """
    folded = _folded(name)
    if folded in _OPAQUE_KEYS:
        return "opaque"
    if folded in _HIDDEN_KEYS or any(word in folded for word in _HIDDEN_WORDS):
        return "hidden"
    if ("token" in folded and folded not in _HARMLESS_TOKEN_KEYS) or folded in _CODE_KEYS:
        return "token"
    return None


def _folded(name: str) -> str:
    return _PUNCTUATION.sub("", name.lower())


def _clean_query(match: re.Match[str]) -> str:
    return f"?{REDACTED}" if _SIGNED.search(match.group()) else match.group()


def _clean_assigned(text: str) -> str:
    """Replace the values of secret names in `name=value`, `"name": "value"`, `name: value` and `("name", "value")`."""
    pieces: list[str] = []
    done = position = 0
    while (named := _NAMED.search(text, position)) is not None:
        position = named.end()
        name = named.group("name").rpartition(".")[2][-64:]
        verdict = _verdict(name)
        # A comma separates the pairs of a list of headers, but also the words of a sentence.
        if verdict is None or (named.group("mark") == "," and _folded(name) not in _HEADER_KEYS):
            continue
        value = _VALUE.match(text, position)
        if value is None or _is_no_secret(value, verdict, named.group("mark")):
            continue
        pieces += [text[done:position], value.group("fence") or "", REDACTED, value.group("end") or ""]
        done = position = value.end()
    return "".join([*pieces, text[done:]])


def _is_no_secret(value: re.Match[str], verdict: str, mark: str) -> bool:
    bare = value.group("bare")
    word = (value.group("fenced") or "") if bare is None else bare.rstrip(",;.)}]")
    if word.lower() in _EMPTY_WORDS:
        return True
    if bare is not None and mark != ":":
        return False
    if verdict == "opaque":
        return _OPAQUE_WORD.fullmatch(word) is not None
    return verdict == "token" and bare is not None and word.isdecimal()


class _Copier:
    """Makes one redacted copy within a budget of characters."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def copy(self, value: object, name: str, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            self._left -= 5
            return value
        verdict = _verdict(name) if name else None
        if verdict is not None and not self._harmless(value, verdict):
            self._left -= len(REDACTED)
            return REDACTED
        if isinstance(value, (int, float)):
            self._left -= 8
            # Integers beyond 64 bits make some readers of JSON fail.
            return value if abs(value) < 2**63 else str(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value))
        if depth >= MAX_DEPTH:
            return "[truncated: nested too deeply]"
        return self._container(value, depth)

    def _container(self, value: object, depth: int) -> Any:
        from collections.abc import Mapping, Sequence, Set

        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (Sequence, Set)):
            return self._sequence(list(value), depth)
        return self._text(str(value))

    def _mapping(self, value: Mapping[Any, object], depth: int) -> dict[str, Any]:
        pair_name = _pair_name(value)
        copied: dict[str, Any] = {}
        for key, item in value.items():
            if self._left <= 0:
                copied["[truncated]"] = f"{len(value) - len(copied)} more members"
                break
            name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            self._left -= len(name) + 6
            inner = pair_name if pair_name is not None and name.lower() == "value" else name
            copied[redact_text(name[:256])] = self.copy(item, inner, depth + 1)
        return copied

    def _sequence(self, value: Sequence[object], depth: int) -> list[Any]:
        if len(value) == 2 and isinstance(value[0], (str, bytes)):
            name = value[0].decode("utf-8", "replace") if isinstance(value[0], bytes) else value[0]
            # Two words in a list are a header and its value only if the first one looks like a header's name. The
            # required members of a schema do not.
            if len(name) < 64 and _verdict(name) is not None and ("-" in name or _folded(name) in _HEADER_KEYS):
                return [self._text(name), self.copy(value[1], name, depth + 1)]
        copied: list[Any] = []
        for item in value:
            if self._left <= 0:
                copied.append(f"[truncated: {len(value) - len(copied)} more items]")
                break
            self._left -= 2
            copied.append(self.copy(item, "", depth + 1))
        return copied

    def _text(self, text: str) -> str:
        whole = len(text)
        room = max(self._left, 0)
        if whole <= room:
            self._left -= whole
            return redact_text(text)
        self._left = 0
        return f"{redact_text(text[:room])}… [truncated: {whole} characters in all]"

    def _bytes(self, data: bytes) -> str:
        try:
            return self._text(data.decode())
        except UnicodeDecodeError:
            return f"[{len(data)} bytes]"

    def _harmless(self, value: object, verdict: str) -> bool:
        if verdict == "token":
            return isinstance(value, (int, float))
        if verdict == "opaque":
            if isinstance(value, str):
                return _OPAQUE_WORD.fullmatch(value) is not None
            return not isinstance(value, (bytes, bytearray, memoryview))
        return False


def _pair_name(value: Mapping[Any, object]) -> str | None:
    """The name of the header in `{"name": …, "value": …}`; None for any other mapping."""
    for key in ("name", "key", "header"):
        name = value.get(key)
        if isinstance(name, str) and "value" in value and len(name) < 64:
            return name
    return None
