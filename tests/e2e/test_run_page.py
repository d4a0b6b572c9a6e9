"""The page of a run by keyboard alone, and what a screen reader is told of it and read from it."""

from __future__ import annotations

import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.accessible import Accessibility
from tests.e2e.desktop import Desktop
from tests.secret_service import SecretService

pytestmark = pytest.mark.x11

ROOT = Path(__file__).resolve().parents[2]
# Ctrl+. has the agent ask, an answer ends that, and what is sent ends the program.
PROGRAM = """
from PySide6.QtWidgets import QApplication
from app.core.runs.items import Question, QuestionChoice, SessionState
from app.ui.theme import apply_theme
from app.ui.transcript import ask_card
from app.ui.transcript.page import TranscriptPage
from tests.ui.transcript._items import ListedItems, lived_run
from tests.ui.transcript.test_transcript_look import FACTS
from tests.ui.transcript.test_transcript_page import Waits, asked
app = QApplication([])
apply_theme(app, "light")
ask_card.ARM_MS = 0
page = TranscriptPage()
page.resize(900, 640)
page.setWindowTitle("A run")
items = ListedItems(lived_run())
items.state = SessionState(True, True)
page.show_run(items)
page.show_facts(FACTS)
page.show_queued([Waits("1", "And test it")], steers=True)
choices = (QuestionChoice("SQLite", "In memory"), QuestionChoice("PostgreSQL"))
asks = [asked("p"), asked("q", title="A question", questions=(Question("Which database?", choices=choices),))]
def ask():
    items.state = SessionState(True, True, waiting=(asks[0].key,))
    items.add(asks.pop(0))
def answered(answer):
    print(answer.option_id or answer.answers[0].labels[0], flush=True)
    items.state = SessionState(True, True)
    items.add()
def send(text, _now):
    print(text, flush=True)
    app.quit()
page.header.stop_wanted.connect(ask)
page.ask.answered.connect(answered)
page.reply.send_wanted.connect(send)
page.show()
page.focus_first()
app.exec()
"""


def test_a_run_is_read_answered_searched_and_replied_to_by_keyboard_alone() -> None:
    with (
        Desktop() as desktop,
        SecretService() as service,
        Accessibility(desktop.env | service.variables) as eyes,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=eyes.env | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        ) as program,
    ):
        try:
            assert eyes.find(re.compile("^Running"), "label")
            assert eyes.find("Transcript", "list")
            assert eyes.find("You stopped this turn", "list item")
            assert eyes.find("Messages that wait", "list")
            assert eyes.find("And test it", "list item")
            assert eyes.find("Message to the agent", "text")
            heard = eyes.listen("Announcement")

            desktop.xdotool("key", "ctrl+period")
            assert eyes.find("The agent asks: Edit cart.py", "panel")
            desktop.xdotool("key", "2")
            assert said(program) == "always"
            desktop.xdotool("key", "ctrl+period")
            assert eyes.find("Which database?", "panel")
            assert eyes.find("SQLite", "radio button").description == "In memory"
            desktop.xdotool("key", "2", "Tab", "Tab", "space")
            assert said(program) == "PostgreSQL"
            assert [words for words in heard() if "needs you" in words] == [
                "The agent needs you: Edit cart.py",
                "The agent needs you: A question",
            ]

            # The focus is back in the transcript.
            desktop.xdotool("key", "alt+Up", "alt+Up")
            assert eyes.find(re.compile("You: The checkout crashes"), "list item")
            assert eyes.find("Follow", "push button")
            desktop.xdotool("key", "ctrl+f")
            desktop.xdotool("type", "guarded")
            assert eyes.find("1 of 1", "label")
            desktop.xdotool("key", "Escape", "End")
            assert eyes.find("You stopped this turn", "list item")
            # Past the message that waits.
            desktop.xdotool("key", "Tab", "Tab", "Tab", "Tab")
            desktop.xdotool("type", "Thank you")
            desktop.xdotool("key", "Return")
            assert said(program) == "Thank you"
            assert program.wait(20) == 0
        finally:
            program.kill()


def said(program: subprocess.Popen[str]) -> str:
    """The next line that the program writes."""
    assert program.stdout is not None
    assert select.select([program.stdout], [], [], 20)[0], "it says nothing"
    return program.stdout.readline().rstrip()
