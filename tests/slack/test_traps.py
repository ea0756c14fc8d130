"""The traps of Slack and its libraries, each a test."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from bot.chat import Place
from handlers.chatops.registry import VERBS
from handlers.chatops.reply import Reply
from lab.slack import FakeSlack, screen
from lab.waiting import until
from tests.slack.conftest import Office, office_in

pytestmark = pytest.mark.slow


def locked(database: Path, begun: Event, seconds: float) -> None:
    """Another program holds the write lock, as a backup by hand would."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        begun.set()
        time.sleep(seconds)
        db.execute("ROLLBACK")


async def asks(office: Office) -> list[tuple[str, str]]:
    def read(db: Any) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in db.execute("SELECT text, state FROM asks ORDER BY id").fetchall()]

    return await office.app.services.store.read(read)


async def test_one_address_takes_commands_buttons_forms_menus_shortcuts_and_events(office: Office) -> None:
    assert "web" in await office.says(office.root, "status web")
    await office.driver.command(office.root, "/o8", "env set web TOKEN")
    view = await office.view(office.root)
    assert (await office.driver.submit(office.root, view, {"value": "x"})).status == 200
    assert "web" in (await office.driver.options(office.root, "o8:pick:services")).body
    assert (await office.driver.shortcut(office.root, "o8_deploy")).status == 200
    assert (await office.driver.home_opened(office.root)).status == 200
    await office.says(office.root, "deploy web 0005")
    assert (await office.driver.click(office.root, await office.card("web 0005"), "Cancel")).status == 200


async def test_a_command_with_the_word_payload_in_it_is_a_command(office: Office) -> None:
    """Bolt looks for that word to tell buttons from commands."""
    assert "payload" in await office.says(office.ada, "lock web -- the payload is too big")


async def test_a_locked_database_delays_no_acknowledgement(office: Office) -> None:
    begun = Event()
    thread = Thread(target=locked, args=(office.settings.database, begun, 1.0))
    thread.start()
    begun.wait()
    answer = await office.driver.command(office.ada, "/o8", "lock web -- tidying")
    assert answer.status == 200
    assert answer.seconds < 0.7
    assert "is locked until" in await office.told(office.ada)
    thread.join()


async def test_a_write_is_on_disk_before_it_is_run(office: Office) -> None:
    await office.says(office.ada, "lock web -- tidying")
    assert await asks(office) == [("lock web -- tidying", "done")]


async def test_a_question_is_not_written_down(office: Office) -> None:
    await office.says(office.ada, "status web")
    assert await asks(office) == []


async def test_a_fault_after_the_acknowledgement_is_told_with_a_reference_to_the_log(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> Reply:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setitem(VERBS, "whoami", VERBS["whoami"]._replace(run=broken))
    begun = time.monotonic()
    told = await office.says(office.ada, "whoami")
    assert time.monotonic() - begun < 2
    assert "unexpected" in told
    assert told.rpartition(" ")[2].strip(".") in caplog.text
    assert "deep inside" not in told


async def test_what_slack_sends_twice_is_done_once(office: Office) -> None:
    event = {"type": "message", "channel_type": "im", "user": office.ada, "text": "lock web -- twice",
             "channel": office.slack.direct(office.ada).id, "ts": "1.1"}  # fmt: skip
    retry = {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}
    await asyncio.gather(*(office.driver.event(event, office.ada, id="Ev1", headers=retry) for _ in range(5)))
    await office.told(office.ada)
    assert await asks(office) == [("lock web -- twice", "done")]


async def test_a_command_that_comes_again_after_a_restart_is_not_done_again(slack: FakeSlack, tmp_path: Path) -> None:
    async with office_in(slack, tmp_path) as office:
        await office.driver.command(office.ada, "/o8", "lock web -- once", trigger_id="7.7")
        await office.told(office.ada)
    async with office_in(slack, tmp_path) as again:
        assert "not locked any more" in await again.says(office.ada, "unlock web")
        assert (await again.driver.command(office.ada, "/o8", "lock web -- once", trigger_id="7.7")).body == ""
        assert "web is not locked." in await again.says(office.ada, "unlock web")


async def test_a_used_up_answer_address_ends_in_a_direct_message(office: Office) -> None:
    url = office.slack.new_response_url(office.ada, "deployments")
    for response in office.slack.responses.values():
        response.uses = 5
    await office.driver.command(office.ada, "/o8", "whoami", response_url=url)

    async def told() -> list[str]:
        return [screen.as_text(one) for one in office.slack.dms(office.ada)]

    assert "You are ada." in (await until(told))[0]


async def test_nothing_is_posted_a_second_time_by_itself(office: Office) -> None:
    """The library's own retry posts again what was posted; a lost answer is looked for instead."""
    office.slack.drop_answers(1)
    await office.says(office.root, "deploy web 0005")
    await office.card("web 0005")

    async def is_shown() -> bool:
        return not await office.app.services.store.due_cards()

    await until(is_shown, 15)
    cards = [m for m in office.slack.messages("deployments") if "web 0005" in m.text and not m.thread_ts]
    assert len(cards) == 1


async def test_what_nobody_knows_is_acknowledged(office: Office) -> None:
    await office.says(office.root, "deploy web 0005")
    card = await office.card("web 0005")
    answers = [
        await office.driver.event({"type": "reaction_added", "user": office.ada}, office.ada),
        await office.driver.press(office.ada, card, {"action_id": "of:an:older:o8", "value": "x"}),
        await office.driver.shortcut(office.ada, "gone"),
        await office.driver.options(office.ada, "gone"),
    ]
    assert [answer.status for answer in answers] == [200] * 4
    assert all(answer.is_in_time for answer in answers)
    assert "commands" in await office.told(office.ada)


async def test_a_form_that_o8_did_not_make_is_acknowledged_and_does_nothing(office: Office) -> None:
    await office.driver.command(office.root, "/o8", "env set web TOKEN")
    view = await office.view(office.root)
    view.view["private_metadata"] = '{"verb": "env set"}'
    assert (await office.driver.submit(office.root, view, {"value": "x"})).status == 200


async def test_an_expired_trigger_is_told(office: Office) -> None:
    await office.driver.command(office.root, "/o8", "env set web TOKEN", trigger_id="1.expired")
    assert "again" in await office.told(office.root)


async def test_work_that_is_under_way_is_waited_for_at_the_end(slack: FakeSlack, tmp_path: Path) -> None:
    async with office_in(slack, tmp_path) as office:
        await office.driver.command(office.ada, "/o8", "lock web -- last words")
    assert "is locked until" in screen.as_text(slack.ephemerals(office.ada)[-1])


async def test_a_write_that_a_kill_has_cut_off_is_answered_by_the_next_start(slack: FakeSlack, tmp_path: Path) -> None:
    async with office_in(slack, tmp_path) as office:
        store, ada = office.app.services.store, office.ada
        place = Place(team=slack.team, user=ada, channel="", is_direct=False)
        fresh = await store.ask("k1", f"slack:{slack.team}:{ada}", "lock web -- fresh", place)
        cut = await store.ask("k2", f"slack:{slack.team}:{ada}", "unlock web", place)
        assert fresh and cut
        await store.begin_ask(cut.id)
    async with office_in(slack, tmp_path) as office:

        async def told() -> list[str]:
            found = [screen.as_text(one) for one in slack.dms(ada)]
            return found if len(found) >= 2 else []

        both = "\n".join(await until(told))
        assert "is locked until" in both
        assert "while it was doing this" in both


async def test_slack_out_of_reach_at_the_start_is_no_hindrance_later(
    slack: FakeSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    slack.down()
    from bot.app import App
    from bot.notifiers import slack as notifier
    from lab.slack import SlackDriver
    from tests.slack.conftest import settings_for

    settings = settings_for(slack, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notifier, "RETRY_S", 0.1)
        async with await App.start(settings):
            driver, ada = SlackDriver(slack, f"http://127.0.0.1:{settings.port}"), slack.add_user("ada")
            assert (await driver.command(ada, "/o8", "whoami")).status == 200
            slack.up()

            async def is_known() -> bool:
                return "does not know you" in (await driver.command(ada, "/o8", "whoami")).body

            assert await until(is_known)
