"""Names and passwords: guesses that are slowed down, what nobody learns, old hashes, what a new password ends."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import argon2
import pytest

from bot import logins
from bot.errors import Conflict, InvalidInput, LoginRefused, TooManyTries
from bot.logins import Failures, Logins
from bot.passwords import Passwords
from bot.permissions import GLOBAL, Action
from bot.store import Store
from lab.waiting import until
from tests.handlers.visiting import PASSWORD, Visitor, add_user, basic, bearer, session, visiting
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

WRONG, NEW = "a wrong password", "a new one of mine"
ORIGINALS = {  # what other programs make with the same password
    "bun": argon2.PasswordHasher(time_cost=2, memory_cost=65536, parallelism=1),
    "argon2 of python": argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4),
    "argon2i": argon2.PasswordHasher(type=argon2.Type.I), "argon2d": argon2.PasswordHasher(type=argon2.Type.D),
    "weak": argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1, hash_len=16, salt_len=8),
}  # fmt: skip


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "o8.sqlite")
    yield store
    await store.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With ada and bob, who may see everything."""
    async with open_house(tmp_path) as house:
        for name in ("ada", "bob"):
            await add_user(house, name, (Action.VIEW_STATUS, GLOBAL))
        yield house


@pytest.fixture
async def visitor(house: House) -> AsyncIterator[Visitor]:
    async with visiting(house) as visitor:
        yield visitor


def at(address: str) -> dict[str, str]:
    """As nginx says where a caller is."""
    return {"X-Forwarded-For": address}


async def wrong(visitor: Visitor, name: str, address: str, times: int = 1) -> list[int]:
    """Answers to wrong passwords, sent at once."""
    tries = (visitor.status(basic(name, f"{WRONG} {n}") | at(address)) for n in range(times))
    return list(await asyncio.gather(*tries))


# -- guessing


async def test_after_five_wrong_ones_even_the_right_one_has_to_wait(visitor: Visitor) -> None:
    for _ in range(5):
        assert await wrong(visitor, "ada", "192.0.2.1") == [401]
    answer = await visitor.ask("GET", "/me", basic("ADA") | at("192.0.2.1"))
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "too_many_tries", "1")
    for name, address in (("ada", "192.0.2.2"), ("bob", "192.0.2.1")):
        assert await visitor.status(basic(name) | at(address)) == 200


async def test_who_waits_is_let_in_and_may_err_again(visitor: Visitor) -> None:
    await wrong(visitor, "ada", "192.0.2.1", 5)
    assert await visitor.status(basic("ada") | at("192.0.2.1")) == 429

    async def is_let_in() -> bool:
        return await visitor.status(basic("ada") | at("192.0.2.1")) == 200

    await until(is_let_in, 30)
    assert await wrong(visitor, "ada", "192.0.2.1", 4) == [401] * 4
    assert await visitor.status(basic("ada") | at("192.0.2.1")) == 200


async def test_guesses_at_once_are_slowed_as_those_one_after_another(visitor: Visitor) -> None:
    answers = await wrong(visitor, "ada", "192.0.2.1", 60)
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 6


async def test_an_address_that_tries_many_names_is_slowed_for_every_name(visitor: Visitor) -> None:
    tries = (wrong(visitor, f"name{n}", "192.0.2.1") for n in range(60))
    answers = [status for found in await asyncio.gather(*tries) for status in found]
    assert 30 <= answers.count(401) <= 31
    assert await visitor.status(basic("ada") | at("192.0.2.1")) == 429
    assert await visitor.status(basic("ada") | at("192.0.2.2")) == 200


@pytest.mark.parametrize("known_s", [60.0, 0.0])
async def test_who_was_right_before_is_not_stopped_by_neighbours(
    visitor: Visitor, known_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as everybody behind one router, where a program with an old password tries again and again."""
    monkeypatch.setattr(logins, "KNOWN_S", known_s)
    assert await visitor.status(basic("ada") | at("192.0.2.1")) == 200
    await asyncio.gather(*(wrong(visitor, f"name{n}", "192.0.2.1") for n in range(40)))
    assert await visitor.status(basic("bob") | at("192.0.2.1")) == 429
    assert await visitor.status(basic("ada") | at("192.0.2.1")) == 200
    assert (await wrong(visitor, "ada", "192.0.2.1", 6)).count(401) >= 5
    assert await visitor.status(basic("ada") | at("192.0.2.1")) == 429, "their own name is another matter"


async def test_a_name_that_is_tried_from_everywhere_is_slowed_but_never_for_long(house: House) -> None:
    tries = (house.services.logins.check("ada", f"{WRONG} {n}", f"192.0.2.{n}") for n in range(120))
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert 100 <= sum(isinstance(each, LoginRefused) for each in answers) <= 101
    pauses = [each.retry_after for each in answers if isinstance(each, TooManyTries)]
    assert pauses and max(pauses) <= 2


async def test_a_wrong_current_password_counts_as_a_guess(house: House, visitor: Visitor) -> None:
    _, writes = await session(house, "ada")
    wanted = {"password": NEW, "current": WRONG}
    answers = [(await visitor.ask("PUT", "/users/ada/password", writes, wanted)).status for _ in range(6)]
    assert answers == [401] * 5 + [429]


async def test_a_token_is_not_slowed_by_wrong_passwords_and_a_wrong_one_slows_nobody(
    house: House, visitor: Visitor
) -> None:
    """A token is 256 random bits: nobody guesses it."""
    _, secret = await house.services.store.add_token("ada", "a test", None, None)
    await wrong(visitor, "ada", "192.0.2.1", 6)
    assert await visitor.status(bearer(secret) | at("192.0.2.1")) == 200
    await asyncio.gather(*(visitor.status(bearer("o8_x") | at("192.0.2.9")) for _ in range(40)))
    assert await visitor.status(basic("ada") | at("192.0.2.9")) == 200


def test_pauses_double_up_to_the_longest_and_the_memory_of_them_is_bounded() -> None:
    failures = Failures(2, 60)
    pauses = []
    for _ in range(2000):
        failures.note("ada")
        pauses.append(round(failures.pause("ada")))
    assert pauses[:9] == [0, 1, 2, 4, 8, 16, 32, 60, 60] and pauses[-1] == 60
    failures.forget("ada")
    assert failures.pause("ada") == 0
    for n in range(20_000):
        failures.note(f"name{n}")
    assert len(failures._seen) <= 10_000


async def test_what_is_remembered_of_a_wrong_name_is_short(house: House, visitor: Visitor) -> None:
    await add_user(house, "a" * 63)
    for name in ("x" * 1_000_000, "İ" * 64, "a" * 63 + "x" * 10_000):
        answer = await visitor.ask("POST", "/../ui/login", data={"username": name, "password": PASSWORD})
        assert answer.status == 401
    assert await visitor.status(basic("a" * 63)) == 200
    keys = [key for failures in house.services.logins._failures.values() for key in failures._seen]
    assert len(keys) == 7 and max(map(len, keys)) < 200


# -- what nobody learns


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    begin = time.perf_counter()
    await work()
    return time.perf_counter() - begin


async def medians(measured: dict[str, Callable[[], Awaitable[object]]], times: int) -> dict[str, float]:
    """Seconds that each takes, measured in turns."""
    found: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(times):
        for name, work in measured.items():
            found[name].append(await seconds(work))
    return {name: statistics.median(each) for name, each in found.items()}


async def test_the_time_of_a_refusal_does_not_tell_whether_a_name_exists(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a least time that the work fits into on a busy machine, too."""
    monkeypatch.setattr(logins, "REFUSED_AFTER_S", 4.0)
    store, check = house.services.store, house.services.logins.check
    await house.services.logins.first_password()
    await store.add_user("legacy", ORIGINALS["bun"].hash(PASSWORD))
    await store.add_user("slack-only")
    await add_user(house, "gone")
    await store.write(lambda db: db.execute("UPDATE users SET is_active = 0 WHERE username = 'gone'"))

    async def refused(name: str) -> None:
        with pytest.raises(LoginRefused):
            await check(name, WRONG, f"192.0.2.{next(numbers)}")

    numbers = iter(range(10_000))
    names = ("ada", "nobody", "legacy", "slack-only", "gone", "admin", "x" * 1000, "")
    times = await asyncio.gather(*(seconds(lambda name=name: refused(name)) for name in names))  # type: ignore[misc]
    assert min(times) >= 3.99 and max(times) < 8, dict(zip(names, times, strict=True))


async def test_that_measurement_can_fail() -> None:
    """The control: without the least time of a refusal, a hash of the original tells that its user exists."""
    words, old = Passwords(), ORIGINALS["bun"].hash(PASSWORD)
    hashes: dict[str, str | None] = {"legacy": old, "nobody": None}
    times = await medians({n: lambda h=h: words.verify(h, WRONG) for n, h in hashes.items()}, 5)  # type: ignore[misc]
    words.close()
    assert times["legacy"] / times["nobody"] > 2, times


async def test_refusals_are_the_same_for_every_reason(house: House, visitor: Visitor) -> None:
    await house.services.store.add_user("slack-only")
    answers = [await visitor.ask("GET", "/me", basic(n, WRONG)) for n in ("ada", "nobody", "slack-only", "admin", "")]
    assert len({(a.status, str(a.body), a.headers["WWW-Authenticate"]) for a in answers}) == 1


async def test_no_secret_is_in_the_database(house: House) -> None:
    await house.services.logins.set_password("ada", NEW)
    _, cookie = await house.services.logins.open_session("ada", NEW, "192.0.2.1", "a browser")
    _, token = await house.services.store.add_token("ada", "a test", None, None)
    made = await house.services.logins.first_password()
    files = [path.read_bytes() for path in house.folder.iterdir() if path.name.startswith("o8.sqlite")]
    assert any(b"$argon2id$" in data for data in files)
    assert not [s for s in (NEW, PASSWORD, cookie, token, made) for data in files if s.encode() in data]


# -- hashes of the original


@pytest.mark.parametrize("maker", ORIGINALS)
async def test_a_hash_of_another_program_lets_in_and_is_made_anew(house: House, maker: str) -> None:
    store, check = house.services.store, house.services.logins.check
    old = ORIGINALS[maker].hash("short")  # shorter than o8 would take for a new one
    await store.add_user("grace", old)
    with pytest.raises(LoginRefused):
        await check("grace", WRONG, "192.0.2.1")
    assert await store.password_hash("grace") == old
    _, cookie = await store.open_session("grace", "a test")
    assert await check("grace", "short", "192.0.2.1") == "grace"
    new = await store.password_hash("grace")
    assert new != old and new and new.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await store.session_of(cookie), "the password is the same"
    assert await check("grace", "short", "192.0.2.1") == "grace"
    assert await store.password_hash("grace") == new


@pytest.mark.parametrize("hash", ["x", "$argon2id$", "$2b$12$" + "x" * 53, "$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA", " "])
async def test_a_hash_that_nobody_can_read_lets_nobody_in(house: House, hash: str) -> None:
    await house.services.store.add_user("grace", hash)
    with pytest.raises(LoginRefused):
        await house.services.logins.check("grace", "", "192.0.2.1")


# -- a new password while another is at work


class Held(Passwords):
    """Verifies when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.goes_on = asyncio.Event(), asyncio.Event()

    async def verify(self, hash: str | None, password: str) -> bool:
        self.has_begun.set()
        await self.goes_on.wait()
        return await super().verify(hash, password)


async def meanwhile(store: Store, work: Callable[[Logins], Awaitable[object]], change: Awaitable[object]) -> object:
    """What `work` returned or raised, when `change` was made while it looked at a password."""
    words = Held()
    task = asyncio.ensure_future(work(Logins(store, words, "admin", "")))
    await words.has_begun.wait()
    await change
    words.goes_on.set()
    (found,) = await asyncio.gather(task, return_exceptions=True)
    words.close()
    return found


async def test_an_old_password_is_not_brought_back_by_a_login_that_was_under_way(store: Store) -> None:
    await store.add_user("grace", ORIGINALS["bun"].hash(PASSWORD))
    new = ORIGINALS["weak"].hash(NEW)
    await meanwhile(store, lambda it: it.check("grace", PASSWORD, "1"), store.set_password_hash("grace", new))
    assert await store.password_hash("grace") == new


async def test_a_login_with_the_old_password_that_was_under_way_opens_no_session(store: Store) -> None:
    await store.add_user("grace", ORIGINALS["weak"].hash(PASSWORD))
    new = ORIGINALS["weak"].hash(NEW)
    found = await meanwhile(
        store, lambda it: it.open_session("grace", PASSWORD, "1", "x"), store.set_password_hash("grace", new)
    )
    assert isinstance(found, LoginRefused)
    assert await store.sessions("grace") == ()


async def test_who_is_removed_while_they_log_in_gets_no_session(store: Store) -> None:
    await store.add_user("grace", ORIGINALS["weak"].hash(PASSWORD))
    found = await meanwhile(store, lambda it: it.open_session("grace", PASSWORD, "1", "x"), store.remove_user("grace"))
    assert isinstance(found, LoginRefused)
    assert await store.sessions("grace") == ()


# -- the admin of the settings


async def started(store: Store, password: str = "") -> tuple[Logins, str]:
    """As at a start of o8; also the password that was made and told."""
    found = Logins(store, Passwords(), "admin", password)
    return found, await found.first_password()


async def test_the_first_password_is_made_once_and_works_after_a_restart(store: Store) -> None:
    first, made = await started(store)
    assert len(made) == 20
    again, none = await started(store)
    assert none == ""
    for each in (first, again):
        assert await each.check("Admin", made, "1") == "admin"
        with pytest.raises(LoginRefused):
            await each.check("admin", "", "1")


async def test_the_setting_wins_over_a_password_that_was_made(store: Store) -> None:
    _, made = await started(store)
    with_setting, none = await started(store, "the password of the setting")
    assert none == ""
    assert await with_setting.check("admin", "the password of the setting", "1") == "admin"
    with pytest.raises(LoginRefused):
        await with_setting.check("admin", made, "1")
    with pytest.raises(Conflict, match="AUTH_PASSWORD"):
        await with_setting.set_password("admin", NEW)
    without, _ = await started(store)
    assert await without.check("admin", made, "1") == "admin"


@pytest.mark.parametrize(("before", "after", "is_over"), [
    (PASSWORD, PASSWORD, False), (PASSWORD, NEW, True), (PASSWORD, "", True), ("", NEW, True), ("", "", False),
])  # fmt: skip
async def test_another_password_in_the_settings_ends_the_admins_sessions(
    store: Store, before: str, after: str, is_over: bool
) -> None:
    _, made = await started(store, before)
    logins, _ = await started(store, before)
    _, cookie = await logins.open_session("admin", before or made, "1", "a browser")
    await started(store, after)
    assert (await store.session_of(cookie) is None) is is_over


async def test_who_was_logged_in_before_does_not_become_admin_by_a_new_setting(store: Store) -> None:
    await started(store)
    await store.add_user("ada")
    _, cookie = await store.open_session("ada", "a test")
    _, secret = await store.add_token("ada", "a test", None, None)
    again, _ = await started(store)
    assert await store.session_of(cookie) and await store.token_of(secret)
    ada = Logins(store, Passwords(), "ada", "the password of the setting")
    await ada.first_password()
    assert await store.session_of(cookie) is None and await store.token_of(secret) is None
    _, cookie = await ada.open_session("ada", "the password of the setting", "1", "x")
    await ada.first_password()
    assert await store.session_of(cookie)
    for each in (again, ada):
        each.close()


async def test_the_admin_sets_a_password_in_place_of_the_one_that_was_made(house: House, visitor: Visitor) -> None:
    made = await house.services.logins.first_password()
    reads, writes = await session(house, "admin")
    wanted = {"password": NEW, "current": made}
    assert (await visitor.ask("PUT", "/users/admin/password", writes, wanted)).status == 200
    assert [await visitor.status(way) for way in (reads, basic("admin", made), basic("admin", NEW))] == [401, 401, 200]
    assert await house.services.logins.first_password() == ""


async def test_nobody_else_is_called_like_the_admin(house: House, visitor: Visitor) -> None:
    """Else they would be one person, and what ends one's logins would end the other's."""
    made = await house.services.logins.first_password()
    answer = await visitor.ask("POST", "/users", basic("admin", made), {"username": "admin"})
    assert (answer.status, answer.code) == (409, "conflict")
    body = {"slack_user": "U123", "team": "T12", "username": "admin"}
    assert (await visitor.ask("POST", "/slack/admins", basic("admin", made), body)).body["username"] == "admin-slack"
    code = await house.services.authority.new_code()
    assert await house.services.authority.redeem_code(code, "T12", "U124", "admin")
    names = [user.username for user in await house.services.store.users()]
    assert names == ["ada", "admin-slack", "admin-slack-u124", "bob"]


@pytest.mark.parametrize("password", ["", "x" * 9, "x" * 1025])
async def test_a_password_too_short_or_too_long_is_not_set(house: House, password: str) -> None:
    with pytest.raises(InvalidInput):
        await house.services.logins.set_password("ada", password)
    assert await house.services.logins.check("ada", PASSWORD, "1") == "ada"


async def test_a_setting_may_be_as_long_as_it_likes(store: Store) -> None:
    logins, _ = await started(store, "x" * 2000)
    assert await logins.check("admin", "x" * 2000, "1") == "admin"
    with pytest.raises(LoginRefused):
        await logins.check("admin", "x" * 1024, "1")
