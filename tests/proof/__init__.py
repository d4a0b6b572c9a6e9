"""Proofs of the local MCP proxy with released programs of others: `python3 dev.py proof NAME`, see `__main__.py`.

No part of `dev.py test`: they install their peers from npm into `build/proof`, and take minutes.
"""
