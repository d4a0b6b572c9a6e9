"""Safe mode: the defaults of what is optional, and nothing of the user's settings changed by it."""

from __future__ import annotations

from pathlib import Path

from app.core.safe_mode import SET_ASIDE, give_back, prepare
from app.core.services import Services


async def test_settings_that_are_set_aside_have_their_defaults_and_are_neither_stored_nor_lost(tmp_path: Path) -> None:
    services = Services(tmp_path)
    for key, value in (("ui.scale", 1.5), ("host", "us"), ("net.answer_seconds", 90)):
        await services.storage.settings.set(key, value)
    await services.close()

    safe = Services(tmp_path)
    settings = safe.storage.settings
    settings.use_defaults(SET_ASIDE)
    assert settings.get("ui.scale") is None
    assert safe.remembered_host() is None
    # What decides whether a server answers in time is no decoration.
    assert settings.get("net.answer_seconds") == 90
    await settings.set("ui.scale", 2.0)
    await settings.remove("host")
    await settings.set("client_id:us", "ours")
    assert settings.get("ui.scale") == 2.0
    await settings.refresh("ui.scale")
    await settings.refresh_under("ui.")
    assert settings.get("ui.scale") == 2.0
    await safe.close()

    after = Services(tmp_path)
    assert after.storage.settings.get("ui.scale") == 1.5
    assert after.remembered_host() == "us"
    # A sign-in in safe mode holds.
    assert after.storage.settings.get("client_id:us") == "ours"
    await after.close()


def test_the_environment_loses_what_changes_how_qt_draws_and_nothing_else() -> None:
    environment = {"QT_QPA_PLATFORMTHEME": "gtk3", "QT_SCALE_FACTOR": "2", "QT_IM_MODULE": "ibus", "PATH": "/bin"}
    prepare(environment)
    give_back({})
    assert "QT_QPA_PLATFORMTHEME" not in environment
    assert "QT_SCALE_FACTOR" not in environment
    assert environment["QT_OPENGL"] == "software"
    # Without it many could not type.
    assert environment["QT_IM_MODULE"] == "ibus"
    assert environment["PATH"] == "/bin"


def test_the_programs_that_are_started_get_the_environment_of_the_user() -> None:
    theirs = {"QT_SCALE_FACTOR": "2", "QT_OPENGL": "desktop", "QT_QUICK_BACKEND": "", "PATH": "/bin"}
    environment = dict(theirs)
    prepare(environment)
    # A crash at each start forces safe mode where it may be on already.
    prepare(environment)
    give_back(environment)
    assert environment == theirs
    # Nothing of an earlier time comes back.
    environment["QT_SCALE_FACTOR"] = "3"
    give_back(environment)
    assert environment["QT_SCALE_FACTOR"] == "3"
