"""A reading goes on after the very line at which it stopped, whatever the times of the lines say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.logs.lines import Line, Origin, written
from bot.logs.order import After, Before, Once, since

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORIGIN = Origin("a" * 12, 1)
# Times that overtake one another by less than a second, as those of two outputs do.
OVERTAKING = st.lists(st.integers(0, 900), min_size=1, max_size=40, unique=True).map(
    lambda moves: [BEGIN + timedelta(milliseconds=400 * number + move) for number, move in enumerate(moves)]
)


def lines_at(times: list[datetime]) -> list[Line]:
    return [Line(written(at), f"line {number}", ORIGIN) for number, at in enumerate(times)]


def after(place: tuple[str, int] | None, lines: list[Line]) -> list[Line]:
    found = After(place)
    return [one for line in lines for one in found.takes(line)] + found.end()


def before(place: tuple[str, int], lines: list[Line], *, and_itself: bool = False) -> list[Line]:
    found = Before(place, and_itself=and_itself)
    return [one for line in lines for one in found.takes(line)] + ([] if found.is_over else found.end())


@given(OVERTAKING, st.data())
def test_every_line_is_read_once_wherever_a_reading_is_cut(times: list[datetime], data: st.DataObject) -> None:
    lines = lines_at(times)
    cut = data.draw(st.integers(0, len(lines) - 1))
    place = lines[cut].place
    again = [line for line in lines if line.at >= written(since(place))]  # what Docker gives when asked since then
    assert after(place, again) == lines[cut + 1 :]
    assert before(place, lines) == lines[:cut]
    assert before(place, lines, and_itself=True) == lines[: cut + 1]


def test_a_clock_that_is_set_back_hides_nothing_that_comes_after() -> None:
    lines = lines_at([BEGIN, BEGIN + timedelta(seconds=1), BEGIN - timedelta(hours=1), BEGIN - timedelta(minutes=59)])
    assert after(lines[1].place, lines[1:]) == lines[2:]


def test_of_a_log_that_was_cut_everything_younger_is_read() -> None:
    lines = lines_at([BEGIN + timedelta(milliseconds=600 * number) for number in range(6)])
    gone = (written(BEGIN - timedelta(milliseconds=1)), 0)
    assert after(gone, lines) == lines
    found = After(gone)
    assert [found.takes(line) for line in lines[:3]] == [[], [], lines[:3]], "given out once it cannot come any more"
    assert before((written(BEGIN + timedelta(milliseconds=601)), 0), lines) == lines[:2]


def test_lines_of_one_moment_are_told_apart() -> None:
    lines = [Line(written(BEGIN), f"{nth}", ORIGIN, nth) for nth in range(5)]
    assert after((written(BEGIN), 2), lines) == lines[3:]
    assert before((written(BEGIN), 2), lines) == lines[:2]


def test_without_a_place_all_is_new() -> None:
    lines = lines_at([BEGIN, BEGIN - timedelta(days=1)])
    assert after(None, lines) == lines


def test_a_line_that_docker_gives_twice_is_taken_once_and_one_that_was_overtaken_is_not_lost() -> None:
    once = Once()
    came = [1, 2, 3, 5, 4, 6, 3, 5, 4, 6, 7]  # 4 was overtaken by 5; then the file is changed, and four come again
    assert [number for number in came if once.is_new((written(BEGIN + timedelta(seconds=number)), 0))] == [
        1, 2, 3, 5, 4, 6, 7,
    ]  # fmt: skip
    assert all(once.is_new((written(BEGIN), nth)) for nth in range(3)), "a clock that was set back"
