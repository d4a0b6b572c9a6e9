"""The Debian package, by `dpkg-deb` (deb(5), Debian policy 4.6).

It has no maintainer scripts: triggers of the packages that keep the menu, the icon cache and the handlers of links
update them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import textwrap
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from linux import debian_copyright
from linux.about import DESCRIPTION, NAME, SUMMARY, maintainer
from linux.dependencies import RECOMMENDS, system_libraries
from linux.stage import INSTALLED, settle, stage, write_gzip

if TYPE_CHECKING:
    from linux.about import Release

OVERRIDES = Path(__file__).with_name("lintian-overrides")


def file_name(release: Release) -> str:
    return f"{NAME}_{release.sortable_version}_{release.debian_architecture}.deb"


def build(application: Path, extras: Path, output: Path, work: Path, release: Release, *, fast: bool) -> Path:
    """Raises `UnknownLibraries`, or `CalledProcessError` when dpkg-deb fails."""
    root = work / "deb"
    stage(application, extras, root, "deb", release)
    write_documents(root, release)
    control = root / "DEBIAN"
    control.mkdir()
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files]
    (control / "md5sums").write_text("".join(sums), "utf-8")
    (control / "control").write_text(control_file(root / INSTALLED, installed_kilobytes(root), release), "utf-8")
    settle(root, release.epoch)
    package = output / file_name(release)
    compression = ["-Zzstd", "-z1"] if fast else ["-Zxz", "-z6"]
    command = ["dpkg-deb", "--root-owner-group", *compression, "--build", str(root), str(package)]
    # Only one thread of xz: with more, its output depends on the number of processors.
    same_bytes = {"SOURCE_DATE_EPOCH": str(release.epoch), "DPKG_DEB_THREADS_MAX": "1"}
    subprocess.run(command, env=os.environ | same_bytes, check=True, stdout=subprocess.DEVNULL)
    return package


def write_documents(root: Path, release: Release) -> None:
    """What only Debian has: who owns what, the changes, and what lintian need not say."""
    documents = root / "usr" / "share" / "doc" / NAME
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(debian_copyright.document(root / INSTALLED), "utf-8")
    date = format_datetime(datetime.fromtimestamp(release.epoch, UTC))
    head = f"{NAME} ({release.sortable_version}) stable; urgency=medium"
    changes = f"{head}\n\n  * Burrow {release.version}.\n\n -- {maintainer()}  {date}\n"
    write_gzip(documents / "changelog.gz", changes.encode())
    overrides = root / "usr" / "share" / "lintian" / "overrides" / NAME
    overrides.parent.mkdir(parents=True)
    shutil.copy(OVERRIDES, overrides)


def installed_kilobytes(root: Path) -> int:
    """As deb-substvars(5) counts `Installed-Size`: files in whole kibibytes, everything else one each."""
    entries = [path for path in root.rglob("*") if "DEBIAN" not in path.parts]
    plain = [path for path in entries if path.is_file() and not path.is_symlink()]
    return sum(-(-path.stat().st_size // 1024) for path in plain) + len(entries) - len(plain)


def control_file(application: Path, kilobytes: int, release: Release) -> str:
    """deb-control(5). Raises `UnknownLibraries`."""
    fields = {
        "Package": NAME,
        "Version": release.sortable_version,
        "Section": "utils",
        "Priority": "optional",
        "Architecture": release.debian_architecture,
        "Installed-Size": str(kilobytes),
        "Depends": ", ".join(system_libraries(application).debian()),
        "Recommends": ", ".join(RECOMMENDS),
        "Maintainer": maintainer(),
        "Description": "\n".join([SUMMARY, *_paragraphs()]),
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _paragraphs() -> list[str]:
    blocks = [textwrap.wrap(words, 75, initial_indent=" ", subsequent_indent=" ") for words in DESCRIPTION]
    return "\n .\n".join("\n".join(lines) for lines in blocks).split("\n")
