"""The vendors' pages in a real browser: connecting a server with the mouse, and getting an API key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.workspace.browser import Browser, chromium
from tests.workspace.store_client import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workspace.lab import Lab

pytestmark = pytest.mark.skipif(sys.platform == "win32" or chromium() is None, reason="no Chromium to drive here")


def test_a_server_is_connected_with_the_mouse(lab: Lab, tmp_path: Path) -> None:
    store = Store(lab)
    address = store.authorize(installation_id=store.named("Ledger")["id"])
    with Browser(tmp_path / "profile") as browser:
        browser.open(address)
        browser.wait_for("document.querySelector('button[value=approve]') !== null")
        browser.click("button[value=approve]")
        browser.wait_for("document.title === 'Connected'")
        assert all(one.startswith((store.url, "about:")) for one in browser.requested)
    assert store.named("Ledger")["pending_oauth"] is False


def test_a_person_says_no_with_the_mouse(lab: Lab, tmp_path: Path) -> None:
    store = Store(lab)
    with Browser(tmp_path / "profile") as browser:
        browser.open(store.authorize(installation_id=store.named("Ledger")["id"]))
        browser.wait_for("document.querySelector('button[value=deny]') !== null")
        browser.click("button[value=deny]")
        browser.wait_for("document.title === 'Not connected'")


def test_a_person_gets_an_api_key_with_the_mouse(lab: Lab, tmp_path: Path) -> None:
    store = Store(lab)
    with Browser(tmp_path / "profile") as browser:
        browser.open(store.template("Postbox")["docs_url"])
        browser.wait_for("document.querySelector('button') !== null")
        browser.click("button")
        assert str(browser.wait_for("document.querySelector('code')?.textContent")).startswith("pos_")
