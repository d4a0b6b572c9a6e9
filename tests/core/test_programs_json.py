"""Entries in JSON configurations: set, replaced and removed, with every other byte kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.mcp.programs import jsonc
from app.core.mcp.programs.edits import add, our_entries, remove
from app.core.mcp.programs.entries import Access
from app.core.mcp.programs.program import OfferedServer, Program, Via
from app.core.mcp.programs.refused import ConfigRefused
from app.core.mcp.programs.table import CLAUDE_DESKTOP, CURSOR, VS_CODE, ZED

POSTHOG = OfferedServer("posthog", "PostHog")
SQLITE = OfferedServer("own-1", "sqlite")
KEY = "bw_" + "k" * 43
ACCESS = Access("http://127.0.0.1:41717", KEY, "client-1")
ENTRY = {"url": "http://127.0.0.1:41717/mcp/posthog", "headers": {"Authorization": f"Bearer {KEY}"}}


def added(folder: Path, content: bytes | None, program: Program = CURSOR, via: Via | None = None) -> bytes:
    """The content of a file after an entry for PostHog was added."""
    path = folder / "mcp.json"
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)
    add(program, path, [POSTHOG], ACCESS, via).write()
    return path.read_bytes()


def value(content: bytes) -> Any:
    """The value of a text with comments."""
    root = jsonc.read(content.decode().removeprefix("\ufeff"), comments=True).root
    assert root is not None
    return root.value()


@pytest.mark.parametrize("content", [None, b"", b"\n", b"  \r\n", b"\xef\xbb\xbf"])
def test_a_file_that_is_missing_or_empty_gets_our_entry_alone(tmp_path: Path, content: bytes | None) -> None:
    after = added(tmp_path, content)
    assert json.loads(after.decode("utf-8-sig")) == {"mcpServers": {"posthog": ENTRY}}
    assert after.startswith(b"\xef\xbb\xbf") == (content == b"\xef\xbb\xbf")


def test_comments_trailing_commas_and_unknown_keys_stay(tmp_path: Path) -> None:
    before = """// mine
{
\t"theme": "dark", /* why not */
\t"big": 12345678901234567890.50,
\t"mcpServers": {
\t\t// a server
\t\t"other": { "command": "npx", "args": ["-y", "x",], }, // end
\t},
}
// the end"""
    after = added(tmp_path, before.encode()).decode()
    entry = """
\t\t"posthog": {
\t\t\t"url": "http://127.0.0.1:41717/mcp/posthog",
\t\t\t"headers": {
\t\t\t\t"Authorization": "Bearer KEY"
\t\t\t}
\t\t},""".replace("KEY", KEY)
    assert after == before.replace("// end", "// end" + entry)


def test_an_object_on_one_line_stays_on_one_line(tmp_path: Path) -> None:
    after = added(tmp_path, b'{"a":1,"mcpServers":{"x":{"command":"y"}}}')
    expected = json.dumps(ENTRY, ensure_ascii=False)
    assert after.decode() == f'{{"a":1,"mcpServers":{{"x":{{"command":"y"}}, "posthog": {expected}}}}}'


def test_line_ends_byte_order_mark_and_a_missing_final_line_end_stay(tmp_path: Path) -> None:
    before = b'\xef\xbb\xbf{\r\n    "a": 1\r\n}'
    after = added(tmp_path, before)
    assert after.startswith(b'\xef\xbb\xbf{\r\n    "a": 1,\r\n    "mcpServers": {\r\n        "posthog": {\r\n')
    assert after.endswith(b"\r\n    }\r\n}")
    assert b"\n" not in after.replace(b"\r\n", b"")


def test_a_second_add_replaces_and_the_same_one_changes_nothing(tmp_path: Path) -> None:
    first = added(tmp_path, b'{\n  "mcpServers": {}\n}\n')
    assert added(tmp_path, first) == first
    path = tmp_path / "mcp.json"
    assert not add(CURSOR, path, [POSTHOG], ACCESS).changes
    renamed = first.replace(b'"posthog"', b'"mine"').replace(b":41717", b":5000")
    path.write_bytes(renamed)
    edit = add(CURSOR, path, [POSTHOG], Access("http://127.0.0.1:41717", "bw_" + "n" * 43))
    edit.write()
    servers = value(path.read_bytes())["mcpServers"]
    assert list(servers) == ["mine"]
    assert servers["mine"]["url"] == ENTRY["url"]
    assert servers["mine"]["headers"] == {"Authorization": "Bearer bw_" + "n" * 43}


def test_without_a_key_the_one_in_the_file_is_kept_and_none_is_made_up(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    forgotten = Access("http://127.0.0.1:5000")
    with pytest.raises(ConfigRefused, match="not known any more"):
        add(CURSOR, path, [POSTHOG], forgotten)
    first = added(tmp_path, None)
    add(CURSOR, path, [POSTHOG, SQLITE], forgotten).write()
    servers = value(path.read_bytes())["mcpServers"]
    assert servers["posthog"] == {**ENTRY, "url": "http://127.0.0.1:5000/mcp/posthog"}
    assert servers["sqlite"]["headers"] == ENTRY["headers"]
    path.write_bytes(
        first.replace(
            b"}\n  }\n}", b'},"x":{"url":"http://127.0.0.1:1/mcp/x","headers":{"Authorization":"Bearer bw_o"}}}}'
        )
    )
    with pytest.raises(ConfigRefused, match="none to keep"):
        add(CURSOR, path, [POSTHOG], forgotten)


def test_what_the_user_added_to_our_entry_stays(tmp_path: Path) -> None:
    first = added(tmp_path, None)
    changed = first.replace(b'"url"', b'"disabled": true, // for now\n      "url"')
    path = tmp_path / "mcp.json"
    path.write_bytes(changed)
    add(CURSOR, path, [POSTHOG], ACCESS, Via.STDIO).write()
    after = path.read_bytes()
    assert b"// for now" in after
    entry = value(after)["mcpServers"]["posthog"]
    assert entry["disabled"] == ("true",)
    assert set(entry) == {"disabled", "command", "args"}
    assert KEY.encode() not in after


def test_an_entry_of_that_name_which_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    before = b'{"mcpServers": {"posthog": {"url": "https://mcp.posthog.com/mcp"}, "local": {"url": "http://127.0.0.1:9/mcp/posthog"}}}'
    servers = value(added(tmp_path, before))["mcpServers"]
    assert servers["posthog"] == {"url": "https://mcp.posthog.com/mcp"}
    assert servers["local"] == {"url": "http://127.0.0.1:9/mcp/posthog"}
    assert servers["posthog-burrow"] == ENTRY
    assert [entry.name for entry in our_entries(CURSOR, tmp_path / "mcp.json")] == ["posthog-burrow"]


def test_removing_takes_only_our_entries_and_gives_back_the_bytes(tmp_path: Path) -> None:
    before = b'{\n  "servers": {\n    "x": {"command": "y"} // last\n  }\n}'
    path = tmp_path / "mcp.json"
    path.write_bytes(before)
    add(VS_CODE, path, [POSTHOG, SQLITE], ACCESS).write()
    assert {entry.server for entry in our_entries(VS_CODE, path)} == {"posthog", "own-1"}
    remove(VS_CODE, path, ["posthog"]).write()
    assert {entry.server for entry in our_entries(VS_CODE, path)} == {"own-1"}
    remove(VS_CODE, path).write()
    assert path.read_bytes() == before
    assert not remove(VS_CODE, path).changes


def test_each_program_gets_the_members_that_it_reads(tmp_path: Path) -> None:
    assert value(added(tmp_path, None, VS_CODE))["servers"]["posthog"] == {"type": "http", **ENTRY}
    assert value(added(tmp_path, None, ZED))["context_servers"]["posthog"] == ENTRY
    desktop = value(added(tmp_path, None, CLAUDE_DESKTOP))["mcpServers"]["posthog"]
    assert set(desktop) == {"command", "args"}
    assert Path(desktop["command"]).is_absolute()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1', "A comma or a closing bracket is expected"),
        (b'{"a" 1}', "A colon is expected"),
        (b'{"a": 1} x', "more after the end"),
        (b"[]", "should have an object"),
        (b'"text"', "should have an object"),
        (b'{"mcpServers": []}', "not an object"),
        (b'{"mcpServers": null}', "not an object"),
        (b'{"mcpServers": {}, "mcpServers": {}}', "appears twice"),
        (b'{"mcpServers": {"posthog": {}, "posthog": {}}}', "appears twice"),
        (b"{'a': 1}", "double quotes"),
        (b'{"a": 01}', "is expected"),
        (b'{"a": "\xff"}', "not text in UTF-8"),
        (b"/* {}", "no end"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested too deeply"),
        (b"null", "should have an object"),
        (b'{"a": "line\nbreak"}', "not allowed"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(content)
    with pytest.raises(ConfigRefused, match=words):
        add(CURSOR, path, [POSTHOG], ACCESS)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"// mine\n{}", b'{"a": 1,}', b'{"a": [1,]}', b"/* */"])
def test_a_program_that_reads_no_comments_is_not_given_a_file_with_them(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "claude_desktop_config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigRefused, match=r"comma|comment"):
        add(CLAUDE_DESKTOP, path, [POSTHOG], ACCESS)


def test_the_difference_hides_the_key_and_other_secrets_on_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{\n  "mcpServers": {\n    "x": {"env": {"TOKEN": "ghp_' + "a" * 36 + '"}}\n  }\n}\n')
    edit = add(CURSOR, path, [POSTHOG], ACCESS)
    assert "+" in edit.diff
    assert "/mcp/posthog" in edit.diff
    assert KEY not in edit.diff
    assert "ghp_" not in edit.diff
    assert KEY not in repr(edit)
    assert KEY not in repr(ACCESS)
    assert KEY.encode() in edit.after


SPACES = st.sampled_from(["", " ", "\n", "\n  ", "\t", "\r\n    "])
GAPS = st.one_of(
    SPACES,
    st.builds("{}// note {}\n{}".format, SPACES, st.sampled_from(["", '"a": {', "}", "*/"]), SPACES),
    st.builds("{}/* {} */{}".format, SPACES, st.sampled_from(["", "}", ',"', "// x", "\n"]), SPACES),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = st.one_of(
    st.sampled_from(["null", "true", "false", "-0", "1.50", "1e9", "123456789012345678901234567890"]),
    TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    TEXTS.map(json.dumps),
)


@st.composite
def containers(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """An object or a list with comments and commas anywhere they may be."""
    if draw(st.booleans()):
        items = draw(st.lists(inner, max_size=3))
        parts, close, begin = [f"{draw(GAPS)}{item}{draw(GAPS)}" for item in items], "]", "["
    else:
        names = draw(st.lists(TEXTS, max_size=3, unique=True))
        parts = [f"{draw(GAPS)}{json.dumps(name)}{draw(GAPS)}:{draw(GAPS)}{draw(inner)}{draw(GAPS)}" for name in names]
        close, begin = "}", "{"
    comma = "," + draw(GAPS) if parts and draw(st.booleans()) else ""
    return begin + ",".join(parts) + (comma or (draw(GAPS) if not parts else "")) + close


VALUES = st.recursive(SCALARS, containers, max_leaves=6)


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """A configuration in any style that JSON with comments allows, with servers or without."""
    members: dict[str, str] = dict(
        draw(st.lists(st.tuples(TEXTS.filter(lambda name: name != "mcpServers"), VALUES), max_size=3))
    )
    servers = draw(st.none() | st.dictionaries(TEXTS, VALUES, max_size=3))
    if servers is not None:
        inside = ",".join(f"{draw(GAPS)}{json.dumps(name)}:{value}{draw(GAPS)}" for name, value in servers.items())
        comma = "," + draw(GAPS) if servers and draw(st.booleans()) else ""
        members["mcpServers"] = "{" + inside + comma + ("" if servers else draw(GAPS)) + "}"
    body = ",".join(
        f"{draw(GAPS)}{json.dumps(name)}{draw(GAPS)}: {value}{draw(GAPS)}" for name, value in members.items()
    )
    comma = "," + draw(GAPS) if members and draw(st.booleans()) else ""
    mark = "\ufeff" if draw(st.booleans()) else ""
    return f"{mark}{draw(GAPS)}{{{body}{comma}{'' if members else draw(GAPS)}}}{draw(GAPS)}"


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=configurations())
def test_only_our_entry_differs_in_any_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mcp.json"
    content = text.encode()
    path.write_bytes(content)
    before = value(content)
    edit = add(CURSOR, path, [POSTHOG, SQLITE], ACCESS)
    after = value(edit.after)
    servers = before.get("mcpServers", {})
    new = {entry: after["mcpServers"].pop(entry) for entry in edit.entries}
    assert not set(new) & set(servers)
    assert next(iter(new.values())) == ENTRY
    assert {**before, "mcpServers": servers} == after
    # Every byte of before is in after, in order: nothing was taken away or rewritten.
    rest = iter(edit.after)
    assert all(byte in rest for byte in content)
    path.write_bytes(edit.after)
    assert not add(CURSOR, path, [POSTHOG, SQLITE], ACCESS).changes
    gone = remove(CURSOR, path)
    assert {**before, "mcpServers": servers} == value(gone.after)
    if servers:
        assert gone.after == content


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.sampled_from('{}[],:"ab1/*\\ \n-.e'), max_size=40))
def test_our_reader_takes_what_the_standard_library_takes_and_nothing_else(text: str) -> None:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(items)) != len(items):
            raise ValueError("twice")
        return dict(items)

    try:
        json.loads(text, object_pairs_hook=pairs)
        valid = True
    except ValueError:
        valid = False
    try:
        ours = jsonc.read(text, comments=False).root is not None
    except jsonc.NotReadable:
        ours = False
    assert ours == valid
