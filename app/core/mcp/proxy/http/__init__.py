"""HTTP/1.1 (RFC 9110, RFC 9112) for the proxy: a strict server and a client that repeats nothing, both streaming.

    server = LoopbackServer(handler, Limits())         # server.py, limits.py
    await server.listen(sockets)                   # takes over bound sockets; may be called again for more of them
    await server.close(grace=2.0)                  # accepts no more; cancels what still runs after so many seconds

`handler` is `async def handler(request: Request, responder: Responder)`. What is not exactly a request of an MCP client
never reaches it: it is refused with 400, 405, 408, 413, 414, 417, 431, 503 or 505, and the connection is closed.

    sender = DirectSender(tls_context)             # sender.py; makes an ssl.SSLContext, called when one is needed
    answer = await sender.send(method, url, headers, body)
    await sender.close()

    sender = ChoosingSender(tls_context)           # routes.py; the same, through the user's proxy where there is one

Each works on the loop that runs when it is first used. llhttp parses (`httptools`), in C.
"""
