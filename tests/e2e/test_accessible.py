"""The eyes of the end-to-end tests: a real window's controls are found, read, filled in and pressed by name."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.accessible import Accessibility, AccessibilityError
from tests.e2e.desktop import Desktop
from tests.secret_service import SecretService

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.x11

FORM = """
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QVBoxLayout, QWidget
app = QApplication([])
window, edit, button = QWidget(), QLineEdit(), QPushButton("Greet")
window.setWindowTitle("A form")
edit.setAccessibleName("Your name")
edit.setAccessibleDescription("Who is greeted")
layout = QVBoxLayout(window)
layout.addWidget(edit)
layout.addWidget(button)
button.clicked.connect(lambda: (print(f"Hello {edit.text()}", flush=True), app.quit()))
window.show()
app.exec()
"""


@pytest.fixture
def eyes() -> Iterator[Accessibility]:
    with (
        Desktop() as desktop,
        SecretService() as service,
        Accessibility(desktop.env | service.variables) as running,
    ):
        yield running


def test_a_form_is_filled_in_and_sent_by_the_names_of_its_controls(eyes: Accessibility) -> None:
    with subprocess.Popen([sys.executable, "-c", FORM], env=eyes.env, stdout=subprocess.PIPE, text=True) as program:
        try:
            edit = eyes.find("Your name")
            assert edit.description == "Who is greeted"
            edit.write("Burrow")
            assert edit.text() == "Burrow"
            eyes.find("Greet", "push button").press()
            assert program.communicate(timeout=20)[0] == "Hello Burrow\n"
        finally:
            program.kill()


def test_what_is_not_there_is_an_error_that_shows_what_is(eyes: Accessibility) -> None:
    with subprocess.Popen([sys.executable, "-c", FORM], env=eyes.env) as program:
        try:
            eyes.find("Greet")
            with pytest.raises(AccessibilityError, match="push button: Greet"):
                eyes.find("Farewell", seconds=0)
        finally:
            program.kill()
