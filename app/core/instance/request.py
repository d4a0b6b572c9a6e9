"""What a further start sends to the window, and how it is read: strictly, for any program of the user can connect."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

# Of what the two say to each other. Another version may say anything.
VERSION = 1
# A link is 32 KB at most; JSON writes a character that is no ASCII as up to 12.
LONGEST_LINE = 512 * 1024
LONGEST_TEXT = 40_000
LONGEST_TOKEN = 1024
TOKEN = re.compile(r"[\x21-\x7e]*")
NONCE = re.compile(r"[0-9a-f]{32}")


class UnreadableLine(Exception):
    """What came is not what this version of Burrow sends."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a start was asked for.

    `host`, `place` and `link` are the arguments of the command line, empty where not given; none of them is checked
    yet. `hidden` asks that no window comes forward. `folder` is the working directory, in which relative paths have a
    meaning. `activation_token` (Wayland) and `startup_id` (X) are the desktop's words for what the user did.
    """

    host: str = ""
    place: str = ""
    link: str = ""
    hidden: bool = False
    folder: str = ""
    activation_token: str = ""
    startup_id: str = ""

    def token(self, platform: str) -> str:
        """What Qt's platform plugin of that name needs to activate a window."""
        return self.activation_token if platform.startswith("wayland") else self.startup_id


@dataclass(frozen=True, slots=True)
class Hello:
    """The window's first words: its version of these lines, its process id, its nonce and its proof (`doors.py`)."""

    version: int
    pid: int
    nonce: str
    proof: str


def token_of(text: str | None) -> str:
    """A token from the environment; empty for one that no desktop makes."""
    text = text or ""
    return text if len(text) <= LONGEST_TOKEN and TOKEN.fullmatch(text) else ""


def encode_request(request: StartRequest, proof: str) -> bytes:
    """The line of a request."""
    return _line({**asdict(request), "proof": proof})


def decode_request(line: bytes) -> tuple[StartRequest, str]:
    """A request and the proof of its sender. Raises `UnreadableLine`."""
    members = _members(line)
    proof = members.pop("proof", None)
    # The types are those of the defaults.
    expected = {field.name: type(field.default) for field in fields(StartRequest)}
    if set(members) != set(expected) or not isinstance(proof, str):
        raise UnreadableLine("other members")
    for name, value in members.items():
        if type(value) is not expected[name] or (isinstance(value, str) and len(value) > LONGEST_TEXT):
            raise UnreadableLine(f"{name} is something else")
    if any(token_of(members[name]) != members[name] for name in ("activation_token", "startup_id")):
        raise UnreadableLine("no token")
    return StartRequest(**members), proof


def encode_hello(hello: Hello) -> bytes:
    """The line of a hello."""
    return _line(asdict(hello))


def decode_hello(line: bytes) -> Hello:
    """A hello; of another version only that number is known, and perhaps the process. Raises `UnreadableLine`."""
    members = _members(line)
    version, pid = members.get("version"), members.get("pid")
    if type(version) is not int or type(pid) is not int or pid <= 0:
        raise UnreadableLine("no hello")
    if version != VERSION:
        return Hello(version, pid, "", "")
    nonce, proof = members.get("nonce"), members.get("proof")
    if not isinstance(nonce, str) or not NONCE.fullmatch(nonce) or not isinstance(proof, str):
        raise UnreadableLine("no hello")
    return Hello(version, pid, nonce, proof)


def _line(members: dict[str, Any]) -> bytes:
    # Lone surrogates, by which Python passes on what is no UTF-8, stay what they are in ASCII.
    return json.dumps(members, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def _members(line: bytes) -> dict[str, Any]:
    try:
        members = json.loads(line.decode("ascii"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as failure:
        raise UnreadableLine(str(failure)) from None
    if not isinstance(members, dict):
        raise UnreadableLine("no object")
    return members


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members
