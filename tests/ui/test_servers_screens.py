"""Pictures of the Servers place in every look; they are also what a person reviews (`BURROW_SCREENS`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from PySide6.QtWidgets import QApplication

from app.core.backend import Backend
from app.core.errors import Facts, OutcomeUnknown, PermissionMissing, ProtocolTrouble
from app.core.mcp.servers.server import ServerState
from app.core.posthog.types import ServerTemplate
from app.core.services import Services
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.servers.place import ServersPlace
from app.ui.servers.tool_session import CallPhase
from tests.ui._screens import LOOKS, look, nameless, save
from tests.ui._servers_fakes import (
    READS,
    WRITES,
    FakeBackend,
    FakeNavigator,
    FakeServices,
    corpus,
    installation,
    installed,
    own,
    settle,
    text_answer,
    tool,
    until,
)

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

TOOLS = [
    tool("find_people", 0, annotations=READS, policy="approved", description="Find people by name, mail or id."),
    tool("send_message", 1, annotations=WRITES, policy="needs_approval", title="Send a message"),
    tool("wipe", 2, annotations=WRITES, policy="do_not_use", locked=True),
    tool("wipe", 3, problem="An earlier tool of this server has the same name."),
]
STATES = [
    own(4),
    installed(installation(1)),
    installed(installation(2), ServerState.SIGN_IN),
    installed(installation(3), ServerState.RECONNECT),
    installed(installation(4), ServerState.DISABLED),
    installed(installation(5), ServerState.TROUBLE),
]
OFFERS = [
    ServerTemplate("t1", "Notes", "https://notes.example/mcp", "", "Read and write notes.", "oauth", "dev"),
    ServerTemplate("t2", "Mail", "https://mail.example/mcp", "", "Send mail.", "api_key", "business"),
]


async def _nothing(place: ServersPlace, backend: FakeBackend) -> None:
    await settle()


async def _form(place: ServersPlace, backend: FakeBackend) -> None:
    place.open_item("i1/send_message")
    await settle()
    place.page.tool.run()
    await settle()


async def _asked(place: ServersPlace, backend: FakeBackend) -> None:
    place.open_item("i1/send_message")
    await settle()
    assert place.page.tool.session is not None
    place.page.tool.session.ask({"query": "x"})
    await settle()


async def _ended(place: ServersPlace, backend: FakeBackend, how: Callable[[Any], None]) -> None:
    place.open_item("posthog/get-sum")
    await settle()
    session = place.page.tool.session
    assert session is not None
    session.ask({"a": 1, "b": 2})
    await until(lambda: bool(backend.servers.calls))
    how(backend.servers.calls[-1])
    await until(lambda: session.phase not in {CallPhase.RUNNING, CallPhase.IDLE})
    await settle()


async def _text(place: ServersPlace, backend: FakeBackend) -> None:
    await _ended(place, backend, lambda call: call.give(text_answer("The sum is 3.")))


async def _tool_error(place: ServersPlace, backend: FakeBackend) -> None:
    await _ended(place, backend, lambda call: call.give(text_answer("No such path: /tmp/x", isError=True)))


async def _protocol_error(place: ServersPlace, backend: FakeBackend) -> None:
    error = ProtocolTrouble("The server does not accept the arguments. (-32602)")
    await _ended(place, backend, lambda call: call.refuse(error))


async def _unknown(place: ServersPlace, backend: FakeBackend) -> None:
    await _ended(place, backend, lambda call: call.refuse(OutcomeUnknown("The connection broke.")))


async def _permission(place: ServersPlace, backend: FakeBackend) -> None:
    facts = Facts(status=403, scopes=("gmail.send", "gmail.read"))
    await _ended(place, backend, lambda call: call.refuse(PermissionMissing("This needs more.", facts)))


async def _allowing(place: ServersPlace, backend: FakeBackend) -> None:
    await _permission(place, backend)
    place.page.tool.permission_wanted.emit()
    await settle()


async def _not_granted(place: ServersPlace, backend: FakeBackend) -> None:
    await _allowing(place, backend)
    navigator = place.context.navigator
    assert isinstance(navigator, FakeNavigator)
    navigator.allowing[-1][1].set_result(None)
    await settle()


async def _bulk(place: ServersPlace, backend: FakeBackend) -> None:
    place.open_item("i1")
    await settle()
    place.page.tools.table.selectAll()
    place.page.tools.want_policy("approved")
    await settle()


async def _about(place: ServersPlace, backend: FakeBackend) -> None:
    place.open_item("i1")
    await settle()
    place.page.tabs.setCurrentIndex(1)
    place.page.ask_remove()
    await settle()


async def _available(place: ServersPlace, backend: FakeBackend) -> None:
    place.pane.show_available()
    await settle()
    place.pane.templates.select_first()
    await settle()


async def _custom(place: ServersPlace, backend: FakeBackend) -> None:
    place.selection.add_server()
    place.pages.custom.submit()
    await settle()


SCENES = {
    "tools": _nothing,
    "form": _form,
    "asking": _asked,
    "text": _text,
    "tool-error": _tool_error,
    "protocol-error": _protocol_error,
    "unknown": _unknown,
    "permission": _permission,
    "allowing": _allowing,
    "not-granted": _not_granted,
    "bulk": _bulk,
    "about": _about,
    "available": _available,
    "custom": _custom,
}


@pytest.mark.parametrize(("mode", "scale"), LOOKS)
async def test_every_scene_can_be_painted_and_named(
    qapp: QApplication, tmp_path: Path, mode: str, scale: float
) -> None:
    with look(mode, scale):
        bridge = Bridge()
        services = FakeServices()
        place = ServersPlace(Context(cast(Services, services), bridge, FakeNavigator()))
        place.resize(1000, 720)
        place.show()
        for scene, prepare in SCENES.items():
            backend = FakeBackend(list(STATES), {"posthog": corpus("everything-stdio.json"), "i1": list(TOOLS)})
            backend.store.offers = list(OFFERS)
            services.show(None)
            place.set_backend(None)
            services.show(backend)
            place.set_backend(cast(Backend, backend))
            await settle()
            await prepare(place, backend)
            save(place, f"servers-{scene}", mode, scale, tmp_path)
            assert nameless(place) == []
        await bridge.close()
        place.close()
        place.deleteLater()
        await settle()
