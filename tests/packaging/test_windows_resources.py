"""What the executables for Windows carry: read back as Windows reads it."""

from __future__ import annotations

import ast
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import platforms
import pytest
import version
from PySide6.QtGui import QImage
from windows import resources

ASM = "{urn:schemas-microsoft-com:asm.v3}"


def settings() -> dict[str, str]:
    tree = ET.fromstring(resources.MANIFEST.encode())
    found = tree.find(f"{ASM}application/{ASM}windowsSettings")
    assert found is not None
    return {each.tag.rsplit("}", 1)[1]: each.text or "" for each in found}


def test_the_manifest_asks_for_long_paths_utf8_and_sharp_windows_on_every_screen() -> None:
    assert settings() == {
        "dpiAware": "true/pm",
        "dpiAwareness": "PerMonitorV2,PerMonitor",
        "longPathAware": "true",
        "activeCodePage": "UTF-8",
    }


def test_the_manifest_asks_for_no_administrator_and_names_windows_10() -> None:
    tree = ET.fromstring(resources.MANIFEST.encode())
    level = tree.find(f".//{ASM}requestedExecutionLevel")
    assert level is not None
    assert (level.get("level"), level.get("uiAccess")) == ("asInvoker", "false")
    systems = tree.iter("{urn:schemas-microsoft-com:compatibility.v1}supportedOS")
    assert [system.get("Id") for system in systems] == ["{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"]


def test_pyinstaller_takes_the_manifest_and_adds_the_common_controls() -> None:
    from PyInstaller.utils.win32 import winmanifest

    final = winmanifest.create_application_manifest(resources.MANIFEST.encode()).decode()
    assert "Microsoft.Windows.Common-Controls" in final
    for name, value in settings().items():
        assert f">{value}</{name}>" in final.replace(" ", ""), name


@pytest.fixture(scope="module")
def icon() -> bytes:
    return resources.icon()


def members(icon: bytes) -> list[tuple[int, int, bytes]]:
    reserved, kind, count = struct.unpack_from("<HHH", icon)
    assert (reserved, kind) == (0, 1)
    found = []
    for index in range(count):
        width, height, _, _, planes, bits, size, offset = struct.unpack_from("<BBBBHHII", icon, 6 + 16 * index)
        assert (width, planes, bits) == (height, 1, 32)
        found.append((width or 256, offset, icon[offset : offset + size]))
    return found


def test_the_icon_has_every_size_from_16_to_256_one_after_the_other(icon: bytes) -> None:
    found = members(icon)
    assert [size for size, _, _ in found] == [16, 20, 24, 32, 40, 48, 64, 96, 128, 256]
    end = 6 + 16 * len(found)
    for _, offset, data in found:
        assert offset == end
        end += len(data)
    assert end == len(icon)


def test_only_the_largest_picture_is_a_png(icon: bytes) -> None:
    assert [size for size, _, data in members(icon) if data.startswith(b"\x89PNG")] == [256]


def test_a_bitmap_says_twice_its_height_and_carries_its_mask(icon: bytes) -> None:
    """The format of icons (https://learn.microsoft.com/previous-versions/ms997538(v=msdn.10))."""
    for size, _, data in members(icon)[:-1]:
        header, width, height, planes, bits = struct.unpack_from("<IiiHH", data)
        assert (header, width, height, planes, bits) == (40, size, size * 2, 1, 32)
        row = (size + 31) // 32 * 4
        assert len(data) == 40 + size * size * 4 + size * row
        pixels, mask = data[40 : 40 + size * size * 4], data[40 + size * size * 4 :]
        for y in range(size):
            bits_of_row = f"{int.from_bytes(mask[y * row : (y + 1) * row], 'big'):0{row * 8}b}"
            clear = "".join("01"[pixels[(y * size + x) * 4 + 3] == 0] for x in range(size))
            assert bits_of_row[:size] == clear
            assert "1" not in bits_of_row[size:]


@pytest.mark.parametrize("size", [16, 20, 32, 48, 96, 256])
def test_a_picture_of_the_icon_is_the_drawn_one(icon: bytes, size: int, tmp_path: Path) -> None:
    """Read with Qt's own reader of icons, which does not share our writer."""
    from PySide6.QtGui import QImageReader

    file = tmp_path / "burrow.ico"
    file.write_bytes(icon)
    reader = QImageReader(str(file), b"ico")
    pictures = []
    for index in range(reader.imageCount()):
        assert reader.jumpToImage(index)
        pictures.append(reader.read())
    (picture,) = [each for each in pictures if each.width() == size]
    import drawn_icon

    expected = drawn_icon.drawn(size)
    assert picture.convertToFormat(QImage.Format.Format_ARGB32) == expected
    assert expected.pixelColor(size // 2, size // 2).alpha() == 255
    assert expected.pixelColor(0, 0).alpha() == 0


CLASSES = {"VSVersionInfo", "FixedFileInfo", "VarFileInfo", "VarStruct"} | {
    f"String{part}" for part in ("FileInfo", "Table", "Struct")
}


class Recorded:
    """Stands for PyInstaller's classes, which need Windows."""

    def __init__(self, *values: object, **named: object) -> None:
        self.values, self.named = values, named


def evaluated(text: str) -> Recorded:
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert names == CLASSES
    result = eval(text, dict.fromkeys(names, Recorded))
    assert isinstance(result, Recorded)
    return result


def test_the_version_resource_says_what_the_program_is() -> None:
    info = evaluated(resources.version_info("burrow.exe", "Burrow", "1.2.3"))
    fixed = info.named["ffi"]
    assert isinstance(fixed, Recorded)
    assert fixed.named["filevers"] == fixed.named["prodvers"] == (1, 2, 3, 0)
    assert fixed.named["flags"] == 0
    strings, variables = info.named["kids"]  # type: ignore[misc]
    (table,) = strings.values[0]
    language, rows = table.values
    words = dict(row.values for row in rows)
    assert words["FileDescription"] == words["ProductName"] == "Burrow"
    assert words["FileVersion"] == words["ProductVersion"] == "1.2.3"
    assert words["OriginalFilename"] == "burrow.exe"
    assert words["CompanyName"] == "The Burrow authors"
    # English, Unicode: in the table's name and in the translation they must agree.
    translation = variables.values[0][0].values
    assert translation == ("Translation", [0x0409, 1200])
    assert language == "040904B0"


def test_a_version_before_the_release_is_marked_so() -> None:
    info = evaluated(resources.version_info("burrow.exe", "Burrow", "1.2.3rc1"))
    assert info.named["ffi"].named["flags"] == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["1.2", "1.2.3.4", "1.2.70000", "v1.2.3", ""])
def test_a_version_that_windows_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"version|larger"):
        version.three_parts(text)


def test_the_version_is_that_of_the_application() -> None:
    import app

    assert version.version() == app.__version__


def test_one_executable_has_a_window_and_one_a_console(tmp_path: Path) -> None:
    window, console = platforms.executables("win32", tmp_path)
    assert (window["name"], window["console"]) == ("burrow", False)
    assert (console["name"], console["console"]) == ("burrowc", True)
    for each in (window, console):
        assert Path(each["icon"]).read_bytes() == resources.icon()
        assert each["manifest"] == resources.MANIFEST
    assert "OriginalFilename', 'burrow.com'" in Path(console["version"]).read_text(encoding="utf-8")
    assert "OriginalFilename', 'burrow.exe'" in Path(window["version"]).read_text(encoding="utf-8")


def test_pyinstaller_knows_every_option_of_the_executables(tmp_path: Path) -> None:
    """`EXE` reads options from a dictionary and ignores one that it does not know."""
    import PyInstaller.building.api as api

    text = Path(api.__file__).read_text(encoding="utf-8")
    for each in platforms.executables("win32", tmp_path):
        for name in each:
            assert f"kwargs.get('{name}'" in text, name
