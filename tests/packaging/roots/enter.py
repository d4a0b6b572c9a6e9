"""Runs a program in a root: `enter.py FIRST-PROCESS ROOT USER-ID PROGRAM ARGUMENT…`; standard library only.

`nsenter` would do, but it passes no signals on: a program that a test asks to end would go on running. `ROOT` is the
folder as the namespaces see it; `/` stays outside of it, with this machine's programs and processes, and only sees what
is mounted. The exit code is the program's, or 128 and the number of the signal that ended it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x20000000
PR_SET_PDEATHSIG = 1
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
LIBC = ctypes.CDLL(None, use_errno=True)


def check(outcome: int) -> None:
    if outcome:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def join(first: int, flags: int) -> None:
    descriptor = os.pidfd_open(first)
    check(LIBC.setns(descriptor, flags))
    os.close(descriptor)


def become(root: str, user: int, command: list[str]) -> None:
    check(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if root != "/":
        os.chroot(root)
    os.chdir("/")
    if user:
        os.setgroups([user])
        os.setgid(user)
        os.setuid(user)
        # The kernel forgets the wish when the user changes.
        check(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    # Not `os.execvp`: it imports a module, and there is no Python here any more.
    for folder in os.environ["PATH"].split(":") if "/" not in command[0] else [""]:
        path = os.path.join(folder, command[0])
        if os.access(path, os.X_OK):
            os.execv(path, command)
    raise FileNotFoundError(command[0])


def main() -> int:
    first, root, user, *command = sys.argv[1:]
    inside = root != "/"
    join(int(first), CLONE_NEWNS | (CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID if inside else 0))
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        try:
            become(root, int(user), command)
        except OSError as error:
            os.write(2, f"{command[0]}: {error!r}\n".encode())
        os._exit(127)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main())
