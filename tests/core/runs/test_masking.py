"""Credentials in long texts: masked in pieces as they are in one, and never shown before."""

from __future__ import annotations

import asyncio

import pytest

from app.core.redaction import hide, mask_credentials
from app.core.runs.item_text import characters_to_mask, without_texts
from app.core.runs.items import Message, Permission, TextPart, ToolCall
from app.core.runs.long_texts import PIECE, mask_long, mask_steps
from app.core.runs.masked_items import AGAIN_AT_ONCE, AT_ONCE
from app.core.runs.transcript import Change, Transcript
from tests.core.runs.logs import call, chunk, entries, message, output, progress
from tests.until import until

SECRET = "abcdef0123456789"
KEY_ID, KEY = "AKIA" + "Q" * 16, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def long_text(size: int = 4 * AT_ONCE) -> str:
    line = f"Authorization: Bearer {SECRET}\nin source code: token = next(tokens)\n"
    return line * (size // len(line))


@pytest.mark.parametrize(
    "secret",
    [
        f"Authorization: Bearer {SECRET}",
        f"Authorization:\n {SECRET}",
        f"Authorization\n: {SECRET}",
        f"a bearer\n{SECRET}",
        f"https://user:{SECRET}@host.example/",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n" + f"{SECRET * 4}\n" * 2_000 + "-----END RSA PRIVATE KEY-----",
        f"pha_{SECRET}{SECRET}",
        f"the hidden\nwords of {SECRET}",
    ],
)
@pytest.mark.parametrize("separator", ["\n", " "])
def test_a_credential_is_masked_wherever_a_piece_may_end(secret: str, separator: str) -> None:
    hide(f"the hidden\nwords of {SECRET}")
    filler = separator.join(["word"] * (PIECE // 5 - 1))
    tail = separator.join(["", *["word"] * PIECE])
    for moved in range(0, len(secret[:120]), 5):
        text = f"{filler}{separator}{filler[moved:]}{separator}{secret}{separator}{tail}"
        found = mask_long(text)
        assert SECRET not in found, (moved, found[2 * PIECE - 200 : 2 * PIECE + 100])
        assert found == mask_credentials(text)


def test_the_secret_of_a_key_is_masked_far_from_its_id() -> None:
    text = f"{KEY}\n" + "words of a line\n" * 20_000 + f"id {KEY_ID}\n" + "words of a line\n" * 20_000 + KEY
    assert KEY not in mask_long(text)
    assert KEY in mask_long(text.replace(KEY_ID, ""))


@pytest.mark.parametrize("text", ["ab" * 150_000, "\n" * 300_000, "a: \n" * 100_000, "bearer\n" * 60_000])
def test_a_text_in_which_no_piece_can_end_well_is_masked_all_the_same(text: str) -> None:
    assert len(list(mask_steps(text))) > 3
    assert mask_long(text).count("\n") >= text.count("\n") * 0.9


async def test_a_long_item_shows_nothing_before_it_is_masked_and_holds_up_nobody() -> None:
    said, told = Transcript(), list[Change]()
    said.changed.subscribe(told.append)
    text = long_text()
    said.apply(entries(message(text), call("c", rawInput={"x": text}), progress("c", content=output(text))))
    for index, kind in enumerate((Message, ToolCall)):
        told.clear()
        revision = said.head(index).revision
        first = said.shown(index)
        assert isinstance(first, kind)
        assert len(str(first)) < 2_000
        # What is asked meanwhile begins nothing anew.
        assert said.shown(index) == first
        turns = 0
        while not told:
            await asyncio.sleep(0)
            turns += 1
            assert SECRET not in str(said.shown(index))[:4_000]
        assert told == [Change(index, 0, (index,))]
        assert said.head(index).revision > revision
        whole = said.shown(index)
        assert whole is said.item(index)
        assert len(str(whole)) > AT_ONCE
        assert SECRET not in str(whole)
        assert turns > 4
    said.close()


async def test_a_long_text_that_grows_is_shown_as_it_was_until_it_is_masked() -> None:
    said, told = Transcript(), list[Change]()
    said.apply(entries(chunk(long_text(2 * AGAIN_AT_ONCE)), live=True))
    said.changed.subscribe(told.append)
    former = said.shown(0)
    assert isinstance(former, Message)
    said.apply(entries(chunk(f"Authorization: Bearer {SECRET}"), live=True))
    told.clear()
    assert said.shown(0) is former
    await until(lambda: told)
    grown = said.shown(0)
    assert isinstance(grown, Message)
    assert len(grown.text) > len(former.text)
    assert SECRET not in grown.text
    # It also ends when it grows while it is masked.
    said.apply(entries(chunk("\nmore "), live=True))
    said.shown(0)
    said.apply(entries(chunk("words"), live=True))
    await until(lambda: said.shown(0).text.endswith("more words"))  # type: ignore[attr-defined]
    said.close()


async def test_what_is_masked_of_a_log_that_is_read_again_or_closed_is_dropped() -> None:
    said, told = Transcript(), list[Change]()
    said.apply(entries(message(long_text())))
    said.shown(0)
    said.restart()
    said.apply(entries(message("another")))
    said.changed.subscribe(told.append)
    for _ in range(100):
        await asyncio.sleep(0)
    assert said.shown(0).text == "another"  # type: ignore[attr-defined]
    assert told == []
    said.close()


def test_searching_takes_a_long_item_in_steps() -> None:
    said = Transcript()
    said.apply(entries(message(long_text()), message("needle")))
    steps = list(said.search("token = next"))
    assert steps[-1] == 0
    assert len(steps) > 10
    assert said.find(SECRET) is None
    assert said.find("needle") == 1
    said.close()


def test_no_kind_of_item_keeps_a_text_until_it_is_masked() -> None:
    text = SECRET
    asked = Permission(
        key="p", turn=0, request_id="r", call_id="c", title=text, parts=(TextPart(text),), input=text, plan=text
    )
    assert characters_to_mask(asked) == 4 * len(text)
    assert SECRET not in str(without_texts(asked))
