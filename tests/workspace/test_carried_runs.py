"""The life of cloud runs that the workspace carries out with the survey agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.survey_agent.client import git
from tests.workspace.carried import Person, methods, stop_reasons, text_of, updates
from tests.workspace.test_code_host import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workspace.lab import Lab, Tokens


WORKSPACE_ARGUMENTS = ("--runs", "3", "--cancel-seconds", "0.5")


@pytest.fixture(scope="module")
def held(shared_lab: Lab) -> Tokens:
    return shared_lab.sign_in()


@pytest.fixture
def person(lab: Lab, held: Tokens) -> Iterator[Person]:
    """Somebody whose runs are over after each test."""
    person = Person(lab, held)
    yield person
    person.end_runs()


def test_a_run_goes_from_the_queue_to_a_report_on_a_branch(person: Person) -> None:
    run = person.survey("Survey the shop", mode="background")
    ended = run.until_ended()
    assert (ended["status"], ended["error_message"]) == ("completed", None)
    statuses = [event["status"] for event in run.events if event.get("type") == "task_run_state"]
    assert (statuses[0], statuses[-1]) == ("queued", "completed")
    assert "in_progress" in statuses
    assert run.names[-1] == "stream-end"
    steps = {
        (each["params"]["step"], each["params"]["status"])
        for each in run.live()
        if each.get("method") == "_posthog/progress"
    }
    assert steps >= {("clone", "completed"), ("branch", "completed"), ("agent", "completed")}
    begun = ("_posthog/run_started", "session/prompt", "_posthog/turn_complete")
    order = [each for each in methods(run.live()) if each in begun]
    assert order == list(begun)
    [prompt] = [each for each in run.live() if each.get("method") == "session/prompt"]
    assert prompt["params"]["prompt"] == [{"type": "text", "text": "Survey the shop"}]
    [answer] = [each for each in run.live() if each.get("id") == prompt["id"] and "result" in each]
    assert answer["result"]["stopReason"] == "end_turn"
    # The agent called the workspace's own tools, with a token that is dead by now.
    assert any(each.get("kind") == "other" for each in updates(run.live(), "tool_call"))

    query = {"repo": "hedgerow/shop"}
    branches = person.call("GET", "/api/environments/1/integrations/1/github_branches/", params=query)
    assert ended["output"]["head_branch"] in branches.json()["branches"]
    assert author_of(person, ended) == "Burrow <runs@burrow.invalid>"
    files = {each["name"]: each for each in ended["artifacts"]}
    assert set(files) == {"SURVEY.md", "changes.patch"}
    report = {"storage_path": files["SURVEY.md"]["storage_path"]}
    content = person.call("POST", f"{run.path}artifacts/download/", json=report)
    assert "`README.md:12` | missing | docs/deploy.md" in content.text
    url = person.call("POST", f"{run.path}artifacts/presign/", json=report).json()["url"]
    assert person.lab.http.get(url).content == content.content
    assert person.lab.http.get(url.replace("signature=", "signature=0")).status_code == 403


def test_a_run_in_ones_own_name_commits_in_it(person: Person, held: Tokens) -> None:
    connect(person.lab, held)
    ended = person.survey("Survey", mode="background", pr_authorship_mode="user").until_ended()
    assert author_of(person, ended) == "Ana Pereira <ana@example.org>"


def author_of(person: Person, run: dict[str, Any]) -> str:
    """Who made the commit of a run, in the repository that it was pushed to."""
    folder = person.lab.workspace.data / "repositories" / "hedgerow" / "shop.git"
    return git(folder, "log", "-1", "--format=%an <%ae>", run["output"]["head_branch"])


def test_live_a_message_comes_in_pieces_and_stored_it_is_one(person: Person) -> None:
    run = person.survey("Survey and say much", mode="background")
    run.until_ended()
    stored, live = run.stored(), run.live()
    assert len(updates(live, "agent_message_chunk")) > 500
    assert updates(live, "agent_message") == updates(stored, "agent_message_chunk") == []
    assert text_of(stored, "agent_message") == text_of(live, "agent_message_chunk")
    assert len(updates(stored, "agent_message")) < 5
    others = [each for each in live if each not in updates(live, "agent_message_chunk")]
    rest = [each for each in others if "agent_message_chunk" not in str(each)]
    assert rest == [each for each in stored if "agent_message" not in str(each)]


def test_a_message_of_five_megabytes_arrives_whole(person: Person) -> None:
    run = person.survey("One long line, only read", mode="background")
    run.until_ended()
    for messages, kind in ((run.live(), "agent_message_chunk"), (run.stored(), "agent_message")):
        assert max(len(each["content"]["text"]) for each in updates(messages, kind)) == 5 * 2**20


def test_a_stream_goes_on_after_any_event_without_a_gap(person: Person) -> None:
    run = person.survey("Survey and ask me")
    run.until(run.questions)
    before = list(run.follow_until_question())
    middle = before[len(before) // 2][1]
    resumed = list(run.follow_until_question(middle))
    ids = [number for _, number, _ in before if number]
    assert [number for _, number, _ in resumed if number] == ids[ids.index(middle) + 1 :]
    # Without an id everything that is stored comes from the log, and of `latest` only what is not stored yet.
    unknown = [data["notification"] for _, _, data in run.follow_until_question("1-1") if "notification" in data]
    assert unknown == run.stored()
    latest = list(run.follow_until_question(start="latest"))
    assert [data.get("type") for _, _, data in latest] == ["task_run_state", "permission_request"]
    run.result("close")
    assert run.until_ended()["status"] == "completed"


def test_a_permission_is_answered_once_and_what_was_answered_is_in_the_log(person: Person) -> None:
    run = person.survey("Survey", initial_permission_mode="default")
    [asked] = run.until(run.questions)
    assert asked["toolCall"]["kind"] == "edit"
    wrong = run.command("permission_response", requestId="perm-0", optionId="allow").json()
    assert wrong["error"]["message"] == "No pending permission request found for id: perm-0"
    wrong = run.command("permission_response", requestId=asked["requestId"], optionId="never").json()
    assert "no option never" in wrong["error"]["message"]
    assert run.result("permission_response", requestId=asked["requestId"], optionId="allow") == {"resolved": True}
    assert run.until_turns(1) == ["end_turn"]
    again = run.command("permission_response", requestId=asked["requestId"], optionId="allow").json()
    assert "No pending" in again["error"]["message"]
    [stored] = [each for each in run.stored() if each.get("method") == "session/request_permission"]
    assert stored["id"] == asked["requestId"]
    [answered] = [each for each in run.stored() if each.get("method") == "_posthog/permission_response"]
    assert answered["params"] == {"requestId": asked["requestId"], "optionId": "allow"}
    run.result("close")
    run.until_ended()


def test_a_question_and_a_plan_are_answered_with_words(person: Person) -> None:
    run = person.survey("Survey and ask me", initial_permission_mode="plan")
    [question] = run.until(run.questions)
    [asked] = question["toolCall"]["_meta"]["questions"]
    answers = {asked["question"]: "Notes"}
    run.result("permission_response", requestId=question["requestId"], optionId="option_1", answers=answers)
    [_, plan] = run.until(lambda: len(run.questions()) == 2 and run.questions())
    words = {"optionId": "reject_with_feedback", "customInput": "Look at the tests too"}
    run.result("permission_response", requestId=plan["requestId"], **words)
    assert run.until_turns(1) == ["end_turn"]
    assert "I keep planning: Look at the tests too" in text_of(run.live(), "agent_message_chunk")
    assert run.result("set_config_option", configId="mode", value="acceptEdits")["configOptions"][0]["id"] == "mode"
    refused = run.command("set_config_option", configId="mode", value="sideways").json()
    assert "sideways" in refused["error"]["message"]
    run.result("user_message", content="Write it now")
    run.until_turns(2)
    run.result("close")
    assert run.until_ended()["output"]["commit"]


def test_messages_wait_steer_or_are_answered(person: Person) -> None:
    run = person.survey("Survey and ask me")
    [question] = run.until(run.questions)
    assert run.result("user_message", content="First") == {"queued": True}
    assert run.result("user_message", content="Second") == {"queued": True}
    assert run.result("user_message", content="Mind the tests", steer=True) == {"queued": True}
    answer = {"requestId": question["requestId"], "optionId": "option_0"}
    run.until(lambda: len([each for each in run.live() if each.get("method") == "session/prompt"]) == 2)
    run.result("permission_response", **answer)
    assert run.until_turns(2) == ["end_turn", "end_turn"]
    assert "Noted: Mind the tests" in text_of(run.live(), "agent_message_chunk")
    prompts = [each["params"]["prompt"] for each in run.live() if each.get("method") == "session/prompt"]
    assert [block["text"] for block in prompts[-1]] == ["First", "Second"]
    done = run.result("user_message", content="Refuse on purpose")
    assert done == {"stopReason": "refusal", "assistant_message": "I do not do this."}
    for bad in ({}, {"content": " "}, {"content": 1}):
        assert run.command("user_message", **bad).status_code == 400
    missing = run.command("user_message", artifact_ids=["0"]).json()
    assert (missing["attr"], missing["missing_artifact_ids"]) == ("artifact_ids", ["0"])
    assert "Method not found" in run.command("dance").json()["error"]["message"]
    run.result("close")
    run.until_ended()
    assert run.command("user_message", content="More").status_code == 409


def test_stop_ends_the_turn_and_its_question_and_the_run_goes_on(person: Person) -> None:
    run = person.survey("Survey and ask me")
    run.until(run.questions)
    assert run.result("cancel") == {"cancelled": True}
    assert run.until_turns(1) == ["cancelled"]
    assert run.get()["status"] == "in_progress"
    [over] = [each for each in run.live() if each.get("method") == "_posthog/permission_response"]
    assert over["params"]["outcome"] == "cancelled"
    assert [data.get("type") for _, _, data in run.follow_once(start="latest")] == ["task_run_state"]
    assert run.result("user_message", content="Refuse on purpose")["stopReason"] == "refusal"
    run.result("close")
    run.until_ended()


def test_a_turn_that_was_stopped_is_cancelled_whatever_the_agent_says(person: Person) -> None:
    run = person.survey("Deny the stop")
    run.until(lambda: text_of(run.live(), "agent_message_chunk"))
    run.result("cancel")
    assert run.until_turns(1) == ["cancelled"]


def test_an_agent_that_does_not_stop_is_ended(person: Person) -> None:
    run = person.survey("Hang on purpose")
    run.until(lambda: text_of(run.live(), "agent_message_chunk"))
    run.result("cancel")
    ended = run.until_ended()
    assert (ended["status"], "did not stop within 0.5 seconds" in ended["error_message"]) == ("failed", True)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"description": "Crash on purpose"}, "failed", "ended with code 3. It said:\nsurvey-agent: asked to crash"),
        ({"description": "Fail on purpose", "mode": "background"}, "failed", "answered the prompt with an error"),
        (
            {"description": "Survey", "repository": "acme/none"},
            "failed",
            "no repository acme/none. It has: hedgerow/api",
        ),
        ({"description": "Survey", "branch": "gone"}, "failed", "The branch gone does not exist in hedgerow/shop"),
        ({"description": "Survey", "repository": None, "mode": "background"}, "completed", None),
    ],
)
def test_a_run_ends_with_a_plain_reason(person: Person, body: dict[str, Any], status: str, words: str | None) -> None:
    run = person.survey(**body)
    ended = run.until_ended()
    assert ended["status"] == status
    assert words is None or words in ended["error_message"]
    errors = [each["params"]["message"] for each in run.stored() if each.get("method") == "_posthog/error"]
    assert errors == ([] if words is None else [ended["error_message"]])


def test_cancelling_a_run_ends_it_wherever_it_is(person: Person) -> None:
    run = person.survey("Survey and ask me")
    run.until(run.questions)
    answer = person.call("POST", f"{run.path}cancel/", json={"reason": "wrong task"})
    assert answer.status_code == 202
    ended = run.until_ended()
    assert (ended["status"], ended["state"]["cancel_reason"]) == ("cancelled", "wrong task")
    assert stop_reasons(run.stored()) == ["cancelled"]


def test_a_task_that_is_deleted_takes_its_run_along(person: Person) -> None:
    run = person.survey("Survey and ask me")
    run.until(run.questions)
    assert person.call("DELETE", run.task).status_code == 204
    run.until(lambda: person.lab.switch("runs")["runs"] == 0)


def test_a_killed_agent_fails_the_run_and_a_new_run_goes_on_from_its_branch(person: Person, lab: Lab) -> None:
    run = person.survey("Survey this")
    run.until_turns(1)
    first = run.until(lambda: run.get()["output"])
    assert lab.switch("runs", kill_agents=True)["agents_killed"] == 1
    ended = run.until_ended()
    assert (ended["status"], "Survey agent" in ended["error_message"] or "ended" in ended["error_message"]) == (
        "failed",
        True,
    )
    again = person.run(run.task, mode="background", resume_from_run_id=run.id, pending_user_message="What is new?")
    resumed = again.until_ended()
    assert resumed["output"]["head_branch"] == first["head_branch"]
    assert resumed["output"]["commit"] != first["commit"]
    [prompt] = [each["params"]["prompt"] for each in again.stored() if each.get("method") == "session/prompt"]
    assert prompt[0]["_meta"] == {"ui": {"hidden": True}}
    assert "Person: Survey this" in prompt[0]["text"]
    assert prompt[1] == {"type": "text", "text": "What is new?"}


def test_a_run_that_has_ended_is_carried_on_in_the_cloud_with_what_was_said_in_it(person: Person) -> None:
    run = person.survey("Survey the shop", mode="background")
    branch = run.until_ended()["output"]["head_branch"]
    again = person.call("POST", f"{run.path}resume_in_cloud/")
    assert (again.status_code, again.json()["status"], again.json()["completed_at"]) == (200, "queued", None)
    run = person.follow(run.task, run.id)
    run.until(lambda: len(stop_reasons(run.stored())) == 2)
    early = person.call("POST", f"{run.path}resume_in_cloud/")
    assert (early.status_code, early.json()["error"]) == (400, "Run is already active in cloud")
    [_, prompt] = [each for each in run.stored() if each.get("method") == "session/prompt"]
    hidden, shown = prompt["params"]["prompt"]
    assert "Person: Survey the shop" in hidden["text"]
    assert shown["text"] == "Go on with the task."
    assert run.get()["branch"] == branch
    used = person.call("GET", f"{run.task}usage/").json()
    assert 0 < used["input_tokens"] < used["total_tokens"]


def test_a_local_run_is_carried_on_in_the_cloud_from_the_default_branch(person: Person) -> None:
    task = person.task("Say hello")
    local = person.call("POST", f"{task}runs/", json={"environment": "local", "branch": "burrow/only-here"}).json()
    assert person.call("POST", f"{task}runs/{local['id']}/resume_in_cloud/").json()["environment"] == "cloud"
    run = person.follow(task, local["id"])
    assert run.until_turns(1) == ["end_turn"]


def test_a_run_goes_on_from_one_that_pushed_nothing(person: Person) -> None:
    run = person.survey("Only read this", mode="background")
    first = run.until_ended()
    assert first["output"] is None
    again = person.run(
        run.task, mode="background", branch=first["branch"], resume_from_run_id=run.id, pending_user_message="Write"
    )
    assert again.until_ended()["status"] == "completed"


def test_files_that_were_uploaded_reach_the_agent(person: Person) -> None:
    task = person.task("Read the file")
    made = person.call("POST", f"{task}runs/", json={"environment": "cloud", "mode": "background"}).json()
    run = person.follow(task, made["id"])
    file = {"name": "notes.txt", "type": "user_attachment", "size": 5, "content_type": "text/plain"}
    prepared = person.call("POST", f"{run.path}artifacts/prepare_upload/", json={"artifacts": [file]}).json()
    [staged] = prepared["artifacts"]
    post = staged["presigned_post"]
    upload = person.lab.http.post(post["url"], data=post["fields"], files={"file": ("notes.txt", b"hello")})
    assert upload.status_code == 204
    path = {"storage_path": staged["storage_path"]}
    person.call("POST", f"{run.path}artifacts/finalize_upload/", json={"artifacts": [path]})
    assert run.get()["status"] == "not_started"
    body = {"pending_user_message": "Look at it", "pending_user_artifact_ids": [staged["id"]]}
    assert person.call("POST", f"{run.path}start/", json=body).status_code == 200
    ended = run.until_ended()
    assert ended["status"] == "completed"
    [prompt] = [each["params"]["prompt"] for each in run.stored() if each.get("method") == "session/prompt"]
    assert [block["type"] for block in prompt] == ["text", "resource_link"]
    assert prompt[1]["name"] == "notes.txt"
    assert "[notes.txt]" in text_of(run.stored(), "agent_thought_chunk")


def test_runs_beyond_the_limit_wait_for_their_turn(person: Person) -> None:
    runs = [person.survey("Survey and ask me") for _ in range(4)]
    for run in runs[:3]:
        run.until(run.questions)
    assert runs[3].get()["status"] == "queued"
    assert runs[3].command("cancel").json()["code"] == "sandbox_not_ready"
    for run in runs[:3]:
        run.result("close")
    runs[3].until(runs[3].questions)
    runs[3].result("close")
    assert [run.until_ended()["status"] for run in runs] == ["completed"] * 4
