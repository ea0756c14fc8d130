"""What the forms about people do: users and their rights, one's own password, tokens and browsers."""

from __future__ import annotations

import re

import pytest

from bot.errors import NotFound
from bot.permissions import GLOBAL, Action
from tests.handlers.visiting import PASSWORD
from tests.small_house import House
from tests.web.conftest import Come
from tests.web.guest import Guest

pytestmark = pytest.mark.slow

JONAS, ACCOUNT = "/ui/users/jonas", "/ui/account"
LONG = "a stapled battery horse"


async def test_a_user_is_added_and_removed_with_everything(house: House, mira: Guest) -> None:
    added = await mira.then(await mira.post("/ui/users", "/ui/users", username=" Wanda ", password=LONG))
    assert "wanda is added. Now give them rights." in added.words
    assert await house.services.logins.check("wanda", LONG, "127.0.0.1") == "wanda"
    gone = await mira.then(await mira.post("/ui/users/wanda/remove", "/ui/users/wanda"))
    assert "wanda is removed with all their rights." in gone.words
    with pytest.raises(NotFound):
        await house.services.store.user("wanda")


async def test_rights_are_given_for_a_time_and_taken_away(house: House, mira: Guest) -> None:
    sent = {"action": "deploy", "scope": "service:web"}
    assert "Given." in (await mira.then(await mira.post(f"{JONAS}/grant", JONAS, **sent, hours="24"))).words
    (right,) = [g for g in (await house.services.store.user("jonas")).grants if g.scope == "service:web"]
    assert (right.action, right.expires_at is not None) == (Action.DEPLOY, True)
    assert "Taken away." in (await mira.then(await mira.post(f"{JONAS}/revoke", JONAS, **sent))).words
    assert right not in (await house.services.store.user("jonas")).grants


@pytest.mark.parametrize(("path", "sent", "says"), [
    ("/ui/users", {"username": "No Name", "password": LONG}, "no name"),
    ("/ui/users", {"username": "jonas", "password": LONG}, "jonas"),
    ("/ui/users", {"username": "wanda", "password": "short"}, "password"),
    (f"{JONAS}/grant", {"action": "fly", "scope": GLOBAL}, "There is no right 'fly'"),
    (f"{JONAS}/grant", {"action": "deploy", "scope": "service:"}, "scope"),
    (f"{JONAS}/password", {"password": "short"}, "password"),
    ("/ui/users/nobody/remove", {}, "nobody"),
])  # fmt: skip
async def test_what_is_wrong_is_said_and_nothing_is_changed(
    house: House, mira: Guest, path: str, sent: dict[str, str], says: str
) -> None:
    before = await house.services.store.users()
    told = await mira.then(await mira.post(path, "/ui/users", **sent))
    assert says in told.words
    assert await house.services.store.users() == before


async def test_an_admin_sets_a_password_and_its_owner_is_logged_out(house: House, mira: Guest, come: Come) -> None:
    jonas = await come("jonas")
    await mira.then(await mira.post(f"{JONAS}/password", JONAS, password=LONG))
    assert await house.services.logins.check("jonas", LONG, "127.0.0.1") == "jonas"
    assert (await jonas.get("/ui/")).place.startswith("/ui/login")


async def test_ones_own_password_is_changed_with_the_one_until_now(house: House, come: Come) -> None:
    jonas = await come("jonas")
    sent = {"current": PASSWORD, "password": LONG, "again": LONG}
    wrong = await jonas.post(f"{ACCOUNT}/password", ACCOUNT, **sent | {"current": "a wrong one"})
    assert "That is not your password until now." in (await jonas.then(wrong)).words, "still logged in"
    unlike = await jonas.post(f"{ACCOUNT}/password", ACCOUNT, **sent | {"again": "another one, also long"})
    assert "The two new passwords are not the same." in (await jonas.then(unlike)).words
    assert (await jonas.post(f"{ACCOUNT}/password", ACCOUNT, **sent)).place == "/ui/login"
    assert await house.services.logins.check("jonas", LONG, "127.0.0.1") == "jonas"
    assert (await jonas.get("/ui/")).place.startswith("/ui/login")


async def test_a_token_is_shown_once_works_and_is_taken_back(house: House, come: Come) -> None:
    jonas = await come("jonas")
    shown = await jonas.post(f"{ACCOUNT}/tokens", ACCOUNT, name="ci", days="90", rights="view_logs global\n")
    (secret,) = re.findall(r"o8_[A-Za-z0-9_-]{20,}", shown.words)
    assert secret not in (await jonas.get(ACCOUNT)).text
    (token,) = await house.services.store.tokens("jonas")
    assert (token.name, token.expires_at is not None) == ("ci", True)
    taken = await jonas.then(await jonas.post(f"{ACCOUNT}/tokens/remove", ACCOUNT, id=str(token.id)))
    assert "The token ci is worth nothing any more." in taken.words
    assert await house.services.store.tokens("jonas") == ()


async def test_all_browsers_are_logged_out_at_once(come: Come) -> None:
    here, there = await come("jonas"), await come("jonas")
    assert (await here.post(f"{ACCOUNT}/sessions/close", ACCOUNT)).place == "/ui/login"
    assert (await there.get("/ui/")).place.startswith("/ui/login")
