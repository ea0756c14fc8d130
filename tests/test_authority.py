"""Who is who, who may what, and in which words that is refused."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.authority import CODE_LASTS, CODE_TRIES, Authority
from bot.errors import Forbidden, NotFound, O8Error
from bot.models import Kind, State, Wanted
from bot.permissions import GLOBAL, Action
from bot.store import Store
from lab import docs
from tests.store.ledger import Ledger

pytestmark = pytest.mark.slow

A = Action
ADA, ADA_AT_HOME, BOB, STRANGER = "slack:T1:UADA", "slack:T1:UHOME", "slack:T1:UBOB", "slack:T1:UNOBODY"
WEB = "service:web"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """`web` and `shop`; ada with two accounts and bob with one, neither with any right."""
    store = await Store.open(tmp_path / "o8.sqlite")
    for name in ("web", "shop"):
        await Ledger(store).service(name)
    for name, accounts in (("ada", ("UADA", "UHOME")), ("bob", ("UBOB",))):
        await store.add_user(name)
        for account in accounts:
            await store.link_slack("T1", account, name)
    yield store
    await store.close()


@pytest.fixture
def authority(store: Store) -> Authority:
    return Authority(store)


async def said(work: Any) -> dict[str, Any]:
    """Everything that an error carries, with its type."""
    with pytest.raises(O8Error) as found:
        await work
    return {"type": type(found.value), "args": found.value.args, **vars(found.value)}


@pytest.mark.parametrize("actor", ["cli:root", "delivery:1", "poller:1", "reconciler:1", "o8", "poller"])
async def test_the_machine_itself_may_everything(authority: Authority, actor: str) -> None:
    person = await authority.require(actor, A.ADMIN, "web")
    assert person.actor == actor and person.may(A.ADMIN)


@pytest.mark.parametrize("actor", [
    STRANGER, "slack:T2:UADA", "slack:", "slack", "", "github:ada", "cli2:root", "CLI:root", "slack:T1:uada",
    "slack:T1:UADA:x", "ada", "slack:cli:root", "o8x",
])  # fmt: skip
async def test_a_stranger_is_told_how_to_be_let_in(authority: Authority, actor: str) -> None:
    with pytest.raises(Forbidden) as found:
        await authority.require(actor, A.VIEW_STATUS, "web")
    assert (found.value.action, found.value.scope, found.value.granters) == ("", "", ())
    assert "/o8 hello CODE" in found.value.next_step


async def test_every_account_of_a_user_has_the_users_rights(authority: Authority, store: Store) -> None:
    await store.grant("ada", A.DEPLOY, WEB, "o8")
    for actor in (ADA, ADA_AT_HOME):
        assert (await authority.require(actor, A.DEPLOY, "web")).username == "ada"


async def test_what_was_revoked_a_moment_ago_is_gone(authority: Authority, store: Store) -> None:
    for action in (A.DEPLOY, A.VIEW_STATUS):
        await store.grant("ada", action, WEB, "o8")
    await authority.require(ADA, A.DEPLOY, "web")
    await store.revoke("ada", A.DEPLOY, WEB)
    with pytest.raises(Forbidden):
        await authority.require(ADA, A.DEPLOY, "web")


async def test_a_refusal_says_what_is_missing_where_and_who_can_grant_it(authority: Authority, store: Store) -> None:
    await store.grant("ada", A.VIEW_STATUS, WEB, "o8")
    await store.grant("bob", A.ADMIN, WEB, "o8")
    with pytest.raises(Forbidden) as found:
        await authority.require(ADA, A.DEPLOY, "web")
    error = found.value
    assert (error.action, error.scope, error.granters) == ("deploy", WEB, ("bob",))
    assert str(error) == (
        "You need `deploy` in `service:web` for this. bob can grant it; "
        "`/o8 request deploy service:web -- why` asks for it."
    )
    with pytest.raises(Forbidden, match="`admin` in `global`") as found:
        await authority.require(ADA, A.ADMIN)
    assert found.value.granters == () and "An admin can grant it" in found.value.next_step


async def test_who_cannot_speak_is_not_named_as_somebody_who_can_grant(authority: Authority, store: Store) -> None:
    await store.grant("bob", A.ADMIN, GLOBAL, "o8")
    await store.grant("ada", A.ADMIN, WEB, "o8", datetime.now(UTC) - timedelta(seconds=1))
    await store.add_user("carol")
    await store.grant("carol", A.ADMIN, GLOBAL, "o8")
    assert await authority.granters(WEB) == ("bob",)
    await store.set_slack_active("T1", "UBOB", False)
    assert await authority.granters(WEB) == ()


@pytest.mark.parametrize("asked", ["shop", "sho", "shop2"])
@pytest.mark.parametrize("rights", [[], [(A.ADMIN, WEB)], [(A.ADD_NEW_SERVICE, GLOBAL)]])
async def test_a_hidden_service_is_as_one_that_does_not_exist(
    authority: Authority, store: Store, rights: list[tuple[Action, str]], asked: str
) -> None:
    for action, scope in rights:
        await store.grant("ada", action, scope, "o8")
    hidden = {action: await said(authority.require(ADA, action, asked)) for action in Action}
    await store.forget_service("shop")
    gone = {action: await said(authority.require(ADA, action, asked)) for action in Action}
    assert hidden == gone
    assert all(error["type"] is NotFound and "shop" not in error["suggestions"] for error in hidden.values())


async def test_the_same_holds_for_its_deployments(authority: Authority, store: Store) -> None:
    await store.grant("ada", A.ADMIN, WEB, "o8")
    id = (await Ledger(store).want("shop")).id
    hidden = await said(authority.require_for(ADA, A.DEPLOY, id))
    absent = await said(authority.require_for(ADA, A.DEPLOY, id + 1))
    assert repr(hidden).replace(f"deployment {id}", "N") == repr(absent).replace(f"deployment {id + 1}", "N")
    await store.grant("ada", A.VIEW_STATUS, "service:shop", "o8")
    assert (await said(authority.require_for(ADA, A.DEPLOY, id)))["type"] is Forbidden
    await store.grant("ada", A.DEPLOY, "service:shop", "o8")
    await authority.require_for(ADA, A.DEPLOY, id)


async def test_a_service_is_suggested_only_to_who_may_see_it(authority: Authority, store: Store) -> None:
    assert (await said(authority.require(ADA, A.DEPLOY, "wbe")))["suggestions"] == ()
    await store.grant("ada", A.VIEW_STATUS, WEB, "o8")
    assert (await said(authority.require(ADA, A.DEPLOY, "wbe")))["suggestions"] == ("web",)


async def test_what_a_person_sees_is_what_some_right_of_theirs_shows(authority: Authority, store: Store) -> None:
    assert await authority.seen_by(await authority.who(ADA)) == ()
    await store.grant("ada", A.VIEW_LOGS, "service:shop", "o8")
    await store.grant("ada", A.ADD_NEW_SERVICE, GLOBAL, "o8")
    await store.grant("ada", A.DEPLOY, "service:gone", "o8")
    assert await authority.seen_by(await authority.who(ADA)) == ("shop",)


# -- accounts that come and go


async def test_a_deactivated_account_is_refused_at_once_and_the_other_one_is_not(
    authority: Authority, store: Store
) -> None:
    await store.grant("ada", A.DEPLOY, WEB, "o8")
    await store.set_slack_active("T1", "UADA", False)
    with pytest.raises(Forbidden, match="does not know you"):
        await authority.require(ADA, A.DEPLOY, "web")
    assert await authority.may_run(ADA, Kind.DEPLOY, "web")
    await authority.require(ADA_AT_HOME, A.DEPLOY, "web")
    await store.set_slack_active("T1", "UADA", True)
    await authority.require(ADA, A.DEPLOY, "web")


async def test_a_linked_account_has_the_rights_of_its_new_user_only(authority: Authority, store: Store) -> None:
    await store.grant("ada", A.DEPLOY, WEB, "o8")
    await store.link_slack("T1", "UADA", "bob")
    assert (await authority.who(ADA)).username == "bob"
    with pytest.raises(NotFound):
        await authority.require(ADA, A.DEPLOY, "web")


async def test_a_removed_user_is_a_stranger(authority: Authority, store: Store) -> None:
    await store.grant("ada", A.DEPLOY, WEB, "o8")
    await store.remove_user("ada")
    with pytest.raises(Forbidden, match="does not know you"):
        await authority.require(ADA, A.DEPLOY, "web")
    assert await authority.may_run(ADA, Kind.DEPLOY, "web")


@pytest.mark.parametrize(("one", "two", "is_same"), [
    (ADA, ADA, True), (ADA, ADA_AT_HOME, True), (ADA, BOB, False), (ADA, STRANGER, False), (STRANGER, STRANGER, True),
    ("cli:root", "cli:root", True), ("cli:root", "cli:ann", False), ("cli:ada", ADA, False),
    ("delivery:1", ADA, False), ("slack:T1:UNO", STRANGER, False), ("slack:T2:UADA", ADA, False),
])  # fmt: skip
async def test_two_accounts_of_one_user_are_one_person(authority: Authority, one: str, two: str, is_same: bool) -> None:
    assert await authority.is_same_person(one, two) is await authority.is_same_person(two, one) is is_same


async def test_an_account_that_was_deactivated_still_is_who_it_was(authority: Authority, store: Store) -> None:
    """Else one could ask with one account, give it up, and approve with the other."""
    await store.set_slack_active("T1", "UADA", False)
    assert await authority.is_same_person(ADA, ADA_AT_HOME)


# -- rights when it is run

KINDS = {
    Kind.DEPLOY: {A.DEPLOY}, Kind.RESTART: {A.DEPLOY}, Kind.ROLLBACK: {A.DEPLOY}, Kind.START: {A.MANAGE},
    Kind.CONFIGURE: {A.EDIT_CONFIGURATION, A.EDIT_ENV, A.MANAGE},
}  # fmt: skip


@pytest.mark.parametrize("kind", Kind)
async def test_it_runs_with_the_right_with_which_it_was_asked_for(
    authority: Authority, store: Store, kind: Kind
) -> None:
    enough = KINDS[kind] | {A.ADMIN} | ({A.MANAGE} if A.DEPLOY in KINDS[kind] else set())
    for action in Action:
        await store.grant("ada", action, WEB, "o8")
        why = await authority.may_run(ADA, kind, "web")
        assert (why == "") == (action in enough), action
        assert why in ("", f"ada may not {kind} web any more.")
        assert await authority.may_run(ADA, kind, "shop")
        await store.revoke("ada", action, WEB)


async def test_who_may_add_services_may_see_the_first_deployment_run_and_no_other(
    authority: Authority, store: Store
) -> None:
    await store.grant("ada", A.ADD_NEW_SERVICE, GLOBAL, "o8")
    assert await authority.may_run(ADA, Kind.DEPLOY, "web") == ""
    await Ledger(store).release("0001")
    assert await authority.may_run(ADA, Kind.DEPLOY, "web")
    assert await authority.may_run(ADA, Kind.DEPLOY, "gone")


@pytest.mark.parametrize("actor", ["cli:root", "delivery:1", "poller:1", "reconciler", "o8"])
async def test_what_the_machine_asked_for_is_not_refused(authority: Authority, actor: str) -> None:
    assert not any([await authority.may_run(actor, kind, "web") for kind in Kind])


async def test_a_release_that_was_refused_for_want_of_a_right_is_tried_again_by_itself(store: Store) -> None:
    """A missing right says nothing about the image; a person's no does."""
    ledger = Ledger(store)
    for code, is_kept in (("forbidden", False), ("", True)):
        wanted = await ledger.want(tag="0005", digest=f"sha256:{5:064x}")
        await ledger.store.finish((await ledger.claim()).id, State.CANCELLED, error_code=code)
        assert (wanted.tag, wanted.digest) == ("0005", f"sha256:{5:064x}")
        assert (("0005", wanted.digest) in await store.failed_attempts("web")) is is_kept


async def test_a_wanted_deployment_keeps_who_asked(store: Store) -> None:
    assert (await store.want(Wanted(service="web", kind=Kind.DEPLOY, actor=ADA))).actor == ADA


# -- the code of the first admin


async def test_a_code_lets_its_sender_in_as_admin_of_everything(authority: Authority) -> None:
    code = await authority.new_code()
    assert re.fullmatch(r"[0-9A-F]{10}", code)
    assert await authority.redeem_code(f" {code.lower()} ", "T1", "UNOBODY", "grace")
    assert (await authority.who(STRANGER)).may(A.ADMIN)
    assert not await authority.redeem_code(code, "T1", "UBOB", "bob")


async def test_a_code_is_in_the_database_as_its_hash_only(authority: Authority, store: Store, tmp_path: Path) -> None:
    code = await authority.new_code()
    await authority.redeem_code("WRONG12345", "T1", "UNOBODY", "grace")
    files = [path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("o8.sqlite")]
    assert not any(code.encode() in data or code.lower().encode() in data for data in files)
    assert any(hashlib.sha256(code.encode()).hexdigest().encode() in data for data in files)
    assert not any(b"WRONG12345" in data for data in files)


@pytest.mark.parametrize("wrong", ["", " ", "x" * 5000, "\ud800", "\0", "ÄÖÜ", "0' OR 1=1 --"])
async def test_no_wrong_code_lets_in_or_breaks(authority: Authority, wrong: str) -> None:
    await authority.new_code()
    assert not await authority.redeem_code(wrong, "T1", "UNOBODY", "grace")


async def test_without_a_code_none_is_right(authority: Authority) -> None:
    assert not await authority.redeem_code("", "T1", "UNOBODY", "grace")


async def test_guesses_at_once_are_all_counted(authority: Authority) -> None:
    code = await authority.new_code()
    guesses = (authority.redeem_code(f"{number:010}", "T1", "UNOBODY", "grace") for number in range(CODE_TRIES))
    assert not any(await asyncio.gather(*guesses))
    assert not await authority.redeem_code(code, "T1", "UNOBODY", "grace")


def test_the_page_says_how_long_and_how_often_a_code_can_be_tried() -> None:
    page = (docs.DOCS / "permissions.md").read_text()
    assert f"for {CODE_LASTS.total_seconds() / 60:.0f} minutes" in page
    assert CODE_TRIES == 5 and "void after five wrong tries" in page
