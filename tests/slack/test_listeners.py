"""What people do in Slack, end to end: command, mention, thread, direct message, button, form, menu, App Home."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.chat import Place
from bot.errors import NotFound
from bot.models import Kind, State, Wanted
from bot.notifiers.slack.client import Posted
from handlers.chatops.reply import Reply
from handlers.slack import following
from handlers.slack.following import Following
from lab.slack import screen
from lab.slack.limits import check_message, check_view
from lab.waiting import until
from tests.slack.conftest import Office

pytestmark = pytest.mark.slow

TEXTS = (
    ",help,help deploy,status,status web,whoami,queue,locks,access,audit,config web,env web,releases web,available,"
    "nonsense,deploy,status nope"
)


async def test_a_stranger_is_told_how_to_be_let_in(office: Office) -> None:
    told = await office.says(office.somebody(), "status web")
    assert "does not know you" in told
    assert "grant @you" in told


async def test_people_of_another_workspace_are_refused(office: Office) -> None:
    stranger = office.somebody("visitor", team="T0OTHER")
    assert "own workspace" in await office.says(stranger, "status web")
    assert "own workspace" in await office.says(stranger, "help")


async def test_somebody_who_left_slack_is_refused_at_once_and_known_again_when_back(office: Office) -> None:
    async def account(is_deleted: bool) -> None:
        user = {"id": office.ada, "team_id": office.slack.team, "deleted": is_deleted}
        await office.driver.event({"type": "user_change", "user": user})

    async def may() -> bool:
        return "does not know" not in await office.says(office.ada, "whoami")

    async def may_not() -> bool:
        return not await may()

    assert await may()
    await account(is_deleted=True)
    await until(may_not)
    await account(is_deleted=False)
    await until(may)


async def test_a_mention_in_a_channel_is_answered_to_who_asked_alone(office: Office) -> None:
    await office.driver.mention(office.ada, "deployments", "status web")
    assert "never been deployed" in await office.told(office.ada)
    assert not [m for m in office.slack.messages("deployments") if m.user == office.slack.bot_user]


async def test_in_the_thread_of_a_card_the_service_need_not_be_named(office: Office) -> None:
    await office.says(office.root, "deploy web 0005")
    card = await office.card("web 0005")

    async def is_known() -> bool:
        return await office.app.services.store.card_at(card.channel, card.ts) is not None

    await until(is_known)
    before = len(office.slack.ephemerals(office.ada))
    await office.driver.mention(office.ada, "deployments", "lock --for 1h -- looking into it", card.ts)
    assert "web is locked until" in await office.told(office.ada, before)
    assert office.slack.ephemerals(office.ada)[-1].thread_ts == card.ts


async def test_a_direct_message_needs_no_slash(office: Office) -> None:
    await office.driver.direct(office.ada, "status web")
    assert "never been deployed" in await office.told(office.ada)


@pytest.mark.parametrize(
    "more", [{"bot_id": "B1"}, {"subtype": "message_changed"}, {"user": "U0BOT"}, {"channel_type": "channel"}]
)
async def test_what_bots_say_edits_and_channel_talk_are_not_commands(office: Office, more: dict[str, str]) -> None:
    channel = office.slack.direct(office.ada).id
    event = {"type": "message", "channel_type": "im", "user": office.ada, "text": "lock web -- x", "channel": channel}
    assert (await office.driver.event(event | {"ts": "1.1"} | more, office.ada)).status == 200
    assert "web is not locked." in await office.says(office.ada, "unlock web")


async def test_a_button_is_the_same_as_its_command_and_asks_for_the_same_right(office: Office) -> None:
    await office.says(office.root, "deploy shop 0001")
    card = await office.card("shop 0001")
    await office.driver.click(office.ada, card, "Cancel")
    assert "There is no deployment" in await office.told(office.ada) or "no service" in await office.told(office.ada)
    await office.driver.click(office.root, card, "Cancel")
    await office.card("shop 0001", "was cancelled")


async def test_an_approval_needs_a_second_person(office: Office) -> None:
    await office.says(office.root, "config web auto_deploy=approve")
    await office.says(office.ada, "deploy web 0007")
    card = await office.card("web 0007", "waits for approval")
    before = len(office.slack.ephemerals(office.ada))
    await office.driver.click(office.ada, card, "Approve")
    assert "your own" in await office.told(office.ada, before)
    await office.driver.click(office.root, card, "Approve")
    assert "approved by" in screen.as_text(await office.card("web 0007", "is queued", "approved by"))


async def test_a_rejection_asks_why_in_a_form_and_the_card_says_it(office: Office) -> None:
    await office.says(office.root, "config web auto_deploy=approve")
    await office.says(office.ada, "deploy web 0008")
    await office.driver.click(office.root, await office.card("web 0008", "waits"), "Reject")
    await office.driver.submit(office.root, await office.view(office.root), {"reason": "not before the fair"})
    await office.card("web 0008", "was cancelled", "not before the fair")


async def test_a_form_sets_a_value_that_is_in_no_message(office: Office) -> None:
    await office.driver.command(office.root, "/o8", "env set web")
    view = await office.view(office.root)
    assert check_view(view.view) == []
    await office.driver.submit(office.root, view, {"key": "TOKEN", "value": "canary-88"})
    assert "TOKEN of web is set" in await office.told(office.root)
    assert "canary-88" not in await office.says(office.root, "env web")
    assert b"canary-88" not in b"".join(office.slack.bodies)


async def test_the_shortcut_deploys_what_is_chosen_in_its_form(office: Office) -> None:
    await office.driver.shortcut(office.ada, "o8_deploy")
    view = await office.view(office.ada)
    assert check_view(view.view) == []
    await office.driver.submit(office.ada, view, {"svc": "web", "reason": "friday"})
    assert "Deployment 1 of web" in await office.told(office.ada)
    await office.card("web", "friday")


async def test_menus_offer_only_what_one_may_choose(office: Office) -> None:
    async def offered(user: str, query: str = "") -> list[str]:
        answer = await office.driver.options(user, "o8:pick:services", query)
        return [option["value"] for option in json.loads(answer.body)["options"]]

    assert await offered(office.root) == ["shop", "web"]
    assert await offered(office.root, "sh") == ["shop"]
    assert await offered(office.ada) == ["web"]
    assert await offered(office.somebody()) == []


async def test_releases_are_offered_of_the_service_that_is_chosen(office: Office) -> None:
    store = office.app.services.store
    wanted = await store.want(Wanted(service="web", kind=Kind.DEPLOY, actor="cli:root", tag="0042"))
    await store.claim("web")
    await store.finish(wanted.id, State.SUCCEEDED)
    await office.driver.shortcut(office.ada, "o8_deploy")
    view = await office.view(office.ada)
    chosen = {"svc": {"o8:pick:services": {"selected_option": {"value": "web"}}}}
    view.view["state"] = {"values": chosen}
    answer = await office.driver.options(office.ada, "o8:pick:releases", "", view)
    assert [option["value"] for option in json.loads(answer.body)["options"]] == ["0042"]


async def test_the_home_shows_ones_own_and_its_buttons_work(office: Office) -> None:
    async def home(user: str) -> str:
        await office.driver.home_opened(user)

        async def look() -> dict[str, Any] | None:
            return office.slack.home(user)

        view = await until(look)
        assert check_view(view) == []
        return screen.as_text({"blocks": (view or {})["blocks"]})

    mine, hers = await home(office.root), await home(office.ada)
    assert "shop" in mine
    assert "web" in hers
    assert "shop" not in hers
    assert "does not know you" in await home(office.somebody())
    await office.driver.press_home(office.ada, "Open")
    assert "web has never been deployed" in await office.told(office.ada)


async def test_a_long_answer_is_a_file_for_who_asked_alone(office: Office) -> None:
    chat, log = office.app._chat, "".join(f"line {number}\n" for number in range(1000))
    assert chat is not None
    place = Place(team=office.slack.team, user=office.ada, channel="")
    await chat._answers.give(place, Reply("1000 lines of the log of web.", code=log, file_name="web.log"))
    file = next(iter(office.slack.files.values()))
    assert (file.name, file.channel) == ("web.log", office.slack.direct(office.ada).id)
    assert file.content.decode().splitlines() == log.splitlines()
    assert "line 999" in await office.told(office.ada)


async def test_every_answer_of_every_command_is_one_that_slack_takes(office: Office) -> None:
    for text in TEXTS.split(","):
        await office.driver.command(office.root, "/o8", text)

    async def answered() -> bool:
        return len(office.slack.ephemerals(office.root)) >= 10

    await until(answered)
    refused = [call for call in office.slack.calls if call.error]
    assert refused == []
    for message in office.slack.ephemerals(office.root):
        assert check_message({"text": message.text, "blocks": message.blocks}) == []


async def test_a_followed_log_grows_in_a_thread_and_ends(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "EVERY_S", 0.05)
    channel = office.slack.direct(office.ada)

    async def lines() -> Any:
        for number in range(3):
            yield f"line {number} <!channel> ```"

    client = office.app._chat._client  # type: ignore[union-attr]
    await Following(client, Posted(channel.id, "1.1")).show(lines(), 5)
    text = "\n".join(screen.as_text(m) for m in channel.messages)
    assert "line 2" in text
    assert "<!channel>" not in str([m.blocks for m in channel.messages])
    assert "not followed any more" in text


async def test_why_a_followed_log_ends_is_told_with_its_last_lines(office: Office) -> None:
    channel = office.slack.direct(office.ada)

    async def lines() -> Any:
        yield "the last line"
        raise NotFound("There is no service web.")

    client = office.app._chat._client  # type: ignore[union-attr]
    await Following(client, Posted(channel.id, "1.1")).show(lines(), 60)
    text = "\n".join(screen.as_text(m) for m in channel.messages)
    assert "the last line" in text and "not followed any more. There is no service web." in text
