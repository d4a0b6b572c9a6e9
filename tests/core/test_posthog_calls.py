"""What Burrow asks PostHog for, and what it makes of the answers, over a real socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.core.errors import (
    BurrowError,
    NotFound,
    OutcomeUnknown,
    PermissionMissing,
    ProtocolTrouble,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    Throttled,
)
from app.core.posthog.accounts import Accounts
from app.core.posthog.run_files import RunFile, RunUploads
from app.core.posthog.store import McpStore
from app.core.posthog.tasks import ChangedMeanwhile, Tasks
from app.core.posthog.types import (
    Installation,
    NewTask,
    Organization,
    Project,
    ServerTemplate,
    TaskQuery,
    User,
)
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import Reply, Request

if TYPE_CHECKING:
    from pathlib import Path

TASKS = "/api/projects/7/tasks/"
STORE = "/api/environments/7/mcp_server_installations/"
FORBIDDEN = Reply(403, {"type": "authentication_error", "code": "permission_denied", "detail": "No.", "attr": None})
BROKEN = Reply(503, {"code": "unavailable", "detail": "Down."})


def tasks_of(rig: Rig) -> Tasks:
    return Tasks(rig.fetcher, lambda: 7)


def store_of(rig: Rig) -> McpStore:
    return McpStore(rig.fetcher, lambda: 7)


def last(rig: Rig, path: str) -> Request:
    return next(request for request in reversed(rig.server.seen) if request.path == path)


def sent(rig: Rig, path: str) -> Any:
    return json.loads(last(rig, path).body)


def page(*items: object, following: str | None = None, count: int | None = None) -> Reply:
    return Reply(200, {"count": len(items) if count is None else count, "next": following, "results": list(items)})


async def test_a_next_link_to_another_server_is_not_followed(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig, signed_in(tmp_path / "other") as other:
        rig.server.views[TASKS] = page({"id": "1"}, following=f"{other.server.origin}{TASKS}?offset=50")
        found = await tasks_of(rig).list()
        assert found.next is not None
        with pytest.raises(Rejected, match="another server"):
            await tasks_of(rig).more(found.next)
        assert other.server.requests[TASKS] == 0


async def test_errors_of_the_server_keep_their_words_and_their_field(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        tasks = tasks_of(rig)
        rig.server.views[TASKS] = Reply(
            400, {"type": "validation_error", "code": "required", "detail": "This field is required.", "attr": "title"}
        )
        with pytest.raises(Rejected) as rejected:
            await tasks.create(NewTask(description="", title=""))
        assert (rejected.value.facts.attr, rejected.value.cause) == ("title", "This field is required.")
        with pytest.raises(NotFound):
            await tasks.get("missing")
        with pytest.raises(NotFound):
            await tasks.delete("missing")
        rig.server.views[f"{TASKS}1/"] = Reply(200, {"id": "1", "title": {"not": "text"}})
        with pytest.raises(ProtocolTrouble, match=r"\$\.title"):
            await tasks.rename("1", "new")


async def test_the_list_asks_for_what_is_wanted_and_no_more_than_is_given(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        tasks = tasks_of(rig)
        rig.server.views[TASKS] = page()
        await tasks.list()
        assert last(rig, TASKS).query == {"ordering": ["-created_at"], "limit": ["50"]}
        await tasks.list(
            TaskQuery("  login & more ", True, "org/repo", "failed", 3, ordering="-last_activity_at"), limit=500
        )
        assert last(rig, TASKS).query == {
            "search": ["login & more"],
            "archived": ["true"],
            "repository": ["org/repo"],
            "status": ["failed"],
            "created_by": ["3"],
            "ordering": ["-last_activity_at"],
            "limit": ["100"],
        }


async def test_pages_are_followed_to_the_end(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:

        def view(request: Request) -> Reply:
            offset = int(request.query.get("offset", ["0"])[0])
            items = [{"id": str(number)} for number in range(offset, min(offset + 100, 250))]
            following = f"{rig.server.origin}{TASKS}?limit=100&offset={offset + 100}" if offset + 100 < 250 else None
            return page(*items, following=following, count=250)

        rig.server.views[TASKS] = view
        tasks = tasks_of(rig)
        found = await tasks.list(limit=500)
        ids = [task.id for task in found.items]
        while found.next is not None:
            assert found.count == 250
            found = await tasks.more(found.next)
            ids += [task.id for task in found.items]
        assert ids == [str(number) for number in range(250)]


async def test_changes_send_only_what_changes(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        tasks = tasks_of(rig)
        one = f"{TASKS}1/"
        rig.server.views[one] = Reply(200, {"id": "1", "title": "new"})
        assert (await tasks.rename("1", " new ")).title == "new"
        assert sent(rig, one) == {"title": "new", "title_manually_set": True}
        await tasks.edit("1", description="words", repository="Org/Repo")
        assert sent(rig, one) == {"description": "words", "repository": "org/repo"}
        await tasks.edit("1", repository="")
        assert sent(rig, one) == {"repository": None}
        await tasks.archive("1", True)
        assert sent(rig, one) == {"archived": True}
        assert last(rig, one).method == "PATCH"
        rig.server.views[one] = Reply(204)
        await tasks.delete("1")
        assert last(rig, one).method == "DELETE"
        rig.server.views[f"{one}pin/"] = Reply(200, b"")
        await tasks.pin("1", False)
        assert sent(rig, f"{one}pin/") == {"pinned": False}


async def test_a_new_task_has_a_title_even_where_none_was_typed(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views[TASKS] = Reply(201, {"id": "1"})
        await tasks_of(rig).create(NewTask(description="Make the\nlogin faster. " + "x" * 400, repository="Org/Repo"))
        body = sent(rig, TASKS)
        assert body["title"].startswith("Make the login faster. xxx")
        assert len(body["title"]) == 255
        assert body["description"].startswith("Make the\nlogin")
        assert (body["origin_product"], body["repository"]) == ("user_created", "org/repo")
        await tasks_of(rig).create(NewTask(description="words", title=" Mine "))
        assert sent(rig, TASKS) == {"title": "Mine", "description": "words", "origin_product": "user_created"}


async def test_servers_without_pins_have_none(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        tasks = tasks_of(rig)
        assert await tasks.pinned() == frozenset()
        rig.server.views[f"{TASKS}pinned/"] = Reply(200, {"task_ids": ["a", "b", None]})
        assert await tasks.pinned() == {"a", "b"}
        rig.server.views[f"{TASKS}repositories/"] = Reply(200, {"repositories": ["org/a", None, "", "org/b"]})
        assert await tasks.repositories() == ("org/a", "org/b")
        rig.server.views[f"{TASKS}repositories/"] = Reply(200, {"repositories": None})
        assert await tasks.repositories() == ()


async def test_the_runs_of_a_task_are_read(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        tasks = tasks_of(rig)
        rig.server.views[f"{TASKS}1/runs/"] = page(
            {"id": "r", "status": "completed"}, 5, following=f"{rig.server.origin}{TASKS}1/runs/?offset=1"
        )
        runs = await tasks.runs("1")
        assert (runs.items[0].finished, runs.unreadable) == (True, 1)
        assert runs.next is not None


async def test_an_odd_id_stays_one_segment_of_the_path(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        with pytest.raises(NotFound):
            await tasks_of(rig).get("../../users/@me")
        with pytest.raises(NotFound):
            await tasks_of(rig).get("..")
        assert all(path.startswith(TASKS) for path in rig.server.requests)


def person(**changes: Any) -> User:
    return User(
        uuid="u",
        team=Project(1, "Current"),
        organization=Organization("o1"),
        organizations=(Organization("o1"), Organization("o2")),
        **changes,
    )


async def test_projects_of_every_organisation_are_found_and_one_refusal_hides_no_other(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/organizations/o1/"] = FORBIDDEN
        rig.server.views["/api/organizations/o2/"] = Reply(
            200, {"teams": [{"id": 5, "name": "Five"}, {"name": "no id"}, {"id": 6, "name": None}, {"id": 5}]}
        )
        projects = await Accounts(rig.fetcher).projects((), (), person())
        assert projects == (Project(5, "Five", "o2"), Project(6, "", "o2"))
        assert rig.server.requests["/api/organizations/o1/"] == 1


async def test_a_token_for_one_project_asks_for_that_project_only(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/projects/1/"] = Reply(200, {"id": 1, "name": "One", "organization": "o1"})
        rig.server.views["/api/projects/2/"] = BROKEN
        projects = await Accounts(rig.fetcher).projects((1, 2, 1, 3), ("o1",), person())
        assert projects == (Project(1, "One", "o1"),)
        assert not any(path.startswith("/api/organizations") for path in rig.server.requests)


async def test_a_token_for_one_organisation_asks_for_that_one_only(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/organizations/o2/"] = Reply(200, {"teams": [{"id": 5, "name": "Five"}]})
        assert await Accounts(rig.fetcher).projects((), ("o2",), person()) == (Project(5, "Five", "o2"),)
        assert rig.server.requests["/api/organizations/o1/"] == 0


async def test_the_current_project_stays_when_every_list_is_refused(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/organizations/o1/"] = FORBIDDEN
        assert await Accounts(rig.fetcher).projects((), (), person()) == (Project(1, "Current"),)
        with pytest.raises(NotFound):
            await Accounts(rig.fetcher).projects((9,), (), person())


async def test_no_project_at_all_is_told_by_its_cause(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        for path in ("/api/organizations/o1/", "/api/organizations/o2/"):
            rig.server.views[path] = BROKEN
        with pytest.raises(ServerTrouble, match="Down"):
            await Accounts(rig.fetcher).projects((), (), person())
        assert await Accounts(rig.fetcher).projects((), (), User(uuid="u")) == ()


async def test_a_session_that_ended_is_not_mistaken_for_a_missing_project(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/organizations/o1/"] = Reply(200, {"teams": [{"id": 5, "name": "Five"}]})
        rig.server.views["/api/organizations/o2/"] = rig.issuer.guard()
        rig.issuer.revoked = True
        with pytest.raises(SignInNeeded):
            await Accounts(rig.fetcher).projects((), (), person())


async def test_who_is_signed_in_is_read(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/users/@me/"] = Reply(
            200, {"uuid": "u", "email": "ada@example.com", "team": {"id": 1, "name": "One"}, "is_staff": False}
        )
        me = await Accounts(rig.fetcher).me()
        assert (me.account_key, me.short_name, me.team) == ("u", "ada", Project(1, "One"))


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(400, {"detail": "OAuth discovery failed."}), Rejected, "OAuth discovery failed."),
        (Reply(400, {"detail": "This server URL is already installed."}), Rejected, "already installed"),
        (
            Reply(403, {"code": "permission_denied", "detail": "Only project admins can create shared MCP servers."}),
            PermissionMissing,
            "Only project admins",
        ),
        (Reply(429, {"code": "throttled", "detail": "Wait."}, {"Retry-After": "7"}), Throttled, "Wait."),
    ],
)
async def test_a_failed_installation_is_explained_in_the_servers_words(
    tmp_path: Path, reply: Reply, kind: type[BurrowError], words: str
) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views[f"{STORE}install_template/"] = reply
        rig.server.views[f"{STORE}install_custom/"] = reply
        with pytest.raises(kind, match=words) as caught:
            await store_of(rig).install(ServerTemplate("t"))
        assert caught.value.facts.detail is not None
        with pytest.raises(kind, match=words):
            await store_of(rig).install_custom("Mine", "https://mcp.example.com")


async def test_tools_that_cannot_be_refreshed_say_why(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        words = "Could not refresh tools from the upstream MCP server"
        rig.server.views[f"{STORE}i/tools/refresh/"] = Reply(502, {"detail": words})
        with pytest.raises(BurrowError, match=words):
            await store_of(rig).refresh_tools("i")


async def test_what_only_sets_a_state_fails_plainly_and_what_adds_something_may_have_done_so(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        store = store_of(rig)
        for path in ("i/", "i/tools/t/", "i/tools/refresh/", "install_template/", "install_custom/"):
            rig.server.views[f"{STORE}{path}"] = Reply(500, {"detail": "Broken."})
        for setting in (
            store.update("i", is_enabled=True),
            store.set_policy("i", "t", "approved"),
            store.refresh_tools("i"),
        ):
            with pytest.raises(ServerTrouble, match="Broken"):
                await setting
        for adding in (store.install("t"), store.install_custom("Mine", "https://mcp.example.com")):
            with pytest.raises(OutcomeUnknown, match="Broken"):
                await adding


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "http://evil.test/", "-flag", "https://", "ms-settings:x"]
)
async def test_an_address_that_must_not_be_opened_is_refused(tmp_path: Path, url: str) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views[f"{STORE}install_template/"] = Reply(200, {"redirect_url": url})
        rig.server.views[f"{STORE}authorize/"] = Reply(200, {"redirect_url": url})
        with pytest.raises(ProtocolTrouble, match="must not be opened"):
            await store_of(rig).install("t")
        with pytest.raises(ProtocolTrouble, match="must not be opened"):
            await store_of(rig).authorize("i")


async def test_an_installation_is_made_or_its_sign_in_named(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        store = store_of(rig)
        rig.server.views[f"{STORE}install_template/"] = Reply(201, {"id": "i", "template_id": "t", "name": "Docs"})
        installed = await store.install("t", api_key="k")
        assert isinstance(installed, Installation)
        assert installed.title == "Docs"
        assert sent(rig, f"{STORE}install_template/") == {
            "template_id": "t",
            "api_key": "k",
            "install_source": "posthog-code",
        }
        address = "https://vendor.example.com/authorize?x=1"
        rig.server.views[f"{STORE}install_custom/"] = Reply(200, {"redirect_url": address})
        assert await store.install_custom("N", "https://mcp.test", auth_type="oauth", client_id="c") == address
        assert sent(rig, f"{STORE}install_custom/") == {
            "name": "N",
            "url": "https://mcp.test",
            "auth_type": "oauth",
            "client_id": "c",
            "install_source": "posthog-code",
        }
        rig.server.views[f"{STORE}authorize/"] = Reply(200, {"redirect_url": "http://127.0.0.1:9/consent"})
        assert await store.authorize("i") == "http://127.0.0.1:9/consent"
        assert last(rig, f"{STORE}authorize/").query == {"installation_id": ["i"], "install_source": ["posthog-code"]}
        rig.server.views[f"{STORE}authorize/"] = Reply(200, {})
        with pytest.raises(ProtocolTrouble, match="named no address"):
            await store.authorize("i")


async def test_the_store_lists_every_page_and_changes_what_is_asked(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        store = store_of(rig)
        rig.server.views["/api/environments/7/mcp_servers/"] = Reply(
            200, {"results": [{"id": "t", "name": "Docs", "icon_domain": None}, "unreadable"]}
        )
        assert [template.name for template in await store.templates()] == ["Docs"]

        def installations(request: Request) -> Reply:
            if "offset" in request.query:
                return page({"id": "b", "pending_oauth": True}, count=2)
            return page({"id": "a"}, following=f"{rig.server.origin}{STORE}?offset=1", count=2)

        rig.server.views[STORE] = installations
        assert [one.id for one in await store.installations()] == ["a", "b"]
        rig.server.views[f"{STORE}a/"] = Reply(200, {"id": "a", "is_enabled": False})
        assert not (await store.update("a", is_enabled=False)).is_enabled
        assert sent(rig, f"{STORE}a/") == {"is_enabled": False}
        tool = {"tool_name": "get/it", "approval_state": "approved", "input_schema": {"type": "object"}}
        rig.server.views[f"{STORE}a/tools/"] = Reply(200, {"results": [tool]})
        assert [one.tool_name for one in await store.tools("a")] == ["get/it"]
        rig.server.views[f"{STORE}a/tools/get%2Fit/"] = Reply(200, tool)
        assert (await store.set_policy("a", "get/it", "approved")).approval_state == "approved"
        rig.server.views[f"{STORE}a/tools/refresh/"] = Reply(200, {"results": [tool, {}]})
        assert len(await store.refresh_tools("a")) == 1
        rig.server.views[f"{STORE}a/"] = Reply(204)
        await store.remove("a")
        assert store.proxy_path("a") == f"{STORE}a/proxy/"


async def test_a_dead_token_is_healed_under_every_call(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        guard = rig.issuer.guard(Reply(403, {"code": "authentication_failed", "detail": "Invalid access token."}))

        def view(request: Request) -> Reply:
            reply = guard(request)
            assert isinstance(reply, Reply)
            return page({"id": "1"}) if reply.status == 200 else reply

        rig.server.views[TASKS] = view
        rig.issuer.kill()
        assert [task.id for task in (await tasks_of(rig).list()).items] == ["1"]
        assert rig.issuer.accepted == 1


async def test_an_edit_of_what_somebody_else_changed_meanwhile_is_not_sent(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        tasks, one = tasks_of(rig), f"{TASKS}1/"
        rig.server.views[one] = Reply(200, {"id": "1", "title": "t", "description": "theirs", "repository": None})
        with pytest.raises(ChangedMeanwhile) as changed:
            await tasks.edit("1", since={"description": "before"}, description="mine")
        assert changed.value.names == ("description",)
        assert last(rig, one).method == "GET"
        # Another field, an equal change, and what the user has seen do not stand in the way.
        await tasks.edit("1", since={"title": " t "}, title="mine")
        await tasks.edit("1", since={"description": "before"}, description="theirs ")
        await tasks.edit("1", since={"description": "theirs"}, description="mine")
        assert sent(rig, one) == {"description": "mine"}


async def test_a_file_is_uploaded_without_the_token_and_never_in_the_clear_to_another_server(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        staged = f"{TASKS}1/staged_artifacts"
        post = {"url": f"{rig.server.origin}/up", "fields": {"key": "k", "policy": "p"}}
        prepared = {"artifacts": [{"id": "f", "storage_path": "s/f", "presigned_post": post}]}
        rig.server.views[f"{staged}/prepare_upload/"] = Reply(200, prepared)
        rig.server.views[f"{staged}/finalize_upload/"] = Reply(200, {"artifacts": [{"id": "final"}]})
        rig.server.views["/up"] = Reply(204)
        file = RunFile("a.txt", "text/plain", 1, lambda: b"a")
        assert await RunUploads(rig.fetcher, staged).put([file]) == ["final"]
        uploaded = last(rig, "/up")
        assert "authorization" not in {name.lower() for name in uploaded.headers}
        # The signed fields come before the file (contract of the storage).
        assert uploaded.body.index(b'name="policy"') < uploaded.body.index(b'name="file"; filename="a.txt"')
        post["url"] = "http://elsewhere.example/up"
        with pytest.raises(Rejected, match="without encryption"):
            await RunUploads(rig.fetcher, staged).put([file])
