"""Where secrets are stored: the platform's keyring, a private file, or memory.

Door: `vaults.open_vault`. `base` has the kinds of store and the ways in which they fail.
"""
