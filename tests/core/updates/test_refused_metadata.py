"""What a repository says is believed only as its owner signed it, only while it counts, and never backwards."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import BurrowError, ServerTrouble, UpdateRefused
from app.core.updates.status import UpdateState
from tests.core.updates._repository import Rig, tool

DAY = 86_400


def _other_keys(rig: Rig) -> Any:
    folder = rig.folder / "other-keys"
    tool().make_keys(folder, roots=1)
    return tool().load_keys([folder])


async def refused(rig: Rig, code: str = "", **options: Any) -> UpdateRefused:
    """The refusal of a check, which must neither change the state nor ask for the file."""
    updates = rig.updates(**options)
    with pytest.raises(UpdateRefused) as caught:
        await updates.check()
    assert updates.status.state is UpdateState.IDLE
    assert updates.status.release is None
    assert updates.status.trouble is caught.value
    assert not any("/targets/" in path for path, _ in rig.server.asked)
    if code:
        assert caught.value.facts.code == code
    await rig.clients.close()
    return caught.value


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
async def test_metadata_of_another_key_is_refused(rig: Rig, role: str) -> None:
    rig.add()
    name = "timestamp.json" if role == "timestamp" else f"2.{role}.json"
    rig.change(name, lambda value: None, *_other_keys(rig)[role])

    # What a hash of the level above covers is caught by that.
    await refused(rig, "unsigned" if role == "timestamp" else "tampered")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
async def test_metadata_without_a_signature_is_refused(rig: Rig, role: str) -> None:
    rig.add()
    name = "timestamp.json" if role == "timestamp" else f"2.{role}.json"
    rig.change(name, lambda value: value.update(signatures=[]))

    await refused(rig)


async def test_metadata_that_was_changed_after_it_was_signed_is_refused(rig: Rig) -> None:
    rig.add()
    rig.change("timestamp.json", lambda value: value["signed"].update(version=99))

    await refused(rig, "unsigned")


async def test_targets_that_the_snapshot_key_signed_are_refused(rig: Rig) -> None:
    """The keys of the roles are not exchangeable: who can sign timestamps cannot sign releases."""
    rig.add()
    signers = rig.signers
    rig.change("2.targets.json", lambda value: None, *signers["snapshot"])
    repository = rig.repository
    snapshot = repository._newest("snapshot")
    snapshot.signed.meta["targets.json"] = repository._described("targets", 2)
    snapshot.signatures.clear()
    snapshot.sign(signers["snapshot"][0])
    (rig.metadata / "2.snapshot.json").write_bytes(snapshot.to_bytes())
    repository._write_timestamp(2)

    await refused(rig, "unsigned")


async def test_a_root_that_too_few_have_signed_is_not_followed(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, roots=3, threshold=2)
    rig.add()
    root = rig.repository._newest("root")
    root.signed.version = 2
    root.signatures.clear()
    root.sign(rig.signers["root"][0])
    (rig.metadata / "2.root.json").write_bytes(root.to_bytes())

    await refused(rig, "unsigned")
    rig.server.close()


async def test_a_root_that_enough_have_signed_is_followed(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, roots=3, threshold=2)
    rig.add()
    rig.repository.rotate(_other_keys(rig) | {"root": []})

    assert (await rig.updates().check()).state is UpdateState.AVAILABLE
    await rig.clients.close()
    rig.server.close()


async def test_a_key_that_a_new_root_revokes_counts_no_longer(rig: Rig) -> None:
    rig.add("0.2.0")
    updates = rig.updates()
    await updates.check()
    thief = dict(rig.signers)
    rig.repository.rotate(_other_keys(rig) | {"root": []})
    await updates.check()
    # The thief has the former keys, and signs a timestamp with a higher version.
    rig.change("timestamp.json", lambda value: value["signed"].update(version=50), *thief["timestamp"])

    with pytest.raises(UpdateRefused) as caught:
        await updates.check()

    assert caught.value.facts.code == "unsigned"
    assert updates.status.release is not None
    await rig.clients.close()


async def test_root_keys_are_replaced_by_the_former_and_the_new_ones(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, roots=2, threshold=2)
    rig.add()
    folder = tmp_path / "next"
    tool().make_keys(folder, roots=2)
    rig.repository.rotate(tool().load_keys([folder]))

    assert (await rig.updates().check()).state is UpdateState.AVAILABLE
    await rig.clients.close()
    rig.server.close()


async def test_a_root_of_another_repository_is_refused(rig: Rig, tmp_path: Path) -> None:
    rig.add()
    other = Rig.make(tmp_path / "other")
    rig.root = other.root
    other.server.close()

    await refused(rig, "unsigned")


@pytest.mark.parametrize("days", [15, 401, 731], ids=["timestamp", "targets", "root"])
async def test_expired_metadata_is_refused(tmp_path: Path, days: int) -> None:
    rig = Rig.make(tmp_path)
    rig.signers = rig.repository._signers
    # Everything was signed so long ago.
    for path in rig.metadata.glob("*"):
        path.unlink()
    rig.metadata.rmdir()
    rig.repository = rig.at(time.time() - days * DAY)
    rig.root = rig.repository.create().read_bytes()
    rig.add()
    if days > 400:
        # The roles above are fresh: the expired one must be noticed by itself.
        rig.repository = rig.at(time.time())
        version = rig.repository._newest("snapshot").signed.version
        if days > 730:
            rig.repository._publish(rig.repository._newest("targets"))
        else:
            snapshot = rig.repository._newest("snapshot")
            snapshot.signed.expires = rig.repository._expiry("snapshot")
            rig.repository._write(snapshot, "snapshot", f"{version}.snapshot.json")
            rig.repository._write_timestamp(version)

    assert "expired" in (await refused(rig, "expired")).cause
    rig.server.close()


async def test_a_clock_that_was_set_back_makes_nothing_valid_again(rig: Rig) -> None:
    rig.add()
    await rig.updates().check()
    later = time.time() + 10 * DAY
    await rig.updates(now=lambda: later).check()
    # Eight days later the timestamp is expired, but this machine's clock stands where it was.
    rig.at(time.time() - 8 * DAY)._write_timestamp(2)

    assert (await refused_later(rig)).facts.code == "expired"


async def refused_later(rig: Rig) -> BurrowError:
    with pytest.raises(UpdateRefused) as caught:
        await rig.updates().check()
    await rig.clients.close()
    return caught.value


async def test_an_older_timestamp_is_refused(rig: Rig) -> None:
    rig.add()
    former = (rig.metadata / "timestamp.json").read_bytes()
    rig.add("0.3.0")
    await rig.updates().check()
    (rig.metadata / "timestamp.json").write_bytes(former)

    assert (await refused_later(rig)).facts.code == "older"


async def test_a_newer_timestamp_of_an_older_snapshot_is_refused(rig: Rig) -> None:
    rig.add()
    rig.add("0.3.0")
    await rig.updates().check()
    rig.repository._write_timestamp(2)

    assert (await refused_later(rig)).facts.code == "older"


async def test_a_newer_snapshot_of_older_targets_is_refused(rig: Rig) -> None:
    rig.add()
    rig.add("0.3.0")
    await rig.updates().check()
    snapshot = rig.repository._newest("snapshot")
    snapshot.signed.version += 1
    snapshot.signed.meta["targets.json"] = rig.repository._described("targets", 2)
    rig.repository._write(snapshot, "snapshot", f"{snapshot.signed.version}.snapshot.json")
    rig.repository._write_timestamp(snapshot.signed.version)

    assert (await refused_later(rig)).facts.code == "older"


async def test_a_snapshot_and_targets_of_different_states_are_refused(rig: Rig) -> None:
    rig.add()
    rig.add("0.3.0")
    (rig.metadata / "3.targets.json").write_bytes((rig.metadata / "2.targets.json").read_bytes())

    await refused(rig)


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"<html>sign in to this network</html>",
    "a list": b"[]",
    "deep": b"[" * 8_000,
    "deep objects": b'{"signed":' * 1_500,
    "a long number": b'{"signed": {"version": ' + b"9" * 10_000 + b"}}",
    "NUL": b"\x00" * 1_000,
    "broken UTF-8": b'{"signed": "\xff\xfe"}',
    "half": b'{"signatures": [], "signed": {"_type": "timestamp", "ver',
    "wrong types": json.dumps({"signatures": 1, "signed": []}).encode(),
    "infinite": b'{"signed": {"version": Infinity, "_type": "timestamp"}, "signatures": []}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_no_answer_breaks_the_reader(rig: Rig, body: bytes) -> None:
    rig.add()
    rig.server.faults["timestamp.json"] = lambda handler, _: handler.reply(200, body) or True

    await refused(rig)


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json"])
async def test_metadata_of_a_huge_size_is_cut_off(rig: Rig, name: str) -> None:
    rig.add()
    sent = []

    def flood(handler: Any, _: bytes) -> bool:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _number in range(1_000):
                handler.wfile.write(b" " * 65_536)
                sent.append(65_536)
        except OSError:
            handler.close_connection = True
        handler.close_connection = True
        return True

    rig.server.faults[name] = flood

    await refused(rig, "too_long")
    # Of 65 MB: what was asked for, and what was on its way.
    assert sum(sent) < 32_000_000


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_a_server_that_refuses_is_a_failure_of_the_server(rig: Rig, status: int) -> None:
    rig.server.faults["timestamp.json"] = lambda handler, _: handler.reply(status, b"no") or True
    updates = rig.updates()

    with pytest.raises(ServerTrouble) as caught:
        await updates.check()

    assert caught.value.facts.status == status
    record = await updates.record()
    assert (record.failures, record.trouble) == (1, caught.value.cause)
    await rig.clients.close()


@pytest.mark.parametrize(
    "location",
    ["http://updates.example/x", "https://user:pw@updates.example/", "file:///etc/passwd", "", "//[", "ftp://x/"],
)
async def test_a_redirect_to_anything_unsafe_is_not_followed(rig: Rig, location: str) -> None:
    rig.server.faults["timestamp.json"] = lambda handler, _: handler.reply(302, b"", Location=location) or True

    with pytest.raises(BurrowError) as caught:
        await rig.updates().check()

    assert caught.value.facts.code == "redirect"
    await rig.clients.close()


async def test_a_circle_of_redirects_ends(rig: Rig) -> None:
    rig.server.faults["timestamp.json"] = lambda handler, _: handler.reply(302, b"", Location=handler.path) or True

    with pytest.raises(BurrowError) as caught:
        await rig.updates().check()

    assert caught.value.facts.code == "redirect"
    assert sum("timestamp" in path for path, _ in rig.server.asked) == 6
    await rig.clients.close()


async def test_a_redirect_is_followed_to_a_server_that_has_the_file(rig: Rig) -> None:
    rig.add()

    def moved(handler: Any, _: bytes) -> bool:
        handler.reply(307, b"", Location="/metadata/./moved.json")
        return True

    (rig.metadata / "moved.json").write_bytes((rig.metadata / "timestamp.json").read_bytes())
    rig.server.faults["/metadata/timestamp.json"] = moved

    assert (await rig.updates().check()).state is UpdateState.AVAILABLE
    await rig.clients.close()
