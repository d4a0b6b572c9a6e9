"""Relative times with the absolute time as a tooltip, kept up to date by one shared timer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale, QObject, Qt, QTimer, Signal

from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.ui.theme.tokens import TextRole, Tone

TICK_MS = 20_000
MINUTE, HOUR, DAY = 60, 3600, 86400
# The time zone in a format of QLocale.
ZONE = re.compile(r",?\s*[(\[]?\bt+\b[)\]]?\s*")


def relative(moment: datetime | None, now: datetime | None = None) -> str:
    """`now`, `5 min ago`, `3 h ago`, `yesterday`, `4 days ago`, then the date. Naive times are taken as UTC."""
    if moment is None:
        return ""
    moment = _aware(moment)
    seconds = (_aware(now or datetime.now(UTC)) - moment).total_seconds()
    # The clock of a server may be ahead by some seconds.
    if seconds < -MINUTE:
        return absolute(moment)
    if seconds < MINUTE:
        return _tr("now")
    if seconds < HOUR:
        return _tr("%n min ago", int(seconds // MINUTE))
    if seconds < DAY:
        return _tr("%n h ago", int(seconds // HOUR))
    days = int(seconds // DAY)
    if days == 1:
        return _tr("yesterday")
    if days < 14:
        return _tr("%n days ago", days)
    local = moment.astimezone()
    pattern = "d MMM" if local.year == datetime.now().astimezone().year else "d MMM yyyy"
    return QLocale().toString(QDateTime.fromSecsSinceEpoch(int(moment.timestamp())), pattern)


def due(moment: datetime | None, now: datetime | None = None) -> str:
    """A moment in the future: `in 5 min`, `in 3 h`, then date and time; `now` once it has come."""
    if moment is None:
        return ""
    seconds = (_aware(moment) - _aware(now or datetime.now(UTC))).total_seconds()
    if seconds < MINUTE:
        return _tr("now")
    if seconds < HOUR:
        return _tr("in %n min", int(seconds // MINUTE))
    if seconds < DAY:
        return _tr("in %n h", int(seconds // HOUR))
    return _tr("in %n days", int(seconds // DAY)) if seconds < 14 * DAY else absolute(moment)


def absolute(moment: datetime | None) -> str:
    """Date and time to the second in the person's locale and time zone, such as `28/11/2026 14:05:09`."""
    if moment is None:
        return ""
    when, locale = QDateTime.fromSecsSinceEpoch(int(_aware(moment).timestamp())), QLocale()
    # Only the long format of a locale has seconds.
    to_the_second = ZONE.sub("", locale.timeFormat(QLocale.FormatType.LongFormat))
    return f"{_date(locale, when)} {locale.toString(when.time(), to_the_second)}"


def date_and_minute(moment: datetime) -> str:
    """Date and time to the minute in the person's locale and time zone, such as `28/11/2026 14:05`."""
    when, locale = QDateTime.fromSecsSinceEpoch(int(_aware(moment).timestamp())), QLocale()
    return f"{_date(locale, when)} {locale.toString(when.time(), QLocale.FormatType.ShortFormat)}"


def moment_at(seconds: float) -> datetime:
    """The moment of a time in unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def clock(moment: datetime) -> str:
    """The time of day to the second, in the person's time zone."""
    return _aware(moment).astimezone().strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """`340 ms`, `2.1 s`, `4 min 12 s`, `2 h 5 min`, `3 d 4 h`; the smaller unit only where there is some of it."""
    if round(seconds * 1000) < 1000:
        return _tr("{0} ms").format(round(seconds * 1000))
    if round(seconds, 1) < MINUTE:
        number = QLocale().toString(float(seconds), "f", 1)
        return _tr("{0} s").format(number.removesuffix(f"{QLocale().decimalPoint()}{QLocale().zeroDigit()}"))
    if seconds < HOUR:
        return _units(max(int(seconds), MINUTE), MINUTE, _tr("{0} min"), 1, _tr("{0} s"))
    if seconds < DAY:
        return _units(int(seconds), HOUR, _tr("{0} h"), MINUTE, _tr("{0} min"))
    return _units(int(seconds), DAY, _tr("{0} d"), HOUR, _tr("{0} h"))


def _date(locale: QLocale, when: QDateTime) -> str:
    """In the short form of the locale. The C locale has none that a person can read (`28 11 2026`)."""
    if locale.language() == QLocale.Language.C:
        return when.date().toString(Qt.DateFormat.ISODate)
    return locale.toString(when.date(), QLocale.FormatType.ShortFormat)


def _units(seconds: int, large: int, large_words: str, small: int, small_words: str) -> str:
    """A length in two units, rounded down; without the smaller one where there is none of it."""
    words = large_words.format(seconds // large)
    rest = seconds % large // small
    return f"{words} {small_words.format(rest)}" if rest else words


class Ticker(QObject):
    """One timer for every relative time of the window."""

    tick = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()

    def hold(self, held: bool) -> None:
        """Stand still while nobody can see a time; then tell at once."""
        if held:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()
            self.tick.emit()


_ticker: Ticker | None = None


def ticker() -> Ticker:
    """The shared ticker; lists connect to `tick` to repaint their times."""
    global _ticker
    if _ticker is None:
        app = QCoreApplication.instance()
        if app is None:
            raise RuntimeError("there is no application yet")
        _ticker = Ticker(app)
    return _ticker


class RelativeTime(Text):
    """A label with a relative time that stays current."""

    def __init__(
        self,
        moment: datetime | None = None,
        role: TextRole = "caption",
        tone: Tone = "muted",
        *,
        prefix: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("", role, tone, parent=parent)
        self._moment = moment
        self._prefix = prefix
        ticker().tick.connect(self._update_text)
        self._update_text()

    def set_moment(self, moment: datetime | None) -> None:
        """Show another time; None shows nothing."""
        self._moment = moment
        self._update_text()

    def _update_text(self) -> None:
        words = relative(self._moment)
        self.setText(f"{self._prefix} {words}" if self._prefix and words else words)
        self.setToolTip(absolute(self._moment))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _tr(text: str, n: int = -1) -> str:
    return QCoreApplication.translate("Time", text, None, n)
