"""The credential on HTTP requests of httpx and httpx2.

Doors: `bearer.BearerAuth` puts the token on a request and heals a refused one, `classifier.classify` judges an answer,
`clients.HttpClients` opens the HTTP clients of the process.
"""
