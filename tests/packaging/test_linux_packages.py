"""The Debian and the RPM package, read with the tools of their systems: what they hold, need and say."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import app
from tests.packaging.builds import EPOCH, build_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packaging.linux_packages import Packages

    Signed = tuple[Path, dict[str, str]]

pytestmark = pytest.mark.packaged

ONLY_DEBIAN = ("usr/share/doc/", "usr/share/lintian/")
OTHER_PLACE = {"usr/share/zsh/site-functions/_burrow": "usr/share/zsh/vendor-completions/_burrow"}


def out(*command: object, **options: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    text: str = done.stdout
    return text


@pytest.fixture(scope="module")
def deb_tree(linux_packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("deb")
    out("dpkg-deb", "--raw-extract", linux_packages.deb, tree)
    return tree


@pytest.fixture(scope="module")
def rpm_tree(linux_packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("rpm")
    out("sh", "-c", 'rpm2cpio "$0" | cpio --quiet --extract --make-directories', linux_packages.rpm, cwd=tree)
    return tree


def contents(tree: Path) -> dict[str, str]:
    """Every file's digest and every link's target, by path."""
    found = {}
    for path in tree.rglob("*"):
        name = path.relative_to(tree).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() + oct(path.stat().st_mode)
    return found


def control(deb: Path) -> dict[str, str]:
    lines = out("dpkg-deb", "--field", deb).splitlines()
    return dict(line.split(": ", 1) for line in lines if re.match(r"[A-Z][\w-]*: ", line))


def system_sonames(tree: Path) -> set[str]:
    """What the files of the bundle ask the system for, by objdump."""
    files = [path for path in (tree / "opt").rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    needed = set(re.findall(r"NEEDED +(\S+)", out("objdump", "-p", *files)))
    return needed - {path.name for path in files}


def test_the_fields_say_what_the_package_is(linux_packages: Packages) -> None:
    fields = control(linux_packages.deb)
    assert fields["Package"] == "burrow"
    assert fields["Version"] == app.__version__
    assert fields["Architecture"] == out("dpkg", "--print-architecture").strip()
    assert "gnome-keyring" in fields["Recommends"]
    assert "git" in fields["Recommends"].split(", ")
    assert linux_packages.deb.name == f"burrow_{app.__version__}_{fields['Architecture']}.deb"


def test_the_installed_size_is_what_the_files_take(linux_packages: Packages, deb_tree: Path) -> None:
    files = [path for path in deb_tree.rglob("*") if path.is_file() and not path.is_symlink()]
    kilobytes = sum(path.stat().st_size for path in files) / 1024
    assert int(control(linux_packages.deb)["Installed-Size"]) == pytest.approx(kilobytes, rel=0.01)


def test_dpkg_can_check_every_file(deb_tree: Path) -> None:
    assert "OK" in out("md5sum", "--check", "DEBIAN/md5sums", cwd=deb_tree)
    listed = {line.split("  ", 1)[1] for line in (deb_tree / "DEBIAN/md5sums").read_text("utf-8").splitlines()}
    files = {name for name, digest in contents(deb_tree).items() if not digest.startswith("->")}
    assert listed == {name for name in files if not name.startswith("DEBIAN/")}


def test_nothing_runs_when_the_package_comes_or_goes_and_nothing_is_kept(deb_tree: Path) -> None:
    assert {path.name for path in (deb_tree / "DEBIAN").iterdir()} == {"control", "md5sums"}
    assert not (deb_tree / "etc").exists()


def test_all_files_belong_to_root_and_have_one_time(linux_packages: Packages) -> None:
    for command in (["dpkg-deb", "--contents", linux_packages.deb], ["rpm", "-qplv", linux_packages.rpm]):
        for line in out(*command, env={"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C"}).splitlines():
            assert re.match(r"[dl-](rwxr-xr-x|rw-r--r--|rwxrwxrwx) ", line), line
            assert re.search(r"\broot[/ ]+root\b", line), line
            assert re.search(r"2023-11-14 22:13|Nov 14 +2023", line), line


def test_the_command_is_a_link_to_the_application(deb_tree: Path) -> None:
    link = deb_tree / "usr" / "bin" / "burrow"
    assert str(link.readlink()) == "/opt/burrow/burrow"
    assert (deb_tree / "opt" / "burrow" / "burrow").stat().st_mode & 0o111


def test_every_library_of_the_system_is_in_a_package_that_is_asked_for(
    linux_packages: Packages, deb_tree: Path
) -> None:
    asked = set(re.findall(r"[a-z0-9][a-z0-9.+-]+", re.sub(r"\(.*?\)", "", control(linux_packages.deb)["Depends"])))
    places = dict(re.findall(r"^\s(\S+) \(.*\) => (\S+)$", out("ldconfig", "-p"), re.MULTILINE))
    needed = system_sonames(deb_tree)
    assert len(needed) > 30
    assert {"libxcb-cursor.so.0", "libwayland-cursor.so.0", "libEGL.so.1"} <= needed
    # Debian 12 installs below /usr/lib what some packages still say is below /lib.
    names = {soname: _spellings(Path(places[soname])) for soname in needed}
    found = subprocess.run(
        ["dpkg", "-S", *set().union(*names.values())], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    owner = {path: package for package, path in re.findall(r"^([^:,]+)[^/]*: (/\S+)$", found, re.MULTILINE)}
    for soname in needed:
        owners = {owner[name] for name in names[soname] if name in owner}
        assert owners & asked, f"{soname} is in {owners}"


def _spellings(file: Path) -> set[str]:
    real = str(file.resolve())
    return {str(file), real, real.removeprefix("/usr"), f"/usr{file}"}


def test_a_library_without_a_known_package_stops_the_build(frozen_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "burrow"
    broken.mkdir()
    # A bundle that lacks Qt's own libraries needs them of the system.
    for name in ("burrow", "LICENSE"):
        (broken / name).write_bytes((frozen_folder / name).read_bytes())
    (broken / "licences").mkdir()
    (broken / "licences" / "THIRD_PARTY.md").write_text("", "utf-8")
    (gui,) = frozen_folder.rglob("libQt6Gui.so.6")
    (broken / "libQt6Gui.so.6").write_bytes(gui.read_bytes())
    built = build_packages(broken, tmp_path / "output", "deb")
    assert built.returncode == 1
    assert "No package is known for: libQt6Core.so.6" in built.stdout
    assert not list((tmp_path / "output").glob("*.deb"))


def test_the_rpm_asks_for_the_same_libraries_by_soname(linux_packages: Packages, deb_tree: Path) -> None:
    asked = set(out("rpm", "-qp", "--requires", linux_packages.rpm).splitlines())
    wanted = {f"{soname}()(64bit)" for soname in system_sonames(deb_tree) if not soname.startswith("ld-linux")}
    assert wanted <= asked
    # Who has the folders of the icons, which rpm would leave behind.
    assert "hicolor-icon-theme" in asked
    assert not [name for name in asked if "Qt6" in name or "python" in name]


def test_the_rpm_offers_none_of_its_private_libraries(linux_packages: Packages) -> None:
    offered = out("rpm", "-qp", "--provides", linux_packages.rpm)
    assert "mimehandler(x-scheme-handler/burrow)" in offered
    assert ".so" not in offered


def test_rpm_finds_its_digests_right_and_nothing_to_run(linux_packages: Packages) -> None:
    assert "digests OK" in out("rpm", "-K", linux_packages.rpm)
    assert out("rpm", "-qp", "--scripts", "--triggers", linux_packages.rpm) == ""
    name = out("rpm", "-qp", "--queryformat", "%{name} %{version} %{arch} %{buildhost}", linux_packages.rpm)
    assert name.split()[:2] == ["burrow", app.__version__]
    assert name.split()[3] == "localhost"


def test_both_packages_hold_the_same_files(deb_tree: Path, rpm_tree: Path) -> None:
    one = {name: what for name, what in contents(deb_tree).items() if not name.startswith(("DEBIAN/", *ONLY_DEBIAN))}
    two = {OTHER_PLACE.get(name, name): what for name, what in contents(rpm_tree).items()}
    kind = "opt/burrow/installation.json"
    assert (deb_tree / kind).read_text() == '{"kind": "deb"}\n'
    assert (rpm_tree / kind).read_text() == '{"kind": "rpm"}\n'
    assert one.pop(kind) != two.pop(kind)
    assert len(one) > 200
    assert one == two


def test_the_copyright_names_every_package_inside(deb_tree: Path) -> None:
    text = (deb_tree / "usr/share/doc/burrow/copyright").read_text("utf-8")
    paragraphs = text.split("\n\n")
    assert paragraphs[0].startswith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/")
    for name in ("aiohttp", "cryptography", "keyring", "mcp"):
        (one,) = [each for each in paragraphs if f"/licences/{name}/*" in each]
        assert re.search(r"^Copyright: \S", one, re.MULTILINE), one
    used = set(re.findall(r"^Files:[^\0]*?^License: (\S+)$", text, re.MULTILINE))
    told = {each.split("\n")[0].removeprefix("License: ") for each in paragraphs if each.startswith("License: ")}
    assert len(used) > 3
    assert used <= told


@pytest.fixture(scope="module")
def signed_again(frozen_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """A second Debian package, built elsewhere in another time zone and signed: its folder, and gpg's environment."""
    keys, output = tmp_path_factory.mktemp("keys"), tmp_path_factory.mktemp("an other place")
    keys.chmod(0o700)
    gpg = {"GNUPGHOME": str(keys)}
    make = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "packager@example.org", "ed25519", "sign"]
    out(*make, env=os.environ | gpg)
    try:
        words = ("deb", "--sign", "packager@example.org")
        built = build_packages(frozen_folder, output, *words, **gpg, TZ="Asia/Tokyo", LC_ALL="C")
        assert built.returncode == 0, built.stdout
        yield output, os.environ | gpg
    finally:
        out("gpgconf", "--kill", "gpg-agent", env=os.environ | gpg)


def test_two_packages_of_one_folder_are_the_same_bytes(linux_packages: Packages, signed_again: Signed) -> None:
    (deb,) = signed_again[0].glob("*.deb")
    assert deb.read_bytes() == linux_packages.deb.read_bytes()
    # The time of the first member (deb(5)).
    assert int(deb.read_bytes()[24:36]) == EPOCH


def test_the_sums_are_those_of_all_packages(linux_packages: Packages) -> None:
    assert len(out("sha256sum", "--check", "SHA256SUMS", cwd=linux_packages.folder).splitlines()) == 3


def test_a_change_of_the_signed_sums_shows(signed_again: Signed, tmp_path: Path) -> None:
    folder, environment = signed_again
    verify = ["gpg", "--batch", "--verify", str(folder / "SHA256SUMS.asc")]
    out(*verify, folder / "SHA256SUMS", env=environment)
    changed = tmp_path / "SHA256SUMS"
    changed.write_text((folder / "SHA256SUMS").read_text("utf-8") + "0" * 64 + "  other\n", "utf-8")
    refused = subprocess.run([*verify, str(changed)], env=environment, capture_output=True, timeout=30, check=False)
    assert refused.returncode == 1
    assert b"BAD signature" in refused.stderr
