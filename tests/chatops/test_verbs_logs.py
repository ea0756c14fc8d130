"""Logs in chat: the last lines, those with a word, those that look like trouble, those that come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.logs import flows
from bot.permissions import Action
from handlers.chatops.verbs import logs as subject
from lab.waiting import until
from tests.chatops.talking import ADA, CAROL, ROOT, Talks, labels

pytestmark = pytest.mark.slow


def write(talks: Talks, *lines: str) -> None:
    talks.house.engine.lines = [f"{line}\n".encode() for line in lines]


async def test_the_last_lines_are_shown(served: Talks) -> None:
    write(served, *(f"line {n}" for n in range(300)))
    reply = await served.say(ADA, "logs web")
    assert reply.text == "200 lines of the log of web."
    assert reply.code.splitlines()[0] == "line 100"
    assert reply.file_name.startswith("web-")
    assert (await served.say(ADA, "logs web -n 1")).code == "line 299"
    assert (await served.say(ADA, "logs web -n 1")).text == "1 line of the log of web."
    assert served.house.engine.open_logs == 0


@pytest.mark.parametrize("n", ["0", "5001", "999999"])
async def test_a_number_of_lines_that_is_none_or_too_many_is_refused(served: Talks, n: str) -> None:
    assert (await served.say(ADA, f"logs web -n {n}")).text == "-n is 1 to 5000. `/o8 logs web -n 200`."


async def test_lines_are_filtered_by_a_word_in_any_case(served: Talks) -> None:
    write(served, "GET /a Timeout", "GET /b ok", "a TIMEOUT b -- c")
    assert (await served.say(ADA, "logs web --grep timeout")).code == "GET /a Timeout\na TIMEOUT b -- c"
    assert (await served.say(ADA, "logs web --grep 'b -- c'")).code == "a TIMEOUT b -- c"
    assert (await served.say(ADA, "logs web --grep timeout -n 1")).code == "a TIMEOUT b -- c"


async def test_lines_that_look_like_trouble_are_found_far_back(served: Talks) -> None:
    write(served, "Traceback (most recent call last):", *["GET / 200"] * 1000, "GET / 503", "1503 things")
    reply = await served.say(ADA, "logs web --errors")
    assert reply.code == "Traceback (most recent call last):\nGET / 503"
    assert (await served.press(ADA, await served.say(ADA, "logs web"), "Only errors")).code == reply.code


async def test_what_nothing_fits_is_said_and_an_empty_log_too(served: Talks) -> None:
    write(served, "fine")
    for option in ("--grep nonsense", "--errors"):
        assert (await served.say(ADA, f"logs web {option}")).text == "No line of the log of web fits."
    write(served)
    assert (await served.say(ADA, "logs web")).text == "The log of web is empty."


async def test_since_is_handed_on_and_limited(served: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[datetime | None] = []
    log = served.house.engine.log

    def noted(replica: str, *, tail: int | None, since: datetime | None, follow: bool, timestamps: bool) -> object:
        asked.append(since)
        return log(replica, tail=tail, since=since, follow=follow, timestamps=timestamps)

    monkeypatch.setattr(served.house.engine, "log", noted)
    await served.say(ADA, "logs web")
    await served.say(ADA, "logs web --since 10m")
    assert asked[0] is None
    assert asked[1]
    assert timedelta(0) <= datetime.now(UTC) - asked[1] - timedelta(minutes=10) < timedelta(seconds=10)
    assert (await served.say(ADA, "logs web --since 8d")).text.startswith("--since goes back 7 days at most.")


async def test_of_what_is_too_much_the_newest_is_kept(served: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MOST_BYTES", 1000)
    write(served, *(f"{n:03} {'x' * 96}" for n in range(50)))
    reply = await served.say(ADA, "logs web")
    assert reply.text == "10 lines of the log of web."
    assert reply.code.splitlines()[-1].startswith("049 ")
    assert reply.details == ("Older lines were left out, as they are too much for one answer.",)
    assert (await served.say(ADA, "logs web -n 5")).details == (), "nothing that was asked for is missing"


async def test_what_comes_too_slowly_is_shown_as_far_as_it_came(served: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE_S", 0.05)
    log = served.house.engine.log

    def endless(replica: str, *, tail: int | None, since: datetime | None, follow: bool, timestamps: bool) -> object:
        return log(replica, tail=tail, since=since, follow=True, timestamps=timestamps)

    monkeypatch.setattr(served.house.engine, "log", endless)
    write(served, "one", "two")
    reply = await served.say(ADA, "logs web")
    assert (reply.code, reply.details) == ("one\ntwo", ("Not all of it could be read in time.",))
    assert served.house.engine.open_logs == 0


async def test_secrets_of_the_service_are_masked(served: Talks) -> None:
    await served.fill_in(ROOT, await served.say(ROOT, "env set web TOKEN"), value="hunter22-canary")
    await served.ended()
    write(served, "token is hunter22-canary")
    assert (await served.say(ADA, "logs web")).code == "token is ********"
    served.stage.most = 1
    await served.say(ADA, "logs web --follow 1m --grep token")
    assert served.stage.followed == ["token is ********"]


async def test_a_log_is_followed_in_a_thread_and_filtered(served: Talks) -> None:
    write(served, "GET /a 200", "GET /b 503", "error: c", "more 500")
    reply = await served.say(ADA, "logs web --follow 5m --errors")
    assert reply.text == "The log of web is followed in a thread for 5 min."
    assert served.stage.titles == [("Log of web", 300.0)]
    assert served.stage.followed == ["GET /b 503", "error: c"]
    assert served.house.engine.open_logs == 0, "closed with the thread"
    assert (await served.say(ADA, "logs web --follow 31m")).text.startswith("--follow lasts 30 minutes at most.")


async def test_who_loses_the_right_follows_no_more(served: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "LOOK_AGAIN_S", 0.0)
    served.stage.most = 1000
    saying = asyncio.create_task(served.say(ADA, "logs web --follow 5m"))

    async def is_followed() -> bool:
        return bool(served.stage.followed)

    await until(is_followed)
    await served.house.services.store.revoke("ada", Action.VIEW_LOGS, "service:web")
    assert (await asyncio.wait_for(saying, 10)).text.startswith("You need `view_logs` in `service:web`")


async def test_what_was_never_deployed_has_no_log_to_show_or_to_follow(talks: Talks) -> None:
    for option in ("", " --follow 5m"):
        reply = await talks.say(ADA, f"logs web{option}")
        assert reply.text == "web has never been deployed, so it has no log. `/o8 deploy web` deploys it."
    assert talks.stage.titles == []


async def test_a_log_that_breaks_is_said(served: Talks) -> None:
    served.house.engine.log_breaks = True
    assert (await served.say(ADA, "logs web")).text == "Docker ended the log. Look again."


async def test_logs_need_their_own_right_and_hidden_services_have_none(served: Talks) -> None:
    reply = await served.say(CAROL, "logs web")
    assert reply.text.startswith("You need `view_logs` in `service:web`")
    assert labels(reply) == ["Ask for view_logs"]
    hidden, missing = await served.say(ADA, "logs shop"), await served.say(ADA, "logs none")
    assert hidden.text.replace("shop", "none") == missing.text
