"""The App Home: within Slack's limits for anybody, and only what they may see and do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.configuration import read
from bot.models import Hold, Kind, Lock, Wanted
from bot.permissions import Action
from handlers.chatops import grammar
from handlers.chatops import verbs as verbs  # fills the registry
from handlers.slack.home import home_of
from lab.slack import screen
from lab.slack.limits import check_view
from tests.slack.test_text import pings
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

ADA, BOB, EVE = (f"slack:T1:U0{name}" for name in ("ADA", "BOB", "EVE"))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """`ada` may deploy web, `bob` is admin of everything, `eve` has no right; nobody else is known."""
    async with open_house(tmp_path) as house:
        store = house.services.store
        for name in ("web", "shop"):
            await house.add(name, image=f"ghcr.io/acme/{name}")
        await store.grant_slack("T1", "U0ADA", "ada", Action.DEPLOY, "service:web", "o8")
        await store.grant_slack("T1", "U0BOB", "bob", Action.ADMIN, "global", "o8")
        await store.grant_slack("T1", "U0EVE", "eve", Action.DEPLOY, "service:web", "o8")
        await store.revoke("eve", Action.DEPLOY, "service:web")
        yield house


async def seen(house: House, actor: str) -> str:
    """What somebody sees, once it is sure that Slack takes it."""
    view = await home_of(house.services, actor)
    assert check_view(view) == []
    found = list(screen.buttons(view["blocks"]))
    assert len({button["action_id"] for button in found}) == len(found)
    for button in found:
        grammar.parse(button["value"])
    assert pings(str([block.get("text", "") for block in view["blocks"]])) == []
    return screen.as_text({"blocks": view["blocks"]})


def lock(actor: str, reason: str) -> Lock:
    now = datetime.now(UTC)
    return Lock(reason=reason, actor=actor, since=now, until=now + timedelta(hours=2))


async def wish(house: House, actor: str, name: str = "web", **more: Any) -> None:
    wanted = Wanted(service=name, kind=Kind.DEPLOY, actor=actor, tag="0002", needs_approval=True, **more)
    await house.services.store.want(wanted)


async def test_a_stranger_is_told_how_to_be_let_in_and_nothing_else(house: House) -> None:
    shown = await seen(house, "slack:T1:U0NOBODY")
    assert "`/o8 hello CODE`" in shown
    assert "web" not in shown and "[" not in shown


async def test_who_has_no_right_sees_no_service_and_how_to_ask(house: House) -> None:
    shown = await seen(house, EVE)
    assert "`/o8 request" in shown
    assert "web" not in shown and "shop" not in shown


async def test_only_ones_own_services_are_there(house: House) -> None:
    shown = await seen(house, ADA)
    assert "web never deployed" in shown and "shop" not in shown
    assert "[Deploy\u2026]" in shown and "[Open]" in shown
    assert "deploy  service:web" in shown
    assert "shop never deployed" in await seen(house, BOB)


async def test_who_may_only_look_is_offered_no_deployment(house: House) -> None:
    await house.services.store.grant_slack("T1", "U0EVE", "eve", Action.VIEW_STATUS, "service:web", "o8")
    shown = await seen(house, EVE)
    assert "web never deployed" in shown and "Deploy" not in shown


async def test_what_waits_is_shown_to_who_may_let_it_run_but_never_ones_own(house: House) -> None:
    await wish(house, ADA, reason="fixes *the* login <!channel>")
    theirs, own, nobody = await seen(house, BOB), await seen(house, ADA), await seen(house, EVE)
    assert "web 0002 by ada, waits for" in theirs and "[Approve] [Reject]" in theirs
    assert "Approve" not in own
    assert "Approve" not in nobody and "0002" not in nobody


async def test_hold_and_lock_are_marked_and_ones_own_locks_listed(house: House) -> None:
    store = house.services.store
    await store.set_lock("web", lock(ADA, "moving `the` database"))
    await store.set_hold("web", Hold(reason="because", actor="cli:root", since=datetime.now(UTC)))
    shown = await seen(house, ADA)
    assert "web never deployed \u00b7 on hold \u00b7 locked" in shown
    assert "Your locks" in shown and "moving `the` database" in shown
    assert "Your locks" not in await seen(house, BOB)


async def test_two_hundred_services_and_rights_and_approvals_stay_within_the_limits(house: House) -> None:
    store = house.services.store
    for number in range(200):
        name = f"service-{number:03d}-{'x' * 40}"
        await store.apply(read({"name": name, "image": "ghcr.io/acme/web", "port": 80}), 300)
        if number < 60:
            await store.grant_slack("T1", "U0BOB", "bob", Action.DEPLOY, f"service:{name}", "o8")
            await wish(house, ADA, name, reason="_why_ " * 300)
            await store.set_lock(name, lock(BOB, "r" * 200))
    shown = await seen(house, BOB)
    assert "And 172 more: `/o8 status NAME`." in shown
    assert "And 50 more: `/o8 queue`." in shown
    assert "And more: `/o8 locks`." in shown and "And more: `/o8 whoami`." in shown
    assert "may     in" in shown  # the heading, too
    assert shown.count("[Approve]") == 10
