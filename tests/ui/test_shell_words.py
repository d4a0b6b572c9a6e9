"""Every state of a session has its word, and every way in which a sign-in cannot be kept its sentence and its exits."""

from __future__ import annotations

from math import inf
from time import monotonic

import pytest
from PySide6.QtWidgets import QApplication, QPushButton

from app.core.auth.status import CredentialState, CredentialStatus, Trouble
from app.core.auth.vault.base import VaultState
from app.ui.shell.credential_words import credential_note, credential_state
from app.ui.shell.signin_bar import SignInBar
from app.ui.shell.vault_words import FILE, KEYRING, VaultPhase, vault_words
from tests.ui._shell_fakes import sign_in_of

REASON = "PostHog US keeps refusing tokens that were issued a moment ago."
SIGNED_IN = CredentialStatus(CredentialState.SIGNED_IN)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (SIGNED_IN, "Signed in"),
        (CredentialStatus(), "Opening"),
        (CredentialStatus(CredentialState.SIGNED_OUT), "Signed out"),
        (CredentialStatus(CredentialState.NEEDS_SIGN_IN, trouble=Trouble.OFFLINE), "Sign in"),
        (CredentialStatus(CredentialState.SIGNED_IN, refreshing_since=inf), "Signed in"),
        (CredentialStatus(CredentialState.SIGNED_IN, refreshing_since=monotonic() - 2.1), "Renewing sign-in…"),
        (CredentialStatus(CredentialState.SIGNED_IN, trouble=Trouble.OFFLINE), "Offline"),
        (CredentialStatus(CredentialState.SIGNED_IN, trouble=Trouble.SERVER), "Server error"),
        (CredentialStatus(CredentialState.SIGNED_IN, trouble=Trouble.REFUSED, reason=REASON), "Refused by server"),
        (CredentialStatus(trouble=Trouble.VAULT_LOCKED), "Keyring needed"),
        (CredentialStatus(trouble=Trouble.VAULT_ABSENT), "Keyring needed"),
        (CredentialStatus(trouble=Trouble.VAULT_UNREADABLE), "Keyring needed"),
        (CredentialStatus(trouble=Trouble.VAULT_UNREADABLE, store="file"), "Sign-in not stored"),
        (CredentialStatus(trouble=Trouble.VAULT_DAMAGED), "Sign-in unreadable"),
    ],
)
def test_a_status_has_its_word(qapp: QApplication, status: CredentialStatus, word: str) -> None:
    assert credential_state(status).word == word


def test_tokens_that_are_refused_again_and_again_are_a_word_with_advice_and_no_bar(qapp: QApplication) -> None:
    bar = SignInBar()
    status = CredentialStatus(CredentialState.SIGNED_IN, trouble=Trouble.REFUSED, reason=REASON)
    bar.show_sign_ins([sign_in_of(status, 4)])
    assert bar.isHidden()
    assert credential_note(status) == f"{REASON} Burrow tries once a minute; signing in again may help."


PHASES = {
    "closed": (CredentialState.RESTORING, True, 0),
    "closed, signed in": (CredentialState.SIGNED_IN, True, 3),
    "held": (CredentialState.SIGNED_IN, False, 1),
    "renewed": (CredentialState.SIGNED_IN, False, 2),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("vault", [state.value for state in VaultState])
@pytest.mark.parametrize("store", ["keyring", "file"])
def test_every_trouble_of_a_vault_is_said_with_its_way_on(
    qapp: QApplication, phase: str, vault: str, store: str
) -> None:
    state, persistent, generation = PHASES[phase]
    status = CredentialStatus(state, "Why.", trouble=Trouble(f"vault-{vault}"), store=store, persistent=persistent)
    words = vault_words(status, generation)
    bar, wanted, said = SignInBar(), [], []
    bar.store_wanted.connect(lambda _key, kind: wanted.append(kind))
    bar.said.connect(lambda text, assertive: said.append(assertive))
    bar.show_sign_ins([sign_in_of(status, generation)])
    assert not bar.isHidden()
    assert bar.text() == words
    ends = phase == "held" and vault != "damaged" and (store, vault) != ("keyring", "absent")
    assert ("forgotten when you quit" in words) is ends
    assert ("tries again" in words) is (phase == "renewed" and vault != "damaged")
    for each in bar.findChildren(QPushButton):
        each.click()
    instead = {"keyring": ["memory", "file"], "file": ["memory", "keyring"]}[store]
    assert wanted == [store, *instead]


def test_no_two_sentences_about_the_vault_are_alike_where_they_mean_different_things() -> None:
    said = [*(words for phases in KEYRING.values() for words in phases.values()), *FILE.values()]
    assert len(said) - len(set(said)) == 1
    absent = KEYRING[Trouble.VAULT_ABSENT]
    assert absent[VaultPhase.CLOSED] == absent[VaultPhase.HELD]


def test_a_renewed_sign_in_that_is_being_stored_again_is_not_shouted(qapp: QApplication) -> None:
    for generation, persistent, assertive in ((1, False, True), (2, False, False)):
        bar, said = SignInBar(), []
        bar.said.connect(lambda _text, loudly, said=said: said.append(loudly))
        status = CredentialStatus(CredentialState.SIGNED_IN, trouble=Trouble.VAULT_LOCKED, persistent=persistent)
        bar.show_sign_ins([sign_in_of(status, generation)])
        bar._say_soon.timeout.emit()
        assert said == [assertive]
