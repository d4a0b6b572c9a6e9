"""CredentialKey: the one name by which everything of a credential is kept and shared."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

# The names of these issuers in data folders since the first version, which knew no other sign-ins than theirs.
SHORT_NAMES = {"https://us.posthog.com": "us", "https://eu.posthog.com": "eu"}
FULL_NAMES = {short: full for full, short in SHORT_NAMES.items()}


class CredentialKey(NamedTuple):
    """Who the user is to one issuer, for one resource, in one slot.

    `issuer` is the authorization server's identifier (RFC 8414), or a fixed name where its address changes between
    starts. `resource` is the identifier that tokens are bound to (RFC 8707), empty where they are bound to none. `slot`
    tells accounts of one issuer apart; the first one's is empty.

    Settings, the journal and records use `text`, files use `file_name`, the vault uses `vault_name`. A key of an issuer
    alone has the names that the first version gave to its only sign-in there, so that its data folders stay valid.
    """

    issuer: str
    resource: str = ""
    slot: str = ""

    @property
    def text(self) -> str:
        """One line that `parse` reads back, such as `https://as.example https://mcp.example/mcp#work`."""
        resource = f" {self.resource}" if self.resource else ""
        slot = f"#{quote(self.slot, safe='')}" if self.slot else ""
        return f"{SHORT_NAMES.get(self.issuer, self.issuer)}{resource}{slot}"

    @property
    def file_name(self) -> str:
        """The stem of the files that processes share; equal for no two keys."""
        name = SHORT_NAMES.get(self.issuer, self.issuer)
        stem = "".join(character if character.isalnum() else "-" for character in name)
        if not self.resource and not self.slot:
            return stem
        import hashlib

        return f"{stem[:80]}-{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    def vault_name(self, profile: str) -> str:
        """The name of the stored grant; `profile` tells the data folders of a user apart."""
        rest = f"|{self.resource}|{self.slot}" if self.resource or self.slot else ""
        return f"{self.issuer}|{profile}{rest}"

    @property
    def scope(self) -> str:
        """What tells this key from others of its issuer; empty for a key of an issuer alone."""
        return f"{self.resource}#{self.slot}" if self.resource or self.slot else ""

    @staticmethod
    def parse(text: str) -> CredentialKey:
        """The key that `text` was made of."""
        rest, _, slot = text.partition("#")
        issuer, _, resource = rest.partition(" ")
        return CredentialKey(FULL_NAMES.get(issuer, issuer), resource, unquote(slot))
