"""Text of others is shown and nothing more: it loads no file, address or drawing, and opens nothing by itself."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from PySide6.QtCore import QPoint, QRect, QUrl
from PySide6.QtGui import QDesktopServices, QImage
from PySide6.QtWidgets import QApplication, QLabel, QMenu, QTextBrowser, QToolTip, QWidget

from app.ui.tasks.markdown import MarkdownView
from app.ui.theme import apply_theme
from app.ui.widgets.prose import Prose, is_web, link_menu, looks_like_markdown
from app.ui.widgets.tips import plain_tip

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

RED = 0xFF0000
VIEWS: list[Callable[[], QTextBrowser]] = [lambda: Prose("Text"), lambda: MarkdownView("Text")]


class Address(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Address.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Address)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def red_points(widget: QWidget) -> int:
    image = widget.grab().toImage()
    points = ((x, y) for x in range(0, image.width(), 4) for y in range(0, image.height(), 4))
    return sum(image.pixel(x, y) & 0xFFFFFF == RED for x, y in points)


def sources(folder: Path, address: str) -> list[str]:
    image = QImage(200, 200, QImage.Format.Format_RGB32)
    image.fill(RED)
    image.save(str(folder / "red.png"))
    size = b"width='200' height='200'"
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg' %s><rect %s fill='red'/></svg>" % (size, size)
    (folder / "red.svg").write_bytes(drawing)
    picture = base64.b64encode((folder / "red.png").read_bytes()).decode()
    return [
        (folder / "red.png").as_uri(),
        str(folder / "red.png"),
        (folder / "red.svg").as_uri(),
        "red.png",
        f"data:image/png;base64,{picture}",
        f"data:image/svg+xml;base64,{base64.b64encode(drawing).decode()}",
        f"{address}/red.png",
    ]


@pytest.mark.parametrize("make", VIEWS)
def test_markdown_loads_no_picture_from_anywhere(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, make: Callable[[], QTextBrowser]
) -> None:
    apply_theme(qapp, "light", 1.0)
    monkeypatch.chdir(tmp_path)
    for source in sources(tmp_path, address):
        for text in (f"![a]({source})", f"![a][b]\n\n[b]: {source}", f'<img src="{source}">', f"[![a]({source})](x)"):
            view = make()
            view.resize(400, 400)
            view.set_text(text)  # type: ignore[attr-defined]
            view.show()
            qapp.processEvents()
            assert red_points(view) == 0, source[:40]
            view.deleteLater()
    assert Address.asked == []


def test_in_the_place_of_a_picture_stands_what_it_was(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    view = Prose("Text")
    view.set_text("before ![a chart](file:///x.png) after ![b](y.png)")
    assert view.toPlainText() == "before [a chart: file:///x.png] after [b: y.png]"


@pytest.mark.parametrize("hostile", ["<img src='{0}'>", "<b>x</b> <img src='{0}'>", "<html><img src='{0}'></html>"])
def test_a_tooltip_of_others_is_no_html(qapp: QApplication, tmp_path: Path, hostile: str) -> None:
    apply_theme(qapp, "light", 1.0)
    for source in sources(tmp_path, "http://127.0.0.1:9")[:6]:
        label = QLabel(plain_tip(hostile.format(source)))
        label.resize(400, 400)
        label.show()
        assert red_points(label) == 0
        label.deleteLater()
    assert plain_tip("a & b\nc") == "a & b\nc"


def test_the_tooltips_of_rows_and_cut_labels_are_no_html(qapp: QApplication) -> None:
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QHelpEvent

    from app.ui.widgets.text import ElidedLabel

    apply_theme(qapp, "light", 1.0)
    label = ElidedLabel("<img src='file:///x.png'> and a name that does not fit into this label")
    label.resize(40, 20)
    label.show()
    QApplication.sendEvent(label, QHelpEvent(QEvent.Type.ToolTip, QPoint(1, 1), QPoint(1, 1)))
    assert "<img" not in label.toolTip()
    assert "&lt;img" in label.toolTip()
    QToolTip.hideText()
    label.deleteLater()


@pytest.mark.parametrize(
    ("link", "opens"),
    [
        ("https://a.example/b?c=d#e", True),
        ("http://127.0.0.1:1/x", True),
        ("HTTPS://a.example", True),
        ("javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("data:text/html,x", False),
        ("vscode://x", False),
        ("https:/a", False),
        ("//a.example", False),
        ("https://a b.example", False),
    ],
)
def test_a_link_shows_its_whole_address_before_only_the_web_opens(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch, link: str, opens: bool
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()) or True)
    apply_theme(qapp, "light", 1.0)
    assert is_web(link) is opens
    owner = QWidget()
    menu = link_menu(link, owner)
    shown, _line, opening, _copy = menu.actions()
    assert shown.text() == link.replace("&", "&&")
    assert opening.isEnabled() is opens
    opening.trigger()
    assert opened == ([QUrl(link).toString()] if opens else [])
    owner.deleteLater()


def test_a_click_on_a_link_opens_nothing_by_itself(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()) or True)
    apply_theme(qapp, "light", 1.0)
    view = Prose("Text")
    asked: list[str] = []
    view.link_asked.connect(asked.append)
    view.set_text("[looks harmless](https://evil.example/%E2%80%AEx)")
    view.show()
    view.anchorClicked.emit(QUrl("https://evil.example/%E2%80%AEx"))
    assert asked == ["https://evil.example/%E2%80%AEx"]
    assert view.findChildren(QMenu)
    assert opened == []
    view.deleteLater()


def test_a_very_long_text_is_not_formatted() -> None:
    assert looks_like_markdown("# Title\n\ntext")
    assert looks_like_markdown("a **b** c")
    assert not looks_like_markdown("plain words, 3 * 4 * 5")
    assert not looks_like_markdown("# Title\n" + "x" * 60_000)


def test_the_height_follows_the_content(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    view = Prose("Text")
    view.resize(300, 100)
    view.show()
    view.set_text("one")
    short = view.sizeHint().height()
    view.set_text("# one\n\n- two\n- three\n\n```\nfour\n```")
    assert view.sizeHint().height() > short
    assert view.cursorRect().intersects(QRect(0, 0, 300, 400))
    view.deleteLater()
