"""Grants at rest: the platform's keyring, a private file, or memory.

Door: `vaults.open_vault`. `base` names the kinds of store and the ways they fail.
"""
