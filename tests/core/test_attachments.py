"""Attachments: private copies, named by their content, bounded, and deleted once nothing names them."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from app.core.errors import Rejected, StorageTrouble
from app.core.storage import Scope, Storage
from app.core.storage import attachments as module
from app.core.storage.attachments import FIELD, Attachment, Attachments, decode, encode

ADA = Scope("us", "ada")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 10)
    monkeypatch.setattr(module, "LARGEST_PDF", 5)
    store = Attachments(tmp_path / "data")
    (tmp_path / "a.txt").write_bytes(b"x" * 11)
    (tmp_path / "b.pdf").write_bytes(b"x" * 6)
    for name in ("a.txt", "b.pdf"):
        with pytest.raises(Rejected, match=name):
            store.add_file(tmp_path / name)
    assert list((tmp_path / "data" / "attachments").iterdir()) == []


def test_what_is_no_file_and_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    store = Attachments(tmp_path)
    with pytest.raises(Rejected):
        store.add_file(tmp_path)
    with pytest.raises(Rejected):
        store.add_file(tmp_path / "missing")
    with pytest.raises(StorageTrouble):
        Attachments(None).add_content("a", "text/plain", b"a")
    for digest in ("../burrow.sqlite3", "0" * 64, ""):
        with pytest.raises(StorageTrouble):
            store.read(Attachment("a", digest, 1, "text/plain"))


def test_a_damaged_copy_is_not_given_out(tmp_path: Path) -> None:
    store = Attachments(tmp_path)
    file = store.add_content("a.txt", "text/plain", b"content")
    (tmp_path / "attachments" / file.digest).write_bytes(b"other")
    with pytest.raises(StorageTrouble, match="damaged"):
        store.read(file)


@POSIX
def test_a_copy_is_private_and_kept_once(tmp_path: Path) -> None:
    store = Attachments(tmp_path / "data")
    source = tmp_path / "notes.txt"
    source.write_bytes(b"content")
    one, two = store.add_file(source), store.add_content("other.txt", "text/plain", b"content")
    assert one == Attachment("notes.txt", hashlib.sha256(b"content").hexdigest(), 7, "text/plain")
    assert two.digest == one.digest
    [copy] = (tmp_path / "data" / "attachments").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    source.unlink()
    assert store.read(one) == b"content"


def test_names_survive_being_stored_and_anything_else_is_nothing() -> None:
    files = (Attachment("ü.png", "0" * 64, 3, "image/png"),)
    assert decode(encode(files)) == files
    assert encode(()) == ""
    for other in ("", "nonsense", "[1]", None, 3, '[["a"]]'):
        assert decode(other) == ()


async def test_only_old_copies_that_nothing_names_are_deleted(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    files = {
        name: storage.attachments.add_content(name, "text/plain", name.encode())
        for name in ("draft", "outbox", "fresh", "old")
    }
    await storage.drafts.save(ADA, "task", "new", {"title": "t", FIELD: encode([files["draft"]])})
    await storage.outbox.add(ADA, "task.create", {"title": "t", FIELD: encode([files["outbox"]])})
    long_ago = time.time() - 2 * module.KEPT_SECONDS
    for name in ("draft", "outbox", "old"):
        os.utime(tmp_path / "attachments" / files[name].digest, (long_ago, long_ago))
    await storage.delete_unnamed_attachments()
    left = {path.name for path in (tmp_path / "attachments").iterdir()}
    assert left == {files[name].digest for name in ("draft", "outbox", "fresh")}
    await storage.close()
