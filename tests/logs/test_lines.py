"""Places in a log are read back as they were written, and rings keep the newest."""

from __future__ import annotations

import contextlib
from datetime import datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidInput
from bot.logs.flows import gathered, merged
from bot.logs.lines import (
    PIECE_BYTES,
    Batch,
    Cursor,
    Line,
    Origin,
    Ring,
    as_json,
    as_text,
    as_text_with_times,
    split,
)
from tests.logs.scripted import flow

AT = "2026-05-01T12:00:00.123456789Z"
TIMES = st.datetimes(min_value=datetime(1971, 1, 2)).map(
    lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "789Z"
)
IDS = st.text("0123456789abcdef", min_size=12, max_size=12)


def line(text: str, at: str = AT, number: int = 1) -> Line:
    return Line(at, text, Origin(f"{number:012}", number, f"{number} | "))


@given(st.dictionaries(IDS, st.tuples(TIMES, st.integers(0, 9999))))
def test_a_place_is_read_back_as_it_was_written(places: dict[str, tuple[str, int]]) -> None:
    cursor = Cursor(places)
    assert Cursor.read(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "x", "=", "a=b", f"{'a' * 12}={AT}", f"{'a' * 12}={AT}.x", f"short={AT}.1", f"{'a' * 12}=yesterday.1",
        f"{'a' * 12}={AT}.\u0661", f"{'a' * 12}={AT}.{'9' * 5000}",
    ],
)  # fmt: skip
def test_anything_else_is_no_place(text: str) -> None:
    with pytest.raises(InvalidInput, match="no place in a log"):
        Cursor.read(text)


@given(st.text())
def test_no_text_makes_it_stumble(text: str) -> None:
    """It is refused, or comes back as it was: `;` and repeated names apart."""
    with contextlib.suppress(InvalidInput):
        assert str(Cursor.read(str(Cursor.read(text)))) == str(Cursor.read(text))


def test_a_cursor_stays_short_enough_for_a_header_and_forgets_the_most_silent() -> None:
    cursor, talks_always = Cursor(), {"f" * 12: (AT, 7)}
    for number in range(500):
        cursor.note(Cursor({f"{number:012}": (AT, number)}))
        cursor.note(Cursor(talks_always))
    assert len(str(cursor)) < 2000  # of 8190 that a header may have
    assert cursor["f" * 12] == (AT, 7) and f"{499:012}" in cursor and f"{0:012}" not in cursor


@given(st.lists(st.lists(st.text(max_size=50), min_size=1, max_size=20), max_size=30), st.integers(0, 700))
def test_a_ring_keeps_the_newest_and_gives_them_in_order(batches: list[list[str]], place: int) -> None:
    ring, everything = Ring(15_000), [text for batch in batches for text in batch]
    for batch in batches:
        ring.add(tuple(line(text) for text in batch))
    assert ring.end == len(everything)
    assert [found.text for found in ring.lines()] == everything[ring.start :]
    assert [found.text for found in ring.lines(place)] == everything[max(place, ring.start) :]


def test_what_all_readers_get_is_made_once() -> None:
    ring = Ring(1000)
    ring.add((line("x"), line("y", number=2)))
    batch = ring.after(0)
    assert batch is not None and batch.sent_as(as_text) == b"1 | x\n2 | y\n"
    assert batch.sent_as(as_text) is batch.sent_as(as_text)
    assert batch.sent_as(as_text_with_times) == f"{AT} 1 | x\n{AT} 2 | y\n".encode()
    assert batch.with_text("y") is batch.with_text("y")


def test_forms_of_what_most_have_read_are_not_kept() -> None:
    ring = Ring(10_000_000)
    for number in range(50):
        ring.add((line(f"{number}"),))
    first = ring.after(0)
    assert first is not None
    made = first.sent_as(as_text)
    ring.add((line("x"),))
    assert first.sent_as(as_text) is made, "who lags a little has it, too"
    newest = ring.after(ring.end - 1)
    assert newest is not None
    made = newest.sent_as(as_text)
    for _ in range(20):
        ring.add((line("x"),))
    assert newest.sent_as(as_text) is not made


def test_who_reads_only_lines_with_a_word_has_read_all() -> None:
    batch = Batch(0, (line("an Error", number=1), line("fine", number=2), Line(AT, "--- o8 ---")))
    found = batch.with_text("error")
    assert [one.text for one in found.lines] == ["an Error", "--- o8 ---"]
    assert found.places == batch.places and len(found.places) == 3


def test_the_number_of_a_replica_is_that_of_its_container_and_markers_have_none() -> None:
    sent = as_json((line("x", number=2), Line(AT, "--- o8 ---")))
    assert orjson.loads(sent) == [[AT, 2, "x"], [AT, None, "--- o8 ---"]]
    alone = Line(AT, "x", Origin("a" * 12, 1))
    assert as_text((alone,)) == b"x\n"


def test_a_line_of_docker_is_its_time_and_its_text() -> None:
    assert split(f"{AT} hello  world\r\n".encode()) == (AT, "hello  world")
    assert split(f"{AT} ".encode()) == (AT, "")
    assert split(b"the rest of a line that was too long", AT) == (AT, "the rest of a line that was too long")
    assert split(b"\xff\xfe x", AT)[0] == AT


@given(st.lists(st.lists(st.integers(0, 999)), max_size=5))
async def test_several_logs_become_one_and_each_keeps_its_order(logs: list[list[int]]) -> None:
    parts = [[line(f"{n}.{i}", f"{at:03}") for i, at in enumerate(log)] for n, log in enumerate(logs)]
    found = [one async for one in merged([flow(part) for part in parts])]
    assert len(found) == sum(map(len, parts))
    for number, part in enumerate(parts):
        assert [one for one in found if one.text.startswith(f"{number}.")] == part
    if all(log == sorted(log) for log in logs):
        assert [one.at for one in found] == sorted(one.at for one in found)


async def test_groups_are_not_too_large_to_be_sent_at_once() -> None:
    lines = [line("x" * 1000) for _ in range(500)]
    groups = [group async for group in gathered(flow(lines))]
    assert [one for group in groups for one in group] == lines
    assert all(sum(len(one.text) for one in group) < PIECE_BYTES + 1000 for group in groups)
