"""A process that starts on a data folder as Burrow does: `python -m tests.core._instance_process FOLDER [LINK]`.

It prints a line when it is first, one for each further start, and how it ended. A line on standard input is a command:
`end` is a window that is closed, and stays for a moment; `close` lets the next one be first.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.core.instance import doors
from app.core.instance.entry import NotAnswering, enter
from app.core.instance.listener import InstanceListener
from app.core.instance.request import StartRequest


def say(*words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def live(folder: Path, lock: Any) -> None:
    ended = asyncio.Event()
    listener = InstanceListener(folder, lock, lambda request: say("taken", asdict(request)), ending=ended.is_set)
    await listener.start()
    say("first")
    while (command := (await asyncio.to_thread(sys.stdin.readline)).strip()) not in {"close", ""}:
        if command == "end":
            ended.set()
        say("done")
    await listener.close()
    say("closed")


def main() -> None:
    folder = Path(sys.argv[1])
    if "--tcp" in sys.argv:
        doors.HAS_UNIX_SOCKETS = False
    link = next((argument for argument in sys.argv[2:] if not argument.startswith("--")), "")
    try:
        lock = enter(folder, StartRequest(link=link))
    except NotAnswering as silent:
        say("silent", silent.pid, silent.other_version)
        return
    if lock is None:
        say("handed over")
    else:
        asyncio.run(live(folder, lock))


if __name__ == "__main__":
    main()
