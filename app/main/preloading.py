"""What showing a run takes is loaded before: 130 modules, which would hold the loop for 60 ms of the processor or more.

The core's are loaded in a worker: the loop waits 5 to 15 ms for the interpreter's lock at a time. Those of the window
are loaded by the loop, a few between two pauses: PySide6 makes its classes when they are first asked for, which two
threads must not do at once.
"""

from __future__ import annotations

import asyncio
from importlib import import_module

IN_WORKER = ("app.core.runs.conversations", "app.core.runs.desk.local_desk", "app.core.runs.local.offered")
# Each loads a handful of modules that those before it did not, in 1 to 5 ms of the processor.
IN_LOOP = (
    *("app.ui.transcript.cards", "app.ui.transcript.parts_view", "app.ui.transcript.painted_items"),
    *("app.ui.transcript.view", "app.ui.transcript.ask_card", "app.ui.transcript.queued_list"),
    *("app.ui.transcript.reader", "app.ui.transcript.find_bar", "app.ui.transcript.reply"),
    *("app.ui.transcript.talk_column", "app.ui.transcript.run_notice", "app.ui.transcript.page"),
    *("app.ui.transcript.driver", "app.ui.transcript.reply_draft", "app.ui.tasks.local_conversation"),
)
PAUSE_SECONDS = 0.03


async def preload() -> None:
    """Load what a run needs. What somebody asks for meanwhile is loaded at once."""
    await asyncio.to_thread(lambda: [import_module(name) for name in IN_WORKER])
    for name in IN_LOOP:
        await asyncio.sleep(PAUSE_SECONDS)
        import_module(name)
