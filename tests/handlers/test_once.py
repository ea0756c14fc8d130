"""Writes with an `Idempotency-Key`: done once, answered alike, for whoever asked; and nothing secret is kept for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlite_utils import Database

from bot.permissions import GLOBAL, Action
from handlers.api import ROUTES
from handlers.api.routing import Route
from tests.handlers.visiting import Answer, Visitor, add_user, basic, visiting
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

HOLD, CANARY = {"reason": "why"}, "canary-of-a-secret-value"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With `web`; root and ada are admins of everything."""
    async with open_house(tmp_path) as house:
        await house.add()
        for name in ("root", "ada"):
            await add_user(house, name, (Action.ADMIN, GLOBAL))
        yield house


def keyed(key: str, name: str = "root") -> dict[str, str]:
    return basic(name) | {"Idempotency-Key": key}


async def deploy(visitor: Visitor, key: str, name: str = "root", **body: Any) -> Answer:
    return await visitor.ask("POST", "/services/web/deployments", keyed(key, name), {"release": "0001"} | body)


async def number_of_deployments(house: House) -> int:
    return len(await house.services.store.deployments())


async def kept(house: House) -> list[tuple[Any, ...]]:
    def work(db: Database) -> list[tuple[Any, ...]]:
        return list(db.execute("SELECT actor, key, status, body FROM answers ORDER BY key").fetchall())

    return await house.services.store.read(work)


async def test_the_same_again_is_answered_alike_and_done_once(house: House, visitor: Visitor) -> None:
    first, again = [await deploy(visitor, "k1") for _ in range(2)]
    assert (first.status, again.status) == (202, 202) and first.body == again.body
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert first.headers["Content-Type"] == again.headers["Content-Type"]
    assert await number_of_deployments(house) == 1
    assert (await deploy(visitor, "k2")).body["id"] != first.body["id"], "another key is another wish"


async def test_without_a_key_each_one_counts(house: House, visitor: Visitor) -> None:
    for _ in range(2):
        await visitor.ask("POST", "/services/web/deployments", basic("root"), {"release": "0001"})
    assert await number_of_deployments(house) == 2 and await kept(house) == []


@pytest.mark.parametrize("other", [
    ("POST", "/services/web/deployments", {"release": "0002"}), ("POST", "/services/web/deployments", {}),
    ("PUT", "/services/web/hold", HOLD), ("DELETE", "/services/web/hold", None),
])  # fmt: skip
async def test_the_key_with_another_request_is_refused_and_nothing_is_done(
    house: House, visitor: Visitor, other: tuple[str, str, Any]
) -> None:
    await deploy(visitor, "k1")
    answer = await visitor.ask(other[0], other[1], keyed("k1"), other[2])
    assert (answer.status, answer.code) == (422, "key_reused")
    assert await number_of_deployments(house) == 1
    assert (await house.services.store.service("web")).hold is None
    assert (await deploy(visitor, "k1")).headers["Idempotency-Replayed"] == "true", "the first one still stands"


async def test_a_key_is_ones_own(house: House, visitor: Visitor) -> None:
    """Nobody gets the answer to what somebody else asked, or keeps them from asking."""
    mine, theirs = await deploy(visitor, "k1", "root"), await deploy(visitor, "k1", "ada")
    assert mine.body["id"] != theirs.body["id"] and "Idempotency-Replayed" not in theirs.headers


async def test_of_many_at_once_one_is_done(house: House, visitor: Visitor) -> None:
    answers = await asyncio.gather(*(deploy(visitor, "k1") for _ in range(20)))
    assert await number_of_deployments(house) == 1
    assert {answer.status for answer in answers} <= {202, 409}
    assert sum("Idempotency-Replayed" not in a.headers for a in answers if a.status == 202) == 1
    assert all(answer.code == "conflict" for answer in answers if answer.status == 409)


async def test_when_o8_ended_in_between_it_says_that_it_does_not_know(tmp_path: Path) -> None:
    """Killed after it began and before the answer was kept: the database is as such an end leaves it."""
    request = ("PUT", "/services/web/hold", keyed("k1"), HOLD)
    async with open_house(tmp_path) as house, visiting(house) as visitor:
        await house.add()
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        await visitor.ask(*request)
        await house.services.store.write(
            lambda db: list(db.execute("UPDATE answers SET status = NULL, body = NULL").fetchall())
        )
    async with open_house(tmp_path) as house, visiting(house) as visitor:
        await house.services.store.set_hold("web", None)
        for _ in range(2):
            answer = await visitor.ask(*request)
            assert (answer.status, answer.code) == (409, "conflict")
            assert "does not know" in answer.body["detail"]
        assert (await house.services.store.service("web")).hold is None
        assert (await visitor.ask(*request[:2], keyed("k2"), HOLD)).status == 200


async def test_o8_that_ends_while_it_is_at_work_does_not_do_it_again(tmp_path: Path) -> None:
    """Really ended: the registry does not answer, and the server is closed under the request."""
    resume = ("DELETE", "/services/web/hold", keyed("k1"))
    async with open_house(tmp_path) as house, visiting(house) as visitor:
        await house.add()
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        asked = asyncio.Event()

        async def never(image: str) -> list[str]:
            asked.set()
            await asyncio.Event().wait()
            return []

        house.registry.tags = never  # type: ignore[method-assign]
        request = asyncio.create_task(visitor.ask(*resume))
        await asked.wait()
        answer = await visitor.ask(*resume)
        assert (answer.status, answer.code) == (409, "conflict"), "at work"
        await house.doors[0].cleanup()
        with pytest.raises(aiohttp.ClientError):
            await request
    async with open_house(tmp_path) as house, visiting(house) as visitor:
        answer = await visitor.ask(*resume)
        assert (answer.status, answer.code) == (409, "conflict"), "not known"
        assert (await visitor.ask("DELETE", "/services/web/hold", keyed("k2"))).status == 200


async def test_an_answer_is_kept_over_a_restart(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, visiting(house) as visitor:
        await house.add()
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        first = await deploy(visitor, "k1")
    async with open_house(tmp_path) as house, visiting(house) as visitor:
        again = await deploy(visitor, "k1")
        assert again.body == first.body and again.headers["Idempotency-Replayed"] == "true"


async def test_a_refusal_is_not_kept(house: House, visitor: Visitor) -> None:
    for path, body, status in (
        ("/services/web/deployments", {"release": "!"}, 400), ("/services/gone/deployments", {}, 404),
        ("/services/web/deployments", {"kind": "restart"}, 409), ("/services/web/scale", {"replicas": 99}, 400),
    ):  # fmt: skip
        assert (await visitor.ask("POST", path, keyed("k1"), body)).status == status
        assert await kept(house) == []
    assert (await deploy(visitor, "k1")).status == 202, "the key may be used again"


async def test_what_fails_inside_o8_leaves_the_key_as_not_known(house: House, visitor: Visitor) -> None:
    """Something may have been done, so it is not done again unasked."""
    await house.services.store.write(lambda db: list(db.execute("ALTER TABLE audit RENAME TO elsewhere").fetchall()))
    first = await deploy(visitor, "k1")
    await house.services.store.write(lambda db: list(db.execute("ALTER TABLE elsewhere RENAME TO audit").fetchall()))
    assert first.status >= 500
    again = await deploy(visitor, "k1")
    assert (again.status, again.code) == (409, "conflict")
    assert await number_of_deployments(house) == 1, "it was asked for, and not recorded who did"


async def test_a_right_that_was_taken_is_asked_for_again(house: House, visitor: Visitor) -> None:
    await deploy(visitor, "k1", "ada")
    await house.services.store.revoke("ada", Action.ADMIN, GLOBAL)
    assert (await deploy(visitor, "k1", "ada")).status == 404


@pytest.mark.parametrize("key", ["", " ", '""', "a b", "ä", "x" * 256, "\t"])
async def test_what_is_no_key_is_refused(house: House, visitor: Visitor, key: str) -> None:
    answer = await deploy(visitor, key)
    assert (answer.status, answer.code) == (400, "invalid_input")
    assert await number_of_deployments(house) == 0


async def test_a_key_in_quotes_is_the_same_key(house: House, visitor: Visitor) -> None:
    """The draft writes it as a string of structured fields; most programs send it bare."""
    assert (await deploy(visitor, '"k1"')).body == (await deploy(visitor, "k1")).body
    assert await number_of_deployments(house) == 1


async def test_a_question_needs_no_key_and_keeps_nothing(house: House, visitor: Visitor) -> None:
    for _ in range(2):
        assert "Idempotency-Replayed" not in (await visitor.ask("GET", "/services", keyed("k1"))).headers
    assert await kept(house) == []


async def test_after_a_day_it_is_forgotten(house: House, visitor: Visitor) -> None:
    await deploy(visitor, "k1")
    await house.services.store.write(
        lambda db: list(db.execute("UPDATE answers SET created_at = '2020-01-01T00:00:00.000+00:00'").fetchall())
    )
    assert "Idempotency-Replayed" not in (await deploy(visitor, "k1")).headers
    assert await number_of_deployments(house) == 2


# -- what is kept


SECRET = {("POST", "/tokens"), ("PUT", "/users/{name}/password"), ("POST", "/slack/code")}


def test_the_calls_whose_answer_or_body_is_secret_keep_nothing() -> None:
    def name(route: Route) -> tuple[str, str]:
        return route.method, route.path

    # An import is done over the socket alone, and is no wish that could come twice.
    assert {name(route) for route in ROUTES if not route.is_kept} - {("POST", "/import")} == SECRET


async def test_a_secret_is_answered_anew_each_time_and_never_kept(house: House, visitor: Visitor) -> None:
    made = [await visitor.ask("POST", "/tokens", keyed("k1"), {"name": "ci"}) for _ in range(2)]
    assert made[0].body["secret"] != made[1].body["secret"]
    codes = [(await visitor.ask("POST", "/slack/code", keyed("k1"))).body["code"] for _ in range(2)]
    assert codes[0] != codes[1]
    assert await kept(house) == []


async def test_no_body_and_no_secret_is_in_the_bytes_of_the_database(house: House, visitor: Visitor) -> None:
    password = f"{CANARY}-p"
    calls: list[tuple[str, str, Any]] = [
        ("PUT", "/services/web/environment", {"content": f"TOKEN={CANARY}-1\n# {CANARY}-2\n"}),
        ("PATCH", "/services/web/environment", {"set": {"OTHER": f"{CANARY}-3"}}),
        ("POST", "/users", {"username": "bob", "password": password}),
        ("PUT", "/users/bob/password", {"password": f"{CANARY}-4", "current": f"{CANARY}-5"}),
        ("POST", "/tokens", {"name": "ci"}), ("POST", "/slack/code", None),
    ]  # fmt: skip
    found = [await visitor.ask(method, path, keyed(f"k{n}"), body) for n, (method, path, body) in enumerate(calls)]
    assert [answer.status for answer in found] == [200, 200, 201, 200, 201, 200]
    assert len(await kept(house)) == 3
    secrets = [CANARY, password, found[4].body["secret"], found[5].body["code"]]
    data = b"".join(path.read_bytes() for path in house.folder.iterdir() if path.name.startswith("o8.sqlite"))
    assert b"OTHER" in data and b"k0" in data
    assert not [secret for secret in secrets if secret.encode() in data]


async def test_a_bypass_of_the_kept_fingerprint_by_another_spelling_is_another_request(
    house: House, visitor: Visitor
) -> None:
    """Bytes are compared, so a reordered body is refused rather than taken for the same."""
    ask = ("POST", "/services/web/deployments", keyed("k1"))
    await visitor.ask(*ask, data=b'{"release": "0001", "reason": "x"}')
    assert (await visitor.ask(*ask, data=b'{"reason": "x", "release": "0001"}')).status == 422
