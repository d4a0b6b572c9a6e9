"""Digests: how secrets are stored, and the PKCE challenge."""

from __future__ import annotations

import base64
import hashlib


def digest(secret: str) -> str:
    """What is stored of a token, code or key: its SHA-256 in hex.

    Without salt or a slow hash: these are long random values, which nobody can guess.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def s256(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636, section 4.2)."""
    hashed = hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
