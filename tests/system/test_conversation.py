"""A release as the channel sees it, over real HTTP from the push to the buttons; and what it takes to be obeyed."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from lab.demo.commands import run
from lab.house import House, house
from lab.slack import FakeSlack, SlackDriver, SlackMessage, SlackView, fake_slack, screen
from lab.tenant import Tenant
from lab.waiting import until
from tests.system.conftest import move_in

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
CHANNEL = "deployments"
_names = itertools.count(1)


@dataclass
class Office:
    """A house with a Slack workspace; `root` is admin of everything in it."""

    home: House
    slack: FakeSlack
    driver: SlackDriver
    root: str

    async def somebody(self) -> str:
        """A person with an account in Slack and no right at all."""
        return self.slack.add_user(f"person{next(_names)}")

    async def says(self, user: str, text: str) -> str:
        """What a slash command is answered, as text that only this person sees."""
        before = len(self.slack.ephemerals(user))
        answer = await self.driver.command(user, "/o8", text, channel=CHANNEL)
        assert answer.status == 200
        if answer.body:
            return screen.as_text(answer.message)

        async def look() -> list[SlackMessage]:
            return self.slack.ephemerals(user)[before:]

        return "\n".join(screen.as_text(one) for one in await until(look))

    async def card(self, service: str, *words: str) -> SlackMessage:
        """The newest card of `service`, once it holds all of `words`."""

        async def look() -> SlackMessage | None:
            cards = [m for m in self.slack.messages(CHANNEL) if not m.thread_ts and service in m.text]
            text = screen.as_text(cards[-1]) if cards else ""
            return cards[-1] if cards and all(word in text for word in words) else None

        found = await until(look, 20)
        assert found is not None
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office() -> AsyncIterator[Office]:
    async with fake_slack() as slack, house(None, **slack.environ) as home:
        slack.add_channel(CHANNEL)
        await home.start()
        root = slack.add_user("root")
        await run(home.data, "slack", "admin", root, "--as", "root", "--team", slack.team)
        yield Office(home, slack, SlackDriver(slack, f"http://127.0.0.1:{home.port}"), root)


async def test_a_push_is_told_on_one_card_from_queue_to_live(office: Office) -> None:
    web = await move_in(office.home)
    await web.house.ended(await web.push("0002"))
    card = await office.card(web.name, f"{web.name} 0002 is live")
    cards = [m for m in office.slack.messages(CHANNEL) if not m.thread_ts and f"{web.name} 0002" in m.text]
    assert [m.ts for m in cards] == [card.ts]

    async def thread() -> list[SlackMessage]:
        return office.slack.thread(CHANNEL, card.ts)

    assert "switching" in "\n".join(screen.as_text(one) for one in await until(thread))


async def test_a_rollback_from_slack_sets_a_hold_and_its_card_offers_to_resume(office: Office) -> None:
    web, ada = await _with_two_releases(office), await office.somebody()
    await office.says(office.root, f"grant <@{ada}> deploy service:{web.name}")
    assert "Roll back" in await office.says(ada, f"rollback {web.name}")
    await office.says(ada, f"rollback {web.name} 0001 --yes")
    card = await office.card(web.name, f"{web.name} 0001 is live")
    assert f"<@{ada}>" in screen.as_text(card)
    assert (await web.shown())["hold"]
    assert await web.version() == "0001"


async def test_who_may_not_is_told_what_is_missing_and_who_can_grant_it(office: Office) -> None:
    web, bob = await _with_two_releases(office), await office.somebody()
    await office.says(office.root, f"grant <@{bob}> view_status service:{web.name}")
    refusal = await office.says(bob, f"rollback {web.name} --yes")
    assert "deploy" in refusal and f"service:{web.name}" in refusal and "root" in refusal
    assert await web.version() == "0002"


async def test_a_wish_for_a_right_is_granted_by_a_button_and_then_works(office: Office) -> None:
    web, bob = await _with_two_releases(office), await office.somebody()
    await office.says(office.root, f"grant <@{bob}> view_status service:{web.name}")
    await office.says(bob, f"request deploy service:{web.name} -- on call tonight")
    card = await office.card(web.name, "on call tonight")
    await office.driver.click(bob, card, label="Grant")
    assert "deploy" in await office.says(bob, f"rollback {web.name} --yes")  # nobody grants to themselves
    assert await web.version() == "0002"
    await office.driver.click(office.root, card, label="Grant")
    await office.card(web.name, "granted")
    await office.says(bob, f"rollback {web.name} --yes")
    await office.card(web.name, f"{web.name} 0001 is live")
    assert await web.version() == "0001"


async def test_what_was_revoked_between_asking_and_running_is_refused(office: Office) -> None:
    web, eve = await _with_two_releases(office), await office.somebody()
    await office.says(office.root, f"grant <@{eve}> deploy service:{web.name}")
    slow = await web.push("0003", "listens_after=3")  # in front of eve's in the queue
    await office.says(eve, f"restart {web.name} -- because")
    asked = (await web.newest())["id"]
    assert asked > slow
    await office.says(office.root, f"revoke <@{eve}> deploy service:{web.name}")
    ended = await office.home.ended(asked)
    assert ended["state"] == "cancelled"
    assert "may not" in ended["error"]
    await office.card(web.name, "may not")


async def test_a_stranger_learns_nothing_and_is_told_how_to_be_let_in(office: Office) -> None:
    web, stranger = await move_in(office.home), await office.somebody()
    answer = await office.says(stranger, f"status {web.name}")
    assert "does not know you" in answer
    assert "0001" not in answer


async def test_a_value_given_in_the_form_is_seen_by_the_container_and_nobody_else(office: Office) -> None:
    web, secret = await move_in(office.home), "canary-7f3a91"
    await office.driver.command(office.root, "/o8", f"env set {web.name} TOKEN", channel=CHANNEL)

    async def view() -> list[SlackView]:
        return [view for view in office.slack.views if view.user == office.root]

    await office.driver.submit(office.root, (await until(view))[-1], {"value": secret})
    await web.house.ended((await _newest(web, "configure"))["id"])
    assert f"TOKEN={secret}" in await web.variables()
    received = b"".join(office.slack.bodies)
    stored = b"".join(path.read_bytes() for path in office.home.data.glob("o8.sqlite*"))
    for place in (received, stored, office.home.log().encode()):
        assert secret.encode() not in place


async def _newest(web: Tenant, kind: str) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        found = await web.newest()
        return found if found["kind"] == kind else {}

    return await until(look)


async def _with_two_releases(office: Office) -> Tenant:
    web = await move_in(office.home)
    await web.house.ended(await web.push("0002"))
    return web
