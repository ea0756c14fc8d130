"""Every command of chat, tried with every single right in every scope: refused exactly where the table says so."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.chat import Place
from bot.models import Kind, Wanted
from bot.permissions import GLOBAL, Action, Grant, scope_of
from handlers.chatops import grammar
from handlers.chatops import verbs as verbs  # fills the registry
from handlers.chatops.desk import Desk, Heard
from handlers.chatops.registry import FORMS, VERBS, Verb
from handlers.chatops.reply import Reply
from tests.chatops.talking import NotedStage
from tests.small_house import House, open_house
from tests.store.ledger import Ledger

pytestmark = pytest.mark.slow

# Only these need no right of their own, each for a reason; one more has to be meant.
STRANGERS_TOO = {
    "help": "says what there is",
    "hello": "makes the first admin, with a code of the server",
}
EVERY_USER = {
    "services": "shows what one may see",
    "whoami": "shows one's own rights",
    "access": "shows one's own rights, and those one is admin of",
    "request": "asks those who may",
}
INSIDE = {  # the scope is among their words, or in what they are about: `Commands` asks for this right in it
    "grant": Action.ADMIN,
    "revoke": Action.ADMIN,
    "grant-request": Action.ADMIN,
    "deny-request": Action.ADMIN,
}
# Written down once more, by hand: a change of what a command needs has to be meant.
NEEDS = {
    Action.VIEW_STATUS: {"status", "releases", "versions", "diff", "queue", "locks"},
    Action.DEPLOY: {"deploy", "rollback", "restart", "resume", "approve", "reject", "cancel", "lock", "unlock"},
    Action.MANAGE: {"start", "stop", "scale", "hold", "route", "mute", "unmute"},
    Action.VIEW_LOGS: {"logs"},
    Action.VIEW_ENV: {"env"},
    Action.EDIT_ENV: {"env set", "env unset"},
    Action.VIEW_CONFIGURATION: {"config"},
    Action.EDIT_CONFIGURATION: {"config set"},
    Action.ADD_NEW_SERVICE: {"available", "install", "dismiss"},
    Action.ADMIN: {"link", "link-github", "unlink-github", "audit", "doctor"},
}
FORMS_THAT_ASK_INSIDE = {"reject": "its service is that of a deployment"}
EXAMPLES = {
    "RELEASE": "0001", "RELEASE2": "0002", "N": "2", "DURATION": "1h", "CHANNEL": "#team", "WHO": "bob",
    "USERNAME": "bob", "ACTION": "deploy", "KEY": "NAME", "KEY=VALUE": "replicas=2", "IMAGE": "ghcr.io/acme/blog",
    "TOPIC": "deploy", "TEXT": "web", "CODE": "ABCDEF", "LOGIN": "ada-l",
}  # fmt: skip
PLACE = Place(team="T1", user="UADA")
ADA = "slack:T1:UADA"
SCOPES = (GLOBAL, "service:web", "service:shop")
REFUSED = re.compile(r"You need `\w+` in `|There is no (service|deployment|request) ")


class Counter:
    """The house, what chat would hand commands to, and a deployment and a wish for each service."""

    def __init__(self, house: House, ids: dict[tuple[str, str], int]) -> None:
        self.house, self.ids, self.store = house, ids, house.services.store
        self.desk = Desk(house.services, lambda place: NotedStage())

    async def is_refused(self, text: str, *, by: str = ADA) -> str:
        """The refusal before anything is done; empty when there is none."""
        grammar.parse(text)
        found = await self.desk.check(Heard(text, by, PLACE, text))
        return found.text if isinstance(found, Reply) else ""

    async def run(self, text: str) -> Reply:
        return await self.desk.carry_out(Heard(text, ADA, PLACE, text), None)

    def example(self, verb: Verb, service: str) -> str:
        """A whole command, made of the verb's own usage; without a `service` the optional one is left out."""
        words, reason = [], " -- why" if "-- REASON" in verb.usage else ""
        usage = verb.usage.replace("[-- REASON]", "").replace("-- REASON", "")
        for part in re.findall(r"\[[^\]]*\]|\S+", usage):
            inner = part.strip("[]").removesuffix("...")
            if inner.startswith("-") or (part.startswith("[") and not service):
                continue
            about = {"SVC": service, "SCOPE": service, "ID": str(self.ids.get((verb.name, service), ""))}
            words.append(about.get(inner) or EXAMPLES.get(inner) or inner)
        return " ".join(words) + reason


def cases() -> Iterator[tuple[Verb, str]]:
    """Every verb about each service; without any where it can do without."""
    for verb in VERBS.values():
        names_one = re.search(r"\b(SVC|SCOPE|ID)\b", verb.usage)
        yield from ((verb, service) for service in ("web", "shop") if names_one)
        if not names_one or "[SVC]" in verb.usage:
            yield verb, ""


def is_allowed(verb: Verb, service: str, held: Grant) -> bool:
    """What docs/chatops.md says: its permission, in the scope of the service that is named."""
    action = INSIDE.get(verb.name, verb.action)
    shows_or_asks_about_all = "[SVC]" in verb.usage and action in (Action.VIEW_STATUS, Action.DEPLOY)
    lists_what_one_sees = action is Action.VIEW_STATUS and "SVC" not in verb.usage
    if action is None or (not service and (shows_or_asks_about_all or lists_what_one_sees)):
        return True
    return held.gives(action, scope_of(service))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], int]]:
    folder = tmp_path_factory.mktemp("rights")
    return folder / "o8.sqlite", asyncio.run(furnish(folder))


async def furnish(folder: Path) -> dict[tuple[str, str], int]:
    ids: dict[tuple[str, str], int] = {}
    async with open_house(folder) as house:
        store, ledger = house.services.store, Ledger(house.services.store)
        for name in ("ada", "bob"):
            await store.add_user(name)
            await store.link_slack("T1", f"U{name.upper()}", name)
        await store.grant_slack("T1", "UROOT", "root", Action.ADMIN, GLOBAL, "o8")
        for service in ("web", "shop"):
            await ledger.service(service)
            await ledger.release("0001", 1, service)
            wish = Wanted(service=service, kind=Kind.DEPLOY, actor="delivery:1", tag="0002", needs_approval=True)
            deployment = (await store.want(wish)).id
            request = await store.request_access("bob", "slack:T1:UBOB", Action.DEPLOY, scope_of(service), "why")
            for verb in VERBS:
                ids[verb, service] = request if verb.endswith("-request") else deployment
    return ids


@pytest.fixture
async def counter(furnished: tuple[Path, dict[tuple[str, str], int]], tmp_path: Path) -> AsyncIterator[Counter]:
    """`web` and `shop` are live, and a deployment of each waits for approval; nobody has any right."""
    path, ids = furnished
    shutil.copy(path, tmp_path / "o8.sqlite")
    async with open_house(tmp_path) as house:
        yield Counter(house, dict(ids))


def test_only_the_commands_listed_here_need_no_right() -> None:
    assert {verb.name for verb in VERBS.values() if verb.is_open} == set(STRANGERS_TOO)
    without = {verb.name for verb in VERBS.values() if verb.action is None}
    assert without == STRANGERS_TOO.keys() | EVERY_USER.keys() | INSIDE.keys()
    assert {verb.name for verb in VERBS.values() if verb.is_for_admins} == set(INSIDE)
    assert {name for name, handler in FORMS.items() if handler.action is None} == set(FORMS_THAT_ASK_INSIDE)


def test_every_other_command_needs_the_right_that_is_written_here() -> None:
    for action in Action:
        assert {verb.name for verb in VERBS.values() if verb.action is action} == NEEDS.get(action, set())


@pytest.mark.parametrize("held", Action)
async def test_every_command_is_refused_exactly_when_the_table_says_so(counter: Counter, held: Action) -> None:
    tried = 0
    for scope in SCOPES:
        await counter.store.grant("ada", held, scope, "o8")
        grant = Grant(scope=scope, action=held)
        for verb, service in cases():
            if verb.name in INSIDE:
                continue
            refusal = await counter.is_refused(counter.example(verb, service))
            may_not_ask = verb.name == "request" and service and not grant.gives(Action.VIEW_STATUS, scope_of(service))
            if is_allowed(verb, service, grant) and not may_not_ask:
                assert not refusal, (scope, verb.usage, service, refusal)
            elif verb.name != "request":  # that is refused when it is carried out
                assert REFUSED.match(refusal), (scope, verb.usage, service, refusal)
                is_seen = not service or grant.gives(Action.VIEW_STATUS, scope_of(service))
                assert refusal.startswith("You need `") is is_seen
            tried += 1
        await counter.store.revoke("ada", held, scope)
    assert tried == len(SCOPES) * sum(verb.name not in INSIDE for verb, _ in cases())


@pytest.mark.parametrize("name", INSIDE)
async def test_those_that_ask_inside_are_refused_without_admin_of_the_scope(counter: Counter, name: str) -> None:
    store, verb = counter.store, VERBS[name]
    for held, scope, service in itertools.product(Action, SCOPES, ("web", "shop")):
        await store.grant("ada", held, scope, "o8")
        text, grant = counter.example(verb, service), Grant(scope=scope, action=held)
        before = (await store.user("bob")).grants
        said = (await counter.run(text)).text
        assert bool(REFUSED.match(said)) is not is_allowed(verb, service, grant), (held, scope, text, said)
        if not is_allowed(verb, service, grant):
            assert (await store.user("bob")).grants == before
        if name.endswith("-request") and is_allowed(verb, service, grant):
            new = await store.request_access("bob", "slack:T1:UBOB", Action.DEPLOY, scope_of(service), "why")
            counter.ids[name, service] = new
        await store.revoke("ada", held, scope)


@pytest.mark.parametrize("held", [None, *Action])
async def test_request_is_for_every_user_and_about_what_they_see(counter: Counter, held: Action | None) -> None:
    if held:
        await counter.store.grant("ada", held, "service:web", "o8")
    sees = bool(held) and Grant(scope="service:web", action=held or Action.ADMIN).gives(
        Action.VIEW_STATUS, "service:web"
    )
    assert ("There is no service" in (await counter.run("request admin service:web -- why")).text) is not sees
    assert "There is no service" in (await counter.run("request admin service:shop -- why")).text
    assert "is made" in (await counter.run("request admin global -- why")).text


async def test_a_stranger_may_only_say_what_is_open(counter: Counter) -> None:
    for verb, service in cases():
        refusal = await counter.is_refused(counter.example(verb, service), by="slack:T1:UNOBODY")
        assert refusal.startswith("o8 does not know you yet.") is not verb.is_open, verb.usage


async def test_a_hidden_service_is_refused_in_the_words_for_none(counter: Counter) -> None:
    await counter.store.grant("ada", Action.ADMIN, "service:web", "o8")
    texts = {verb.name: counter.example(verb, service) for verb, service in cases() if service == "shop"}
    by_id = [name for name in texts if "ID" in VERBS[name].usage.split()]
    hidden = {name: await counter.desk.check(Heard(text, ADA, PLACE, "k")) for name, text in texts.items()}
    await counter.store.forget_service("shop")
    for name in by_id:
        texts[name] = texts[name].replace(str(counter.ids[name, "shop"]), "4711", 1)
    gone = {name: await counter.desk.check(Heard(text, ADA, PLACE, "k")) for name, text in texts.items()}
    for name, found in hidden.items():
        if isinstance(found, Reply):
            absent = gone[name]
            words = repr(absent).replace("4711", str(counter.ids[name, "shop"]))
            assert words == repr(found), name
    assert {name for name, found in hidden.items() if isinstance(found, Reply)} == {
        name for name in texts if VERBS[name].action is not None
    }


async def test_forms_ask_for_the_same_right_as_their_command(counter: Counter) -> None:
    for name, handler in FORMS.items():
        assert handler.action in (VERBS[name].action, None), name
        given = {"svc": "shop", "id": str(counter.ids["reject", "shop"]), "image": "ghcr.io/acme/blog"}
        wanted = inspect.signature(handler.run).parameters.keys() - {"talk"}
        fixed = {key: value for key, value in given.items() if key in wanted}
        entered = {"key": "A", "value": "1", "reason": "why", "name": "blog", "port": "80"}
        values = {key: value for key, value in entered.items() if key in wanted}
        before = await counter.store.audit()
        for rights in ([], [(Action.ADMIN, "service:web")]):
            for action, scope in rights:
                await counter.store.grant("ada", action, scope, "o8")
            said = await counter.desk.submit(name, fixed, values, ADA, PLACE)
            assert said.is_refusal and REFUSED.match(said.text), (name, said.text)
        assert await counter.store.audit() == before
        await counter.store.grant("ada", Action.ADMIN, GLOBAL, "o8")
        assert not REFUSED.match((await counter.desk.submit(name, fixed, values, ADA, PLACE)).text), name
        await counter.store.revoke("ada", Action.ADMIN, GLOBAL)
