"""A disk that fills up, in the channel: one message for each alarm, which says when it is over."""

from __future__ import annotations

from datetime import UTC, datetime

from lab.slack.desk import Desk

FOLDER, GB = "/var/lib/docker", 10**9


async def filled(desk: Desk, level: int) -> None:
    await desk.store.raise_alarm(FOLDER, level, (100 - level) * GB, 100 * GB)


async def has_room(desk: Desk, free: int) -> None:
    for alarm in await desk.store.open_alarms():
        await desk.store.end_alarm(alarm.id, free * GB, 100 * GB)


async def test_an_alarm_is_one_message_to_its_end(desk: Desk) -> None:
    await filled(desk, 80)
    await desk.settle()
    (text,) = desk.texts()
    assert "The disk of /var/lib/docker is 80 % full" in text and "o8 prune --dry-run" in text
    await filled(desk, 95)
    await desk.settle()
    assert "is 95 % full" in desk.texts()[1]
    await has_room(desk, 40)
    await desk.settle()
    assert ["has room again: 40.0 GB" in text for text in desk.texts()] == [True, True]
    await filled(desk, 80)  # the same day
    await desk.settle()
    assert len(desk.texts()) == 2
    assert "is 80 % full" in desk.texts()[0]


async def test_what_was_over_before_anybody_heard_of_it_is_not_told(desk: Desk) -> None:
    await filled(desk, 80)
    await has_room(desk, 40)
    await desk.settle()
    assert desk.texts() == []
    await filled(desk, 80)
    await desk.settle()
    assert len(desk.texts()) == 1


async def test_only_a_full_disk_is_told_at_night(desk: Desk) -> None:
    desk.quiet = "22:00-07:00"
    desk.clock.now = datetime(2027, 3, 1, 23, tzinfo=UTC).timestamp()
    await desk.reopen()
    await filled(desk, 80)
    await desk.wait(minutes=10)
    assert desk.texts() == []
    await filled(desk, 95)
    await desk.wait(minutes=10)
    (text,) = desk.texts()
    assert "is 95 % full" in text
    await desk.wait(minutes=8 * 60)
    assert len(desk.texts()) == 2
