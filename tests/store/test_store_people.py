"""Users, rights, Slack accounts, wishes and the code of the first admin, as the database keeps them."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from bot.errors import Conflict, NotFound
from bot.permissions import GLOBAL, Action
from bot.store import Store
from bot.store.connection import rows
from tests.store.ledger import Ledger

pytestmark = pytest.mark.slow

A = Action
HOUR = timedelta(hours=1)
WEB = "service:web"


def later() -> datetime:
    return datetime.now(UTC) + HOUR


async def make(store: Store, *names: str) -> None:
    for name in names:
        await store.add_user(name)


async def admin(store: Store, name: str, *accounts: str) -> None:
    await store.add_user(name)
    for account in accounts:
        await store.link_slack("T1", account, name)
    await store.grant(name, A.ADMIN, GLOBAL, "o8")


async def rights(store: Store, name: str) -> list[tuple[str, str]]:
    return [(grant.action, grant.scope) for grant in (await store.user(name)).grants]


async def test_a_username_is_there_once(store: Store) -> None:
    await make(store, "ada")
    with pytest.raises(Conflict):
        await store.add_user("ada")


async def test_a_right_given_again_is_replaced_with_its_time_and_giver(store: Store) -> None:
    await make(store, "ada")
    until = later()
    await store.grant("ada", A.DEPLOY, WEB, "cli:ann", until)
    (grant,) = (await store.user("ada")).grants
    assert grant.expires_at and abs(grant.expires_at - until) < timedelta(milliseconds=1)
    await store.grant("ada", A.DEPLOY, WEB, "cli:bob")
    (grant,) = (await store.user("ada")).grants
    assert (grant.expires_at, grant.granted_by) == (None, "cli:bob")


async def test_rights_are_given_to_and_taken_from_users_that_exist(store: Store) -> None:
    await make(store, "ada")
    for work in (store.grant("bob", A.DEPLOY, WEB, "o8"), store.revoke("bob", A.DEPLOY, WEB), store.remove_user("bob"),
                 store.link_slack("T1", "U1", "bob"), store.revoke("ada", A.DEPLOY, WEB)):  # fmt: skip
        with pytest.raises(NotFound):
            await work
    assert await store.user_of_slack("T1", "U1") is None


async def test_a_removed_user_leaves_neither_rights_nor_accounts(store: Store) -> None:
    await store.grant_slack("T1", "U1", "ada", A.DEPLOY, WEB, "o8")
    await store.remove_user("ada")
    assert await store.user_of_slack("T1", "U1") is None
    await make(store, "ada")
    assert (await store.user("ada")).grants == () and (await store.user("ada")).slack == ()


async def test_the_rights_in_a_removed_service_are_not_those_of_its_namesake(ledger: Ledger) -> None:
    store = ledger.store
    await ledger.service()
    await make(store, "ada")
    await store.grant("ada", A.DEPLOY, WEB, "o8")
    await store.grant("ada", A.DEPLOY, "service:web2", "o8")
    await store.forget_service("web")
    await ledger.service()
    assert await rights(store, "ada") == [("deploy", "service:web2")]


# -- Slack accounts


async def test_an_unknown_account_becomes_a_user_and_a_known_one_stays_that(store: Store) -> None:
    assert (await store.grant_slack("T1", "U1", "ada", A.DEPLOY, WEB, "o8")).username == "ada"
    user = await store.grant_slack("T1", "U1", "countess", A.VIEW_LOGS, WEB, "o8")
    assert (user.username, user.slack) == ("ada", ("T1:U1",))
    assert await rights(store, "ada") == [("deploy", WEB), ("view_logs", WEB)]


async def test_nobody_gets_the_rights_of_somebody_by_being_called_like_them(store: Store) -> None:
    await admin(store, "ada")
    user = await store.grant_slack("T1", "U1", "ada", A.VIEW_STATUS, WEB, "o8")
    assert user.username == "ada-u1"
    assert await rights(store, "ada-u1") == [("view_status", WEB)]


async def test_a_new_name_is_found_however_many_are_taken(store: Store) -> None:
    name = "a" * 63
    await make(store, name, "a" * 60 + "-u1")
    found = [(await store.grant_slack(team, "U1", name, A.DEPLOY, WEB, "o8")).username for team in ("T1", "T2", "T3")]
    assert found == ["a" * 58 + "-u1-2", "a" * 58 + "-u1-3", "a" * 58 + "-u1-4"]


async def test_the_same_account_id_in_another_workspace_is_somebody_else(store: Store) -> None:
    await store.grant_slack("T1", "U1", "ada", A.ADMIN, GLOBAL, "o8")
    assert await store.user_of_slack("T2", "U1") is None


async def test_two_first_rights_at_once_make_one_user(store: Store) -> None:
    actions = (A.DEPLOY, A.VIEW_LOGS, A.VIEW_ENV)
    found = await asyncio.gather(*(store.grant_slack("T1", "U1", f"name{a}", a, WEB, "o8") for a in actions))
    assert len({user.username for user in found}) == len(await store.users()) == 1
    assert len(await rights(store, found[0].username)) == 3


async def test_linking_moves_an_account(store: Store) -> None:
    await make(store, "ada", "bob")
    await store.link_slack("T1", "U1", "ada")
    await store.link_slack("T1", "U1", "bob")
    user = await store.user_of_slack("T1", "U1")
    assert user and user.username == "bob"
    assert (await store.user("ada")).slack == ()


async def test_a_deactivated_account_speaks_for_nobody_until_it_is_back(store: Store) -> None:
    await make(store, "ada")
    for account in ("U1", "U2"):
        await store.link_slack("T1", account, "ada")
    assert await store.set_slack_active("T1", "U1", False)
    assert await store.user_of_slack("T1", "U1") is None
    assert await store.user_of_slack("T1", "U2") is not None
    owner = await store.owner_of_slack("T1", "U1")
    assert owner and owner.username == "ada" and owner.slack == ("T1:U2",)
    assert not await store.set_slack_active("T1", "U1", False), "it was known"
    assert not await store.set_slack_active("T1", "U9", False), "nobody we know"
    assert await store.set_slack_active("T1", "U1", True)
    assert await store.user_of_slack("T1", "U1") is not None


async def test_a_right_given_to_a_deactivated_account_does_not_bring_it_back(store: Store) -> None:
    await store.grant_slack("T1", "U1", "ada", A.DEPLOY, WEB, "o8")
    await store.set_slack_active("T1", "U1", False)
    await store.grant_slack("T1", "U1", "ada", A.ADMIN, WEB, "o8")
    assert await store.user_of_slack("T1", "U1") is None


async def test_linking_anew_brings_a_deactivated_account_back(store: Store) -> None:
    """For when Slack's word that somebody is back was missed."""
    await store.grant_slack("T1", "U1", "ada", A.DEPLOY, WEB, "o8")
    await store.set_slack_active("T1", "U1", False)
    await store.link_slack("T1", "U1", "ada")
    assert await store.user_of_slack("T1", "U1") is not None


# -- the last admin

TAKEN_AWAY: dict[str, Callable[[Store], Awaitable[object]]] = {
    "revoke": lambda store: store.revoke("ada", A.ADMIN, GLOBAL),
    "remove": lambda store: store.remove_user("ada"),
    "replace by one that ends": lambda store: store.grant("ada", A.ADMIN, GLOBAL, "o8", later()),
    "replace by one that ends, in Slack": lambda store: store.grant_slack(
        "T1", "U1", "ada", A.ADMIN, GLOBAL, "o8", later()
    ),
    "link their account to somebody else": lambda store: store.link_slack("T1", "U1", "carol"),
}


@pytest.mark.parametrize("how", TAKEN_AWAY)
async def test_the_last_admin_of_everything_stays(store: Store, how: str) -> None:
    await admin(store, "ada", "U1")
    await make(store, "carol")
    before = await store.users()
    with pytest.raises(Conflict, match="Somebody must stay admin of everything"):
        await TAKEN_AWAY[how](store)
    assert await store.users() == before
    await admin(store, "bob", "U2")
    await TAKEN_AWAY[how](store)  # the control: with another one it can be done
    assert await store.users() != before


@pytest.mark.parametrize("scope_of_bob", ["expires", "of one service", "no admin", "not in Slack", "has left Slack"])
@pytest.mark.parametrize("how", TAKEN_AWAY)
async def test_who_does_not_last_or_cannot_speak_is_no_other_admin(store: Store, scope_of_bob: str, how: str) -> None:
    await admin(store, "ada", "U1")
    await make(store, "bob", "carol")
    if scope_of_bob != "not in Slack":
        await store.link_slack("T1", "U2", "bob")
    action = A.MANAGE if scope_of_bob == "no admin" else A.ADMIN
    scope = WEB if scope_of_bob == "of one service" else GLOBAL
    await store.grant("bob", action, scope, "o8", later() if scope_of_bob == "expires" else None)
    if scope_of_bob == "has left Slack":
        await store.set_slack_active("T1", "U2", False)
    with pytest.raises(Conflict):
        await TAKEN_AWAY[how](store)


async def test_of_two_admins_who_remove_each_other_one_stays(store: Store) -> None:
    await admin(store, "ada", "U1")
    await admin(store, "bob", "U2")
    ends = await asyncio.gather(store.remove_user("ada"), store.remove_user("bob"), return_exceptions=True)
    assert [type(end) for end in ends].count(Conflict) == 1
    assert len(await store.users()) == 1


async def test_a_last_admin_who_left_slack_hinders_nobody_from_making_another(store: Store) -> None:
    await admin(store, "ada", "U1")
    assert await store.set_slack_active("T1", "U1", False)
    await store.grant_slack("T1", "U2", "bob", A.VIEW_STATUS, WEB, "o8")
    with pytest.raises(Conflict):
        await store.remove_user("ada")
    await store.grant("bob", A.ADMIN, GLOBAL, "o8")
    await store.remove_user("ada")


async def test_where_there_is_no_admin_rights_are_given_and_taken_freely(store: Store) -> None:
    await make(store, "ada")
    await store.grant("ada", A.ADMIN, GLOBAL, "o8", later())
    await store.revoke("ada", A.ADMIN, GLOBAL)
    assert (await store.user("ada")).grants == ()
    await store.remove_user("ada")
    assert await store.users() == ()


async def test_an_admin_outside_slack_is_enough_where_nobody_is_in_it(store: Store) -> None:
    await admin(store, "ada")
    with pytest.raises(Conflict):
        await store.remove_user("ada")
    await admin(store, "bob")
    await store.remove_user("ada")


# -- wishes


async def card_of(store: Store, request: int) -> tuple[int, bool, str]:
    query = "SELECT wanted, is_final, service FROM cards WHERE kind = 'request' AND subject = ?"

    def look(db: Database) -> tuple[int, bool, str]:
        (row,) = rows(db, query, [str(request)])
        return row["wanted"], bool(row["is_final"]), row["service"]

    return await store.read(look)


async def test_a_wish_is_decided_once_and_its_card_follows(store: Store) -> None:
    await make(store, "ada")
    id = await store.request_access("ada", "slack:T1:U1", A.DEPLOY, WEB, "on call")
    assert await card_of(store, id) == (1, False, "web")
    decided = await store.decide_request(id, "slack:T1:U2", is_granted=True, expires_at=later())
    assert (decided.state, decided.decided_by) == ("granted", "slack:T1:U2")
    assert (await store.user("ada")).grants[0].expires_at is not None
    assert await card_of(store, id) == (2, True, "web")
    with pytest.raises(Conflict):
        await store.decide_request(id, "slack:T1:U2", is_granted=False)
    assert (await store.access_request(id)).state == "granted"


async def test_of_a_yes_and_a_no_at_once_one_counts(store: Store) -> None:
    await make(store, "ada")
    id = await store.request_access("ada", "slack:T1:U1", A.DEPLOY, WEB, "on call")
    ends = await asyncio.gather(
        *(store.decide_request(id, "slack:T1:U2", is_granted=yes) for yes in (True, False)), return_exceptions=True
    )
    assert [isinstance(end, Conflict) for end in ends].count(True) == 1
    assert bool(await rights(store, "ada")) == ((await store.access_request(id)).state == "granted")


async def test_a_denied_wish_gives_nothing(store: Store) -> None:
    await make(store, "ada")
    id = await store.request_access("ada", "slack:T1:U1", A.DEPLOY, GLOBAL, "on call")
    assert await card_of(store, id) == (1, False, "")
    await store.decide_request(id, "slack:T1:U2", is_granted=False)
    assert await rights(store, "ada") == []


async def test_an_open_wish_is_not_made_twice_a_decided_one_can_be_made_again(store: Store) -> None:
    await make(store, "ada", "bob")
    id = await store.request_access("ada", "slack:T1:U1", A.DEPLOY, WEB, "on call")
    with pytest.raises(Conflict, match=f"Request {id} "):
        await store.request_access("ada", "slack:T1:U1", A.DEPLOY, WEB, "again")
    await store.request_access("bob", "slack:T1:U2", A.DEPLOY, WEB, "me too")
    await store.decide_request(id, "o8", is_granted=False)
    assert await store.request_access("ada", "slack:T1:U1", A.DEPLOY, WEB, "again") > id


async def test_the_wishes_of_a_removed_user_end_and_never_serve_their_namesake(store: Store) -> None:
    await make(store, "ada")
    id = await store.request_access("ada", "slack:T1:U1", A.ADMIN, GLOBAL, "please")
    await store.remove_user("ada")
    await make(store, "ada")
    with pytest.raises(Conflict):
        await store.decide_request(id, "slack:T1:U2", is_granted=True)
    assert await rights(store, "ada") == []
    assert await card_of(store, id) == (2, True, "")


async def test_there_is_no_request_that_was_not_made(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.access_request(1)
    with pytest.raises((NotFound, Conflict)):
        await store.decide_request(1, "o8", is_granted=True)


# -- the code of the first admin


async def redeem(store: Store, hash: str, account: str = "U1") -> bool:
    return await store.redeem_code(hash, "T1", account, "ada", most=5) is not None


async def test_the_right_code_makes_an_admin_once_and_says_so_in_the_audit(store: Store) -> None:
    await store.set_code("right", later())
    assert await redeem(store, "right")
    assert await rights(store, "ada") == [("admin", GLOBAL)]
    assert not await redeem(store, "right", "U2")
    (entry,) = await store.audit()
    assert (entry.actor, entry.action, entry.subject) == ("slack:T1:U1", "hello", "ada")


async def test_of_ten_who_send_the_code_at_once_one_is_let_in(store: Store) -> None:
    await store.set_code("right", later())
    let_in = await asyncio.gather(*(redeem(store, "right", f"U{number}") for number in range(10)))
    assert let_in.count(True) == 1 and len(await store.users()) == 1


@pytest.mark.parametrize(("wrong", "is_let_in"), [(4, True), (5, False)])
async def test_after_five_wrong_ones_the_code_is_void(store: Store, wrong: int, is_let_in: bool) -> None:
    await store.set_code("right", later())
    assert not any(await asyncio.gather(*(redeem(store, f"wrong{number}") for number in range(wrong))))
    assert await redeem(store, "right") is is_let_in


async def test_a_code_ends_and_a_new_one_replaces_it_with_all_its_tries(store: Store) -> None:
    await store.set_code("late", datetime.now(UTC))
    assert not await redeem(store, "late")
    await store.set_code("first", later())
    for _ in range(4):
        assert not await redeem(store, "wrong")
    await store.set_code("second", later())
    assert not await redeem(store, "first")
    assert await redeem(store, "second")


async def test_tries_are_counted_over_a_restart(database: Path) -> None:
    store = await Store.open(database)
    await store.set_code("right", later())
    for _ in range(3):
        await redeem(store, "wrong")
    await store.close()
    store = await Store.open(database)
    for _ in range(2):
        await redeem(store, "wrong")
    assert not await redeem(store, "right")
    await store.close()


# -- all of it together

NAMES, ACCOUNTS = ("ada", "bob", "carol"), ("U1", "U2", "U3")
names, accounts = st.sampled_from(NAMES), st.sampled_from(ACCOUNTS)
deeds = st.one_of(
    st.tuples(st.just("grant"), names, st.booleans()), st.tuples(st.just("revoke"), names),
    st.tuples(st.just("remove"), names), st.tuples(st.just("add"), names),
    st.tuples(st.just("link"), accounts, names), st.tuples(st.just("grant_slack"), accounts, names, st.booleans()),
)  # fmt: skip


async def do(store: Store, deed: tuple[Any, ...]) -> None:
    match deed:
        case ("grant", name, is_lasting):
            await store.grant(name, A.ADMIN, GLOBAL, "o8", None if is_lasting else later())
        case ("grant_slack", account, name, is_lasting):
            await store.grant_slack("T1", account, name, A.ADMIN, GLOBAL, "o8", None if is_lasting else later())
        case ("revoke", name):
            await store.revoke(name, A.ADMIN, GLOBAL)
        case ("remove", name):
            await store.remove_user(name)
        case ("add", name):
            await store.add_user(name)
        case ("link", account, name):
            await store.link_slack("T1", account, name)


async def admins(store: Store) -> tuple[bool, bool]:
    """Whether somebody is admin of everything for ever, and whether one of these can say so in Slack."""
    lasting = [
        user for user in await store.users()
        if any((g.action, g.scope, g.expires_at) == (A.ADMIN, GLOBAL, None) for g in user.grants)
    ]  # fmt: skip
    return bool(lasting), any(user.slack for user in lasting)


@settings(max_examples=40, deadline=None)
@given(st.lists(deeds, max_size=15))
def test_once_there_is_an_admin_no_deed_leaves_o8_without_one(deeds: list[tuple[Any, ...]]) -> None:
    async def play(folder: Path) -> None:
        store = await Store.open(folder / "o8.sqlite")
        before = (False, False)
        for deed in deeds:
            with contextlib.suppress(Conflict, NotFound):
                await do(store, deed)
            after = await admins(store)
            assert after >= before and (after[1] or not before[1]), deed
            before = after
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))
