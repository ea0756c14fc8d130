"""Places in a log are read back as they were written, and rings keep the newest."""

from __future__ import annotations

import contextlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidInput
from bot.logs.lines import Cursor, Line, Ring, as_text, as_text_with_times, split

AT = "2026-05-01T12:00:00.123456789Z"
TIMES = st.datetimes(min_value=datetime(1971, 1, 2)).map(
    lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "789Z"
)


def line(text: str, at: str = AT, replica: str = "a" * 64, place: int = 0) -> Line:
    return Line(at, text, replica, 0, place)


@given(st.dictionaries(st.text("0123456789abcdef", min_size=12, max_size=12), st.tuples(TIMES, st.integers(0, 9999))))
def test_a_place_is_read_back_as_it_was_written(places: dict[str, tuple[str, int]]) -> None:
    cursor = Cursor(places)
    assert Cursor.read(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["x", "=", "a=b", f"{'a' * 12}={AT}", f"{'a' * 12}={AT}.x", f"short={AT}.1", f"{'a' * 12}=yesterday.1"]
)
def test_anything_else_is_no_place(text: str) -> None:
    with pytest.raises(InvalidInput, match="no place in a log"):
        Cursor.read(text)


@given(st.text())
def test_no_text_makes_it_stumble(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        Cursor.read(text)


def test_a_line_is_taken_once_and_only_forwards() -> None:
    cursor = Cursor()
    assert cursor.takes(line("a"))
    assert not cursor.takes(line("a"))
    assert cursor.takes(line("b", place=1))
    assert not cursor.takes(line("a"))
    assert cursor.takes(line("a", replica="b" * 64))


def test_markers_are_always_taken() -> None:
    cursor = Cursor()
    assert cursor.takes(Line(AT, "---")) and cursor.takes(Line(AT, "---"))
    assert not cursor


@given(st.lists(st.lists(st.text(max_size=50), min_size=1, max_size=20), max_size=30), st.integers(0, 700))
def test_a_ring_keeps_the_newest_and_gives_them_in_order(batches: list[list[str]], place: int) -> None:
    ring, everything = Ring(5_000), [text for batch in batches for text in batch]
    for batch in batches:
        ring.add(tuple(line(text) for text in batch))
    assert ring.end == len(everything)
    kept = [found.text for found in ring.lines()]
    assert kept == everything[ring.start :]
    after = [found.text for batch in ring.after(place) for found in batch.lines]
    assert after == everything[max(place, ring.start) :]


def test_what_all_readers_get_is_made_once() -> None:
    ring = Ring(1000)
    ring.add((line("x"), line("y")))
    batch = ring.after(0)[0]
    assert batch.sent_as(as_text) == b"x\ny\n"
    assert batch.sent_as(as_text) is batch.sent_as(as_text)
    assert batch.sent_as(as_text_with_times) == f"{AT} x\n{AT} y\n".encode()


def test_a_line_of_docker_is_its_time_and_its_text() -> None:
    assert split(f"{AT} hello  world\r\n".encode()) == (AT, "hello  world")
    assert split(AT.encode()) == (AT, "")
    assert split(b"\xff\xfe")[0]
