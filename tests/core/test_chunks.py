"""A secret that is too long for one item of a keyring (faults row 64), at the boundary that can be tried anywhere."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from app.core.auth.grant.grant import Grant
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.base import VaultFailure, VaultState
from app.core.auth.vault.chunks import ChunkedItems, split_utf16
from app.core.auth.vault.vaults import WINDOWS_ITEM_UNITS, KeyringVault

WINDOWS_UNITS = 1280


class CredentialManager(KeyringBackend):
    """What Windows' Credential Manager takes and answers (keyring #355); `dies_after` cuts the power at a write."""

    priority = 1

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.reads = 0
        self.dies_after: int | None = None

    def get_password(self, service: str, username: str) -> str | None:
        self.reads += 1
        return self.items.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password.encode("utf-16-le")) > 2 * WINDOWS_UNITS:
            raise OSError(1783, "CredWrite", "The stub received bad data.")
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise SystemExit("power cut")
        self.items[username] = password

    def delete_password(self, service: str, username: str) -> None:
        if username not in self.items:
            raise PasswordDeleteError("no such item")
        del self.items[username]


def test_the_limit_leaves_room_below_what_windows_takes() -> None:
    assert WINDOWS_ITEM_UNITS < WINDOWS_UNITS


@pytest.mark.parametrize("units", [0, 1, 1199, 1200, 1201, 2400, 2401, 20_000])
def test_no_item_is_longer_than_windows_takes_and_the_secret_comes_back(units: int) -> None:
    keyring = CredentialManager()
    items = ChunkedItems(keyring, "Burrow", WINDOWS_ITEM_UNITS)
    secret = "".join(itertools.islice(itertools.cycle("abcdefghij"), units))
    items.set("a", secret)
    assert items.get("a") == secret
    items.delete("a")
    assert keyring.items == {}
    items.delete("a")


@given(st.text(max_size=300), st.integers(min_value=2, max_value=17))
def test_pieces_are_short_whole_characters_and_together_the_text(text: str, limit: int) -> None:
    pieces = list(split_utf16(text, limit))
    assert "".join(pieces) == text
    assert all(len(piece.encode("utf-16-le", "surrogatepass")) <= 2 * limit for piece in pieces)
    assert len(pieces) >= 1


def test_a_shorter_secret_leaves_no_part_of_the_longer_one_behind() -> None:
    keyring = CredentialManager()
    items = ChunkedItems(keyring, "Burrow", 100)
    for length in (950, 350, 20, 950):
        items.set("a", "x" * length)
        assert items.get("a") == "x" * length
        assert sum(map(len, keyring.items.values())) < length + 100
    items.set("a", "short")
    assert keyring.items == {"a": "short"}


@pytest.mark.parametrize("write", range(7))
def test_a_write_cut_off_anywhere_leaves_the_former_secret_or_the_new_one(write: int) -> None:
    keyring = CredentialManager()
    items = ChunkedItems(keyring, "Burrow", 100)
    items.set("a", "old" * 150)
    keyring.dies_after = write
    with pytest.raises(SystemExit):
        items.set("a", "new" * 200)
    keyring.dies_after = None
    assert items.get("a") == "old" * 150
    items.set("a", "new" * 200)
    assert items.get("a") == "new" * 200
    items.delete("a")
    assert keyring.items == {}


@pytest.mark.parametrize("harm", ["missing", "torn", "swapped"])
async def test_parts_that_do_not_belong_together_are_damaged_and_stay_as_they_are(harm: str) -> None:
    keyring = CredentialManager()
    vault = KeyringVault(opened=lambda: ChunkedItems(keyring, "Burrow", 100))
    await vault.write("a", "".join(map(str, range(200))))
    first, second = sorted(name for name in keyring.items if "#" in name)[:2]
    if harm == "missing":
        del keyring.items[first]
    elif harm == "torn":
        keyring.items[first] = keyring.items[first][:50]
    else:
        keyring.items[first], keyring.items[second] = keyring.items[second], keyring.items[first]
    before = dict(keyring.items)
    with pytest.raises(VaultFailure) as caught:
        await vault.read("a")
    assert caught.value.state is VaultState.DAMAGED
    assert keyring.items == before


def test_a_secret_that_looks_like_a_head_comes_back_as_it_is() -> None:
    items = ChunkedItems(CredentialManager(), "Burrow", 100)
    for secret in ('{"burrow-parts": "a", "parts": 2, "digest": ""}', '{"burrow-parts": 7}', "burrow-parts"):
        items.set("a", secret)
        assert items.get("a") == secret


def test_a_grant_with_long_tokens_fits_in_parts_and_its_record_is_ascii() -> None:
    keyring = CredentialManager()
    vault = KeyringVault(opened=lambda: ChunkedItems(keyring, "Burrow", WINDOWS_ITEM_UNITS))
    grant = Grant(TokenSet("a" * 2000, "r" * 2000, scope="é" * 50), "client", "https://x.example", "1f")
    assert grant.encode().isascii()

    async def there_and_back() -> str | None:
        await vault.write("a", grant.encode())
        return await vault.read("a")

    assert Grant.decode(asyncio.run(there_and_back()) or "") == grant
