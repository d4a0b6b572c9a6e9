"""`dev.py package` on Windows and macOS: freezes the application and makes the installer or the disk image."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import macos.build
import windows.build
from windows.signing import on_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGING = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what this system installs, and print its path; returns the exit code."""
    parser = argparse.ArgumentParser("dev.py package", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=["folder", "all"], default="all", help="all by default")
    parser.add_argument("--output", type=Path, default=PACKAGING.parent / "dist", help="where the packages are put")
    parser.add_argument("--application", type=Path, metavar="DIR", help="a one-folder build, instead of a new one")
    here = windows.build if on_windows() else macos.build
    here.add_options(parser)
    asked = parser.parse_args(arguments)
    output: Path = asked.output.resolve()
    try:
        if on_windows():
            signing = windows.build.signing_from(asked)
            application = asked.application or _frozen(output)
            made = windows.build.build(application.resolve(), output, signing) if asked.kind == "all" else application
        else:
            identity = macos.build.signing_from(asked)
            application = asked.application or _frozen(output)
            made = macos.build.build(application.resolve(), output, identity) if asked.kind == "all" else application
    except (ValueError, windows.build.CannotBuild, macos.build.CannotBuild) as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as trouble:
        # Not the whole command: it may have a password.
        sys.stderr.write(f"{Path(trouble.cmd[0]).name} failed, see above\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0


def _frozen(output: Path) -> Path:
    """A new one-folder build. Raises `CalledProcessError`."""
    subprocess.run([sys.executable, str(PACKAGING / "build.py"), "--output", str(output)], check=True)
    return output / "burrow"


if __name__ == "__main__":
    raise SystemExit(main())
