"""Every method of `Commands`, found by looking: which right it says it needs, and that nothing else lets anybody in."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bot.errors import Conflict, Forbidden, InvalidInput, NotFound, O8Error
from bot.importing import OldUser, Original
from bot.models import Kind, Lock, Wanted
from bot.permissions import GLOBAL, Action, Grant, scope_of
from bot.webhooks import PackageEvent
from handlers.commands import Commands
from lab.github_api import TOKEN, FakeGitHub, fake_github
from tests.small_house import House, open_house
from tests.store.ledger import Ledger, configuration

pytestmark = pytest.mark.slow

A = Action
ADA, ADA_AT_HOME, BOB, ROOT = "slack:T1:UADA", "slack:T1:UHOME", "slack:T1:UBOB", "cli:root"
Call = Callable[[Commands, str, dict[str, int]], Awaitable[Any]]


class Case(NamedTuple):
    """How a method is called about a service, and in which scope its right is asked for: "" is `global`."""

    call: Call
    scope: str = "service"


def about(deed: Callable[[Commands, str], Awaitable[Any]]) -> Case:
    return Case(lambda commands, service, _: deed(commands, service))


def everywhere(deed: Callable[[Commands], Awaitable[Any]]) -> Case:
    return Case(lambda commands, service, _: deed(commands), "")


ORIGINAL = Original(users=(OldUser(username="grace"),))
CASES: dict[str, Case] = {
    "deploy": about(lambda c, s: c.deploy(s, "0001")),
    "first_deployment": Case(lambda c, s, _: c.first_deployment("new" if s == "web" else s), ""),
    "rollback": about(lambda c, s: c.rollback(s)),
    "restart": about(lambda c, s: c.restart(s)),
    "start": about(lambda c, s: c.start(s)),
    "cancel": Case(lambda c, _, ids: c.cancel(ids["deployment"])),
    "approve": Case(lambda c, _, ids: c.approve(ids["deployment"])),
    "reject": Case(lambda c, _, ids: c.reject(ids["deployment"], "no")),
    "rollback_target": about(lambda c, s: c.rollback_target(s)),
    "set_environment": about(lambda c, s: c.set_environment(s, {"A": "1"})),
    "unset_environment": about(lambda c, s: c.unset_environment(s, ["KEPT"])),
    "change_environment": about(lambda c, s: c.change_environment(s, {"A": "1"}, ["KEPT"])),
    "write_environment": about(lambda c, s: c.write_environment(s, "A=1\n")),
    "read_environment": about(lambda c, s: c.read_environment(s)),
    "apply": about(lambda c, s: c.apply(configuration(s, replicas=2))),
    "remove": about(lambda c, s: c.remove(s)),
    "stop": about(lambda c, s: c.stop(s)),
    "scale": about(lambda c, s: c.scale(s, 2)),
    "retry_certificate": about(lambda c, s: c.retry_certificate(s)),
    "hold": about(lambda c, s: c.hold(s, "why")),
    "resume": about(lambda c, s: c.resume(s)),
    "lock": about(lambda c, s: c.lock(s, "why")),
    "unlock": about(lambda c, s: c.unlock(s)),
    "route": about(lambda c, s: c.route(s, "C1")),
    "mute": about(lambda c, s: c.mute(s, None)),
    "backup": everywhere(lambda c: c.backup(with_key=True)),
    "rotate_key": everywhere(lambda c: c.rotate_key()),
    "offer": everywhere(lambda c: c.offer("ghcr.io/acme/blog:0001", patience_s=5)),
    "install": everywhere(lambda c: c.install(configuration("blog"), "0001")),
    "run_again": everywhere(lambda c: c.run_again("1")),
    "import_original": everywhere(lambda c: c.import_original(ORIGINAL, is_dry_run=False)),
    "prune": everywhere(lambda c: c.prune()),
    "set_up_webhook": everywhere(lambda c: c.set_up_webhook("acme")),
    "dismiss_package": everywhere(lambda c: c.dismiss_package("ghcr.io/acme/blog")),
    "add_user": everywhere(lambda c: c.add_user("carol")),
    "set_rights": everywhere(lambda c: c.set_rights("bob", [(A.VIEW_LOGS, GLOBAL)])),
    "set_password": everywhere(lambda c: c.set_password("bob", "a password that is long")),
    "add_token": everywhere(lambda c: c.add_token("bob", "ci")),
    "remove_token": everywhere(lambda c: c.remove_token(1)),
    "remove_user": everywhere(lambda c: c.remove_user("bob")),
    "link_slack": everywhere(lambda c: c.link_slack("T1", "U9", "bob")),
    "link_github": everywhere(lambda c: c.link_github("ada-l", "bob")),
    "unlink_github": everywhere(lambda c: c.unlink_github("bob-b")),
    "new_code": everywhere(lambda c: c.new_code()),
    "grant": about(lambda c, s: c.grant("bob", A.DEPLOY, scope_of(s))),
    "grant_slack": about(lambda c, s: c.grant_slack("T1", "U9", "nine", A.DEPLOY, scope_of(s))),
    "revoke": about(lambda c, s: c.revoke("bob", A.VIEW_LOGS, scope_of(s))),
    "decide_request": Case(lambda c, _, ids: c.decide_request(ids["request"], is_granted=True)),
    "request_access": about(lambda c, s: c.request_access(A.ADMIN, scope_of(s), "why")),
}
NEEDS_NO_RIGHT = {"request_access", "set_password", "add_token", "remove_token"}  # about oneself; see tests of logins
ENTRIES = {"offer": 0, "rollback_target": 0, "install": 2, "import_original": 2}  # in the audit; elsewhere one
METHODS: dict[str, Any] = {
    name: method for name, method in inspect.getmembers(Commands, inspect.isfunction) if not name.startswith("_")
}


def commands(house: House, actor: str) -> Commands:
    return Commands(house.services, actor)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a house, made once: many tests begin with a copy."""
    folder = tmp_path_factory.mktemp("furnished")
    asyncio.run(furnish(folder))
    return folder / "o8.sqlite"


async def furnish(folder: Path) -> None:
    async with open_house(folder) as house:
        ledger, store = Ledger(house.services.store), house.services.store
        for name in ("web", "shop"):
            await ledger.service(name)
            await ledger.release("0001", 1, name)
            await ledger.release("0002", 2, name)
            await house.services.operations.write_environment(name, "KEPT=yes\n", ROOT)
        await ledger.service("new")
        for name, accounts in (("ada", ("UADA", "UHOME")), ("bob", ("UBOB",))):
            await store.add_user(name)
            for account in accounts:
                await store.link_slack("T1", account, name)
        await store.link_github("bob-b", "bob")
        for name in ("web", "shop"):
            await store.grant("bob", A.VIEW_LOGS, scope_of(name), "o8")
        pushed = PackageEvent(image="ghcr.io/acme/blog", tag="0001", digest="", commit="")
        await house.services.inbox.receive(delivery="1", event="package", body=b"{}", package=pushed, ignored="")


@pytest.fixture(scope="module")
def github_api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        api.publish("acme", "web", "0001")
        api.scopes.add("admin:org_hook")
        yield api


@pytest.fixture
async def house(furnished: Path, github_api: FakeGitHub, tmp_path: Path) -> AsyncIterator[House]:
    """`web` and `shop` are live and alike; nothing runs. ada and bob are there, bob reads the logs of both."""
    shutil.copy(furnished, tmp_path / "o8.sqlite")
    at_github = {"github_pat": TOKEN, "public_url": "http://127.0.0.1:9", "github_webhook_secret": "of sixteen signs"}
    async with open_house(tmp_path, github_api_url=github_api.url, **at_github) as house:
        yield house


async def ids_of(house: House, service: str, by: str = BOB) -> dict[str, int]:
    """A deployment that waits for approval, and a wish of bob, about `service`."""
    wish = Wanted(service=service, kind=Kind.DEPLOY, actor=by, tag="0003", needs_approval=True)
    deployment = await house.services.store.want(wish)
    request = await house.services.store.request_access("bob", BOB, A.DEPLOY, scope_of(service), "why")
    return {"deployment": deployment.id, "request": request}


async def prepare(house: House, name: str, service: str) -> dict[str, int]:
    """What a method needs, to have no other reason to refuse."""
    store, now = house.services.store, datetime.now(UTC)
    if name == "start":
        await store.set_stopped(service, True)
    if name == "unlock":
        await store.set_lock(service, Lock(reason="mine", actor=ADA, since=now, until=now + timedelta(hours=1)))
    if name in ("resume", "start"):
        house.registry.push("0002")
    if name == "retry_certificate":
        await store.apply(configuration(service, site={"tls": "auto"}), 100)
    if name == "run_again":
        await store.apply(configuration("blog", image="ghcr.io/acme/blog"), 100)
    return await ids_of(house, service) if name in ("cancel", "approve", "reject", "decide_request") else {}


async def refused(call: Awaitable[Any]) -> tuple[Any, ...]:
    """All that tells one refusal from another."""
    with pytest.raises((Forbidden, NotFound)) as found:
        await call
    error = found.value
    more = (vars(error).get(name) for name in ("suggestions", "action", "scope", "granters"))
    return (type(error), error.message, error.next_step, *more)


def test_every_method_says_which_right_it_needs_and_has_a_case_here() -> None:
    assert set(METHODS) == set(CASES)
    assert all(inspect.iscoroutinefunction(method) and method.__doc__ for method in METHODS.values())
    assert all(hasattr(method, "action") for method in METHODS.values())
    assert {name for name, method in METHODS.items() if method.action is None} == NEEDS_NO_RIGHT


@pytest.mark.parametrize("name", sorted(METHODS.keys() - NEEDS_NO_RIGHT))
async def test_without_its_right_it_is_refused_and_with_it_it_is_done(house: House, name: str) -> None:
    case, needed, store = CASES[name], METHODS[name].action, house.services.store
    ids = await prepare(house, name, "web")
    scope = scope_of("web") if case.scope else GLOBAL
    before = len(await store.audit(limit=500))
    await refused(case.call(commands(house, "slack:T1:USTRANGER"), "web", ids))
    await refused(case.call(commands(house, ADA), "web", ids))
    for given_in, action in itertools.product((scope_of("web"), scope_of("shop"), GLOBAL), Action):
        may_add_one_of_that_name = name == "apply" and action in (A.ADD_NEW_SERVICE, A.ADMIN)  # another right of its
        if not Grant(scope=given_in, action=action).gives(needed, scope) and not may_add_one_of_that_name:
            await store.grant("ada", action, given_in, "o8")
    await refused(case.call(commands(house, ADA), "web", ids))  # with everything that is not enough, together
    assert len(await store.audit(limit=500)) == before, "a refused command leaves no trace of having been done"
    await store.grant("ada", needed, scope, "o8")
    await case.call(commands(house, ADA), "web", ids)
    entries = await store.audit(limit=500)
    made = entries[: len(entries) - before]
    assert [entry.actor for entry in made] == [ADA] * ENTRIES.get(name, 1)


@pytest.mark.parametrize("name", sorted(METHODS))
async def test_a_hidden_service_answers_like_one_that_does_not_exist(house: House, name: str) -> None:
    """Also to somebody who is admin of another one. `new` sees neither `web` nor `shop`."""
    await house.services.store.grant("ada", A.ADMIN, scope_of("new"), "o8")
    ids = await prepare(house, name, "shop")
    hidden = await refused(CASES[name].call(commands(house, ADA), "shop", ids))
    await house.services.store.forget_service("shop")
    absent_ids = {key: id + 1000 for key, id in ids.items()}
    absent = await refused(CASES[name].call(commands(house, ADA), "shop", absent_ids))
    for key, id in ids.items():
        absent = tuple(each.replace(str(id + 1000), str(id)) if isinstance(each, str) else each for each in absent)
        assert "shop" not in repr(hidden), key
    assert hidden == absent


async def test_the_newest_deployment_of_a_removed_service_belongs_to_who_may_see_everything(house: House) -> None:
    ids = await ids_of(house, "shop")
    await house.services.store.forget_service("shop")
    with pytest.raises(Conflict, match="cannot be cancelled: it is cancelled"):
        await commands(house, ROOT).cancel(ids["deployment"])


async def test_to_go_round_approval_manage_is_needed(house: House) -> None:
    await house.services.store.grant("ada", A.DEPLOY, "service:web", "o8")
    with pytest.raises(Forbidden, match="`manage`"):
        await commands(house, ADA).deploy("web", "0003", bypass=True)
    await house.services.store.grant("ada", A.MANAGE, "service:web", "o8")
    await commands(house, ADA).deploy("web", "0003", bypass=True)


async def test_somebody_elses_lock_needs_manage_and_the_word_steal(house: House) -> None:
    store = house.services.store
    await store.grant("ada", A.DEPLOY, "service:web", "o8")
    await store.grant("bob", A.DEPLOY, "service:web", "o8")
    await commands(house, BOB).lock("web", "mine")
    with pytest.raises(Forbidden, match="`manage`"):
        await commands(house, ADA).unlock("web", steal=True)
    await store.grant("ada", A.MANAGE, "service:web", "o8")
    with pytest.raises(Conflict):
        await commands(house, ADA).unlock("web")
    assert (await commands(house, ADA).unlock("web", steal=True)).actor == BOB


async def test_one_lifts_ones_lock_with_any_account(house: House) -> None:
    await house.services.store.grant("ada", A.DEPLOY, "service:web", "o8")
    await commands(house, ADA).lock("web", "mine")
    assert (await commands(house, ADA_AT_HOME).unlock("web")).actor == ADA
    assert (await house.services.store.service("web")).lock is None


async def test_who_may_add_services_cannot_change_a_hidden_one_by_its_name(house: House) -> None:
    await house.services.store.grant("ada", A.ADD_NEW_SERVICE, GLOBAL, "o8")
    before = await house.services.store.service("shop")
    with pytest.raises(Conflict, match="The name shop is taken"):
        await commands(house, ADA).apply(configuration("shop", replicas=3))
    assert await house.services.store.service("shop") == before
    assert (await commands(house, ADA).apply(configuration("blog"))).is_new
    with pytest.raises(Conflict):
        await commands(house, ADA).first_deployment("web")


# -- nobody decides about what they asked for themselves


@pytest.mark.parametrize("judge", [ADA, ADA_AT_HOME])
@pytest.mark.parametrize("deed", ["approve", "reject"])
@pytest.mark.parametrize("account", ["active", "deactivated"])
async def test_nobody_decides_about_their_own_deployment(house: House, judge: str, deed: str, account: str) -> None:
    store = house.services.store
    for name in ("ada", "bob"):
        await store.grant(name, A.ADMIN, "service:web", "o8")
    ids = await ids_of(house, "web", by=ADA)
    if account == "deactivated":
        if judge == ADA:
            return
        await store.set_slack_active("T1", "UADA", False)
    with pytest.raises(Forbidden, match="your own"):
        await CASES[deed].call(commands(house, judge), "web", ids)
    assert (await store.deployment(ids["deployment"])).state == "waiting"
    await CASES[deed].call(commands(house, BOB), "web", ids)  # the control


async def test_root_does_not_approve_its_own_either_but_what_was_pushed(house: House) -> None:
    ids = await ids_of(house, "web", by=ROOT)
    with pytest.raises(Forbidden):
        await commands(house, ROOT).approve(ids["deployment"])
    pushed = Wanted(service="web", kind=Kind.DEPLOY, actor="delivery:1", tag="0004", needs_approval=True)
    await commands(house, ROOT).approve((await house.services.store.want(pushed)).id)


@pytest.mark.parametrize("judge", [ADA, ADA_AT_HOME])
@pytest.mark.parametrize("is_granted", [True, False])
@pytest.mark.parametrize("is_linked_anew", [True, False])
async def test_nobody_decides_about_their_own_wish(
    house: House, judge: str, is_granted: bool, is_linked_anew: bool
) -> None:
    """Not even when the account that asked belongs to somebody else by now."""
    store = house.services.store
    await store.grant("ada", A.VIEW_STATUS, "service:web", "o8")
    id = await commands(house, ADA).request_access(A.MANAGE, "service:web", "why")
    await store.grant("ada", A.ADMIN, "service:web", "o8")
    await store.grant("bob", A.ADMIN, "service:web", "o8")
    if is_linked_anew:
        await store.link_slack("T1", "UADA", "bob")
    with pytest.raises(Forbidden, match="their own wish"):
        await commands(house, judge).decide_request(id, is_granted=is_granted)
    assert (await store.access_request(id)).state == "open"
    await commands(house, ROOT).decide_request(id, is_granted=is_granted)


async def test_a_wish_about_a_service_that_is_gone_can_be_denied_and_not_granted(house: House) -> None:
    ids = await ids_of(house, "shop")
    await house.services.store.forget_service("shop")
    with pytest.raises(NotFound):
        await commands(house, ROOT).decide_request(ids["request"], is_granted=True)
    assert (await commands(house, ROOT).decide_request(ids["request"], is_granted=False)).state == "denied"


async def test_one_asks_for_what_one_sees_and_has_not(house: House) -> None:
    await house.services.store.grant("ada", A.DEPLOY, "service:web", "o8")
    mine = commands(house, ADA)
    with pytest.raises(InvalidInput, match="already"):
        await mine.request_access(A.VIEW_STATUS, "service:web", "why")
    with pytest.raises(InvalidInput, match="reason"):
        await mine.request_access(A.MANAGE, "service:web", " ")
    await mine.request_access(A.VIEW_STATUS, GLOBAL, "why")


# -- giving rights


@pytest.mark.parametrize("scope", ["", "web", "service:", "service:web ", "service:../x", "GLOBAL", "service:Web"])
async def test_what_is_no_scope_is_none(house: House, scope: str) -> None:
    root = commands(house, ROOT)
    for work in (root.grant("bob", A.DEPLOY, scope), root.revoke("bob", A.DEPLOY, scope),
                 root.request_access(A.DEPLOY, scope, "why")):  # fmt: skip
        with pytest.raises((InvalidInput, NotFound)):
            await work
    assert len((await house.services.store.user("bob")).grants) == 2


@pytest.mark.parametrize("action", [A.PULL_NEW_IMAGE, A.ADD_NEW_SERVICE])
async def test_what_is_about_no_service_is_granted_in_global_only(house: House, action: Action) -> None:
    with pytest.raises(InvalidInput, match="no single service"):
        await commands(house, ROOT).grant("bob", action, "service:web")
    await commands(house, ROOT).grant("bob", action, GLOBAL)


async def test_an_admin_of_one_service_gives_nothing_outside_it(house: House) -> None:
    await house.services.store.grant("ada", A.ADMIN, "service:web", "o8")
    mine = commands(house, ADA)
    await mine.grant("bob", A.ADMIN, "service:web")
    for action in Action:
        for scope in (GLOBAL, "service:shop"):
            with pytest.raises((Forbidden, NotFound, InvalidInput)):
                await mine.grant("bob", action, scope)
            with pytest.raises((Forbidden, NotFound, InvalidInput)):
                await mine.grant_slack("T1", "U9", "nine", action, scope)
    with pytest.raises(NotFound):
        await mine.revoke("bob", A.VIEW_LOGS, "service:shop")


@pytest.mark.parametrize("whom", ["ada", "bob"])
async def test_an_admin_for_an_hour_makes_nobody_admin_for_longer(house: House, whom: str) -> None:
    now, store = datetime.now(UTC), house.services.store
    await store.grant("ada", A.ADMIN, "service:web", "o8", now + timedelta(hours=1))
    mine = commands(house, ADA)
    for until in (None, now + timedelta(hours=2)):
        with pytest.raises(Forbidden, match="for longer"):
            await mine.grant(whom, A.ADMIN, "service:web", until)
        with pytest.raises(Forbidden, match="for longer"):
            await mine.grant_slack("T1", f"U{whom.upper()}", whom, A.DEPLOY, "service:web", until)
    await mine.grant(whom, A.DEPLOY, "service:web", now + timedelta(minutes=30))
    ids = await ids_of(house, "web")
    with pytest.raises(Forbidden, match="for longer"):
        await mine.decide_request(ids["request"], is_granted=True)
    await mine.decide_request(ids["request"], is_granted=True, expires_at=now + timedelta(minutes=30))


async def test_a_right_that_is_over_already_is_not_given(house: House) -> None:
    with pytest.raises(InvalidInput, match="before it begins"):
        await commands(house, ROOT).grant("bob", A.DEPLOY, GLOBAL, datetime.now(UTC))


@pytest.mark.parametrize("username", ["", "Ada", "a b", "-a", "a-", "a" * 64, "ä", "a\n", "<!channel>"])
async def test_what_is_no_username_is_none(house: House, username: str) -> None:
    with pytest.raises(O8Error):
        await commands(house, ROOT).add_user(username)
    with pytest.raises(InvalidInput):
        await commands(house, ROOT).grant_slack("T1", "U9", username, A.DEPLOY, GLOBAL)
