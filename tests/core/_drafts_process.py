"""One process that writes drafts: `python -m tests.core._drafts_process FOLDER`.

Reads lines of JSON from standard input, a method of `Drafts` with its arguments after the account, and answers each
with one line of JSON.
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
    loop = asyncio.get_running_loop()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        method, *arguments = json.loads(line)
        answer = await getattr(storage.drafts, method)(ADA, *arguments)
        if method == "list":
            answer = [draft._asdict() for draft in answer]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main())
