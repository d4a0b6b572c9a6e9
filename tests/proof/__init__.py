"""Proofs that take minutes, and are no part of `dev.py test`: `python3 dev.py proof NAME`, see `__main__.py`.

Those of the local MCP proxy install released programs of others from npm into `build/proof`.
"""
