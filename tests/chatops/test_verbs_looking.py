"""Commands that only look: they show what one may see, and hide the rest as if it were not there."""

from __future__ import annotations

import pytest

from bot.models import Kind, Wanted
from bot.permissions import Action
from handlers.chatops.registry import VERBS, Verb
from handlers.chatops.reply import Reply
from tests.chatops.talking import ADA, BOB, CAROL, NOBODY, ROOT, STRANGER, Talks, cells, labels, whole
from tests.chatops.test_grammar import EXAMPLES, example_of

pytestmark = pytest.mark.slow

ABOUT_A_SERVICE = [verb for verb in VERBS.values() if "SVC" in verb.usage]


@pytest.mark.parametrize("verb", ABOUT_A_SERVICE, ids=lambda verb: verb.name)
async def test_a_hidden_service_answers_word_for_word_like_one_that_does_not_exist(
    talks: Talks, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = verb.usage.replace("[SVC]", "SVC")
    replies = []
    for name in ("shop", "none"):
        monkeypatch.setitem(EXAMPLES, "SVC", name)
        replies.append(
            [await talks.say(ADA, example_of(usage.replace("[SVC]", "SVC"), is_full=f)) for f in (True, False)]
        )
    hidden, missing = replies
    assert whole_of(hidden).replace("shop", "none") == whole_of(missing)
    assert "There is no service 'none'" in whole_of(missing)


def whole_of(replies: list[Reply]) -> str:
    return "".join(map(whole, replies))


@pytest.mark.parametrize("verb", [v for v in VERBS.values() if v.action not in (None, Action.VIEW_STATUS)],
                         ids=lambda verb: verb.name)  # fmt: skip
async def test_a_refusal_names_the_right_its_scope_and_who_can_give_it_and_offers_to_ask(
    talks: Talks, verb: Verb
) -> None:
    await talks.house.services.store.want(Wanted(service="web", kind=Kind.DEPLOY, actor="cli:root", tag="0001"))
    usage = verb.usage.replace("[SVC]", "SVC").replace(" ID", " 1")
    scope = "service:web" if "SVC" in usage or " 1" in usage else "global"
    reply = await talks.say(CAROL, example_of(usage))
    assert reply.is_refusal
    assert reply.text.startswith(f"You need `{verb.action}` in `{scope}` for this. root can grant it; `/o8 request ")
    (button,) = reply.buttons
    assert button.label == f"Ask for {verb.action}"
    assert (await talks.press(CAROL, reply, "Ask for")).text == "Request 1 is made. root can grant it."


async def test_the_list_shows_ones_own_services_with_buttons(live: Talks) -> None:
    reply = await live.say(ADA, "")
    assert reply.text == "You see 1 service."
    assert cells(reply)[:3] == ["web", "live", "0002"]
    assert labels(reply) == ["web", "Deploy…"]
    assert whole(await live.say(ADA, "ls")) == whole(await live.say(ADA, "status"))
    assert (await live.say(ROOT, "")).text == "You see 2 services."
    assert (await live.say(NOBODY, "")).text == "You see no service yet."
    assert (await live.say(STRANGER, "")).text.startswith("o8 does not know you yet.")


async def test_status_offers_only_what_makes_sense_and_what_one_may(live: Talks) -> None:
    reply = await live.say(ADA, "status web")
    assert reply.text.startswith("web 0002 is live, for ")
    assert labels(reply) == ["Deploy", "Restart", "Roll back", "Logs"]
    assert labels(await live.say(CAROL, "status web")) == []
    await live.say(BOB, "hold web -- moving")
    await live.say(BOB, "lock web -- the same")
    found = await live.say(BOB, "status web")
    assert "Resume" in labels(found)
    assert "On hold by bob: moving." in found.details
    assert any(line.startswith("Locked by bob until ") for line in found.details)
    assert cells(await live.say(CAROL, ""))[1] == "live hold lock"
    await live.say(BOB, "unlock web")
    await live.say(BOB, "stop web --yes")
    assert labels(await live.say(BOB, "status web")) == ["Start", "Roll back", "Resume"]


async def test_status_tells_of_the_last_deployment_that_failed(live: Talks) -> None:
    await live.say(ADA, "deploy web 0404")
    await live.ended()
    (line,) = [line for line in (await live.say(CAROL, "status web")).details if line.startswith("Last deployment")]
    assert "3 of 0404, failed." in line
    assert "has no tag 0404" in line


async def test_releases_are_listed_with_the_way_back(live: Talks) -> None:
    reply = await live.say(ADA, "releases web")
    assert reply.text == "web has 2 releases."
    assert [row[:2] for row in reply.table[1:]] == [("#2", "0002"), ("#1", "0001")]
    assert reply.table[1][-1] == "live"
    assert labels(reply) == ["Roll back to 0001"]
    assert (await live.press(ADA, reply, "Roll back")).text == "web runs 0002. Roll back to 0001 (#1)?"
    assert labels(await live.say(CAROL, "releases web")) == []
    assert (await live.say(ROOT, "releases shop")).text == "shop has no release yet."


async def test_two_releases_are_compared(live: Talks) -> None:
    await live.say(ROOT, "config web cpus=2")
    await live.ended()
    reply = await live.say(ROOT, "diff web 1")
    assert reply.text == "2 differences between 0001 and 0002 of web."
    assert [row[0] for row in reply.table[1:]] == ["digest", "limits.cpus"]
    for text in ("diff web", "diff web 0002"):
        assert [row[0] for row in (await live.say(ROOT, text)).table[1:]] == ["limits.cpus"], text
    assert [row[0] for row in (await live.say(CAROL, "diff web 1")).table[1:]] == ["digest"], (
        "nor may she read the rest"
    )
    assert (await live.say(ROOT, "diff shop")).text.startswith("shop has no two releases to compare.")
    assert (await live.say(CAROL, "diff web 9 8")).text.startswith("web has no release '9'.")


async def test_the_queue_and_the_locks_hide_what_one_may_not_see(talks: Talks) -> None:
    for service in ("web", "shop"):
        await talks.say(ROOT, f"deploy {service} 0001")
        await talks.say(ROOT, f"lock {service} -- moving")
    for text, column in (("queue", 1), ("locks", 0)):
        assert {row[column] for row in (await talks.say(ROOT, text)).table[1:]} == {"web", "shop"}
        assert {row[column] for row in (await talks.say(ADA, text)).table[1:]} == {"web"}
        assert not (await talks.say(NOBODY, text)).table
        assert (await talks.say(STRANGER, text)).is_refusal


async def test_the_audit_is_for_admins_of_its_scope(talks: Talks) -> None:
    await talks.say(BOB, "hold web -- moving")
    for text, scope in (("audit", "global"), ("audit web", "service:web")):
        assert f"You need `admin` in `{scope}`" in (await talks.say(BOB, text)).text
        assert "reason=moving" in cells(await talks.say(ROOT, text))
    await talks.house.services.store.grant("bob", Action.ADMIN, "service:web", "o8")
    assert cells(await talks.say(BOB, "audit web"))[1:4] == ["bob", "hold", "web"]
    assert (await talks.say(ROOT, "audit shop")).text == "Nothing was done yet."


async def test_the_doctor_is_for_admins_of_everything(talks: Talks) -> None:
    assert "You need `admin` in `global`" in (await talks.say(BOB, "doctor")).text
    reply = await talks.say(ROOT, "doctor")
    assert len(reply.table) > 5
    assert reply.text.endswith("checks need a look.")


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
async def test_strangers_are_told_how_to_become_known(talks: Talks, verb: Verb) -> None:
    if verb.is_open:
        return
    reply = await talks.say(STRANGER, example_of(verb.usage))
    assert reply.text.startswith("o8 does not know you yet. Ask an admin")
    assert reply.is_refusal
