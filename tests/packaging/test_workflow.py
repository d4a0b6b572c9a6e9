"""The workflow of the public forge: what it calls exists, and what it may do is little.

It is read by lines, because no reader of YAML is among the packages; its schema was checked with check-jsonschema.
"""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import macos.build
import pytest
import windows.build

import dev

WORKFLOW = Path(__file__).resolve().parents[2] / ".github" / "workflows" / "packages.yml"
TEXT = WORKFLOW.read_text(encoding="utf-8")
# Major versions that exist and whose inputs the workflow uses.
ACTIONS = {
    "actions/checkout@v4",
    "actions/setup-python@v5",
    "actions/upload-artifact@v4",
    "actions/download-artifact@v4",
    "actions/attest-build-provenance@v2",
}


def jobs() -> dict[str, str]:
    """The text of each job, by its id."""
    _, _, text = TEXT.partition("\njobs:\n")
    parts = re.split(r"^  ([a-z]+):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def calls() -> list[list[str]]:
    """The words of each call of dev.py."""
    found = re.findall(r"\bpython3? (dev\.py .+)$", TEXT, re.MULTILINE)
    return [shlex.split(line.replace("$", ""))[1:] for line in found]


def test_every_system_is_built_and_only_a_tag_releases() -> None:
    assert set(jobs()) == {"test", "linux", "windows", "macos", "release"}
    assert "needs: [test, linux, windows, macos]" in jobs()["release"]
    assert "if: github.ref_type == 'tag'" in jobs()["release"]
    assert re.findall(r"processor: (\w+)", jobs()["macos"]) == ["arm64", "x86_64"]
    # glibc of the oldest supported system.
    assert "container: debian:12" in jobs()["linux"]


def test_the_commands_of_dev_exist() -> None:
    assert {call[0] for call in calls()} == {"test", "package"}
    assert all(call[0] in dev.HELP for call in calls())
    assert {name for name, text in jobs().items() if "dev.py package" in text} == {"linux", "windows", "macos"}


@pytest.mark.parametrize(("job", "recipe"), [("windows", windows.build), ("macos", macos.build)])
def test_the_options_of_package_exist_and_sign(job: str, recipe: object) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    recipe.add_options(parser)  # type: ignore[attr-defined]
    found = re.findall(r"dev\.py package (--.+)$", jobs()[job], re.MULTILINE)
    assert found
    for line in found:
        asked = parser.parse_args(shlex.split(line.replace("$", "")))
        assert recipe.signing_from(asked) is not None  # type: ignore[attr-defined]


def test_nothing_is_installed_outside_the_lock() -> None:
    assert "pip install" not in TEXT
    assert "requirements" not in TEXT


def test_the_token_reads_only_except_where_the_release_is_drafted() -> None:
    head, _, _ = TEXT.partition("\njobs:\n")
    assert head.count("permissions:\n  contents: read\n") == 1
    writers = {name for name, text in jobs().items() if re.search(r": write$", text, re.MULTILINE)}
    assert writers == {"release"}
    assert TEXT.count("persist-credentials: false") == TEXT.count("actions/checkout@")


def test_actions_are_named_by_their_version() -> None:
    assert set(re.findall(r"uses: (\S+)", TEXT)) == ACTIONS


def test_secrets_are_given_to_tags_only_and_never_on_a_command_line() -> None:
    for line in TEXT.splitlines():
        if "secrets." in line:
            assert re.fullmatch(r"\s+[A-Z_]+: \$\{\{ github\.ref_type == 'tag' && secrets\.[A-Z_]+ \|\| '' \}\}", line)
    assert "secrets." not in jobs()["test"] + jobs()["linux"] + jobs()["release"]


def test_what_is_installed_is_asked_what_it_finds_on_every_system() -> None:
    assert {name for name, text in jobs().items() if "self-test" in text} == {"linux", "windows", "macos"}


def test_the_release_has_checksums_and_says_what_built_it() -> None:
    text = jobs()["release"]
    order = [text.index(word) for word in ("download-artifact", "SHA256SUMS", "attest-build-provenance", "--draft")]
    assert order == sorted(order)


def test_every_job_has_a_deadline() -> None:
    assert all("timeout-minutes:" in text for text in jobs().values())
