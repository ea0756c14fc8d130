"""A certificate that ends, in the channel: one message to its end; only one that is over is told at night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lab.slack.desk import Desk

SOON, LATER = datetime.now(UTC) + timedelta(days=13), datetime.now(UTC) + timedelta(days=89)


async def is_bad(desk: Desk, level: str, trouble: str = "The authority is away.") -> None:
    await desk.store.raise_certificate_alarm("web", level, trouble, SOON)


async def is_renewed(desk: Desk) -> None:
    for alarm in await desk.store.open_certificate_alarms():
        await desk.store.end_certificate_alarm(alarm.id, LATER)


async def test_an_alarm_is_one_message_to_its_end(desk: Desk) -> None:
    await is_bad(desk, "ending")
    await desk.settle()
    (text,) = desk.texts()
    assert f"The certificate of web ends on {SOON:%Y-%m-%d}" in text and "The authority is away." in text
    await is_bad(desk, "ending", "web.test: <!channel> & _Connection refused_")
    await desk.settle()
    (text,) = desk.texts()
    assert "web.test: <!channel> & " in text  # shown as it is, and calls nobody
    await is_renewed(desk)
    await desk.settle()
    (text,) = desk.texts()
    assert f"has a good certificate, until {LATER:%Y-%m-%d}" in text


async def test_what_was_over_before_anybody_heard_of_it_is_not_told(desk: Desk) -> None:
    await is_bad(desk, "missing")
    await is_renewed(desk)
    await desk.settle()
    assert desk.texts() == []


async def test_only_one_that_is_over_is_told_at_night(desk: Desk) -> None:
    desk.quiet = "22:00-07:00"
    desk.clock.now = datetime(2027, 3, 1, 23, tzinfo=UTC).timestamp()
    await desk.reopen()
    await is_bad(desk, "ending")
    await desk.wait(minutes=10)
    assert desk.texts() == []
    await is_bad(desk, "over")
    await desk.wait(minutes=10)
    (text,) = desk.texts()
    assert "The certificate of web is over" in text
    await desk.wait(minutes=8 * 60)
    assert len(desk.texts()) == 2
