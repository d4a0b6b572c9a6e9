"""A private Secret Service for tests: its own D-Bus daemon and an unlocked gnome-keyring with a home of its own.

Speaks https://specifications.freedesktop.org/secret-service-spec/ to lock, and gnome-keyring's internal interface to
unlock without a prompt. Nothing of the person's own session bus or keyrings is touched. Linux only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jeepney import DBusAddress, MatchRule, MessageType, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD = b"burrow-test"
ANSWER_SECONDS = 20.0
STOP_SECONDS = 5.0

SECRETS = "org.freedesktop.secrets"
PROMPTER = "org.gnome.keyring.SystemPrompter"
LOGIN_COLLECTION = "/org/freedesktop/secrets/collection/login"
SERVICE = DBusAddress("/org/freedesktop/secrets", bus_name=SECRETS, interface="org.freedesktop.Secret.Service")
INTERNAL = SERVICE.with_interface("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface")

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class SecretServiceError(Exception):
    """The private bus or keyring did not start or did not do as asked."""


def private_variables(home: Path) -> dict[str, str]:
    """Folders below `home`, made here, and the variables that keep a process to them and off the person's keyrings."""
    places = {"HOME": home / "home", "XDG_RUNTIME_DIR": home / "run"}
    for name in ("data", "config", "cache", "state"):
        places[f"XDG_{name.upper()}_HOME"] = home / "home" / name
    for place in places.values():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {name: str(place) for name, place in places.items()}


def environment_without_bus(home: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """`base` (this process's environment) without any session bus, so that no Secret Service can be found."""
    foreign = {"DBUS_SESSION_BUS_ADDRESS", "GNOME_KEYRING_CONTROL", "PYTHON_KEYRING_BACKEND", "SSH_AUTH_SOCK"}
    kept = {name: value for name, value in (os.environ if base is None else base).items() if name not in foreign}
    return kept | private_variables(home)


class SecretService:
    """`with SecretService() as service:` a running keyring, unlocked unless `locked`; ended with its bus on exit.

    Unlocking it from a client needs a prompt. Nobody answers prompts here: without `silent_prompter` they are
    dismissed at once, with it they stay open, as for a person who is away. An `empty` one has no default collection, as
    on a machine where nobody has made a keyring yet. Raises `SecretServiceError`.
    """

    def __init__(self, *, locked: bool = False, silent_prompter: bool = False, empty: bool = False) -> None:
        self._locked = locked
        self._silent_prompter = silent_prompter
        self._empty = empty
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[DBusConnection] = []
        self._variables: dict[str, str] = {}

    @property
    def variables(self) -> dict[str, str]:
        """Only what a client needs on top of another environment, for example that of a desktop."""
        return dict(self._variables)

    @property
    def env(self) -> dict[str, str]:
        """The whole environment for a client process."""
        assert self._folder is not None
        return environment_without_bus(Path(self._folder.name)) | self._variables

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="burrow-keys-")
        try:
            self._start_bus(Path(self._folder.name))
            self._start_keyring()
            if self._silent_prompter:
                self._own(PROMPTER)
            if self._locked:
                self.lock()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def lock(self) -> None:
        """Lock the login collection; what clients stored stays and cannot be read."""
        locked, _prompt = self._call(SERVICE, "Lock", "ao", [LOGIN_COLLECTION])
        if LOGIN_COLLECTION not in locked:
            raise SecretServiceError("the keyring did not lock")

    def unlock(self) -> None:
        """Unlock it again, as if the person had typed the password into a prompt."""
        _output, session = self._call(SERVICE, "OpenSession", "sv", "plain", ("s", ""))
        secret = (session, b"", PASSWORD, "text/plain")
        self._call(INTERNAL, "UnlockWithMasterPassword", "o(oayays)", LOGIN_COLLECTION, secret)

    def _start_bus(self, folder: Path) -> None:
        self._variables = private_variables(folder)
        socket = folder / "run" / "bus"
        config = folder / "bus.conf"
        config.write_text(BUS_CONFIG.format(socket=socket), encoding="utf-8")
        command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
        bus = self._start(command, stdout=subprocess.PIPE)
        assert bus.stdout is not None
        address = bus.stdout.readline().decode().strip()
        bus.stdout.close()
        if not address:
            raise SecretServiceError(f"dbus-daemon did not start (exit code {bus.wait(STOP_SECONDS)})")
        self._variables["DBUS_SESSION_BUS_ADDRESS"] = address

    def _start_keyring(self) -> None:
        bus = Proxy(message_bus, self._connect(), timeout=ANSWER_SECONDS)
        owner_changed = MatchRule(
            type="signal", sender=message_bus.bus_name, interface=message_bus.interface, member="NameOwnerChanged"
        )
        owner_changed.add_arg_condition(0, SECRETS)
        bus.AddMatch(owner_changed)
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets"]
        if not self._empty:
            command.append("--unlock")
        keyring = self._start([*command, f"--control-directory={self._variables['XDG_RUNTIME_DIR']}/keyring"])
        assert keyring.stdin is not None
        keyring.stdin.write(PASSWORD)
        keyring.stdin.close()
        with self._connections[0].filter(owner_changed) as changes:
            if not bus.NameHasOwner(SECRETS)[0]:
                try:
                    self._connections[0].recv_until_filtered(changes, timeout=ANSWER_SECONDS)
                except TimeoutError as error:
                    raise SecretServiceError(f"no keyring on the bus (exit code {keyring.poll()})") from error

    def _own(self, name: str) -> None:
        """Hold a name on the bus with a connection that never answers."""
        Proxy(message_bus, self._connect(), timeout=ANSWER_SECONDS).RequestName(name)

    def _call(self, address: DBusAddress, method: str, signature: str, *body: Any) -> tuple[Any, ...]:
        call = new_method_call(address, method, signature, body)
        reply = self._connections[0].send_and_get_reply(call, timeout=ANSWER_SECONDS)
        if reply.header.message_type is MessageType.error:
            raise SecretServiceError(f"{method}: {reply.body}")
        return tuple(reply.body)

    def _connect(self) -> DBusConnection:
        connection = open_dbus_connection(self._variables["DBUS_SESSION_BUS_ADDRESS"])
        self._connections.append(connection)
        return connection

    def _start(self, command: list[str], stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        if shutil.which(command[0]) is None:
            raise SecretServiceError(f"{command[0]} is not installed")
        process = subprocess.Popen(
            command, env=self.env, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL
        )
        self._processes.append(process)
        return process

    def _stop(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._processes.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
