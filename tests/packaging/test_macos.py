"""The recipe for macOS: what the bundle carries, and in which order Apple's tools get what. The tools are fakes."""

from __future__ import annotations

import inspect
import json
import plistlib
import struct
from pathlib import Path
from types import SimpleNamespace

import platforms
import pytest
import trim
import version
from macos import build, resources
from macos.signing import MACH_O, DeveloperId, Notary, signing_order
from PySide6.QtGui import QImage

from tests.packaging import recipes

IDENTITY = "Developer ID Application: Burrow (ABCDE12345)"
TOOLS = ("codesign", "ditto", "xcrun")
# hdiutil writes a list of what it was given, and where links lead.
HDIUTIL = (
    "source = pathlib.Path(arguments[arguments.index('-srcfolder') + 1])\n"
    "found = {str(p.relative_to(source)): os.readlink(p) if p.is_symlink() else None for p in source.rglob('*')}\n"
    "pathlib.Path(arguments[-1]).write_text(json.dumps(found))"
)


def program(path: Path, magic: bytes = MACH_O[0]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(magic + b"code")


def built(folder: Path) -> Path:
    """What PyInstaller leaves: the one-folder application, and the bundle beside it. Returns the former."""
    application = folder / "burrow"
    (application / "_internal").mkdir(parents=True)
    (application / "burrow").write_bytes(b"x")
    (application / "LICENSE").write_text("text", encoding="utf-8")
    (application / "licences").mkdir()
    (application / "licences" / "Qt.txt").write_text("LGPL", encoding="utf-8")
    contents = folder / "Burrow.app" / "Contents"
    program(contents / "MacOS" / "burrow")
    program(contents / "Frameworks" / "libpython3.11.dylib")
    program(contents / "Frameworks" / "PySide6" / "QtCore.abi3.so", MACH_O[1])
    framework = contents / "Frameworks" / "PySide6" / "Qt" / "lib" / "QtCore.framework"
    program(framework / "Versions" / "A" / "QtCore", MACH_O[1])
    (framework / "Versions" / "Current").symlink_to("A")
    (framework / "QtCore").symlink_to("Versions/Current/QtCore")
    (contents / "Resources").mkdir()
    (contents / "Resources" / "data.txt").write_text("data", encoding="utf-8")
    # Data is in Resources, below a name without dots, and a link leads to it from where Python looks.
    (contents / "Resources" / "mcp__dot__dist-info").mkdir()
    (contents / "Resources" / "mcp__dot__dist-info" / "METADATA").write_text("Version: 2\n\nA page", encoding="utf-8")
    (contents / "Frameworks" / "mcp.dist-info").symlink_to("../Resources/mcp__dot__dist-info")
    (contents / "Info.plist").write_bytes(plistlib.dumps({"CFBundleExecutable": "burrow"}))
    return application


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recipes.FakeTools:
    # What is trimmed on Linux only has another format there.
    monkeypatch.setattr(trim, "sys", SimpleNamespace(platform="darwin"))
    fakes = recipes.FakeTools(tmp_path, monkeypatch)
    for name in TOOLS:
        fakes.add(name)
    fakes.add("hdiutil", HDIUTIL)
    return fakes


def test_info_plist_says_what_macos_asks_for(tmp_path: Path) -> None:
    options = platforms.bundle_options(tmp_path, "13.0")
    plist = plistlib.loads(plistlib.dumps(options["info_plist"]))
    assert options["bundle_identifier"] == "app.burrow.Burrow"
    assert plist["CFBundleURLTypes"] == [
        {"CFBundleURLName": "app.burrow.Burrow", "CFBundleTypeRole": "Viewer", "CFBundleURLSchemes": ["burrow"]}
    ]
    assert plist["LSMinimumSystemVersion"] == "13.0"
    assert plist["LSApplicationCategoryType"] == "public.app-category.developer-tools"
    assert plist["CFBundleShortVersionString"] == plist["CFBundleVersion"] == version.version()
    assert plist["NSHumanReadableCopyright"] == "Copyright (c) 2026 The Burrow authors"
    assert plist["NSHighResolutionCapable"] is True
    assert plist["NSSupportsAutomaticGraphicsSwitching"] is True
    assert plist["LSBackgroundOnly"] is False


def test_a_version_before_the_release_has_numbers_only_in_the_plist() -> None:
    assert resources.info_plist("1.2.3rc1", "13.0")["CFBundleVersion"] == "1.2.3"


def test_pyinstaller_knows_every_option_of_the_bundle(tmp_path: Path) -> None:
    from PyInstaller.building.osx import BUNDLE

    text = inspect.getsource(BUNDLE).replace('"', "'")
    for name in platforms.bundle_options(tmp_path, "13.0"):
        assert f"kwargs.get('{name}'" in text, name


def test_the_oldest_macos_is_that_of_the_wheel() -> None:
    tags = "Tag: cp310-abi3-macosx_13_0_universal2\n"
    assert resources.minimum_system(tags) == "13.0"
    assert resources.minimum_system(tags + "Tag: cp310-abi3-macosx_14_2_arm64\n") == "14.2"
    assert resources.minimum_system("Tag: cp310-abi3-macosx_9_0_x86_64\nTag: cp310-abi3-macosx_13_0_arm64\n") == "13.0"
    with pytest.raises(ValueError, match="macOS"):
        resources.minimum_system("Tag: cp310-abi3-manylinux_2_34_x86_64\n")


def test_the_hardened_runtime_has_one_exception() -> None:
    assert resources.ENTITLEMENTS == {"com.apple.security.cs.allow-unsigned-executable-memory": True}


def test_the_icon_holds_a_png_of_the_right_size_for_each_type() -> None:
    data = resources.icon()
    kind, length = struct.unpack_from(">4sI", data)
    assert (kind, length) == (b"icns", len(data))
    position, sizes = 8, {}
    while position < len(data):
        kind, length = struct.unpack_from(">4sI", data, position)
        picture = QImage.fromData(data[position + 8 : position + length], "PNG")
        assert picture.width() == picture.height()
        sizes[kind.decode()] = picture.width()
        position += length
    # The points and scale of each type: https://en.wikipedia.org/wiki/Apple_Icon_Image_format
    assert sizes == {
        "ic11": 16 * 2,
        "ic12": 32 * 2,
        "ic07": 128,
        "ic13": 128 * 2,
        "ic08": 256,
        "ic14": 256 * 2,
        "ic09": 512,
        "ic10": 512 * 2,
    }


def test_the_icon_keeps_the_margin_of_apples_grid() -> None:
    import drawn_icon

    picture = drawn_icon.drawn(1024, resources.DRAWN_PART)
    opaque = [x for x in range(1024) if picture.pixelColor(x, 512).alpha() > 127]
    assert abs(opaque[0] - 100) <= 1
    assert abs(opaque[-1] - 923) <= 1


def test_everything_is_signed_from_the_inside_out(tmp_path: Path) -> None:
    built(tmp_path)
    bundle = tmp_path / "Burrow.app"
    order = [path.relative_to(bundle).as_posix() for path in signing_order(bundle)]
    assert order == [
        "Contents/Frameworks/PySide6/Qt/lib/QtCore.framework/Versions/A",
        "Contents/Frameworks/PySide6/QtCore.abi3.so",
        "Contents/Frameworks/libpython3.11.dylib",
        ".",
    ]


def test_the_bundle_is_trimmed_as_the_folder_is_and_gets_its_texts_before_it_is_sealed(
    tmp_path: Path, tools: recipes.FakeTools
) -> None:
    seen = tmp_path / "seen"
    tools.add(
        "codesign", f"pathlib.Path({str(seen)!r}).write_text(str(sorted(pathlib.Path(arguments[-1]).rglob('*'))))"
    )
    folder = built(tmp_path)
    (folder / "sbom.cdx.json").write_text("{}", encoding="utf-8")
    (tmp_path / "Burrow.app" / "Contents" / "MacOS" / "burrow").chmod(0o700)

    contents = build.finish(folder, 1_700_000_000) / "Contents"

    assert (contents / "Frameworks" / "mcp.dist-info" / "METADATA").read_text(encoding="utf-8") == "Version: 2\n"
    for name in ("LICENSE", "licences/Qt.txt", "sbom.cdx.json"):
        assert f"Resources/{name}'" in seen.read_text(encoding="utf-8"), name
    assert [call[1:4] for call in tools.calls()] == [["--force", "--sign", "-"]]
    assert {path.lstat().st_mtime for path in (contents, *contents.rglob("*"))} == {1_700_000_000}
    modes = {name: (contents / name).stat().st_mode & 0o777 for name in ("MacOS/burrow", "Resources/LICENSE")}
    assert modes == {"MacOS/burrow": 0o755, "Resources/LICENSE": 0o644}
    # Only what is installed says so.
    assert not (contents / "Resources" / "installation.json").exists()


def test_the_image_holds_the_bundle_its_texts_and_a_way_to_the_applications(
    tmp_path: Path, tools: recipes.FakeTools
) -> None:
    folder = built(tmp_path)
    build.finish(folder, 1_700_000_000)
    image = build.build(folder, tmp_path / "dist")
    held = json.loads(image.read_text(encoding="utf-8"))
    assert held["Applications"] == "/Applications"
    assert "Burrow.app/Contents/MacOS/burrow" in held
    assert "Burrow.app/Contents/Resources/LICENSE" in held
    assert "Burrow.app/Contents/Resources/licences/Qt.txt" in held
    assert "Burrow.app/Contents/Resources/installation.json" in held
    assert held["Burrow.app/Contents/Frameworks/PySide6/Qt/lib/QtCore.framework/QtCore"] == "Versions/Current/QtCore"
    _finished, sealed, call = tools.calls()
    assert sealed[:4] == ["codesign", "--force", "--sign", "-"]
    assert Path(sealed[-1]).name == "Burrow.app"
    assert call[:2] == ["hdiutil", "create"]
    assert call[call.index("-format") + 1] == "ULFO"
    assert image.name.startswith(f"Burrow-{version.version()}-macos-")


def test_the_bundle_is_signed_notarized_and_stapled_before_the_image_is_made_and_then_the_image(
    tmp_path: Path, tools: recipes.FakeTools
) -> None:
    image = build.build(built(tmp_path), tmp_path / "dist", DeveloperId(IDENTITY, Notary(profile="burrow")))
    calls = tools.calls()
    done = [f"{call[0]} {call[1]}" if call[0] != "codesign" else f"codesign {Path(call[-1]).name}" for call in calls]
    assert done == [
        "codesign A",
        "codesign QtCore.abi3.so",
        "codesign libpython3.11.dylib",
        "codesign Burrow.app",
        "codesign Burrow.app",
        "ditto -c",
        "xcrun notarytool",
        "xcrun stapler",
        "hdiutil create",
        f"codesign {image.name}",
        "xcrun notarytool",
        "xcrun stapler",
    ]
    signed = [call for call in calls if "--sign" in call]
    for call in signed:
        assert call[call.index("--sign") + 1] == IDENTITY
        assert {"--timestamp", "--force"} <= set(call)
        assert call[call.index("--options") + 1] == "runtime"
    # Only the program that starts gets the exception.
    assert [Path(call[-1]).name for call in signed if "--entitlements" in call] == ["Burrow.app"]
    assert calls[4][1:4] == ["--verify", "--deep", "--strict"]
    for call in calls:
        if call[:2] == ["xcrun", "notarytool"]:
            assert call[2] == "submit"
            assert call[-1] == "--wait"
            assert call[call.index("--keychain-profile") + 1] == "burrow"
    assert [Path(call[-1]).name for call in calls if call[:2] == ["xcrun", "stapler"]] == ["Burrow.app", image.name]


def test_without_a_notary_it_is_only_signed(tmp_path: Path, tools: recipes.FakeTools) -> None:
    build.build(built(tmp_path), tmp_path / "dist", DeveloperId(IDENTITY))
    assert not [call for call in tools.calls() if call[0] == "xcrun"]


def test_a_tool_that_fails_ends_the_build(tmp_path: Path, tools: recipes.FakeTools) -> None:
    import subprocess

    tools.add("codesign", "sys.exit(3)")
    with pytest.raises(subprocess.CalledProcessError):
        build.build(built(tmp_path), tmp_path / "dist", DeveloperId(IDENTITY))
    assert not list((tmp_path / "dist").iterdir())


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="codesign is missing: it comes with Xcode"):
        build.build(built(tmp_path), tmp_path / "dist")


def test_a_notary_needs_one_whole_way_to_sign_in(tmp_path: Path) -> None:
    key = tmp_path / "key.p8"
    assert Notary(key=key, key_id="K", issuer="I").options() == ["--key", str(key), "--key-id", "K", "--issuer", "I"]
    for arguments in ({}, {"profile": "p", "key": key}, {"key": key}):
        with pytest.raises(ValueError, match="notarization"):
            Notary(**arguments)  # type: ignore[arg-type]


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(build.CannotBuild, match="no application bundle"):
        build.build(tmp_path / "burrow", tmp_path / "dist")
