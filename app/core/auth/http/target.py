"""Target: where a request goes and whose credential its answer can complain about."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.auth.http.classifier import CredentialOwner

# Where SessionAuth leaves, in a request's extensions, why the renewal failed and which rule judged the answer.
RENEWAL_FAILURE = "burrow.renewal_failure"
RULE = "burrow.rule"


@dataclass(frozen=True, slots=True)
class Target:
    """`origins` are the only ones that see the token. `name` is what records call it.

    `jsonrpc` targets may report a dead token inside a 200; `reports_own_auth` says that they may do so in a tool result
    too (contract section 2.3).
    """

    origins: frozenset[str]
    owner: CredentialOwner = CredentialOwner.PERSON
    jsonrpc: bool = False
    reports_own_auth: bool = False
    name: str = ""
