"""Sends the token of a credential with requests of httpx and httpx2.

Doors: `bearer.BearerAuth` sends the token, refreshes a dead one and repeats the request. `classifier.classify` judges a
response. `clients.HttpClients` opens the HTTP clients of the process.
"""
