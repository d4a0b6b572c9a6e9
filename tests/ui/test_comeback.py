"""A place asks anew once when its session is well again, and not with every renewal."""

from __future__ import annotations

import pytest

from app.core.auth.status import SERVER_TROUBLES, CredentialState, CredentialStatus, Trouble
from app.ui.comeback import Comeback

WELL = CredentialStatus(CredentialState.SIGNED_IN)
RENEWING = CredentialStatus(CredentialState.SIGNED_IN, refreshing_since=1.0)


@pytest.mark.parametrize(
    "ill",
    [
        CredentialStatus(CredentialState.NEEDS_SIGN_IN),
        CredentialStatus(CredentialState.SIGNED_OUT),
        CredentialStatus(CredentialState.RESTORING),
        *(CredentialStatus(CredentialState.SIGNED_IN, trouble=trouble) for trouble in sorted(SERVER_TROUBLES)),
    ],
    ids=lambda status: f"{status.state.value} {status.trouble}",
)
def test_a_session_that_is_well_again_is_told_once(ill: CredentialStatus) -> None:
    comeback = Comeback(WELL)
    assert [comeback.told(status) for status in (ill, ill, WELL, RENEWING, WELL)] == [False, False, True, False, False]
    assert Comeback(ill).told(WELL)


def test_renewals_and_a_keyring_that_fails_are_no_comeback() -> None:
    comeback = Comeback(WELL)
    locked = CredentialStatus(CredentialState.SIGNED_IN, trouble=Trouble.VAULT_LOCKED, persistent=False)
    assert not any(comeback.told(status) for status in (RENEWING, WELL, locked, RENEWING, WELL))
