"""`burrow://` links are read strictly: one spelling for each meaning, and a reason for each refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Rejected
from app.core.links import (
    LONGEST_LINK,
    LONGEST_TEXT,
    IntegrationLink,
    Link,
    NewTaskLink,
    ServerLink,
    TaskLink,
    parse_link,
    write_link,
)
from app.marks import revealed, revealed_name

TASK = "0196f3a1-2b4c-7d8e-9f00-112233445566"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        (f"burrow://task/{TASK}", TaskLink(TASK)),
        ("burrow://task/7/run/r-1?host=eu", TaskLink("7", "r-1", "eu")),
        ("burrow://task/7?host=https%3A%2F%2Fposthog.example.com", TaskLink("7", "", "https://posthog.example.com")),
        ("burrow://new?text=Fix+the%20%22build%22%0Anow", NewTaskLink('Fix the "build"\nnow')),
        ("burrow://new/?text=a", NewTaskLink("a")),
        ("burrow://new?text=a%0D%0Ab", NewTaskLink("a\nb")),
        ("burrow://new?text=C%2B%2B&repository=acme/web.app", NewTaskLink("C++", "acme/web.app")),
        ("burrow://new?text=%2541", NewTaskLink("%41")),
        (
            f"burrow://new?text=a{'%0A' * 11}b{'+' * 79}c{'%0A' * 30}",
            NewTaskLink(f"a{chr(10) * 11}b{' ' * 79}c{chr(10) * 30}"),
        ),
        ("burrow://new?text=a=b", NewTaskLink("a=b")),
        ("burrow://new?text=%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB", NewTaskLink("\U0001f469\u200d\U0001f4bb")),
        ("burrow://server/Linear%20%26%20co?host=workspace", ServerLink("Linear & co", "workspace")),
        ("burrow://server/a+b", ServerLink("a+b")),
        ("burrow://integration?provider=github&project_id=7", IntegrationLink(7)),
        (
            "burrow://integration/?host=workspace&status=success&installation_id=70001&project_id=7&provider=github",
            IntegrationLink(7, "70001", host="workspace"),
        ),
        (
            "burrow://integration?provider=github&project_id=7&status=error&error_code=access_denied&error_message=No!",
            IntegrationLink(7, failed=True, error="access_denied"),
        ),
    ],
)
def test_a_link_is_read(text: str, link: Link) -> None:
    assert parse_link(text) == link


@pytest.mark.parametrize(
    "text",
    [
        "",
        "burrow",
        "burrow:",
        "burrow://",
        "burrow:task/7",
        "burrow:/task/7",
        "BURROW://task/7",
        " burrow://task/7",
        "burrow://task/7\n",
        "https://task/7",
        "posthog-code://task/7",
        "burrow://Task/7",
        "burrow://tasks/7",
        "burrow://task",
        "burrow://task/",
        "burrow://task//7",
        "burrow://task/7/",
        "burrow://task/../7",
        "burrow://task/%2e%2e",
        "burrow://task/%37",
        "burrow://task/7/run",
        "burrow://task/7/run/",
        "burrow://task/7/stop/8",
        f"burrow://task/{'7' * 129}",
        "burrow://task/-7",
        "burrow://task/7#top",
        "burrow://ada@task/7",
        "burrow://task:80/7",
        "burrow://task/7?",
        "burrow://task/7?&",
        "burrow://task/7?run",
        "burrow://task/7?host=",
        "burrow://task/7?host=us&host=us",
        "burrow://task/7?host=us&%68ost=eu",
        "burrow://task/7?host=US",
        "burrow://task/7?host=https%3A%2F%2Fus.posthog.com",
        "burrow://task/7?host=https%3A%2F%2Fada%40posthog.example.com",
        "burrow://task/7?host=http%3A%2F%2Fposthog.example.com",
        "burrow://task/7?host=https%3A%2F%2Fposthog.example.com%2F",
        "burrow://task/7?text=a",
        "burrow://new",
        "burrow://new?text=",
        "burrow://new?text=+%0A",
        "burrow://new?text=a&run=1",
        "burrow://new?text=a&text=b",
        "burrow://new/now?text=a",
        "burrow://new?text=a b",
        "burrow://new?text=ä",
        "burrow://new?text=[a]",
        "burrow://new?text=%",
        "burrow://new?text=%4",
        "burrow://new?text=%4x",
        "burrow://new?text=%FF",
        "burrow://new?text=%C0%AF",
        "burrow://new?text=%ED%A0%80",
        "burrow://new?text=a%00",
        "burrow://new?text=a%09b",
        "burrow://new?text=a%0Db",
        "burrow://new?text=a%1B%5B31m",
        "burrow://new?text=a%E2%80%AEb",
        "burrow://new?text=a%E2%80%8Bb",
        "burrow://new?text=a%F3%A0%81%81b",
        f"burrow://new?text=a{'%0A' * 12}b",
        f"burrow://new?text=a{'+%0A%E2%80%83' * 12}b",
        f"burrow://new?text=a{'%C2%A0' * 80}b",
        "burrow://new?text=a&repository=web",
        "burrow://new?text=a&repository=a/b/c",
        "burrow://new?text=a&repository=a/b%20",
        f"burrow://new?text={'a' * (LONGEST_TEXT + 1)}",
        f"burrow://new?text={'%C3%A4' * (LONGEST_TEXT // 2 + 1)}",
        "burrow://server",
        "burrow://server/",
        "burrow://server/%20a",
        "burrow://server/a/b",
        "burrow://server/a%2Fb",
        "burrow://server/a%0Ab",
        "burrow://server/a%E2%80%AEb",
        f"burrow://server/{'a' * 201}",
        f"burrow://task/7?host={'a' * LONGEST_LINK}",
        "burrow://integration",
        "burrow://integration?provider=github",
        "burrow://integration?provider=linear&project_id=7",
        "burrow://integration?provider=GitHub&project_id=7",
        "burrow://integration/done?provider=github&project_id=7",
        *(f"burrow://integration?provider=github&project_id={each}" for each in ("0", "-7", "07", "7x", "9" * 19)),
        *(
            f"burrow://integration?provider=github&project_id=7&{each}"
            for each in (
                "installation_id=a%2Fb",
                "status=maybe",
                "error_code=access_denied",
                "status=success&error_message=no",
                "status=error&error_code=Access%20denied",
                f"status=error&error_message={'a' * (LONGEST_TEXT + 1)}",
                "code=abc",
                "state=abc",
            )
        ),
    ],
)
def test_anything_else_is_refused_with_a_reason_that_can_be_shown(text: str) -> None:
    with pytest.raises(Rejected) as refused:
        parse_link(text)
    assert refused.value.facts.attr == "link"
    assert 0 < len(refused.value.cause) < 300
    assert revealed_name(refused.value.cause) == refused.value.cause


HOSTS = st.sampled_from(["", "us", "eu", "workspace", "https://posthog.example.com", "http://127.0.0.1:8010"])
IDS = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z_-]{0,40}", fullmatch=True)
TEXTS = st.text(max_size=300).filter(
    lambda text: bool(text.strip()) and revealed(text) == text and not {"\t", "\r"} & set(text)
)
NAMES = st.text(min_size=1, max_size=60).filter(
    lambda name: name == name.strip() and revealed_name(name) == name and "/" not in name
)
LINKS = st.one_of(
    st.builds(TaskLink, IDS, st.just("") | IDS, HOSTS),
    st.builds(NewTaskLink, TEXTS, st.sampled_from(["", "acme/web", "a.b/c-d_e"]), HOSTS),
    st.builds(ServerLink, NAMES, HOSTS),
    st.builds(IntegrationLink, st.integers(1, 10**18 - 1), st.just("") | IDS, st.just(False), st.just(""), HOSTS),
    st.builds(IntegrationLink, st.just(7), IDS, st.just(True), st.sampled_from(["", "access_denied"]), HOSTS),
)


@given(LINKS)
def test_what_is_written_is_read_as_the_same(link: Link) -> None:
    assert parse_link(write_link(link)) == link


@given(st.text(max_size=80) | st.text("burow:/tasknewrv?=&%0A2Etxh#@", max_size=60).map("burrow://".__add__))
def test_any_text_is_a_link_or_refused_and_a_link_shows_what_it_says(text: str) -> None:
    try:
        link = parse_link(text)
    except Rejected:
        return
    # Percent-encoding may be longer than needed, but it means the same.
    assert parse_link(write_link(link)) == link
    if isinstance(link, NewTaskLink):
        assert revealed(link.text) == link.text
