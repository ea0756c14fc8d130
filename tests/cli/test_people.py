"""`o8 user` and `o8 slack`, against a real socket."""

from __future__ import annotations

import json
import re

import pytest

from bot.permissions import GLOBAL, Action
from tests.cli.conftest import Run
from tests.small_house import House


@pytest.fixture(autouse=True)
async def connected(house: House) -> None:
    """To the workspace T1; there is a service `web`."""
    await house.add()
    await house.services.store.remember("slack_team", "T1")


async def test_people_are_added_given_rights_and_removed(house: House, o8: Run) -> None:
    assert "No user yet. `o8 slack code` makes the first admin." in (await o8("user", "list")).output
    assert (await o8("user", "add", "ada")).output == "ada is added; `o8 user grant` gives rights.\n"
    assert (await o8("user", "grant", "ada", "deploy", "service:web")).output == "ada: deploy in service:web.\n"
    listed = await o8("user", "list")
    assert listed.output.splitlines()[1].split()[:4] == ["ada", "deploy", "in", "service:web"]
    assert json.loads((await o8("user", "list", "--json")).output)[0]["grants"][0]["scope"] == "service:web"
    assert (await o8("user", "revoke", "ada", "deploy", "service:web")).output == "ada: no right.\n"
    assert (await o8("user", "remove", "ada", input="n\n")).exit_code == 130
    assert len(await house.services.store.users()) == 1
    assert (await o8("user", "remove", "ada", "--yes")).output == "ada is removed.\n"
    assert await house.services.store.users() == ()


async def test_a_right_for_a_time_says_when_it_ends(house: House, o8: Run) -> None:
    await o8("user", "add", "ada")
    result = await o8("user", "grant", "ada", "deploy", GLOBAL, "--for", "8h")
    (grant,) = (await house.services.store.user("ada")).grants
    assert grant.expires_at is not None
    assert result.output == f"ada: deploy in global until {grant.expires_at:%Y-%m-%d %H:%M} UTC.\n"
    assert f"until {grant.expires_at:%Y-%m-%d %H:%M} UTC" in (await o8("user", "list")).output


@pytest.mark.parametrize("time", ["0s", "1s", "400d", "soon", "-1h", ""])
async def test_no_time_at_all_never_means_for_ever(house: House, o8: Run, time: str) -> None:
    await o8("user", "add", "ada")
    result = await o8("user", "grant", "ada", "admin", GLOBAL, "--for", time)
    assert result.exit_code != 0
    assert (await house.services.store.user("ada")).grants == ()


@pytest.mark.parametrize(("line", "code"), [
    (["user", "grant", "ada", "fly", "global"], 2), (["user", "grant", "ada", "deploy", "web"], 2),
    (["user", "grant", "bob", "deploy", "global"], 3), (["user", "remove", "bob", "--yes"], 3),
    (["user", "add", "ada"], 4), (["user", "add", "Ada"], 2), (["slack", "link", "ada", "ada"], 2),
    (["slack", "admin", "somebody"], 2), (["user", "revoke", "ada", "deploy", "global"], 3),
])  # fmt: skip
async def test_what_makes_no_sense_ends_with_an_error(house: House, o8: Run, line: list[str], code: int) -> None:
    await o8("user", "add", "ada")
    before = await house.services.store.users()
    result = await o8(*line)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert await house.services.store.users() == before


@pytest.mark.parametrize("account", ["U0123ABCD", "<@U0123ABCD>", "<@U0123ABCD|ada>", "@U0123ABCD"])
async def test_an_account_is_made_admin_however_it_is_written(house: House, o8: Run, account: str) -> None:
    assert (await o8("slack", "admin", account, "--as", "ada")).output == "ada is admin of everything.\n"
    assert (await house.services.authority.who("slack:T1:U0123ABCD")).may(Action.ADMIN)


async def test_the_last_admin_cannot_be_removed(house: House, o8: Run) -> None:
    await o8("slack", "admin", "U0123ABCD", "--as", "ada")
    for line in (["user", "remove", "ada", "--yes"], ["user", "revoke", "ada", "admin", GLOBAL],
                 ["user", "grant", "ada", "admin", GLOBAL, "--for", "8h"]):  # fmt: skip
        result = await o8(*line)
        assert result.exit_code == 4
        assert "Somebody must stay admin of everything." in result.output
    assert (await house.services.authority.who("slack:T1:U0123ABCD")).may(Action.ADMIN)


async def test_an_account_is_linked_also_of_a_workspace_not_connected_yet(house: House, o8: Run) -> None:
    await house.services.store.forget("slack_team")
    await o8("user", "add", "ada")
    assert (await o8("slack", "link", "U0123ABCD", "ada")).exit_code == 4
    linked = await o8("slack", "link", "U0123ABCD", "ada", "--team", "T99")
    assert linked.output == "U0123ABCD speaks for ada.\n"
    assert (await house.services.store.user("ada")).slack == ("T99:U0123ABCD",)


async def test_a_login_at_github_is_linked_shown_and_taken_away(house: House, o8: Run) -> None:
    await o8("user", "add", "ada")
    assert (await o8("user", "link-github", "ada", "Ada-L")).output == "Ada-L at GitHub is ada.\n"
    assert "ada-l" in (await o8("user", "list")).output
    assert (await o8("user", "unlink-github", "Ada-L")).output == "Ada-L at GitHub is ada's no more.\n"
    assert (await o8("user", "unlink-github", "Ada-L")).exit_code == 3
    assert (await house.services.store.user("ada")).github == ()


async def test_the_code_that_is_printed_works_once(house: House, o8: Run) -> None:
    printed = (await o8("slack", "code")).output
    found = re.fullmatch(r"In Slack: /o8 hello ([0-9A-F]{10})\n", printed)
    assert found
    assert await house.services.authority.redeem_code(found[1], "T1", "U1", "ada")
    assert not await house.services.authority.redeem_code(found[1], "T1", "U2", "bob")
