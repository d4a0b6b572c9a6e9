"""The signed repository of releases: makes keys, adds releases, renews what expires, replaces keys.

    .venv/bin/python packaging/updates/repository.py keys KEYS --roots 3
    .venv/bin/python packaging/updates/repository.py init REPOSITORY --keys KEYS --threshold 2
    .venv/bin/python packaging/updates/repository.py add REPOSITORY FILE --keys KEYS --version 0.2.0 --kind appimage …
    .venv/bin/python packaging/updates/repository.py refresh REPOSITORY --keys KEYS
    .venv/bin/python packaging/updates/repository.py rotate REPOSITORY --keys KEYS --new NEWKEYS

The folder REPOSITORY is served as it is, by any web server that answers ranges. A release is visible when its
timestamp is: copy `metadata/timestamp.json` last. It follows The Update Framework
(https://theupdateframework.github.io/specification/latest/), with consistent snapshots.

KEYS has `root-1.pem` and so on, `targets.pem`, `snapshot.pem`, `timestamp.pem` (Ed25519, PKCS #8). Keep the root keys
apart and offline: only `init` and `rotate` need them, and `--keys` may be given several times. `BURROW_UPDATE_KEYS`
names a folder too, `BURROW_UPDATE_PASSWORD` the password that the files are encrypted with.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KEYS_VARIABLE, PASSWORD_VARIABLE = "BURROW_UPDATE_KEYS", "BURROW_UPDATE_PASSWORD"
ONLINE = ("targets", "snapshot", "timestamp")
# Days until what each role signed expires. The timestamp is renewed by a timer, the others by releases.
DAYS = {"root": 730, "targets": 400, "snapshot": 400, "timestamp": 14}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")
VERSION = re.compile(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}")
Signers = dict[str, list[CryptoSigner]]


def make_keys(folder: Path, *, roots: int = 3, roles: Iterable[str] = ONLINE, password: str | None = None) -> None:
    """Make new keys in `folder`, readable for their owner only. Raises `FileExistsError` before it replaces one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    for name in (*(f"root-{number}" for number in range(1, roots + 1)), *roles):
        content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        handle = os.open(folder / f"{name}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)


def load_keys(folders: Iterable[Path], password: str | None = None) -> Signers:
    """The keys of these folders by role. Roles without a key have none."""
    found: Signers = {role: [] for role in DAYS}
    for folder in folders:
        for path in sorted(folder.glob("*.pem")):
            role = "root" if path.stem.startswith("root-") else path.stem
            if role in found:
                key: Any = load_pem_private_key(path.read_bytes(), password.encode() if password else None)
                found[role].append(CryptoSigner(key))
    return found


class UpdateRepository:
    """The folder with `metadata` and `targets`. `now` is the moment from which expiries count."""

    def __init__(self, folder: Path, signers: Signers, *, now: datetime | None = None) -> None:
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self._signers = signers
        self._now = (now or datetime.now(UTC)).replace(microsecond=0)

    def create(self, *, threshold: int = 1) -> Path:
        """Make an empty repository; the root metadata that builds trust. `threshold` root keys must sign."""
        self.metadata.mkdir(parents=True)
        self.targets.mkdir(parents=True, exist_ok=True)
        root = Root(expires=self._expiry("root"), consistent_snapshot=True)
        for role, signers in self._signers.items():
            if not signers:
                raise SystemExit(f"There is no key for {role}.")
            for signer in signers:
                root.add_key(signer.public_key, role)
        if not 1 <= threshold <= len(self._signers["root"]):
            raise SystemExit(f"{threshold} of {len(self._signers['root'])} root keys cannot sign.")
        root.roles["root"].threshold = threshold
        self._write_root(Metadata(root), self._signers["root"])
        self._publish(Metadata(Targets(expires=self._expiry("targets"))), first=True)
        return self.metadata / "1.root.json"

    def add(self, file: Path, custom: dict[str, Any]) -> str:
        """Add the file of a release; its path in the repository. `custom`: see `app/core/updates/release.py`."""
        if NAME.fullmatch(file.name) is None:
            raise SystemExit(f"{file.name!r} is no plain file name.")
        path = f"{custom['kind']}/{custom['architecture']}/{custom['version']}/{file.name}"
        entry = TargetFile.from_file(path, str(file), ["sha256"])
        entry.unrecognized_fields["custom"] = {"burrow": custom}
        held = self.targets / Path(path).parent / f"{entry.hashes['sha256']}.{file.name}"
        held.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, held)
        listed = self._newest("targets")
        listed.signed.targets[path] = entry
        self._publish(listed)
        return path

    def withdraw(self, path: str) -> None:
        """Offer a release no longer. Who has it keeps it; who has seen it waits for a higher version."""
        listed = self._newest("targets")
        del listed.signed.targets[path]
        self._publish(listed)

    def refresh(self) -> None:
        """Sign the timestamp anew, and the snapshot and the targets if they expire within a month."""
        soon = self._now + timedelta(days=30)
        if self._newest("targets").signed.expires < soon or self._newest("snapshot").signed.expires < soon:
            self._publish(self._newest("targets"))
        else:
            self._write_timestamp(self._newest("snapshot").signed.version)

    def rotate(self, new: Signers) -> Path:
        """Replace the keys of the roles that `new` has keys for, and sign what those roles say anew.

        The new root is signed by enough of the former root keys and, where these change, of the new ones.
        """
        root: Metadata[Root] = self._newest("root")
        former = list(self._signers["root"])
        for role, signers in new.items():
            if signers:
                for keyid in list(root.signed.roles[role].keyids):
                    root.signed.revoke_key(keyid, role)
                for signer in signers:
                    root.signed.add_key(signer.public_key, role)
                self._signers[role] = list(signers)
        if root.signed.roles["root"].threshold > len(root.signed.roles["root"].keyids):
            raise SystemExit("There are fewer new root keys than have to sign.")
        root.signed.version += 1
        root.signed.expires = self._expiry("root")
        self._write_root(root, [*former, *new.get("root", [])])
        # A key that was revoked may have signed what it should not: everything below is signed again.
        self._publish(self._newest("targets"))
        return self.metadata / f"{root.signed.version}.root.json"

    def _publish(self, listed: Metadata[Targets], *, first: bool = False) -> None:
        if not first:
            listed.signed.version += 1
        listed.signed.expires = self._expiry("targets")
        self._write(listed, "targets", f"{listed.signed.version}.targets.json")
        snapshot: Metadata[Snapshot]
        snapshot = Metadata(Snapshot(expires=self._expiry("snapshot"))) if first else self._newest("snapshot")
        if not first:
            snapshot.signed.version += 1
        snapshot.signed.expires = self._expiry("snapshot")
        snapshot.signed.meta["targets.json"] = self._described("targets", listed.signed.version)
        self._write(snapshot, "snapshot", f"{snapshot.signed.version}.snapshot.json")
        self._write_timestamp(snapshot.signed.version, first=first)

    def _write_timestamp(self, snapshot: int, *, first: bool = False) -> None:
        path = self.metadata / "timestamp.json"
        stamp: Metadata[Timestamp]
        stamp = Metadata(Timestamp(expires=self._expiry("timestamp"))) if first else Metadata.from_file(str(path))
        if not first:
            stamp.signed.version += 1
        stamp.signed.expires = self._expiry("timestamp")
        stamp.signed.snapshot_meta = self._described("snapshot", snapshot)
        self._write(stamp, "timestamp", path.name)

    def _write_root(self, root: Metadata[Root], signers: Iterable[CryptoSigner]) -> None:
        root.signatures.clear()
        for signer in signers:
            root.sign(signer, append=True)
        if root.signed.version > 1:
            self._newest("root").verify_delegate("root", root)
        root.verify_delegate("root", root)
        _replace(self.metadata / f"{root.signed.version}.root.json", root.to_bytes(JSONSerializer(compact=False)))

    def _write(self, metadata: Metadata[Any], role: str, name: str) -> None:
        metadata.signatures.clear()
        if not self._signers[role]:
            raise SystemExit(f"There is no key for {role}.")
        for signer in self._signers[role]:
            metadata.sign(signer, append=True)
        # A release that nobody could install must not be published.
        self._newest("root").verify_delegate(role, metadata)
        _replace(self.metadata / name, metadata.to_bytes(JSONSerializer(compact=False)))

    def _described(self, role: str, version: int) -> MetaFile:
        content = (self.metadata / f"{version}.{role}.json").read_bytes()
        return MetaFile(version, len(content), {"sha256": hashlib.sha256(content).hexdigest()})

    def _newest(self, role: str) -> Metadata[Any]:
        numbered = [int(path.name.split(".")[0]) for path in self.metadata.glob(f"*.{role}.json")]
        if not numbered:
            raise SystemExit(f"{self.metadata} has no {role} metadata: run init first.")
        return Metadata.from_file(str(self.metadata / f"{max(numbered)}.{role}.json"))

    def _expiry(self, role: str) -> datetime:
        return self._now + timedelta(days=DAYS[role])


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _custom(asked: argparse.Namespace) -> dict[str, Any]:
    if VERSION.fullmatch(asked.version) is None:
        raise SystemExit(f"{asked.version!r} is no version like 0.2.0.")
    notes = asked.notes.read_text(encoding="utf-8") if asked.notes else ""
    return {
        "version": asked.version,
        "platform": asked.platform,
        "architecture": asked.architecture,
        "kind": asked.kind,
        "minimum_system": asked.minimum_system,
        "notes": notes,
        "released": int(os.environ.get("SOURCE_DATE_EPOCH") or datetime.now(UTC).timestamp()),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("repository.py", description="The signed repository of releases.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="make keys")
    keys.add_argument("folder", type=Path)
    keys.add_argument("--roots", type=int, default=3, help="how many root keys (3), or 0 for the other roles only")
    keys.add_argument("--role", action="append", choices=ONLINE, help="only these roles beside the root")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words)
        made.add_argument("repository", type=Path)
        made.add_argument(
            "--keys", type=Path, action="append", default=[], help=f"folder of keys (also {KEYS_VARIABLE})"
        )
        return made

    command("init", "make an empty repository").add_argument("--threshold", type=int, default=1)
    add = command("add", "add the file of a release")
    add.add_argument("file", type=Path)
    add.add_argument("--version", required=True)
    add.add_argument("--platform", choices=("linux", "windows", "macos"), required=True)
    add.add_argument("--architecture", choices=("x86_64", "aarch64"), default="x86_64")
    add.add_argument("--kind", choices=("appimage", "portable", "windows", "macos"), required=True)
    add.add_argument("--minimum-system", default="", help="the lowest version of the system; on Linux that of glibc")
    add.add_argument("--notes", type=Path, help="a text file with the release notes")
    command("withdraw", "offer a release no longer").add_argument("path")
    command("refresh", "sign anew what expires; run it daily")
    command("rotate", "replace keys").add_argument("--new", type=Path, required=True, help="folder with the new keys")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    password = os.environ.get(PASSWORD_VARIABLE) or None
    if asked.command == "keys":
        make_keys(asked.folder, roots=asked.roots, roles=asked.role or ONLINE, password=password)
        return 0
    named = os.environ.get(KEYS_VARIABLE)
    folders = asked.keys or ([Path(named)] if named else [])
    repository = UpdateRepository(asked.repository, load_keys(folders, password))
    if asked.command == "init":
        sys.stdout.write(f"{repository.create(threshold=asked.threshold)}\n")
    elif asked.command == "add":
        sys.stdout.write(f"{repository.add(asked.file, _custom(asked))}\n")
    elif asked.command == "withdraw":
        repository.withdraw(asked.path)
    elif asked.command == "refresh":
        repository.refresh()
    else:
        sys.stdout.write(f"{repository.rotate(load_keys([asked.new], password))}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
