"""An update is found, downloaded, verified and offered; equal, lower and foreign versions never are."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from app.core.busy import Work, WorkKind
from app.core.errors import Rejected, UpdateRefused
from app.core.installation import InstalledApp, InstallKind
from app.core.updates.record import UpdateRecord, change_record, read_record, write_record
from app.core.updates.release import Machine, is_safe_path, numbers_of, recorded_release, release_of
from app.core.updates.schedule import BACK_OFF, DAY, due, look_daily
from app.core.updates.source import UpdateSource, WhyOff, source_of
from app.core.updates.status import UpdateState
from app.core.updates.version import parse_version
from tests.core.updates._repository import CONTENT, Rig


async def test_a_newer_version_is_found_downloaded_and_ready(rig: Rig) -> None:
    rig.add("0.2.0")
    updates = rig.updates()
    heard = []
    updates.changed.subscribe(lambda status: heard.append(status.state))

    found = await updates.check()

    assert found.state is UpdateState.AVAILABLE
    assert found.release is not None
    assert (str(found.release.version), found.release.length) == ("0.2.0", len(CONTENT))
    assert found.release.notes == "What is new in 0.2.0."
    ready = await updates.download()
    assert ready.state is UpdateState.READY
    staged = rig.data / "updates" / "staged" / found.release.sha256
    assert staged.read_bytes() == CONTENT
    assert heard[0] is UpdateState.CHECKING
    assert heard[-1] is UpdateState.READY
    await rig.clients.close()


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "0.1"], ids=["equal", "lower", "no version"])
async def test_an_equal_or_lower_version_is_never_offered(rig: Rig, version: str) -> None:
    rig.add(version)
    updates = rig.updates("0.1.0")

    assert (await updates.check()).state is UpdateState.CURRENT

    with pytest.raises(Rejected):
        await updates.download()
    await rig.clients.close()


async def test_versions_are_compared_by_number(rig: Rig) -> None:
    rig.add("0.10.0")
    rig.add("0.9.0")

    status = await rig.updates("0.9.9").check()

    assert status.release is not None
    assert str(status.release.version) == "0.10.0"
    await rig.clients.close()


async def test_a_version_below_one_that_was_offered_before_is_refused(rig: Rig) -> None:
    """Signed anew and with a higher version of the metadata: a stolen key must not bring back a hole."""
    path = rig.add("0.3.0")
    await rig.updates().check()
    rig.repository.withdraw(path)
    rig.add("0.2.0")
    updates = rig.updates()

    with pytest.raises(UpdateRefused) as caught:
        await updates.check()

    assert caught.value.facts.code == "downgrade"
    assert updates.status.release is None
    await rig.clients.close()


@pytest.mark.parametrize(
    "made_for",
    [{"platform": "windows"}, {"architecture": "aarch64"}, {"kind": "macos"}],
    ids=["platform", "architecture", "kind"],
)
async def test_a_release_for_another_machine_is_not_offered(rig: Rig, made_for: dict[str, str]) -> None:
    rig.add("0.2.0", **made_for)

    assert (await rig.updates().check()).state is UpdateState.CURRENT
    await rig.clients.close()


async def test_a_release_that_needs_a_newer_system_says_so(rig: Rig) -> None:
    rig.add("0.2.0", minimum_system="2.40")

    with pytest.raises(UpdateRefused) as caught:
        await rig.updates().check()

    assert caught.value.facts.code == "system"
    # An older one for older systems is no downgrade.
    rig.add("0.1.9", minimum_system="2.36")
    status = await rig.updates().check()
    assert status.release is not None
    assert str(status.release.version) == "0.1.9"
    await rig.clients.close()


HOSTILE_PATHS = (
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b",
    "a\\..\\b",
    "C:\\Windows\\x.exe",
    "c:x",
    "a\x00b",
    "a\nb",
    ".hidden",
    "a/.b",
    "a//b",
    "%2e%2e/x",
    "a?b",
    "a#b",
    "https://other.example/x",
    "b" * 300,
    "",
    "ünï",
    "-rf",
)


async def test_a_signed_release_with_a_hostile_path_is_passed_over(rig: Rig) -> None:
    """Whoever signs can err: no such path names a file here or an address elsewhere."""
    rig.add("0.2.0")
    listed = rig.repository._newest("targets")
    good = next(iter(listed.signed.targets.values()))
    for number, path in enumerate(HOSTILE_PATHS):
        custom = {"burrow": {**good.custom["burrow"], "version": f"9.9.{number}"}}
        from tuf.api.metadata import TargetFile

        listed.signed.targets[path] = TargetFile(good.length, good.hashes, path, {"custom": custom})
    rig.repository._publish(listed)

    status = await rig.updates().check()

    assert status.release is not None
    assert str(status.release.version) == "0.2.0"
    await rig.clients.close()


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_hostile_path_is_no_path(path: str) -> None:
    assert not is_safe_path(path)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.0"},
        {"version": "01.0.0"},
        {"version": "1.0.0-rc1"},
        {"version": "1.0.0\n"},
        {"version": "١.0.0"},
        {"version": "9" * 9 + ".0.0"},
        {"version": 2},
        {"platform": None},
        {"notes": ["x"]},
        {"released": True},
        {"released": "x"},
        {"minimum_system": 2.36},
    ],
)
def test_a_release_that_is_not_described_as_it_must_be_is_none(change: dict[str, Any]) -> None:
    said = {"version": "1.0.0", "platform": "linux", "architecture": "x86_64", "kind": "appimage"}
    sha256 = {"sha256": "0" * 64}
    assert release_of("a", 1, sha256, {"burrow": said}) is not None

    assert release_of("a", 1, sha256, {"burrow": said | change}) is None


@pytest.mark.parametrize("hashes", [{}, {"sha512": "0" * 128}, {"sha256": "0" * 63}, {"sha256": "G" * 64}])
def test_a_release_without_a_sound_hash_is_none(hashes: dict[str, str]) -> None:
    said = {"version": "1.0.0", "platform": "linux", "architecture": "x86_64", "kind": "appimage"}
    assert release_of("a", 1, hashes, {"burrow": said}) is None


async def test_a_version_that_is_skipped_is_known_but_quiet_until_a_later_one(rig: Rig) -> None:
    rig.add("0.2.0")
    updates = rig.updates()
    await updates.check()
    await updates.skip()

    assert (await rig.updates().check()).skipped
    rig.add("0.3.0")
    assert not (await rig.updates().check()).skipped
    await rig.clients.close()


async def test_a_version_that_failed_here_is_not_offered_again(rig: Rig) -> None:
    rig.add("0.2.0")
    change_record(rig.data, failed=("0.2.0",))

    assert (await rig.updates().check()).state is UpdateState.CURRENT
    rig.add("0.2.1")
    assert (await rig.updates().check()).state is UpdateState.AVAILABLE
    await rig.clients.close()


async def test_nothing_is_installed_while_something_would_be_interrupted(rig: Rig) -> None:
    rig.add("0.2.0")
    updates = rig.updates()
    await updates.check()
    await updates.download()
    ended = rig.busy.register(lambda: [Work(WorkKind.CALL, "search on Linear", "It is broken off.")])

    with pytest.raises(Rejected) as caught:
        await updates.arm()

    assert caught.value.facts.code == "busy"
    assert "search on Linear" in caught.value.cause
    assert updates.armed is None
    assert updates.status.state is UpdateState.READY
    ended()
    rig.busy.register(lambda: [Work(WorkKind.DRAFT, "a draft", "It is kept.", kept=True)])
    await updates.arm()
    assert updates.armed == updates.status.release
    assert updates.status.state is UpdateState.READY
    await rig.clients.close()


async def test_a_person_who_turned_updates_off_is_asked_nothing_and_may_still_look(rig: Rig) -> None:
    rig.add("0.2.0")
    rig.settings["updates.mode"] = "off"
    updates = rig.updates()

    assert updates.status.why_off is WhyOff.CHOSEN
    await updates.check()
    assert updates.status.state is UpdateState.AVAILABLE
    await rig.clients.close()


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (InstallKind.DEB, WhyOff.MANAGED),
        (InstallKind.RPM, WhyOff.MANAGED),
        (InstallKind.SOURCE, WhyOff.SOURCE),
        (InstallKind.FOLDER, WhyOff.FOLDER),
        (InstallKind.APPIMAGE, WhyOff.NO_SOURCE),
        (InstallKind.WINDOWS, WhyOff.NO_SOURCE),
    ],
)
def test_an_installation_that_does_not_update_itself_says_why(tmp_path: Any, kind: InstallKind, why: WhyOff) -> None:
    if why is not WhyOff.NO_SOURCE:
        (tmp_path / "updates.json").write_text('{"url": "https://updates.example/"}')
        (tmp_path / "updates-root.json").write_text("{}")

    assert source_of(InstalledApp(kind, ("burrow",), tmp_path)) is why


def test_a_build_names_its_source_beside_the_executable(tmp_path: Any) -> None:
    (tmp_path / "updates.json").write_text('{"url": "https://updates.example/burrow"}')
    (tmp_path / "updates-root.json").write_text("{}")

    found = source_of(InstalledApp(InstallKind.APPIMAGE, ("burrow",), tmp_path))

    assert found == UpdateSource("https://updates.example/burrow/", b"{}")


@pytest.mark.parametrize(
    "text",
    [
        '{"url": "http://updates.example/"}',
        '{"url": 1}',
        "[]",
        "x",
        '{"url": "https://a:b@c/"}',
        '{"url": "https://c/?x"}',
    ],
)
def test_a_source_that_cannot_be_used_is_none(tmp_path: Any, text: str) -> None:
    (tmp_path / "updates.json").write_text(text)
    (tmp_path / "updates-root.json").write_text("{}")

    assert source_of(InstalledApp(InstallKind.APPIMAGE, ("burrow",), tmp_path)) is WhyOff.BROKEN_SOURCE


def test_the_next_look_is_a_day_later_and_sooner_after_a_failure() -> None:
    assert due(UpdateRecord(), 1e9) <= 0
    assert due(UpdateRecord(checked=1e9), 1e9 + 3600) == DAY - 3600
    assert due(UpdateRecord(checked=1e9, failures=1), 1e9) == BACK_OFF
    assert due(UpdateRecord(checked=1e9, failures=3), 1e9) == 4 * BACK_OFF
    assert due(UpdateRecord(checked=1e9, failures=99), 1e9) == DAY
    assert due(UpdateRecord(checked=2e9), 1e9) == 0


async def test_burrow_looks_by_itself_but_downloads_nothing(rig: Rig) -> None:
    import asyncio

    rig.add("0.2.0")
    updates = rig.updates()
    found = asyncio.Event()
    updates.changed.subscribe(lambda status: found.set() if status.state is UpdateState.AVAILABLE else None)
    looking = asyncio.create_task(look_daily(updates, first=0.0))
    await found.wait()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)

    assert not any("/targets/" in path for path, _ in rig.server.asked)
    await rig.clients.close()


async def test_a_look_that_is_given_up_ends_at_once_and_leaves_no_thread(rig: Rig) -> None:
    import asyncio
    import time

    asked, released = threading.Event(), threading.Event()

    def hangs(handler: Any, _: bytes) -> bool:
        asked.set()
        released.wait(20)
        handler.close_connection = True
        return True

    rig.server.faults["timestamp.json"] = hangs
    updates = rig.updates()
    looking = asyncio.create_task(updates.check())
    await asyncio.to_thread(asked.wait, 10)
    began = time.monotonic()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - began < 5
    assert updates.status.state is UpdateState.IDLE
    released.set()
    await rig.clients.close()


async def test_no_look_is_made_while_updates_are_off(rig: Rig) -> None:
    import asyncio

    rig.settings["updates.mode"] = "off"
    looking = asyncio.create_task(look_daily(rig.updates(), first=0.0))
    for _ in range(20):
        await asyncio.sleep(0.005)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)

    assert rig.server.asked == []


async def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.core.errors import BurrowError
    from app.core.updates.net import UpdateNet

    rig.add("0.2.0")
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(4_096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)

        # The repository of the test is on this machine.
        assert (await rig.updates().check()).state is UpdateState.AVAILABLE
        with pytest.raises(BurrowError):
            await UpdateNet(lambda: rig.clients).content("https://updates.example/timestamp.json", 10)
        thread.join(5)

    assert heard[0].startswith(b"CONNECT updates.example:443 ")
    await rig.clients.close()


def test_a_record_that_cannot_be_read_counts_as_none(tmp_path: Any) -> None:
    write_record(tmp_path, UpdateRecord(highest="0.3.0"))
    assert read_record(tmp_path).highest == "0.3.0"
    trial = {"former": "0.1.0", "version": "0.2.0", "target": "/a", "backup": "/b", "sha256": "c", "starts": 0}
    others: list[dict[str, Any]] = [
        *({"trial": trial | {name: None}} for name in trial),
        *({"checked": moment} for moment in (float("nan"), float("inf"), -1, 10**400)),
        *({"failures": many} for many in ("3", 1.5, None)),
        {"outcome": {"happened": "failed", "former": "0.1.0", "version": "0.2.0", "said": 0}},
        {"highest": 3},
    ]
    for text in (
        *("", "[]", "{", '{"checked": "x"}', '{"trial": {"former": 1}}', '{"failed": 3}', "[" * 9_999),
        *map(json.dumps, others),
    ):
        (tmp_path / "updates" / "record.json").write_text(text)
        assert read_record(tmp_path) == UpdateRecord()


@pytest.mark.parametrize("staged", [{}, {"version": "0.2.0"}, {"machine": {}}, {"machine": [], "path": "a"}])
def test_a_recorded_release_that_is_none_is_passed_over(staged: dict[str, Any]) -> None:
    assert recorded_release(staged) is None


def test_numbers_are_read_from_the_versions_of_systems() -> None:
    assert numbers_of("10.0.19045") == (10, 0, 19045)
    assert numbers_of("2.36-9+deb12u4") == (2, 36)
    assert numbers_of("") == ()
    assert Machine("linux", "x86_64", "appimage").system == ()
    assert parse_version("0.2.0") is not None
