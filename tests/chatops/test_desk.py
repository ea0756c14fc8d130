"""The desk: understood, allowed, written down, run once, answered. Whatever happens, there is an answer."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from bot.errors import StoreUnavailable
from bot.permissions import Action
from handlers.chatops.desk import FRESH
from handlers.chatops.grammar import Asked
from handlers.chatops.registry import VERBS
from handlers.chatops.reply import Reply
from handlers.chatops.talk import Talk
from tests.chatops.talking import ADA, BOB, CAROL, NOBODY, ROOT, STRANGER, Talks, labels, whole


async def broken(talk: Talk, **values: Any) -> Reply:
    raise RuntimeError("hunter22 is in no answer")


async def test_a_command_that_chat_sends_twice_is_written_down_once(talks: Talks) -> None:
    heard = talks.heard(BOB, "hold web -- why", key="same")
    first = await talks.desk.write_down(heard)
    assert first
    assert await talks.desk.write_down(heard) is None
    assert await talks.desk.write_down(talks.heard(BOB, "hold web -- why", key="another"))


async def test_a_command_that_comes_twice_at_the_same_time_is_run_once(talks: Talks) -> None:
    async def hear() -> Reply | None:
        heard = talks.heard(BOB, "hold web -- why", key="same")
        assert isinstance(await talks.desk.check(heard), Asked)
        ask = await talks.desk.write_down(heard)
        return await talks.desk.carry_out(heard, ask) if ask else None

    replies = await asyncio.gather(*(hear() for _ in range(8)))
    assert [reply.text for reply in replies if reply] == ["web is on hold."]
    assert len(await talks.audited("hold")) == 1


async def test_one_that_is_taken_up_twice_is_run_once(talks: Talks) -> None:
    heard = talks.heard(BOB, "hold web -- why")
    ask = await talks.desk.write_down(heard)
    replies = await asyncio.gather(*(talks.desk.carry_out(heard, ask) for _ in range(4)))
    assert sorted(reply.text for reply in replies) == ["This is being done already."] * 3 + ["web is on hold."]
    assert len(await talks.audited("hold")) == 1


async def test_a_right_that_is_taken_away_between_the_check_and_the_act_counts(talks: Talks) -> None:
    heard = talks.heard(BOB, "hold web -- why")
    assert isinstance(await talks.desk.check(heard), Asked)
    ask = await talks.desk.write_down(heard)
    await talks.house.services.store.revoke("bob", Action.MANAGE, "service:web")
    reply = await talks.desk.carry_out(heard, ask)
    assert reply.is_refusal
    assert "There is no service 'web'" in reply.text, "nor may he see it any more"
    assert (await talks.house.services.store.service("web")).hold is None
    assert await talks.desk.left_behind() == [], "a refused one is crossed off, too"


async def test_a_fault_inside_a_command_is_answered_with_a_reference_that_is_in_the_log(
    talks: Talks, caplog: pytest.LogCaptureFixture
) -> None:
    with patch.dict(VERBS, hold=VERBS["hold"]._replace(run=broken)):
        reply = await talks.say(BOB, "hold web -- why")
    assert reply.is_refusal
    found = re.search(r"reference ([0-9a-f]{12})", reply.text)
    assert found
    assert "hunter22" not in whole(reply)
    (record,) = [one for one in caplog.records if found[1] in one.getMessage()]
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert await talks.desk.left_behind() == [], "it is crossed off: nobody tries it again"
    assert not (await talks.say(BOB, "hold web -- why")).is_refusal, "the same without the fault"


async def test_what_was_not_begun_before_a_kill_is_carried_out_after_it(talks: Talks) -> None:
    heard = talks.heard(BOB, "hold web -- why")
    ask = await talks.desk.write_down(heard)
    assert ask
    ((left, found, reply),) = await talks.desk.left_behind()
    assert (left, found.id, reply) == (heard, ask.id, None)
    assert (await talks.desk.carry_out(left, found)).text == "web is on hold."
    assert await talks.desk.left_behind() == []


async def test_what_is_too_old_after_a_kill_is_told_and_not_done(talks: Talks, tmp_path: Path) -> None:
    assert await talks.desk.write_down(talks.heard(BOB, "hold web -- why"))
    old = (datetime.now(UTC) - FRESH - timedelta(seconds=1)).isoformat(timespec="milliseconds")
    with sqlite3.connect(tmp_path / "o8.sqlite") as connection:
        connection.execute("UPDATE asks SET created_at = ?", [old])
    ((_, _, reply),) = await talks.desk.left_behind()
    assert reply
    assert "restarted before it came to this: `hold web -- why`" in reply.text
    assert await talks.desk.left_behind() == []
    assert (await talks.house.services.store.service("web")).hold is None


async def test_what_was_under_way_at_a_kill_is_told_and_never_done_again(talks: Talks) -> None:
    ask = await talks.desk.write_down(talks.heard(BOB, "hold web -- why"))
    assert ask
    assert await talks.house.services.store.begin_ask(ask.id)
    ((heard, found, reply),) = await talks.desk.left_behind()
    assert reply
    assert "restarted while it was doing this" in reply.text
    assert await talks.desk.left_behind() == []
    assert (await talks.desk.carry_out(heard, found)).text == "This is being done already."


async def damage(talks: Talks) -> None:
    """The commands cannot be written down any more."""
    await talks.house.services.store.write(lambda db: db.execute("ALTER TABLE asks RENAME TO asks_gone"))


async def mend(talks: Talks) -> None:
    await talks.house.services.store.write(lambda db: db.execute("ALTER TABLE asks_gone RENAME TO asks"))


async def test_what_cannot_be_written_down_is_not_done(talks: Talks) -> None:
    await damage(talks)
    heard = talks.heard(BOB, "hold web -- why")
    assert isinstance(await talks.desk.check(heard), Asked), "it can be read"
    with pytest.raises(StoreUnavailable):
        await talks.desk.write_down(heard)
    await mend(talks)
    assert await talks.desk.write_down(heard), "the control"
    assert (await talks.house.services.store.service("web")).hold is None


async def test_what_cannot_be_begun_is_not_done_and_that_is_said(talks: Talks) -> None:
    heard = talks.heard(BOB, "hold web -- why")
    ask = await talks.desk.write_down(heard)
    assert ask
    await damage(talks)
    answer = await talks.desk.carry_out(heard, ask)
    assert answer.is_refusal
    assert answer.text.startswith("The database cannot be used")
    await mend(talks)
    assert (await talks.house.services.store.service("web")).hold is None
    assert [(left.id, reply) for _, left, reply in await talks.desk.left_behind()] == [(ask.id, None)]


async def test_what_was_done_is_answered_even_when_it_cannot_be_crossed_off(talks: Talks) -> None:
    async def done(talk: Talk, **values: Any) -> Reply:
        await damage(talks)
        return Reply("Done.")

    heard = talks.heard(BOB, "hold web -- why")
    ask = await talks.desk.write_down(heard)
    with patch.dict(VERBS, hold=VERBS["hold"]._replace(run=done)):
        assert (await talks.desk.carry_out(heard, ask)).text == "Done."
    await mend(talks)
    assert [reply is None for _, _, reply in await talks.desk.left_behind()] == [False], "told, not done again"


async def test_a_form_of_an_older_o8_is_answered(talks: Talks) -> None:
    reply = await talks.desk.submit("nonsense", {}, {}, f"slack:T1:{BOB}", talks.heard(BOB, "").place)
    assert reply.text == "This form is too old. Give the command again."


async def test_rights_are_asked_for_again_when_a_form_comes_back(talks: Talks) -> None:
    form = await talks.say(ROOT, "env set web TOKEN")
    for who, words in ((CAROL, "You need `edit_env` in `service:web`"), (NOBODY, "There is no service 'web'")):
        reply = await talks.fill_in(who, form, value="hunter22")
        assert reply.text.startswith(words)
    assert "does not know you" in (await talks.fill_in(STRANGER, form, value="hunter22")).text
    assert not await talks.house.services.store.environment_revisions("web")


async def test_every_button_that_is_offered_is_a_command_that_is_understood(live: Talks) -> None:
    for text in ("services", "status web", "releases web", "logs web", "queue", "locks", "rollback web", "stop web"):
        reply = await live.say(ROOT, text)
        for button in reply.buttons:
            checked = await live.desk.check(live.heard(ROOT, button.command))
            assert isinstance(checked, Asked), (text, button)


async def test_a_service_that_is_nearly_named_is_offered_and_not_taken(talks: Talks) -> None:
    reply = await talks.say(BOB, "hold wbe -- it's late")
    assert reply.text == "There is no service 'wbe'. Did you mean web?"
    assert labels(reply) == ["Did you mean: hold web -- it's late"]
    assert (await talks.house.services.store.service("web")).hold is None
    assert (await talks.press(BOB, reply, "Did you mean")).text == "web is on hold."


async def test_a_command_that_is_nearly_named_is_offered_and_not_run(talks: Talks) -> None:
    reply = await talks.say(BOB, "hodl web -- why")
    assert labels(reply) == ["Did you mean: hold web -- why"]
    assert (await talks.house.services.store.service("web")).hold is None


async def test_names_of_services_that_one_may_not_see_are_never_suggested(talks: Talks) -> None:
    reply = await talks.say(ADA, "status shpo")
    assert not reply.buttons
    assert "shop" not in whole(reply)
    assert labels(await talks.say(ROOT, "status shpo")) == ["Did you mean: status shop"]
