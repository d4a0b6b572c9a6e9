"""The RPM package, by `rpmbuild` (https://rpm-software-management.github.io/rpm/manual/spec.html).

It has no scriptlets: file triggers of Fedora and openSUSE update the menu, the icon cache and the handlers of links.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from linux.about import DESCRIPTION, NAME, SUMMARY, Release, maintainer
from linux.dependencies import RPM_RECOMMENDS, system_libraries
from linux.stage import INSTALLED, stage

SPEC = Path(__file__).with_name("burrow.spec.in")
BUILD_HOST = "localhost"
REVISION = 1


def file_name(release: Release) -> str:
    return f"{NAME}-{release.sortable_version}-{REVISION}.{release.machine}.rpm"


def build(application: Path, extras: Path, output: Path, work: Path, release: Release, *, fast: bool) -> Path:
    """Raises `UnknownLibraries`, or `CalledProcessError` when rpmbuild fails."""
    top = work / "rpm"
    tree = top / "tree"
    stage(application, extras, tree, "rpm", release)
    # Where rpm's distributions look for the completion of zsh.
    zsh = tree / "usr" / "share" / "zsh"
    (zsh / "vendor-completions").rename(zsh / "site-functions")
    os.utime(zsh, (release.epoch, release.epoch))
    spec = top / "burrow.spec"
    spec.write_text(spec_file(tree, release, compression="w1.zstdio" if fast else "w19.zstdio"), "utf-8")
    command = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", "--buildroot", str(top / "root"), str(spec)]
    same_bytes = {"SOURCE_DATE_EPOCH": str(release.epoch), "HOME": str(top), "LC_ALL": "C.UTF-8"}
    subprocess.run([*command, "--target", release.machine], env=os.environ | same_bytes, check=True)
    (made,) = top.glob("RPMS/*/*.rpm")
    package = output / file_name(release)
    shutil.move(made, package)
    return package


def spec_file(tree: Path, release: Release, *, compression: str) -> str:
    """The filled template. Raises `UnknownLibraries`."""
    requires = system_libraries(tree / INSTALLED).rpm()
    day = datetime.fromtimestamp(release.epoch, UTC).strftime("%a %b %d %Y")
    return Template(SPEC.read_text("utf-8")).substitute(
        name=NAME,
        version=release.sortable_version,
        revision=REVISION,
        summary=SUMMARY,
        description="\n\n".join(DESCRIPTION),
        packager=maintainer(),
        requires="\n".join(f"Requires: {each}" for each in requires),
        recommends="\n".join(f"Recommends: {each}" for each in RPM_RECOMMENDS),
        tree=tree,
        compression=compression,
        host=BUILD_HOST,
        day=day,
    )
