"""`/o8 available` and `/o8 versions`, as talked about and as Slack would show it."""

from __future__ import annotations

import json

import pytest

from bot.notifiers.slack.blocks import MOST_BLOCKS
from bot.permissions import GLOBAL, Action
from handlers.chatops.reply import Reply
from handlers.slack.replies import message_of
from tests.chatops.talking import ADA, CAROL, NOBODY, ROOT, STRANGER, Talks, cells, labels
from tests.stock import digest_of, listed, many

pytestmark = pytest.mark.slow
WEB = "ghcr.io/acme/web"


def shown(reply: Reply) -> str:
    """As Slack gets it, which refuses what is longer."""
    message = message_of(reply)
    assert len(message.blocks) <= MOST_BLOCKS and len(message.text) <= 4000
    for block in message.blocks:
        assert len(block.get("text", {}).get("text", "")) <= 3000
        assert len(block.get("elements", [])) <= 25
        for element in block.get("elements", []):
            assert element["type"] != "button" or len(element["text"]["text"]) <= 75
    return json.dumps(message.blocks, ensure_ascii=False)


async def test_nothing_to_install_says_what_to_do(talks: Talks) -> None:
    reply = await talks.say(ROOT, "available")
    assert reply.text == "Nothing to install: every image that o8 knows is used by a service, or dismissed."
    assert reply.details == (
        "GitHub's packages are not listed: set `GITHUB_PAT`, a classic token with `read:packages`.",
    )


async def test_two_hundred_packages_fit_and_can_be_narrowed_down(talks: Talks) -> None:
    images = await many(talks.house, 200)
    reply = await talks.say(ROOT, "available")
    assert reply.text == "200 images that no service uses."
    assert reply.details[0] == "And 160 more: `/o8 available TEXT` shows those with a text in their name."
    assert [row[0] for row in reply.table[1:]] == images[:40]
    assert labels(reply) == [f"Install {image.removeprefix('ghcr.io/')}" for image in images[:5]]
    assert images[0] in shown(reply)
    narrow = await talks.say(ROOT, "available PACKAGE-01")
    assert [row[0] for row in narrow.table[1:]] == [image for image in images if "package-01" in image]
    assert (await talks.say(ROOT, "available nothing of this")).text == (
        "No image that could be installed has 'nothing of this' in its name."
    )


async def test_install_is_a_button_of_each_row_and_leads_to_the_form(talks: Talks) -> None:
    await listed(talks.house, "ghcr.io/acme/blog", ("0007",), repository="acme/blog")
    reply = await talks.say(ROOT, "available")
    assert reply.table[1] == ("ghcr.io/acme/blog", "0007", "2026-03-01 12:00 UTC", "acme/blog")
    form = await talks.press(ROOT, reply, "Install acme/blog")
    assert form.form is not None and "ghcr.io/acme/blog" in repr(form.form)


async def test_hostile_words_stay_words(talks: Talks) -> None:
    await listed(talks.house, "ghcr.io/acme/blog", ("0001",), repository="<!channel> ``` &<@U1>")
    text = shown(await talks.say(ROOT, "available"))
    assert "<!channel>" not in text and "<@U1>" not in text and text.count("```") == 2
    talks.house.services.catalogue.trouble = "acme: <!here> *bold* " + "x" * 5000
    text = shown(await talks.say(ROOT, "available"))
    assert "&lt;!here&gt;" in text and "<!here>" not in text


async def test_who_asks_for_versions_is_sent_to_who_may_know_why_a_look_failed(talks: Talks) -> None:
    talks.house.services.catalogue.trouble = "acme: GitHub shows this token no secret-plans."
    reply = await talks.say(CAROL, "versions web")
    assert "; `/o8 available` says why." in reply.details[0] and "secret-plans" not in repr(reply)
    assert "secret-plans" in (await talks.say(ROOT, "available")).details[0]


async def test_versions_have_a_button_for_what_is_newer(served: Talks) -> None:
    live = await served.newest()
    await listed(served.house, WEB, ("0001",), ("0002",), ("0003", "latest"), digests={"0001": live.digest})
    reply = await served.say(ADA, "versions web")
    assert reply.text == f"web could run 3 versions of {WEB}; 2 are newer than 0001, which runs."
    assert reply.table[1:] == (
        ("0003, latest", digest_of(WEB, "0003")[7:19], "2026-03-01 12:00 UTC", "", "newest, newer"),
        ("0002", digest_of(WEB, "0002")[7:19], "2026-03-01 11:59 UTC", "", "newer"),
        ("0001", live.digest[7:19], "2026-03-01 11:58 UTC", "40.0 MB", "runs, kept here"),
    )
    assert labels(reply) == ["Deploy 0003", "Deploy 0002"]
    served.house.registry.push("0003")
    assert "Deployment" in (await served.press(ADA, reply, "Deploy 0003")).text
    assert (await served.ended()).tag == "0003"
    assert labels(await served.say(ADA, "versions web")) == []


async def test_who_may_not_deploy_has_no_button_and_who_may_not_see_learns_nothing(served: Talks) -> None:
    await listed(served.house, WEB, ("0001",), ("0002",))
    assert labels(await served.say(CAROL, "versions web")) == []
    for who in (NOBODY, STRANGER):
        reply = await served.say(who, "versions web")
        assert reply.is_refusal and not cells(reply)
    hidden, gone = [await served.say(ADA, f"versions {name}") for name in ("shop", "gone")]
    assert [cells(each) for each in (hidden, gone)] == [[], []]
    assert hidden.text.replace("shop", "gone") == gone.text
    for who in (ADA, CAROL, NOBODY):
        assert (await served.say(who, "available")).is_refusal
    await served.house.services.store.grant("nobody", Action.ADD_NEW_SERVICE, GLOBAL, "o8")
    assert not (await served.say(NOBODY, "available")).is_refusal


async def test_many_versions_are_shown_in_part_and_all_of_them_as_a_file(talks: Talks) -> None:
    await listed(talks.house, WEB, *((f"{number:04}", "a-very-long-tag-" + "x" * 100) for number in range(1, 51)))
    reply = await talks.say(ADA, "versions web")
    assert len(reply.table) == 21 and reply.details[0] == "And 30 more: `/o8 versions web --all`."
    assert reply.text.endswith("none of them runs.")
    shown(reply)
    whole = await talks.say(ADA, "versions web --all")
    assert len(whole.table) == 51
    shown(whole)
    message = message_of(whole)
    assert message.file is not None and "0001" in message.file[1]


async def test_of_an_image_that_is_nowhere_it_is_said_where_o8_looked(talks: Talks) -> None:
    reply = await talks.say(ADA, "versions web")
    assert reply.text == f"No version of {WEB} is known."
    assert reply.details[0].startswith("These are the registry's tags;")
