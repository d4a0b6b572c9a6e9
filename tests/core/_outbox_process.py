"""One process that uses an outbox: `python -m tests.core._outbox_process FOLDER`.

Reads lines from standard input and answers each with one line of JSON: `claim ID [STATE]`, `next ID`, `release ID`,
`remove ID`, and `all`, which claims and removes whatever it can and tells what that was.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from app.core.storage import Scope, Storage

ADA = Scope("us", "ada")


async def main() -> None:
    storage = Storage.open(Path(sys.argv[1]))
    outbox = storage.outbox
    loop = asyncio.get_running_loop()

    async def answer(verb: str, *words: str) -> object:
        match verb:
            case "claim":
                return await outbox.claim(*words) is not None
            case "next":
                return await outbox.claim(*words, in_order=True) is not None
            case "release":
                return await outbox.release(*words)
            case "remove":
                return await outbox.remove(*words)
            case _:
                sent = []
                for item in await outbox.list(ADA):
                    if await outbox.claim(item.id, "sending") is not None:
                        sent.append(item.id)
                        await outbox.remove(item.id)
                return sent

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(await answer(*line.split())) + "\n")
        sys.stdout.flush()
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main())
