"""The fault matrix as `docs/faults.md` shows it: every row, the tests that prove it, and what they measured."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

OWED: dict[int, str] = {}
"""Rows of a part that does not exist yet."""

ROWS = {
    1: "50 requests at once, the token dead on the server and alive by the clock",
    2: "the same, and late refusals arrive when the renewal is over",
    3: "a refusal of the old token arrives while its successor is refused too",
    4: "50 requests at once, the token past its time by the clock",
    5: "a good token, many requests and a long event stream at once",
    6: "whoever asked for the renewal is cancelled",
    7: "all who wait are cancelled, and the program quits meanwhile",
    8: "the token endpoint itself answers 401 or 403",
    9: "the new token is refused as well",
    10: "the server keeps issuing tokens and keeps refusing them",
    11: "2, 5 and 10 processes share a token past its time",
    12: "2, 5 and 10 processes share a token that is dead on the server",
    13: "the process that renews is killed, at every step of it",
    14: "the process that renews hangs in the network",
    15: "another process renewed meanwhile",
    16: "invalid_grant, but the vault holds a newer refresh token",
    17: "somebody signs out in one process while another renews",
    18: "the loser of a race tidies up",
    19: "killed between the server's answer and the vault, at every step",
    20: "the new pair cannot be stored: disk full, keyring locked",
    21: "the stored record is empty, torn or garbage",
    22: "two servers renew at once",
    23: "an older and a newer Burrow share a grant",
    24: "the token endpoint answers 503 twice",
    25: "503 with Retry-After: 7",
    26: "429 with Retry-After",
    27: "no answer, or no connection",
    28: "the reply is lost after the server took the token; it gives grace",
    29: "the reply is lost after the server took the token; it gives none",
    30: "400 invalid_grant",
    31: "401 invalid_client",
    32: "invalid_scope or invalid_target at a renewal",
    33: "an answer without a refresh token",
    34: "no lifetime, or one that is none",
    35: "a lifetime shorter than the usual margin",
    36: "a page of a captive portal, or an OAuth error inside a 200",
    37: "the token endpoint redirects",
    38: "a token of an unknown type",
    39: "discovery fails while a token is renewed",
    40: "the authorization server has another issuer now",
    41: "401 without a challenge",
    42: "401 invalid_token",
    43: "401 invalid_request, Basic, or a proxy's 407",
    44: "403 with the code authentication_failed",
    45: "403 for want of permission, a hundred times",
    46: "403 insufficient_scope",
    47: "a JSON-RPC error of authentication inside a 200",
    48: "a tool result that quotes the words",
    49: "a tool error about somebody else's credential",
    50: "401 from something on the way",
    51: "an authentication error in the middle of a stream",
    52: "a stream broken by the death of the token",
    53: "a listen stream that is refused again and again",
    54: "a call refused before it ran",
    55: "a request whose outcome nobody knows",
    56: "a body that cannot be sent twice, or is too large to keep",
    57: "a redirect to another origin",
    58: "a downgrade to plain http",
    59: "the machine slept past the expiry; twenty timers fire at once",
    60: "the clock is ten minutes off, or jumps",
    61: "the network flaps during a renewal",
    62: "the keyring is locked or hangs",
    63: "there is no keyring",
    64: "a secret longer than a Windows credential",
    65: "a macOS keychain that asks for each item",
    66: "the keychain is denied",
    67: "a large answer or a slow reader through the proxy",
    68: "an agent connects while the grant is dead",
    69: "the proxy is started again",
    70: "a bug in the layer that heals",
    71: "401 behind an installation's proxy, of unclear owner; the host refuses the token",
    72: "the same, and the host accepts the token",
    73: "the same, and the host does not say",
    74: "the program ends while a renewal is on its way",
    75: "an answer to a renewal lacks something",
    76: "a token that was adopted from another process is dead too",
    77: "the server issues tokens that expire at once",
    78: "another process asks between a refusal and the end of the grant",
    79: "a renewal ahead of time is refused, and the access token still works",
    80: "one of several servers refuses every token",
    81: "the successor of the refresh token cannot be stored",
    82: "several windows find the same unsent tasks",
    83: "the window that sends an unsent task dies or freezes",
    84: "a signal ends a command or a window while a renewal is on its way",
    85: "several processes use one embedded workspace, and whoever started it ends",
    86: "what was done cannot be written to standard output",
    87: "another authorization server answers in the redirect",
    88: "a forged code, and a token endpoint that refuses one",
    89: "other programs keep connections to the listener open",
    90: "the environment names a proxy, and the server is on this machine",
    91: "proxy variables that are none, and hosts that they exclude",
    92: "an answer in several codings, or one that unpacks to gigabytes",
    93: "an answer that comes one byte a second, or has no end",
    94: "a certificate that is not accepted",
    95: "a GET that is refused for the moment",
    96: "a time that no clock shows",
    97: "names, codes and addresses that are none, or have no end",
    98: "the data folder is moved, restored, or reached through a symlink or by another path",
    99: "two copies of one data folder",
    100: "the database is missing, damaged, newer or another program's",
    101: "one value in the database cannot be read",
    102: "a process is killed while it stores a sign-in, or moves it to another store",
    103: "another user of the machine looks into the data folder",
    104: "a disk without space, no home, bytes that are no text, no standard streams",
    105: "another user of the machine opens the workspace's consent page",
    106: "the token endpoint refuses Burrow's own request",
    107: "a sign-in replaces one that is still good",
    108: "the account cannot be read right after the exchange",
    109: "the tokens of an agent's servers die while it calls them through the proxy",
    110: "a server of an agent was started again and knows no session any more",
    111: "a server has bound the session of an agent to a former token",
    112: "a server quotes the token that it was sent",
    113: "the vendor behind one of an agent's servers refuses",
    114: "a call of an agent breaks off after it may have run",
    115: "the token endpoint hangs while agents call",
    116: "a web page, a name bound to this machine, or a program without a key asks the proxy",
}

HEAD = """\
# The fault matrix

What Burrow survives, and what each fault costs. Written by `python3 dev.py test`: each line is what a test has measured
over real sockets, in processes of their own where the row speaks of processes.

- **R**: refresh requests that reached the token endpoint
- **V**: different errors that a caller was given, the one that asks to sign in left out
- **B**: how often the session asked for a sign-in
- **X**: effects that happened twice

A test's name says what must hold; its file is in `tests/faults`.

| row | fault | test | R | V | B | X |
|---|---|---|---|---|---|---|
"""


class Measured(NamedTuple):
    """What one test of a row measured. `note` says where a row can only be tried at a boundary."""

    row: int
    file: str
    test: str
    refreshes: int
    errors: int
    prompts: int
    duplicates: int
    note: str = ""


def table(measured: Iterable[Measured]) -> str | None:
    """The document, None unless every row that can be tested was measured."""
    distinct = sorted(set(measured))
    if {each.row for each in distinct} != set(ROWS) - set(OWED):
        return None
    by_row = {row: list(tests) for row, tests in groupby(distinct, key=lambda each: each.row)}
    lines = []
    for row, words in ROWS.items():
        if row in OWED:
            lines.append(f"| {row} | {words} | owed: it belongs to the {OWED[row]}, which is not there yet | | | | |")
        for number, (name, costs) in enumerate(_tests(by_row.get(row, ()))):
            lines.append(f"| {'' if number else row} | {'' if number else words} | {name} | {costs} |")
    return HEAD + "\n".join(lines) + "\n"


def _tests(tests: Iterable[Measured]) -> Iterable[tuple[str, str]]:
    """A test a line, its cases together: `1` where all measured the same, else `1 to 3`."""
    for (file, test), cases in groupby(tests, key=lambda each: (each.file, each.test)):
        runs = list(cases)
        name = test.split("_", 3)[3].replace("_", " ")
        note = next((f" ({run.note})" for run in runs if run.note), "")
        yield f"{name}{note} · `{file}`", " | ".join(_range([run[column] for run in runs]) for column in range(3, 7))


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
