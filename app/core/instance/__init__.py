"""One window for each data folder of a user: a further start hands what it was asked for to the window there is.

`enter` (the further start) is the way in; `InstanceListener` is the window's side. The file lock `instance.lock` says
who is first, and the system releases it however its holder dies. The first listens at a door (`doors.py`). The two talk
in lines of JSON, each bounded: the start's nonce, the window's `Hello`, the start's `StartRequest`, one word of answer.
The request is sent only after the hello, so a window that hangs never acts later on what was given up meanwhile.

Standard library only, and no asyncio on the start's side: it ends before Qt would be loaded.
"""
