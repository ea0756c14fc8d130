"""Quiet hours over midnight, in any zone and on days that have an hour twice or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import SettingsError
from bot.notifiers.slack.quiet import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")


def hours(text: str) -> QuietHours:
    found = QuietHours.read(text)
    assert found
    return found


def at(text: str, zone: ZoneInfo | timezone = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2027-01-10T21:59:59", ""),
        ("2027-01-10T22:00:00", "2027-01-11T07:00:00"),
        ("2027-01-10T23:59:59", "2027-01-11T07:00:00"),
        ("2027-01-11T00:00:00", "2027-01-11T07:00:00"),
        ("2027-01-11T06:59:59", "2027-01-11T07:00:00"),
        ("2027-01-11T07:00:00", ""),
        ("2027-12-31T22:30:00", "2028-01-01T07:00:00"),
    ],
)
def test_a_night_is_quiet_until_its_morning(moment: str, end: str) -> None:
    assert hours("22:00-07:00").ends(at(moment)) == (at(end) if end else None)


@pytest.mark.parametrize(
    ("moment", "end"),
    [("11:59:59", ""), ("12:00:00", "13:30:00"), ("13:29:59", "13:30:00"), ("13:30:00", "")],
)
def test_a_noon_is_quiet_on_its_own_day(moment: str, end: str) -> None:
    found = hours("12:00-13:30").ends(at(f"2027-01-10T{moment}"))
    assert found == (at(f"2027-01-10T{end}") if end else None)


def test_the_zone_is_the_one_that_was_set() -> None:
    quiet = hours("22:00-07:00 Europe/Berlin")
    assert quiet.ends(at("2027-01-10T20:59:00")) is None
    assert quiet.ends(at("2027-01-10T21:00:00")) == at("2027-01-11T06:00:00")
    assert quiet.ends(at("2027-07-10T20:00:00")) == at("2027-07-11T05:00:00")


def test_the_night_of_the_change_ends_at_the_new_time() -> None:
    quiet = hours("22:00-07:00 Europe/Berlin")
    assert quiet.ends(at("2027-03-27T22:30:00", BERLIN)) == at("2027-03-28T05:00:00")
    assert quiet.ends(at("2027-10-30T22:30:00", BERLIN)) == at("2027-10-31T06:00:00")


def test_in_an_hour_that_comes_twice_the_end_is_still_to_come() -> None:
    """2027-10-31 has 02:00 to 03:00 twice in Berlin."""
    quiet = hours("22:00-02:30 Europe/Berlin")
    first, second = at("2027-10-31T00:15:00"), at("2027-10-31T01:15:00")
    assert quiet.ends(first) == at("2027-10-31T00:30:00")
    assert quiet.ends(second) == at("2027-10-31T01:30:00")


def test_no_span_is_never_quiet() -> None:
    quiet = hours("07:00-07:00")
    assert [quiet.ends(at(f"2027-01-10T{hour:02}:00:00")) for hour in range(24)] == [None] * 24


@given(st.times(), st.times(), st.sampled_from(ZONES), st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)))
def test_quiet_hours_always_end_later_and_within_a_day_or_so(
    start: object, end: object, zone: str, now: datetime
) -> None:
    quiet = hours(f"{start}-{end} {zone}")
    moment = now.replace(tzinfo=UTC)
    found = quiet.ends(moment)
    assert found is None or moment < found <= moment + timedelta(hours=26)


@given(st.times().map(lambda time: time.replace(second=0, microsecond=0)), st.integers(0, 23), st.integers(0, 59))
def test_every_moment_is_quiet_in_a_span_or_in_the_rest_of_the_day(middle: object, hour: int, minute: int) -> None:
    """The control: two spans that make up a day are never both quiet, and never both loud."""
    moment = at(f"2027-01-10T{hour:02}:{minute:02}:00")
    spans = [hours(f"00:00-{middle}"), hours(f"{middle}-23:59:59.999999")]
    assert [span.ends(moment) is not None for span in spans].count(True) == 1


def test_without_the_setting_it_is_never_quiet() -> None:
    assert QuietHours.read("") is None


@pytest.mark.parametrize(
    "text",
    [
        "22:00", "22-", "-", "late-early", "25:00-07:00", "22:00-07:00 Mars/Olympus", "22:00-07:00 Europe",
        "22:00-07:00 ../../etc/passwd", "22:00+02:00-07:00", "22:00-07:00Z", "22:00-07:00-08:00", "22:00-07:00 UTC x",
    ],
)  # fmt: skip
def test_hours_that_make_no_sense_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match="such as 22:00-07:00 Europe/Berlin"):
        QuietHours.read(text)
