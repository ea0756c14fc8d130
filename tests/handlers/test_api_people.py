"""Users, rights and Slack accounts of /api/v1, over a real Unix socket."""

from __future__ import annotations

import getpass
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.permissions import GLOBAL, Action
from handlers.api import people
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

ACTOR = f"cli:{getpass.getuser()}"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With `web` and the user ada, connected to the workspace T1."""
    async with open_house(tmp_path) as house:
        await house.add()
        await house.services.store.add_user("ada")
        await house.services.store.remember("slack_team", "T1")
        yield house


def rights(user: dict[str, Any]) -> list[tuple[str, str]]:
    return [(grant["action"], grant["scope"]) for grant in user["grants"]]


async def test_a_user_is_added_given_a_right_and_removed(house: House) -> None:
    status, user = await house.ask("POST", "/users", {"username": "bob"})
    assert (status, user["username"], user["grants"], user["slack"]) == (201, "bob", [], [])
    status, user = await house.ask("POST", "/users/bob/grants", {"action": "deploy", "scope": "service:web"})
    assert (status, rights(user)) == (200, [("deploy", "service:web")])
    assert (user["grants"][0]["granted_by"], user["grants"][0]["expires_at"]) == (ACTOR, None)
    assert [u["username"] for u in (await house.ask("GET", "/users"))[1]] == ["ada", "bob"]
    status, user = await house.ask("DELETE", "/users/bob/grants?action=deploy&scope=service:web")
    assert (status, rights(user)) == (200, [])
    assert await house.ask("DELETE", "/users/bob") == (200, {"username": "bob", "is_removed": True})
    _, entries = await house.ask("GET", "/audit")
    assert [(e["actor"], e["action"], e["subject"]) for e in entries] == [
        (ACTOR, action, "bob") for action in ("user remove", "revoke", "grant", "user add")
    ]


async def test_a_right_can_be_for_a_time(house: House) -> None:
    grant = {"action": "deploy", "scope": GLOBAL, "seconds": 3600}
    _, user = await house.ask("POST", "/users/ada/grants", grant)
    ends = datetime.fromisoformat(user["grants"][0]["expires_at"])
    assert timedelta(seconds=3590) < ends - datetime.now(UTC) <= timedelta(seconds=3600)


@pytest.mark.parametrize("seconds", [0, 59, -1, 366 * 86400 + 1, 1e300, "soon"])
async def test_a_time_that_makes_no_sense_is_refused(house: House, seconds: object) -> None:
    grant = {"action": "deploy", "scope": GLOBAL, "seconds": seconds}
    assert (await house.ask("POST", "/users/ada/grants", grant))[0] == 400
    assert (await house.services.store.user("ada")).grants == ()


@pytest.mark.parametrize(("path", "body", "status"), [
    ("/users", {"username": "ada"}, 409), ("/users", {"username": "Ada"}, 400), ("/users", {"username": ""}, 400),
    ("/users", {"username": "a\0"}, 400), ("/users", {"username": "a" * 64}, 400), ("/users", {}, 400),
    ("/users", {"username": "bob", "is_admin": True}, 400),
    ("/users/bob/grants", {"action": "deploy", "scope": "global"}, 404),
    ("/users/%00/grants", {"action": "deploy", "scope": "global"}, 404),
    ("/users/ada/grants", {"action": "fly", "scope": "global"}, 400),
    ("/users/ada/grants", {"action": "deploy", "scope": "web"}, 400),
    ("/users/ada/grants", {"action": "deploy", "scope": "service:"}, 400),
    ("/users/ada/grants", {"action": "deploy", "scope": "service:gone"}, 404),
    ("/users/ada/grants", {"action": "add_new_service", "scope": "service:web"}, 400),
    ("/slack/links", {"slack_user": "ada", "username": "ada"}, 400),
    ("/slack/links", {"slack_user": "U123", "username": "bob"}, 404),
    ("/slack/links", {"slack_user": "U123", "username": "ada", "team": "X1"}, 400),
    ("/slack/admins", {"slack_user": "<@U123>"}, 400),
])  # fmt: skip
async def test_what_makes_no_sense_changes_nothing(house: House, path: str, body: object, status: int) -> None:
    before = await house.services.store.users()
    found, problem = await house.ask("POST", path, body)
    assert found == status, problem
    assert problem["detail"]
    assert await house.services.store.users() == before
    assert await house.services.store.audit() == ()


@pytest.mark.parametrize(("path", "status"), [
    ("/users/ada/grants?action=deploy&scope=service:web", 404), ("/users/bob/grants?action=deploy&scope=global", 404),
    ("/users/ada/grants?action=deploy", 400), ("/users/ada/grants", 400), ("/users/bob", 404),
])  # fmt: skip
async def test_what_is_not_there_cannot_be_taken(house: House, path: str, status: int) -> None:
    assert (await house.ask("DELETE", path))[0] == status


async def test_a_slack_account_is_made_admin_and_the_last_one_stays(house: House) -> None:
    status, user = await house.ask("POST", "/slack/admins", {"slack_user": "U123", "username": "grace"})
    assert (status, user["username"], user["slack"], rights(user)) == (200, "grace", ["T1:U123"], [("admin", GLOBAL)])
    for method, path, body in (
        ("DELETE", "/users/grace", None), ("DELETE", "/users/grace/grants?action=admin&scope=global", None),
        ("POST", "/users/grace/grants", {"action": "admin", "scope": GLOBAL, "seconds": 3600}),
        ("POST", "/slack/links", {"slack_user": "U123", "username": "ada"}),
    ):  # fmt: skip
        status, problem = await house.ask(method, path, body)
        assert (status, problem["code"]) == (409, "conflict"), path
    await house.ask("POST", "/slack/admins", {"slack_user": "U124"})
    assert (await house.ask("DELETE", "/users/grace"))[0] == 200
    assert [u["username"] for u in (await house.ask("GET", "/users"))[1]] == ["ada", "u124"]


async def test_an_account_is_linked_and_moved(house: House) -> None:
    await house.services.store.add_user("bob")
    for username in ("ada", "bob"):
        status, user = await house.ask("POST", "/slack/links", {"slack_user": "U123", "username": username})
        assert (status, user["username"], user["slack"]) == (200, username, ["T1:U123"])
    assert (await house.services.store.user("ada")).slack == ()


async def test_a_login_at_github_is_linked_moved_and_taken_away(house: House) -> None:
    await house.services.store.add_user("bob")
    for username in ("ada", "bob"):
        status, user = await house.ask("POST", "/github/links", {"login": "Ada-L", "username": username})
        assert (status, user["username"], user["github"], user["grants"]) == (200, username, ["ada-l"], [])
    assert (await house.services.store.user("ada")).github == ()
    removed = {"login": "ada-l", "username": "bob", "is_removed": True}
    assert await house.ask("DELETE", "/github/links/ada-l") == (200, removed)
    assert (await house.ask("DELETE", "/github/links/ada-l"))[0] == 404
    assert (await house.ask("POST", "/github/links", {"login": "ada-l", "username": "eve"}))[0] == 404
    assert (await house.ask("POST", "/github/links", {"login": "ada l", "username": "bob"}))[0] == 400
    await house.ask("POST", "/github/links", {"login": "bob-b", "username": "bob"})
    await house.ask("DELETE", "/users/bob")  # and what is his goes with him
    assert (await house.ask("DELETE", "/github/links/bob-b"))[0] == 404
    assert [entry.action for entry in await house.services.store.audit()][-5:] == [
        "user remove", "link github", "unlink github", "link github", "link github",
    ]  # fmt: skip


async def test_without_a_workspace_it_has_to_be_named(house: House) -> None:
    await house.services.store.forget("slack_team")
    body = {"slack_user": "U123", "username": "ada"}
    status, problem = await house.ask("POST", "/slack/links", body)
    assert (status, problem["detail"]) == (409, "o8 was never connected to Slack.")
    assert (await house.ask("POST", "/slack/links", body | {"team": "T99"}))[1]["slack"] == ["T99:U123"]


async def test_the_code_lets_one_in_and_is_not_in_the_audit(house: House) -> None:
    first = (await house.ask("POST", "/slack/code"))[1]["code"]
    code = (await house.ask("POST", "/slack/code"))[1]["code"]
    redeem = house.services.authority.redeem_code
    assert not await redeem(first, "T1", "U1", "grace"), "the second made it void"
    assert await redeem(code, "T1", "U1", "grace")
    assert (await house.services.authority.who("slack:T1:U1")).may(Action.ADMIN)
    _, entries = await house.ask("GET", "/audit")
    assert [e["action"] for e in entries] == ["hello", "code", "code"]
    assert code not in str(entries) and first not in str(entries)


def test_every_route_about_people_is_tried_here() -> None:
    tried = set(re.findall(r'"(GET|POST|PUT|DELETE)", "(/(?:users|slack|github)[^"?]*)', Path(__file__).read_text()))
    for route in people.ROUTES:
        pattern = re.compile(route.path.replace("{name}", "[a-z-]+"))
        assert any(method == route.method and pattern.fullmatch(path) for method, path in tried), route.path


async def test_rights_are_set_as_a_whole(house: House) -> None:
    await house.ask("POST", "/users", {"username": "ada", "rights": [{"action": "deploy", "scope": "global"}]})
    rights = [{"action": "view_logs", "scope": "global"}, {"action": "view_env", "scope": "service:web"}]
    status, ada = await house.ask("PUT", "/users/ada/grants", {"rights": rights})
    assert status == 200
    assert [(g["action"], g["scope"]) for g in ada["grants"]] == [("view_logs", "global"), ("view_env", "service:web")]
