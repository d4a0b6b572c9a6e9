"""Every name that a credential is kept by: read back, distinct, valid everywhere, and for issuers alone as ever."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.auth.key import SHORT_NAMES, CredentialKey
from app.core.auth.settings import CredentialSettings
from app.core.hosts import WORKSPACE
from tests.core.conftest import Remembered

PROFILE = "0123456789ab"
SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")

# Few and separating characters, so that names which are put together carelessly meet.
TRICKY = st.text("ab#|% /.-_:é", max_size=6)
ORIGINS = st.sampled_from([*SHORT_NAMES, "https://as.example", "https://as.example:8443", "http://127.0.0.1:8000"])
ISSUERS = st.one_of(ORIGINS, st.builds("{}/{}".format, ORIGINS, TRICKY), st.just(WORKSPACE))
RESOURCES = st.one_of(st.just(""), TRICKY, st.builds("https://mcp.example/{}".format, TRICKY))
SLOTS = st.one_of(st.just(""), TRICKY, st.text(max_size=20), st.just("\udce9t\udce9"))
KEYS = st.builds(CredentialKey, ISSUERS, RESOURCES, SLOTS)


@pytest.mark.parametrize(
    ("issuer", "text", "file_name"),
    [
        ("https://us.posthog.com", "us", "us"),
        ("https://eu.posthog.com", "eu", "eu"),
        (WORKSPACE, "workspace", "workspace"),
        ("https://posthog.example.com", "https://posthog.example.com", "https---posthog-example-com"),
        ("https://my-hog.example.com:8443", "https://my-hog.example.com:8443", "https---my-hog-example-com-8443"),
        ("http://127.0.0.1:47613", "http://127.0.0.1:47613", "http---127-0-0-1-47613"),
        ("http://[::1]:8000", "http://[::1]:8000", "http------1--8000"),
    ],
)
def test_a_key_of_an_issuer_alone_has_the_names_of_the_first_version(issuer: str, text: str, file_name: str) -> None:
    key = CredentialKey(issuer)
    assert (key.text, key.file_name, key.scope) == (text, file_name, "")
    assert key.vault_name(PROFILE) == f"{issuer}|{PROFILE}"


def test_the_text_of_a_key_can_be_read() -> None:
    key = CredentialKey("https://as.example", "https://mcp.example/mcp?project=1", "work")
    assert key.text == "https://as.example https://mcp.example/mcp?project=1#work"


@settings(deadline=None)
@given(KEYS)
def test_a_key_is_read_back_from_its_text(key: CredentialKey) -> None:
    assert CredentialKey.parse(key.text) == key
    assert key.text.isascii()
    assert key.text.isprintable()


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_as_some_key(text: str) -> None:
    key = CredentialKey.parse(text)
    assert CredentialKey.parse(key.text) == key


def check_names(one: CredentialKey, other: CredentialKey) -> None:
    """Each name of two keys is the same only if they are."""
    same = one == other
    assert (one.text == other.text) is same
    assert (one.file_name == other.file_name) is same
    assert (one.vault_name(PROFILE) == other.vault_name(PROFILE)) is same
    if one.issuer == other.issuer:
        assert (one.scope == other.scope) is same


@settings(deadline=None)
@given(KEYS, KEYS)
def test_all_names_of_two_keys_differ(one: CredentialKey, other: CredentialKey) -> None:
    check_names(one, other)


@pytest.mark.parametrize(
    "keys",
    [
        (
            ("https://as.example", "https://mcp.example/a|b", "c"),
            ("https://as.example", "https://mcp.example/a", "b|c"),
        ),
        (("https://as.example/a b", "c"), ("https://as.example/a", "b c")),
        (("https://as.example", "r#s"), ("https://as.example", "r", "s")),
        (("https://as.example/%20", "r"), ("https://as.example/ ", "r")),
        (("https://as.example/x", "r"), ("https://as.example-x", "r")),
        (("https://as.example", "r"), ("https://as.example", "", "r"), ("https://as.example",)),
        (("https://us.posthog.com", "r"), ("https://eu.posthog.com", "r"), ("https://us.posthog.com", "", "r")),
        (("https://as.example/" + "a" * 90, "r"), ("https://as.example/" + "a" * 91, "r")),
    ],
)
def test_keys_whose_parts_run_into_each_other_have_names_of_their_own(keys: tuple[tuple[str, ...], ...]) -> None:
    for one, other in combinations([CredentialKey(*parts) for parts in keys], 2):
        check_names(one, other)


@settings(deadline=None)
@given(KEYS)
def test_a_file_name_is_valid_on_every_file_system(key: CredentialKey) -> None:
    assert set(key.file_name) <= SAFE
    assert 0 < len(key.file_name) <= 97


@settings(deadline=None)
@given(KEYS)
def test_the_secret_of_a_client_is_never_named_like_the_grant_of_another_key(key: CredentialKey) -> None:
    rest = key.vault_name(PROFILE).split("|")
    assert len(rest) == (2 if not key.resource and not key.slot else 4)
    assert rest[1] == PROFILE


async def test_settings_of_two_slots_stand_beside_each_other() -> None:
    remembered = Remembered()
    for slot in ("", "work"):
        await CredentialSettings(remembered, CredentialKey("https://us.posthog.com", slot=slot)).set("client", slot)
    assert remembered.values == {"auth:us:client": "", "auth:us#work:client": "work"}
