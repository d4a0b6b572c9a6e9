"""A process of Burrow with several credentials: `python -m tests.core._credentials_process FOLDER [[ISSUER, …], …]`.

Reads lines from standard input (`get NUMBER TIMES`, `sign-out NUMBER`, `state`) and answers each with one line of JSON.
Each credential is given as issuer, resource and slot; its resource is where requests go.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.core._data_folder import opened, profile_of_parts, status_of


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def main(folder: Path, parts: list[list[str]]) -> None:
    async with opened(folder) as data:
        profiles = [profile_of_parts(*one) for one in parts]
        credentials = [await data.restored(profile) for profile in profiles]

        def states() -> list[str]:
            return [credential.status.state.value for credential in credentials]

        say(ready=states())
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            verb, *words = line.split()
            outcomes: Any = None
            if verb == "get":
                number, times = map(int, words)
                url = profiles[number].key.resource
                outcomes = await asyncio.gather(*(status_of(credentials[number], url) for _ in range(times)))
            elif verb == "sign-out":
                await credentials[int(words[0])].sign_out()
            say(outcomes=outcomes, states=states())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
