"""Which settings there are: the names that the page and the palette show. A choice has its values, default and words.

The words are untranslated (context `Settings`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.preferences import ADDRESS, ANSWER, ANSWER_SETTING, NONE, PROXY_MODE, SILENCE, SILENCE_SETTING, SYSTEM
from app.ui.shell.appearance import DENSITY_SETTING, MODE_SETTING, SCALE_SETTING, SCALES
from app.ui.shell.layout import START_SETTING
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.core.preferences import Seconds

NOTIFY_SIGN_IN, NOTIFY_CALLS = "notify.sign_in", "notify.calls"
STORE = "store"


class Setting(NamedTuple):
    """A setting by its key. `section` is the heading that it stands under; `hint` says what it does."""

    key: str
    section: str
    name: str
    hint: str = ""


LOOK, START, NETWORK, NOTIFICATIONS, SIGN_IN = (
    marked("Settings", "Appearance"),
    marked("Settings", "Start"),
    marked("Settings", "Network"),
    marked("Settings", "Notifications"),
    marked("Settings", "Sign-in"),
)
SETTINGS: tuple[Setting, ...] = (
    Setting(MODE_SETTING, LOOK, marked("Settings", "Theme")),
    Setting(SCALE_SETTING, LOOK, marked("Settings", "Text size")),
    Setting(
        DENSITY_SETTING, LOOK, marked("Settings", "Density"), marked("Settings", "How high the rows of lists are.")
    ),
    Setting(START_SETTING, START, marked("Settings", "Start with")),
    Setting(
        PROXY_MODE,
        NETWORK,
        marked("Settings", "Proxy"),
        marked("Settings", "Counts from the next request on. Requests to this computer never use it."),
    ),
    Setting(
        ANSWER_SETTING,
        NETWORK,
        marked("Settings", "Longest wait for an answer"),
        marked("Settings", "Of a request to the host. A run that is followed has no such limit."),
    ),
    Setting(
        SILENCE_SETTING,
        NETWORK,
        marked("Settings", "Longest silence of a tool call"),
        marked("Settings", "After that you are asked whether to keep waiting. The call goes on meanwhile."),
    ),
    Setting(
        NOTIFY_SIGN_IN,
        NOTIFICATIONS,
        marked("Settings", "A sign-in is needed"),
        marked("Settings", "Only while another window is in front."),
    ),
    Setting(
        NOTIFY_CALLS,
        NOTIFICATIONS,
        marked("Settings", "A tool call has ended"),
        marked("Settings", "Or takes long, or waits for your answer. Only while another window is in front."),
    ),
    Setting(STORE, SIGN_IN, marked("Settings", "Where the sign-in is kept")),
)
MODES = (
    ("system", marked("Settings", "System")),
    ("light", marked("Settings", "Light")),
    ("dark", marked("Settings", "Dark")),
)
DENSITIES = (("comfortable", marked("Settings", "Comfortable")), ("compact", marked("Settings", "Compact")))
PROXIES = (
    (SYSTEM, marked("Settings", "As the system says")),
    (NONE, marked("Settings", "None")),
    (ADDRESS, marked("Settings", "This address")),
)
STORES = (
    ("keyring", marked("Settings", "Keyring")),
    ("file", marked("Settings", "Private file")),
    ("memory", marked("Settings", "Memory, until Burrow ends")),
)
SIZES = SCALES
SECONDS, MINUTES = marked("Settings", "{0} s"), marked("Settings", "{0} min")
# In seconds.
WAITS: dict[str, tuple[Seconds, tuple[int, ...]]] = {
    ANSWER_SETTING: (ANSWER, (10, 20, 30, 45, 60, 120, 300, 600)),
    SILENCE_SETTING: (SILENCE, (15, 30, 60, 120, 300, 600, 1800)),
}
