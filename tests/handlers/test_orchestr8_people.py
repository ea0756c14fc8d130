"""Users and rights as the original's front end manages them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.permissions import GLOBAL, GLOBAL_ONLY, Action
from lab.front_end import FrontEnd
from tests.handlers.fronting import NAME, SCOPE, Fronted, fronted
from tests.handlers.visiting import PASSWORD, bearer, session

pytestmark = pytest.mark.slow

A = Action
ITS_WORDS = {A.VIEW_CONFIGURATION: "view_config", A.EDIT_CONFIGURATION: "edit_config"}


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with fronted(tmp_path) as it:
        await it.add()
        yield it


def right(action: str, scope: str = SCOPE) -> dict[str, str]:
    return {"scope": scope, "action": action}


async def shown(it: Fronted, name: str) -> dict[str, Any]:
    return next((user for user in (await it.root.users()).body if user["username"] == name), {})


async def test_the_list_of_users(it: Fronted) -> None:
    await it.page("ada", (A.DEPLOY, SCOPE), (A.VIEW_CONFIGURATION, SCOPE))
    answer = await it.root.users()
    assert answer.status == 200
    ada, root = answer.body
    assert ada == {
        "id": ada["id"], "username": "ada", "is_admin": False,
        "permissions": [right("deploy"), right("view_config")],
    }  # fmt: skip
    assert root["is_admin"] is True and root["permissions"] == [right("admin", GLOBAL)]
    assert {type(user["id"]) for user in answer.body} == {int} and ada["id"] != root["id"]


async def test_a_user_is_added_and_logs_in_with_these_rights(it: Fronted) -> None:
    answer = await it.root.add_user("Ada", PASSWORD, [right("view_logs"), right("edit_config"), right("view_logs")])
    assert (answer.status, answer.body) == (200, {"success": True, "id": (await shown(it, "ada"))["id"]})
    it.root.log_in("ada", PASSWORD)
    (row,) = await it.root.services()
    assert row["_permissions"] == {
        "manage": False, "view_config": True, "edit_config": True, "view_env": False, "edit_env": False,
        "view_logs": True,
    }  # fmt: skip
    assert (await it.root.users()).status == 403


@pytest.mark.parametrize("action", list(Action))
async def test_each_permission_goes_in_and_comes_out_in_its_words(it: Fronted, action: Action) -> None:
    wanted = right(ITS_WORDS.get(action, action.value), GLOBAL if action in GLOBAL_ONLY else SCOPE)
    await it.page("ada")
    assert (await it.root.set_permissions("ada", [wanted])).body == {"success": True}
    assert (await shown(it, "ada"))["permissions"] == [wanted]
    assert [grant.action for grant in (await it.house.services.store.user("ada")).grants] == [action]


async def test_o8s_own_words_are_understood_too(it: Fronted) -> None:
    await it.page("ada")
    assert (await it.root.set_permissions("ada", [right("view_configuration")])).status == 200
    assert (await shown(it, "ada"))["permissions"] == [right("view_config")]


async def test_setting_permissions_sets_these_and_no_others(it: Fronted) -> None:
    await it.page("ada", (A.DEPLOY, SCOPE), (A.VIEW_LOGS, GLOBAL))
    assert (await it.root.set_permissions("ada", [right("manage")])).status == 200
    assert (await shown(it, "ada"))["permissions"] == [right("manage")]
    assert (await it.root.set_permissions("ada", [])).status == 200
    assert (await shown(it, "ada"))["permissions"] == []


async def test_an_admin_can_be_made_and_unmade(it: Fronted) -> None:
    body = {"username": "ada", "password": PASSWORD, "is_admin": True, "permissions": []}
    assert (await it.root.call("POST", "/api/users", body)).status == 200
    assert (await shown(it, "ada"))["is_admin"] is True
    assert (await it.root.set_permissions("ada", [])).status == 200
    assert (await shown(it, "ada"))["is_admin"] is False


async def test_a_right_that_has_expired_is_not_shown_as_held(it: Fronted) -> None:
    await it.page("ada")
    long_ago = datetime.now(UTC) - timedelta(seconds=1)
    await it.house.services.store.grant("ada", A.ADMIN, GLOBAL, "o8", long_ago)
    await it.house.services.store.grant("ada", A.DEPLOY, SCOPE, "o8", datetime.now(UTC) + timedelta(hours=1))
    assert await shown(it, "ada") == await shown(it, "ada") | {"is_admin": False, "permissions": [right("deploy")]}


async def test_a_right_for_a_time_that_is_sent_back_stays_for_that_time(it: Fronted) -> None:
    await it.page("ada")
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    await it.house.services.store.grant("ada", A.DEPLOY, SCOPE, "o8", until)
    await it.root.set_permissions("ada", [right("deploy"), right("view_logs")])
    found = {grant.action: grant.expires_at for grant in (await it.house.services.store.user("ada")).grants}
    assert found == {A.DEPLOY: until, A.VIEW_LOGS: None}


@pytest.mark.parametrize("path", ["/%20api%20/%20users%20/%20{}", "/api/users/{}", "/%20api%20/%20users%20/%20{}%20"])
@pytest.mark.parametrize("name", ["ada", "Ada"])
async def test_a_user_is_removed_also_with_blanks_in_the_address(it: Fronted, path: str, name: str) -> None:
    page = await it.page("ada", (A.VIEW_STATUS, SCOPE))
    assert (await page.call("GET", "/services")).status == 200
    answer = await it.root.call("DELETE", path.format(name))
    assert (answer.status, answer.body) == (200, {"success": True})
    assert await shown(it, "ada") == {}
    assert (await page.call("GET", "/services")).status == 401
    assert (await it.root.call("DELETE", path.format(name))).status == 404


async def test_the_address_with_blanks_is_guarded_as_the_other(it: Fronted) -> None:
    page = await it.page("ada", (A.MANAGE, GLOBAL))
    for name in ("root", "gone", "ada"):
        assert (await page.remove_user(name)).status == 403
    assert await shown(it, "root")


async def test_the_last_admin_of_everything_stays_one(it: Fronted) -> None:
    for answer in (await it.root.set_permissions("root", []), await it.root.remove_user("root")):
        assert (answer.status, bool(answer.error)) == (409, True)
    assert (await it.root.users()).status == 200


async def test_ones_own_password_is_changed_and_the_old_one_is_worth_nothing(it: Fronted) -> None:
    page = await it.page("ada", (A.VIEW_STATUS, SCOPE))
    assert len(await page.services()) == 1
    answer = await page.change_password("a new one of mine")
    assert (answer.status, answer.body) == (200, {"success": True})
    assert (await page.call("GET", "/services")).status == 401
    page.log_in("ada", "a new one of mine")
    assert len(await page.services()) == 1


async def test_a_page_left_open_with_the_old_password_locks_nobody_out(it: Fronted) -> None:
    """It asks for the list every few seconds; that is no guessing."""
    old = await it.page("ada", (A.VIEW_STATUS, SCOPE))
    assert (await old.call("GET", "/services")).status == 200
    new = FrontEnd(it.root.client, it.root.server, "ada", PASSWORD)
    assert (await new.change_password("a new one of mine")).status == 200
    assert {(await old.call("GET", "/services")).status for _ in range(8)} == {401}
    new.log_in("ada", "a new one of mine")
    assert (await new.call("GET", "/services")).status == 200


async def test_guesses_are_slowed_all_the_same(it: Fronted) -> None:
    page = await it.page("ada")
    assert (await page.call("GET", "/services")).status == 200
    for number in range(5):
        page.log_in("ada", f"guess number {number}")
        assert (await page.call("GET", "/services")).status == 401
    page.log_in("ada", PASSWORD)
    assert (await page.call("GET", "/services")).status == 429


async def test_a_session_or_a_token_changes_no_password(it: Fronted) -> None:
    """A browser may have been left open, a token lent."""
    page = await it.page("ada")
    _, writes = await session(it.house, "ada")
    _, secret = await it.house.services.store.add_token("ada", "ci", None, None)
    for headers in (writes, bearer(secret)):
        async with it.root.client.post(
            f"{it.root.server}/api/change-password", json={"password": "a new one of mine"}, headers=headers
        ) as answer:
            assert answer.status in (401, 403) and (await answer.json())["error"]
    assert (await page.call("GET", "/services")).status == 200


async def test_who_is_no_admin_of_everything_manages_no_users(it: Fronted) -> None:
    page = await it.page("ada", (A.ADMIN, SCOPE), (A.MANAGE, GLOBAL))
    answers = [
        await page.users(), await page.add_user("bob", PASSWORD, []), await page.set_permissions("ada", []),
        await page.set_permissions("gone", []), await page.remove_user("root"),
    ]  # fmt: skip
    assert {answer.status for answer in answers} == {403}
    assert all(answer.error for answer in answers)


@pytest.mark.parametrize("body", [
    {"username": "root"}, {"username": "admin"}, {"username": ""}, {"username": "a b"}, {"username": "../x"},
    {"username": "a\0"}, {"username": "x" * 1_000_000}, {"password": ""}, {"password": "short"},
    {"password": "x" * 1_000_000}, {"permissions": [right("fly")]}, {"permissions": [right("")]},
    {"permissions": [right("deploy", "web")]}, {"permissions": [right("deploy", "service:")]},
    {"permissions": [right("deploy", "service:gone")]}, {"permissions": [right("add_new_service")]},
    {"permissions": [right("deploy", "x" * 1_000_000)]}, {"permissions": [right("x" * 1_000_000)]},
    {"permissions": "deploy"}, {"permissions": [{"action": "deploy"}]},
], ids=lambda body: ascii(body)[:40])  # fmt: skip
async def test_a_user_that_makes_no_sense_is_refused_with_a_text(it: Fronted, body: dict[str, Any]) -> None:
    answer = await it.root.call("POST", "/api/users", {"username": "bob", "password": PASSWORD} | body)
    assert answer.status in (400, 404, 409) and 0 < len(answer.error) < 1000
    assert [user["username"] for user in (await it.root.users()).body] == ["root"]


async def test_a_service_that_is_called_like_its_neighbour_is_not_seen(it: Fronted) -> None:
    await it.add(f"{NAME}-2")
    page = await it.page("ada", (A.VIEW_STATUS, SCOPE))
    assert [row["name"] for row in await page.services()] == [NAME]
