"""Who may knock at the workspace: its own loopback names, its own origin, bodies of a bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.workspace.lab import Lab


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""])
def test_a_request_for_another_host_is_misdirected(lab: Lab, host: str) -> None:
    port = lab.workspace.url.rpartition(":")[2]
    answer = lab.http.get("/_workspace", headers={"Host": host.format(port=port)})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_loopback_names_are_its_own(lab: Lab, host: str) -> None:
    port = lab.workspace.url.rpartition(":")[2]
    assert lab.http.get("/_workspace", headers={"Host": host.format(port=port)}).status_code == 200


def test_web_pages_of_other_origins_are_refused_and_get_no_cors_headers(lab: Lab) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://" + lab.workspace.url[7:]):
        answer = lab.http.get("/_workspace", headers={"Origin": origin})
        assert answer.status_code == 403
        assert not any(name.startswith("access-control-") for name in answer.headers)
    preflight = lab.http.options("/api/users/@me/", headers={"Origin": lab.workspace.url})
    assert preflight.status_code == 405
    assert not any(name.startswith("access-control-") for name in preflight.headers)


def test_a_body_above_four_mebibytes_is_refused_even_without_a_length(lab: Lab) -> None:
    piece = b"x" * (1024 * 1024)
    answer = lab.http.post("/oauth/token/", content=iter([piece] * 5))
    assert answer.status_code == 413
