"""CredentialKey: the key under which everything about a credential is stored and shared."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

# What data folders call these issuers since the first version, which knew no others.
SHORT_NAMES = {"https://us.posthog.com": "us", "https://eu.posthog.com": "eu"}
FULL_NAMES = {short: full for full, short in SHORT_NAMES.items()}
# The issuers that the first version could have: the origin of a host, or a fixed name.
FIRST_VERSION = re.compile(r"[a-z]+|https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")
# Longer stems are cut, so that the name with its suffix fits every file system.
LONGEST_STEM = 80
# Characters of a URL that are not percent-encoded. Those that separate the parts of a name (`#`, `|`, space, `%`) are.
SAFE = ":/?@!$&'()*+,;=[]"


class CredentialKey(NamedTuple):
    """An issuer, a resource and a slot. Together they identify a credential.

    `issuer` is the authorization server's identifier (RFC 8414), or a fixed name where its URL changes between starts.
    `resource` is the resource indicator that tokens are bound to (RFC 8707), empty for none. `slot` tells the accounts
    of one issuer apart; that of the first account is empty.

    Settings, the journal and records use `text`, files use `file_name`, the vault uses `vault_name`. A key with only an
    issuer has the names that the first version used, so that its data folders stay valid. Different keys have different
    names, with one exception from the first version: issuers such as `https://a-b.example` and `https://a.b.example`
    share their files. They wait for each other's lock, which does no harm.
    """

    issuer: str
    resource: str = ""
    slot: str = ""

    @property
    def text(self) -> str:
        """One line of ASCII that `parse` reads back, for example `https://as.example https://mcp.example/mcp#work`."""
        resource = f" {_quoted_url(self.resource)}" if self.resource else ""
        slot = f"#{_quoted(self.slot)}" if self.slot else ""
        return f"{SHORT_NAMES.get(self.issuer, _quoted_url(self.issuer))}{resource}{slot}"

    @property
    def file_name(self) -> str:
        """The stem of the files that processes share: at most 97 letters, digits, `-` and `_`."""
        name = SHORT_NAMES.get(self.issuer, self.issuer)
        stem = "".join(character if character.isascii() and character.isalnum() else "-" for character in name)
        unchanged = not self.resource and not self.slot and FIRST_VERSION.fullmatch(self.issuer)
        if unchanged and len(stem) <= LONGEST_STEM:
            return stem
        import hashlib

        # `_` occurs in no stem, so these names never collide with those of the first version.
        return f"{stem[:LONGEST_STEM]}_{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    def vault_name(self, profile: str) -> str:
        """The name of the stored grant. `profile` tells the data folders of a user apart, which share one keyring."""
        rest = f"|{_quoted_url(self.resource)}|{_quoted(self.slot)}" if self.resource or self.slot else ""
        return f"{_quoted_url(self.issuer)}|{profile}{rest}"

    @property
    def scope(self) -> str:
        """What tells this key from others of its issuer; empty for a key with only an issuer."""
        return f"{_quoted_url(self.resource)}#{_quoted(self.slot)}" if self.resource or self.slot else ""

    @staticmethod
    def parse(text: str) -> CredentialKey:
        """The key whose `text` this is."""
        rest, _, slot = text.partition("#")
        issuer, _, resource = rest.partition(" ")
        return CredentialKey(FULL_NAMES.get(issuer, _unquoted(issuer)), _unquoted(resource), _unquoted(slot))


def _quoted_url(url: str) -> str:
    """A URL, still readable, without the characters that separate the parts of a name."""
    return quote(url, safe=SAFE, errors="surrogateescape")


def _quoted(slot: str) -> str:
    # A slot comes from the command line and may have bytes that are not UTF-8, which Python keeps as surrogates.
    return quote(slot, safe="", errors="surrogateescape")


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogateescape")
