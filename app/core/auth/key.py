"""CredentialKey: the one name by which everything of a credential is kept and shared."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

# The names of these issuers in data folders since the first version, which knew no other sign-ins than theirs.
SHORT_NAMES = {"https://us.posthog.com": "us", "https://eu.posthog.com": "eu"}
FULL_NAMES = {short: full for full, short in SHORT_NAMES.items()}
# What an issuer could be for the first version: the origin of a host, or a fixed name.
FIRST_VERSION = re.compile(r"[a-z]+|https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")
# Longer names of files are cut, so that the name with its ending fits every file system.
LONGEST_STEM = 80
# Characters of an address that stay as they are. What separates the parts of a name (`#`, `|`, spaces, `%`) does not.
PLAIN = ":/?@!$&'()*+,;=[]"


class CredentialKey(NamedTuple):
    """Who the user is to one issuer, for one resource, in one slot.

    `issuer` is the authorization server's identifier (RFC 8414), or a fixed name where its address changes between
    starts. `resource` is the identifier that tokens are bound to (RFC 8707), empty where they are bound to none. `slot`
    tells accounts of one issuer apart; the first one's is empty.

    Settings, the journal and records use `text`, files use `file_name`, the vault uses `vault_name`. A key of an issuer
    alone has the names that the first version gave to its only sign-in there, so that its data folders stay valid. All
    names of two keys differ, but for the files of issuers that shared them in the first version already, such as
    `https://a-b.example` and `https://a.b.example`: they wait for each other's lock, which harms nothing.
    """

    issuer: str
    resource: str = ""
    slot: str = ""

    @property
    def text(self) -> str:
        """One line of ASCII that `parse` reads back, such as `https://as.example https://mcp.example/mcp#work`."""
        resource = f" {_plain(self.resource)}" if self.resource else ""
        slot = f"#{_quoted(self.slot)}" if self.slot else ""
        return f"{SHORT_NAMES.get(self.issuer, _plain(self.issuer))}{resource}{slot}"

    @property
    def file_name(self) -> str:
        """The stem of the files that processes share: letters, digits, `-` and `_`, at most 97 of them."""
        name = SHORT_NAMES.get(self.issuer, self.issuer)
        stem = "".join(character if character.isascii() and character.isalnum() else "-" for character in name)
        first = not self.resource and not self.slot and FIRST_VERSION.fullmatch(self.issuer)
        if first and len(stem) <= LONGEST_STEM:
            return stem
        import hashlib

        return f"{stem[:LONGEST_STEM]}_{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    def vault_name(self, profile: str) -> str:
        """The name of the stored grant; `profile` tells the data folders of a user apart."""
        rest = f"|{_plain(self.resource)}|{_quoted(self.slot)}" if self.resource or self.slot else ""
        return f"{_plain(self.issuer)}|{profile}{rest}"

    @property
    def scope(self) -> str:
        """What tells this key from others of its issuer; empty for a key of an issuer alone."""
        return f"{_plain(self.resource)}#{_quoted(self.slot)}" if self.resource or self.slot else ""

    @staticmethod
    def parse(text: str) -> CredentialKey:
        """The key that `text` was made of."""
        rest, _, slot = text.partition("#")
        issuer, _, resource = rest.partition(" ")
        return CredentialKey(FULL_NAMES.get(issuer, _unquoted(issuer)), _unquoted(resource), _unquoted(slot))


def _plain(address: str) -> str:
    """An address, readable, without any character that separates the parts of a name."""
    return quote(address, safe=PLAIN, errors="surrogateescape")


def _quoted(slot: str) -> str:
    """Any text without any character that separates; from the command line it may be none of Unicode."""
    return quote(slot, safe="", errors="surrogateescape")


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogateescape")
