"""Signatures of Windows programs (Authenticode): which certificate, and the command that signs with it.

On Windows signtool of the Windows SDK signs, with a certificate of the person's store or of a token, or through a
library such as Azure Trusted Signing's. On Linux osslsigncode does, with a PKCS #12 file.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# RFC 3161: a signature with a time stays good after its certificate has expired.
TIMESTAMP = "http://timestamp.digicert.com"
SECONDS = 300.0
KITS = Path(r"C:\Program Files (x86)\Windows Kits\10\bin")


@dataclass(frozen=True, slots=True)
class Authenticode:
    """`thumbprint` names a certificate in the store (SHA-1, 40 hexadecimal digits).

    `pfx` is a PKCS #12 file instead, `password` a file with its password. `library` and `metadata` are signtool's
    `/dlib` and `/dmdf`, for a service that signs. Exactly one of the three ways is given. An empty `timestamp` asks no
    server for the time.
    """

    thumbprint: str = ""
    pfx: Path | None = None
    password: Path | None = None
    library: Path | None = None
    metadata: Path | None = None
    timestamp: str = TIMESTAMP

    def __post_init__(self) -> None:
        if sum((bool(self.thumbprint), self.pfx is not None, self.library is not None)) != 1:
            raise ValueError("signing needs one of: a thumbprint, a PKCS #12 file, a signing library")
        if (self.library is None) != (self.metadata is None):
            raise ValueError("a signing library needs its metadata file")

    def command(self, file: str) -> list[str]:
        """The command that signs `file` in place. Raises `ValueError` when nothing here can."""
        if not on_windows():
            return self._osslsigncode(file)
        how = ["/sha1", self.thumbprint]
        if self.library is not None:
            how = ["/dlib", str(self.library), "/dmdf", str(self.metadata)]
        elif self.pfx is not None:
            how = ["/f", str(self.pfx)]
            if self.password is not None:
                how += ["/p", self.password.read_text(encoding="utf-8").strip()]
        when = ["/tr", self.timestamp, "/td", "sha256"] if self.timestamp else []
        return [_tool("signtool"), "sign", "/fd", "sha256", *when, *how, file]

    def _osslsigncode(self, file: str) -> list[str]:
        if self.pfx is None:
            raise ValueError("osslsigncode signs with a PKCS #12 file only")
        command = [_tool("osslsigncode"), "sign", "-pkcs12", str(self.pfx), "-h", "sha256"]
        command += ["-readpass", str(self.password)] if self.password is not None else []
        command += ["-ts", self.timestamp] if self.timestamp else []
        return [*command, "-in", file, "-out", f"{file}.signed"]

    def shell_line(self, file: str) -> str:
        """The same for a shell (cmd on Windows), which makensis starts for the uninstaller."""
        command = self.command(file)
        if on_windows():
            # Quoted always: makensis puts a path with the person's name in the place of %1.
            return f'{subprocess.list2cmdline(command[:-1])} "{file}"'
        return f"{shlex.join(command)} && mv {shlex.quote(f'{file}.signed')} {shlex.quote(file)}"

    def sign(self, file: Path) -> None:
        """Sign a file in place. Raises `CalledProcessError`, `TimeoutExpired`."""
        subprocess.run(self.command(str(file)), check=True, timeout=SECONDS)
        if not on_windows():
            file.with_name(f"{file.name}.signed").replace(file)


def on_windows() -> bool:
    platform: str = sys.platform
    return platform == "win32"


def _tool(name: str) -> str:
    # The Windows SDK does not add its programs to the PATH.
    found = shutil.which(name) or max(map(str, KITS.glob(f"*/x64/{name}.exe")), default=None)
    if found is None:
        raise ValueError(f"{name} is not on the PATH")
    return found
