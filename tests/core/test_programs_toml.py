"""Entries in TOML configurations: set, replaced and removed, with every other byte kept."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.mcp.programs.edits import add, our_entries, remove
from app.core.mcp.programs.entries import Access
from app.core.mcp.programs.program import OfferedServer, Via
from app.core.mcp.programs.refused import ConfigRefused
from app.core.mcp.programs.table import CODEX
from app.core.mcp.programs.toml_text import spelled_key, spelled_text, statements

POSTHOG = OfferedServer("posthog", "PostHog")
SQLITE = OfferedServer("own-1", "sqlite")
KEY = "bw_" + "k" * 43
ACCESS = Access("http://127.0.0.1:41717", KEY, "client-1")
ENTRY = {"url": "http://127.0.0.1:41717/mcp/posthog", "http_headers": {"Authorization": f"Bearer {KEY}"}}
OURS_INLINE = f'url = "http://127.0.0.1:1/mcp/posthog", http_headers = {{ Authorization = "Bearer {KEY}" }}'
TABLE = f"""[mcp_servers.posthog]
url = "http://127.0.0.1:41717/mcp/posthog"
http_headers = {{ "Authorization" = "Bearer {KEY}" }}
"""


def added(folder: Path, text: str, via: Via | None = None) -> str:
    """A text after an entry for PostHog was added."""
    path = folder / "config.toml"
    path.write_bytes(text.encode())
    add(CODEX, path, [POSTHOG], ACCESS, via).write()
    return path.read_bytes().decode()


def test_a_file_that_is_missing_or_empty_gets_our_table_alone(tmp_path: Path) -> None:
    assert added(tmp_path, "") == TABLE
    path = tmp_path / "other" / "config.toml"
    add(CODEX, path, [POSTHOG], ACCESS).write()
    assert path.read_text() == TABLE


def test_a_table_goes_behind_everything_else(tmp_path: Path) -> None:
    before = '# mine\nmodel = "o3" # best\n\n[mcp_servers.x]\ncommand = "y"\n'
    assert added(tmp_path, before) == f"{before}\n{TABLE}"


def test_line_ends_and_a_missing_final_line_end_stay(tmp_path: Path) -> None:
    before = '\ufeff# mine\r\nmodel = "o3"'
    after = added(tmp_path, before)
    assert after == f"{before}\r\n\r\n" + TABLE.rstrip("\n").replace("\n", "\r\n")
    remove(CODEX, tmp_path / "config.toml").write()
    assert (tmp_path / "config.toml").read_bytes().decode() == before


def test_a_second_add_replaces_in_place_and_keeps_what_the_user_set(tmp_path: Path) -> None:
    # As Codex writes the file again itself.
    before = f"""model = "o3"

[mcp_servers.posthog]
# mine
url = "http://localhost:5000/mcp/posthog" # where
startup_timeout_sec = 20

[mcp_servers.posthog.http_headers]
Authorization = "Bearer bw_{"o" * 43}"

[mcp_servers.posthog.tools.query]
approval_mode = "approve"

[other]
a = [ # list
  "]", # not the end
]
"""
    after = added(tmp_path, before)
    assert tomllib.loads(after)["mcp_servers"]["posthog"] == {
        **ENTRY,
        "startup_timeout_sec": 20,
        "tools": {"query": {"approval_mode": "approve"}},
    }
    assert "# mine\n" in after
    assert after.endswith(before[before.index("[mcp_servers.posthog.tools") :])
    assert added(tmp_path, after) == after


def test_the_shim_takes_the_place_of_the_address(tmp_path: Path) -> None:
    after = added(tmp_path, added(tmp_path, 'model = "o3"\n'), Via.STDIO)
    assert set(tomllib.loads(after)["mcp_servers"]["posthog"]) == {"command", "args"}
    assert KEY not in after
    back = added(tmp_path, after)
    assert tomllib.loads(back)["mcp_servers"]["posthog"] == ENTRY


def test_removing_gives_back_the_bytes(tmp_path: Path) -> None:
    before = 'a = 1\n\n[mcp_servers.x]\ncommand = "y"\n# end\n'
    path = tmp_path / "config.toml"
    path.write_text(before)
    add(CODEX, path, [POSTHOG, SQLITE], ACCESS).write()
    assert {entry.server for entry in our_entries(CODEX, path)} == {"posthog", "own-1"}
    remove(CODEX, path, ["own-1"]).write()
    assert {entry.server: entry.key for entry in our_entries(CODEX, path)} == {"posthog": KEY}
    remove(CODEX, path).write()
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", "not valid TOML"),
        ("a = 1\na = 2\n", "not valid TOML"),
        ("mcp_servers = 1\n", "not an object"),
        ('mcp_servers = { x = { command = "y" } }\n', "in one line"),
        ('[[mcp_servers]]\ncommand = "y"\n', "not an object"),
        (
            f"mcp_servers.posthog = {{ {OURS_INLINE} }}\n",
            "not written as a table",
        ),
        (
            f"[mcp_servers]\nposthog = {{ {OURS_INLINE} }}\nx.command = 'y'\n",
            "not written as a table",
        ),
    ],
)
def test_what_cannot_be_changed_alone_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigRefused, match=words):
        add(CODEX, path, [POSTHOG], ACCESS)
    assert path.read_text() == text


def test_other_servers_may_be_written_in_any_form(tmp_path: Path) -> None:
    for before in (
        'mcp_servers.x.command = "y"\n',
        '[mcp_servers]\nx = { command = "y" }\nz.command = "w"\n[last]\na = 1\n',
        '[ mcp_servers . "x" ]\ncommand = """\n[mcp_servers.posthog]\n"""\nargs = [\'\'\'[a]\'\'\', "b"]\n',
        '["mcp_servers".\'posthog.x\']\ncommand = "y"',
    ):
        after = added(tmp_path, before)
        assert after.startswith(before)
        assert tomllib.loads(after)["mcp_servers"].pop("posthog") == ENTRY


NAMES = st.text(st.sampled_from("ab-_ .\"'é#[]="), min_size=1, max_size=5).map(spelled_key)
SPACES = st.sampled_from(["", " ", "\t "])
STRINGS = st.one_of(
    st.text(st.sampled_from("ab\"'\\#[]{}\n\té="), max_size=8).map(spelled_text),
    st.sampled_from(['"""a\n[x]\n""""', "'''\n[mcp_servers.posthog]\n'''", "'c:\\x'", '""', "''", '"""\\""""""']),
)
VALUES = st.recursive(
    st.one_of(STRINGS, st.sampled_from(["1", "-0.5", "1979-05-27T07:32:00Z", "true", "[]", "{}"])),
    lambda inner: st.builds(
        lambda items, comma: "[" + ", # note ]\n".join(items) + (",\n" if comma and items else "") + "]",
        st.lists(inner, max_size=3),
        st.booleans(),
    ),
    max_leaves=4,
)


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """A configuration with tables, servers of others, comments and strings that look like tables."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines: list[str] = []
    tables = ["", *draw(st.lists(NAMES, max_size=2, unique=True)), "mcp_servers.x", 'mcp_servers . "y.z"']
    for table in tables:
        if table:
            lines.append(f"{draw(SPACES)}[{table}]{draw(SPACES)}{draw(st.sampled_from(['', '# [a]']))}")
        lines += [
            f"{draw(SPACES)}{name}{draw(SPACES)}={draw(SPACES)}{draw(VALUES)}{draw(SPACES)}"
            for name in draw(st.lists(NAMES, max_size=2, unique=True))
        ]
        lines += draw(st.lists(st.sampled_from(["", "# note", "  # [mcp_servers.posthog]"]), max_size=2))
    text = newline.join(lines) + (newline if draw(st.booleans()) else "")
    return text.replace("\r\n", "\n").replace("\n", newline)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=configurations())
def test_only_our_tables_differ_in_any_configuration(tmp_path: Path, text: str) -> None:
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode())
    edit = add(CODEX, path, [POSTHOG, SQLITE], ACCESS)
    assert edit.after.startswith(text.encode())
    after = tomllib.loads(edit.after.decode())
    assert after["mcp_servers"].pop("posthog") == ENTRY
    assert after["mcp_servers"].pop("sqlite")["http_headers"] == ENTRY["http_headers"]
    assert after == before
    path.write_bytes(edit.after)
    assert not add(CODEX, path, [POSTHOG, SQLITE], ACCESS).changes
    assert tomllib.loads(remove(CODEX, path).after.decode()) == before
    # Ours in the middle instead of at the end.
    moved = edit.after.decode()[len(text) :].strip() + "\n" + text
    path.write_bytes(moved.encode())
    if not before.keys() - {"mcp_servers"} or not any(each.table < 0 for each in statements(text)):
        assert tomllib.loads(remove(CODEX, path).after.decode()) == before
