"""The page of a first start: try it here, or sign in to a server.

FirstRun(on_workspace, on_host, on_key, on_leave=None)
    on_workspace()            the person wants the embedded workspace
    on_host(host_text)        sign in to `us`, `eu` or an origin (already checked by `parse_host`)
    on_key(host_text, key)    the same with a personal API key
The composition root answers with .busy(words), .waiting(sign_in), .failed(error) and
    .idle().
"""
