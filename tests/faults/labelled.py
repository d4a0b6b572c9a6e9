"""The labelled corpus: answers of servers, vendors and what stands between, each with what it must be taken for.

A file of `corpus/` holds the answers of one origin under `answers`, and under `defaults` what most of them share:

- `name`, unique in its file; `why` where a label is not obvious; `looks_like`: the rule that it must not be judged by;
- `status`, `headers` (a list for a header that is sent several times), and one body at most: `json` (sent without
  spaces), `text`, `base64`, or `parts`, a list of texts and how often each is repeated; `encoding` compresses it;
- `pieces`: in chunks of how many bytes it is sent, one run for each number, 0 for all at once;
- `method`, `at_stake`, `jsonrpc`, `reports_own_auth`: what it answers, and whose credential that carried;
- `unlike`: what is different in a second answer that only looks like this one, with its own label;
- `verdict` and `heals`: the label. `scopes` that it asks for. An answer that is `ambiguous-auth` heals where the host
  refuses the token when it is asked, and not where it accepts it.

Labels come from the contract and the RFCs, never from what the classifier says.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.auth.http.classifier import Verdict
from app.core.auth.http.target import CredentialAtStake

FOLDER = Path(__file__).parent / "corpus"
BODIES = {"json", "text", "base64", "parts"}
ENCODINGS = {"gzip": gzip.compress, "deflate": zlib.compress}


@dataclass(frozen=True)
class Labelled:
    """One answer and its label. `sent` is the body on the wire, `body` what a client reads of it."""

    name: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sent: bytes
    method: str
    at_stake: CredentialAtStake
    jsonrpc: bool
    reports_own_auth: bool
    verdict: Verdict
    heals: bool
    scopes: tuple[str, ...]
    looks_like: str
    pieces: tuple[int, ...]

    @property
    def joined_headers(self) -> dict[str, str]:
        """Headers as clients hand them on: lower-case names, the values of a repeated one joined."""
        joined: dict[str, str] = {}
        for name, value in self.headers:
            before = joined.get(name.lower())
            joined[name.lower()] = value if before is None else f"{before}, {value}"
        return joined

    @property
    def ambiguous(self) -> bool:
        """Whether only the host can say whose credential it is about."""
        return self.verdict is Verdict.AMBIGUOUS_AUTH

    @property
    def media_type(self) -> str:
        return self.joined_headers.get("content-type", "").partition(";")[0].strip().lower()


def read_corpus() -> tuple[Labelled, ...]:
    """Every answer of every file."""
    return tuple(answer for file in sorted(FOLDER.glob("*.json")) for answer in _read(file))


def _read(file: Path) -> list[Labelled]:
    content = json.loads(file.read_text(encoding="utf-8"))
    rows = [{**content["defaults"], **row} for row in content["answers"]]
    return [_labelled(file.stem, each) for row in rows for each in _with_unlike(row)]


def _with_unlike(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer of a row, and the one that only looks like it."""
    unlike = row.pop("unlike", None)
    if unlike is None:
        return [row]
    same = {name: value for name, value in row.items() if not (name in BODIES and BODIES & unlike.keys())}
    return [row, {**same, "name": f"{row['name']}-unlike", **unlike}]


def _labelled(group: str, row: dict[str, Any]) -> Labelled:
    row.pop("why", None)
    body = _body({key: row.pop(key) for key in BODIES & row.keys()})
    encoding = row.pop("encoding", None)
    headers = [
        (name, each)
        for name, value in row.pop("headers", {}).items()
        for each in (value if isinstance(value, list) else [value])
    ]
    if encoding is not None:
        headers.append(("Content-Encoding", encoding))
    return Labelled(
        name=f"{group}/{row.pop('name')}",
        headers=tuple(headers),
        body=body,
        sent=body if encoding is None else ENCODINGS[encoding](body),
        at_stake=CredentialAtStake(row.pop("at_stake")),
        verdict=Verdict(row.pop("verdict")),
        scopes=tuple(row.pop("scopes", ())),
        looks_like=row.pop("looks_like", ""),
        pieces=tuple(row.pop("pieces", (0,))),
        **row,
    )


def _body(given: dict[str, Any]) -> bytes:
    match given:
        case {"json": value}:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        case {"text": str(text)}:
            return text.encode()
        case {"base64": str(text)}:
            return base64.b64decode(text)
        case {"parts": list(parts)}:
            return "".join(text * times for text, times in parts).encode()
        case _:
            return b""
