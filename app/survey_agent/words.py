"""What the survey agent reads in a prompt: phrases that make it ask, wait, fail or stop.

| phrase | what happens |
|---|---|
| `ask me` | it asks a question with choices before it writes, and one more with `ask me twice` |
| `take your time` | it waits two seconds at each step, so that it can be stopped or steered |
| `say much` | its message has 500 lines, sent in as many pieces |
| `one long line` | a message with one line of 5 MiB |
| `refuse on purpose` | the turn ends with the stop reason `refusal` |
| `fail on purpose` | the prompt is answered with an error; the session goes on |
| `crash on purpose` | the process ends with code 3 and a reason on standard error |
| `deny the stop` | it waits to be stopped, and then says that the turn has ended by itself |
| `hang on purpose` | the turn never ends by itself, and ignores that it is cancelled |
| `only read` | nothing is written |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

SLOW_SECONDS = 2.0
PHRASES = {
    "ask": "ask me",
    "ask_twice": "ask me twice",
    "slow": "take your time",
    "much": "say much",
    "long_line": "one long line",
    "refuse": "refuse on purpose",
    "fail": "fail on purpose",
    "crash": "crash on purpose",
    "deny": "deny the stop",
    "hang": "hang on purpose",
    "only_read": "only read",
}


@dataclass(frozen=True)
class Wishes:
    """Which phrases a prompt has; see the table above."""

    ask: bool = False
    ask_twice: bool = False
    slow: bool = False
    much: bool = False
    long_line: bool = False
    refuse: bool = False
    fail: bool = False
    crash: bool = False
    deny: bool = False
    hang: bool = False
    only_read: bool = False


assert {field.name for field in fields(Wishes)} == set(PHRASES)


def wishes_in(prompt: str) -> Wishes:
    """The phrases of a prompt, whatever their case and the spaces in them."""
    said = " ".join(prompt.casefold().split())
    return Wishes(**{name: phrase in said for name, phrase in PHRASES.items()})


def branch_word(prompt: str) -> str:
    """A short name for a branch, made of the first words of a prompt."""
    words = re.findall(r"[a-z0-9]+", prompt.casefold())
    return "-".join(words[:5])[:40].strip("-") or "survey"


def is_hidden(block: object) -> bool:
    """Whether a content block is for the agent only."""
    match block:
        case {"_meta": {"ui": {"hidden": True}}}:
            return True
        case _:
            return False


def prompt_text(blocks: object) -> str:
    """The text of a prompt's content blocks; files are named by their addresses.

    Blocks that are hidden from the person are background, such as earlier conversations: no words of this prompt.
    """
    parts = []
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, dict) or is_hidden(block):
            continue
        resource = block.get("resource")
        if isinstance(block.get("text"), str):
            parts.append(block["text"])
        elif isinstance(block.get("uri"), str):
            parts.append(f"[{block.get('name') or block['uri']}]")
        elif isinstance(resource, dict) and isinstance(resource.get("uri"), str):
            parts.append(f"[{resource['uri']}]")
    return "\n".join(parts).strip()
