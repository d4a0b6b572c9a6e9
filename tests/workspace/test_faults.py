"""Every fault switch does to a client what it says, and is for the holder of the secret only."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.workspace.lab import tokens

if TYPE_CHECKING:
    from tests.workspace.lab import Lab

PROBE = "/_workspace"


@pytest.mark.parametrize(
    "path",
    [
        "state",
        "reset",
        "kill-access-token",
        "revoke-grant",
        "advance-clock",
        "token-endpoint",
        "path",
        "slow",
        "vendor",
    ],
)
def test_without_the_secret_there_is_no_switchboard(lab: Lab, path: str) -> None:
    method = "GET" if path == "state" else "POST"
    for header in ({}, {"X-Workspace-Secret": "guess"}, {"X-Workspace-Secret": ""}):
        answer = lab.http.request(method, f"/_faults/{path}", headers=header)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_an_unknown_switch_is_not_found(lab: Lab) -> None:
    assert lab.http.post("/_faults/gravity", json={}, headers=lab.guard).status_code == 404


@pytest.mark.parametrize(
    ("name", "body", "attr"),
    [
        ("path", {}, "path"),
        ("path", {"path": "/x"}, "status"),
        ("path", {"path": "/x", "status": 99}, "status"),
        ("path", {"path": "/x", "status": "200"}, "status"),
        ("path", {"path": "/x", "drop": "later"}, "drop"),
        ("path", {"path": "/x", "status": 200, "headers": {"a": "b\r\nc: d"}}, "headers"),
        ("path", {"path": "/x", "status": 200, "headers": []}, "headers"),
        ("path", {"path": "/x", "status": 200, "times": 0}, "times"),
        ("path", {"path": "/x", "delay": -1}, "delay"),
        ("path", {"path": "/x", "delay": 10_000}, "delay"),
        ("token-endpoint", {}, "status"),
        ("slow", {}, "seconds"),
        ("advance-clock", {}, "seconds"),
        ("advance-clock", {"seconds": 1e300}, "seconds"),
        ("revoke-grant", {"reason": "boredom"}, "reason"),
        ("scope-ceiling", {}, "client_id"),
    ],
)
def test_a_switch_set_wrongly_says_what_is_wrong(lab: Lab, name: str, body: dict[str, Any], attr: str) -> None:
    answer = lab.http.post(f"/_faults/{name}", json=body, headers=lab.guard)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_killed_access_tokens_fail_and_their_grant_lives(lab: Lab) -> None:
    held, dynamic = lab.sign_in(), lab.sign_in(lab.register()["client_id"])
    lab.switch("kill-access-token", client_id=dynamic.client_id)
    assert (lab.me(held).status_code, lab.me(dynamic).status_code) == (200, 401)
    assert lab.switch("kill-access-token")["killed"] >= 1
    assert lab.me(held).json()["detail"] == "Invalid access token."
    assert lab.me(lab.refreshed(held)).status_code == 200


def test_a_revoked_grant_fails_for_its_client_only(lab: Lab) -> None:
    held, dynamic = lab.sign_in(), lab.sign_in(lab.register()["client_id"])
    lab.switch("revoke-grant", client_id=dynamic.client_id)
    assert lab.refresh(dynamic).json()["error"] == "invalid_grant"
    assert lab.refresh(held).status_code == 200
    assert lab.counters()["grants_revoked"] == 1


def test_the_token_endpoint_answers_as_told_and_then_as_usual(lab: Lab) -> None:
    held = lab.sign_in()
    lab.switch("token-endpoint", status=503, times=2)
    for path in ("/oauth/token/", "/oauth/token"):
        answer = lab.http.post(path, data={})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json() == {
            "error": "temporarily_unavailable",
            "error_description": (
                "The authorization server is temporarily unable to handle the request. Please retry."
            ),
        }
    assert lab.refresh(held).status_code == 200
    lab.switch("token-endpoint", status=429, body={"error": "slow_down"}, headers={"Retry-After": "7"})
    answer = lab.refresh(held)
    assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (429, "7", {"error": "slow_down"})
    lab.switch("token-endpoint", status=200, body="<html>portal</html>", headers={"Content-Type": "text/html"})
    assert lab.refresh(held).text == "<html>portal</html>"
    assert lab.counters()["refreshes_rejected"] == 0


def test_a_refresh_dropped_before_commit_has_not_happened(lab: Lab) -> None:
    held = lab.sign_in()
    lab.switch("token-endpoint", drop="before_commit")
    with pytest.raises(httpx.TransportError):
        lab.refresh(held)
    assert lab.counters()["refreshes_accepted"] == 0
    assert lab.me(held).status_code == 200


def test_a_refresh_dropped_after_commit_has_happened_and_can_be_repeated_within_the_grace(lab: Lab) -> None:
    held = lab.sign_in()
    lab.switch("token-endpoint", drop="after_commit")
    with pytest.raises(httpx.TransportError):
        lab.refresh(held)
    assert lab.counters()["refreshes_accepted"] == 1
    assert lab.me(held).status_code == 401
    again = lab.refresh(held)
    assert lab.me(tokens(again, held.client_id)).status_code == 200
    assert lab.counters()["refreshes_replayed"] == 1


def test_a_path_answers_with_a_given_shape_n_times(lab: Lab) -> None:
    held = lab.sign_in()
    body = {"type": "authentication_error", "code": "authentication_failed", "detail": "x", "attr": None}
    lab.switch("path", path="/api/projects/*/tasks/", method="get", status=403, body=body, times=2)
    statuses = [lab.http.get("/api/projects/1/tasks/", headers=held.header).status_code for _ in range(3)]
    assert statuses == [403, 403, 200]
    lab.switch("path", path="/api/users/", status=502, body="error code: 1020", content_type="text/plain")
    answer = lab.me(held)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (
        502,
        "error code: 1020",
        "text/plain",
    )
    assert lab.me(held).status_code == 200


def test_a_rule_for_one_method_leaves_the_others_alone(lab: Lab) -> None:
    lab.switch("path", path=PROBE, method="DELETE", status=418)
    assert lab.http.get(PROBE).status_code == 200
    assert lab.http.delete(PROBE).status_code == 418


def test_a_view_dropped_after_commit_has_done_its_work(lab: Lab) -> None:
    held = lab.sign_in()
    lab.switch("path", path="/api/projects/1/tasks/", method="POST", drop="after_commit")
    with pytest.raises(httpx.TransportError):
        lab.http.post("/api/projects/1/tasks/", json={"description": "Dropped after commit"}, headers=held.header)
    found = lab.http.get("/api/projects/1/tasks/", params={"search": "dropped after"}, headers=held.header).json()
    assert found["count"] == 1
    lab.http.delete(f"/api/projects/1/tasks/{found['results'][0]['id']}/", headers=held.header)


def test_a_delay_holds_one_request_and_not_the_others(lab: Lab) -> None:
    lab.switch("path", path=PROBE, delay=0.5)
    waited: list[float] = []

    def slow() -> None:
        began = time.monotonic()
        httpx.get(lab.workspace.url + PROBE, verify=False, trust_env=False)
        waited.append(time.monotonic() - began)

    thread = threading.Thread(target=slow)
    thread.start()
    lab.wait_for_request(PROBE)
    assert lab.http.get(PROBE).status_code == 200
    assert thread.is_alive()
    thread.join()
    assert waited[0] >= 0.5


def test_slowness_lasts_until_it_is_ended(lab: Lab) -> None:
    lab.switch("slow", seconds=0.1, path=PROBE)
    for _ in range(2):
        began = time.monotonic()
        assert lab.http.get(PROBE).status_code == 200
        assert time.monotonic() - began >= 0.1
    lab.switch("slow", seconds=0, path=PROBE)
    assert lab.state()["rules"] == []
    lab.switch("slow", seconds=0.1)
    assert lab.state()["rules"][0]["path"] == "*"
    lab.switch("slow", seconds=0)
    assert lab.state()["rules"] == []


def test_the_clock_moves_forward_and_back_with_reset(lab: Lab) -> None:
    held = lab.sign_in()
    lab.switch("advance-clock", seconds=700_000)
    assert lab.me(held).json()["detail"] == "Access token has expired."
    lab.switch("reset")
    assert lab.me(held).status_code == 200


def test_the_counters_tell_what_clients_did(lab: Lab) -> None:
    held = lab.sign_in()
    lab.me(held)
    lab.me(held)
    lab.refresh(held)
    lab.http.get("/nowhere")
    counted = lab.counters()
    assert counted["requests"]["/api/users/@me/"] == 2
    assert counted["requests"]["/oauth/token/"] == 2
    assert counted["requests"]["/nowhere"] == 1
    assert not any(path.startswith("/_faults") for path in counted["requests"])
    assert (counted["refreshes_accepted"], counted["refreshes_rejected"], counted["grants_revoked"]) == (1, 0, 0)


def test_the_state_names_grants_without_their_secrets(lab: Lab) -> None:
    held = lab.sign_in()
    answer = lab.http.get("/_faults/state", headers=lab.guard)
    assert held.client_id in {grant["client_id"] for grant in answer.json()["grants"]}
    assert held.access not in answer.text
    assert held.refresh not in answer.text


def test_a_switch_another_module_registered_is_served(lab: Lab) -> None:
    assert "vendor" in lab.state()["switches"]
