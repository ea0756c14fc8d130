"""What there is of a service's image: its order and its marks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import tags
from bot.configuration import Follow
from bot.packages.versions import Fact, Known, Version, arranged

NUMERIC, SEMVER = Follow(), Follow(policy="semver", range="<2.0.0")
REGEX, MAIN = Follow(policy="regex", pattern="[a-z]+-[0-9a-f]+"), Follow(policy="tag", tag="main")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def pushed(*versions: tuple[str, ...]) -> list[Known]:
    """As GitHub lists them, the newest first; the digest of each is its first tag in capitals."""
    return [Known(each, each[0].upper(), NOON - timedelta(minutes=n)) for n, each in enumerate(versions)]


def marked(
    known: list[Known], follow: Follow = NUMERIC, live: Fact | None = None, newest: Fact | None = None, *,
    is_serving: bool = True, is_in_order: bool = True,
) -> dict[str, str]:  # fmt: skip
    """The marks of each, by its name and in their order."""
    found = arranged(known, follow, live, newest, is_serving=is_serving, is_in_order=is_in_order)
    assert len({each.name for each in found}) == len(found)
    return {each.name: " ".join(each.marks) for each in found}


def test_what_runs_what_is_newer_and_what_is_newest_by_policy() -> None:
    known = pushed(("latest",), ("0007", "latest-0007"), ("0006",), ("0005",), ("0004",))
    assert marked(known, live=Fact("0005", "0005")) == {
        "latest": "", "0007": "newest newer", "0006": "newer", "0005": "runs", "0004": "",
    }  # fmt: skip


def test_a_stopped_service_runs_nothing_and_still_has_what_is_newer() -> None:
    assert marked(pushed(("2",), ("1",)), live=Fact("1", "1"), is_serving=False) == {"2": "newest newer", "1": ""}


def test_before_the_first_release_all_that_is_followed_is_newer_than_nothing() -> None:
    assert marked(pushed(("2",), ("1",), ("main",))) == {"2": "newest newer", "1": "newer", "main": ""}


def test_semver_looks_at_its_range_and_not_at_the_order_of_pushes() -> None:
    known = pushed(("1.0.1",), ("2.0.0",), ("1.2.0",), ("1.1.0",), ("1.3.0-rc.1",))
    assert marked(known, SEMVER, Fact("1.1.0", "1.1.0")) == {
        "1.0.1": "", "2.0.0": "", "1.2.0": "newest newer", "1.1.0": "runs", "1.3.0-rc.1": "",
    }  # fmt: skip


def test_a_pattern_knows_the_order_of_pushes() -> None:
    known = pushed(("main-3c",), ("v1",), ("main-2b",), ("main-1a",))
    live = Fact("main-2b", "MAIN-2B")
    assert marked(known, REGEX, live) == {"main-3c": "newest newer", "v1": "", "main-2b": "runs", "main-1a": ""}


def test_a_pattern_over_a_source_without_order_has_the_newest_that_was_looked_up() -> None:
    known = [Known((tag,)) for tag in ("main-3c", "main-2b", "main-1a")]
    live, newest = Fact("main-2b", "B"), Fact("main-1a", "A")
    assert marked(known, REGEX, live, newest, is_in_order=False) == {
        "main-3c": "", "main-2b": "runs", "main-1a": "newest newer",
    }  # fmt: skip
    assert "newest" not in " ".join(marked(known, REGEX, live, is_in_order=False).values())


def test_a_moving_tag_that_moved_is_newer_and_what_runs_is_shown_by_its_digest() -> None:
    known = pushed(("main", "c3"), ("b2",), ("a1",))
    assert marked(known, MAIN, Fact("main", "B2")) == {"main": "newest newer", "b2": "runs", "a1": ""}
    assert marked([Known(("main",))], MAIN, Fact("main", "OLD"), Fact("main", "NEW"), is_in_order=False) == {
        "main": "newest newer", "OLD": "runs",
    }  # fmt: skip


def test_a_moving_tag_that_did_not_move_is_what_runs() -> None:
    same = Fact("main", "A")
    assert marked([Known(("main",)), Known(("v1",))], MAIN, same, same) == {"main": "runs newest", "v1": ""}
    assert marked([Known(("main",))], MAIN, same) == {"main": "runs newest"}


def test_one_image_under_two_tags_is_not_newer_than_itself() -> None:
    assert marked(pushed(("0006", "0005"), ("0004",)), live=Fact("0005", "0006")) == {"0006": "runs newest", "0004": ""}


def test_what_was_deployed_by_its_digest_is_compared_by_the_time_of_its_push() -> None:
    known = pushed(("3",), ("2",), ("1",))
    assert marked(known, live=Fact("", "2")) == {"3": "newest newer", "2": "runs", "1": ""}


def test_the_newest_that_was_looked_up_has_a_place_although_github_does_not_list_it_yet() -> None:
    known = pushed(("0006",), ("0005",))
    assert list(marked(known, newest=Fact("0007", "D7"), live=Fact("0006", "0006"))) == ["0007", "0006", "0005"]
    moved = marked(pushed(("main", "c3"), ("b2",)), MAIN, Fact("main", "MAIN"), Fact("main", "NEW"))
    assert moved == {"main": "newest newer", "c3": "runs", "b2": ""}


def test_what_runs_has_a_place_although_its_source_has_forgotten_it() -> None:
    known = pushed(("0102",), ("0101",))
    assert list(marked(known, live=Fact("0003", "D3"))) == ["0102", "0101", "0003"]
    assert list(marked(known, live=Fact("0103", "D103"))) == ["0103", "0102", "0101"]
    assert marked([], live=Fact("0003", "D3")) == {"0003": "runs newest"}


def test_an_image_whose_only_tag_has_moved_on_is_left_out_unless_it_runs() -> None:
    known = pushed(("main",), ("v1",))
    assert list(marked(known, MAIN, newest=Fact("main", "NEW"))) == ["main", "v1"]
    assert list(marked(known, MAIN, Fact("main", "MAIN"), Fact("main", "NEW"))) == ["main", "MAIN", "v1"]


def test_the_name_is_the_tag_that_is_followed() -> None:
    (found,) = arranged(pushed(("latest", "main-1a", "0007", "7")), NUMERIC, None, None, is_serving=True,
                        is_in_order=True)  # fmt: skip
    assert (found.tag, found.reference) == ("0007", "0007")
    nameless = Version(tag="", tags=(), digest="sha256:" + "ab" * 32, pushed_at=None, runs=True, is_newest=False,
                       is_newer=False)  # fmt: skip
    assert (nameless.name, nameless.reference) == ("abababababab", nameless.digest)


NAMES = st.sampled_from(["1", "2", "0003", "3", "10", "1.0.0", "1.2.0-rc", "main", "main-1a", "main-2b", "latest"])
FACTS = st.none() | st.builds(Fact, NAMES, st.sampled_from("ABCDEFX"))


@given(
    st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3, unique=True), st.sampled_from(["", NOON])), max_size=6),
    st.sampled_from([NUMERIC, SEMVER, REGEX, MAIN]), FACTS, FACTS, st.booleans(),
)  # fmt: skip
def test_whatever_the_sources_say_no_tag_is_twice_and_what_serves_is_there_once(
    given_: list[tuple[list[str], object]], follow: Follow, live: Fact | None, newest: Fact | None, in_order: bool
) -> None:
    seen: set[str] = set()
    known = []
    for number, (names, at) in enumerate(given_):
        own = tuple(name for name in names if name not in seen)
        seen |= set(own)
        if own:
            known.append(Known(own, "ABCDEF"[number] if at else "", NOON - timedelta(minutes=number) if at else None))
    found = arranged(known, follow, live, newest, is_serving=True, is_in_order=in_order)
    named = [tag for each in found for tag in each.tags]
    assert len(named) == len(set(named)) and set(named) >= seen
    assert sum(each.runs for each in found) == (live is not None)
    assert all(each.digest == live.digest for each in found if each.runs and live)
    assert not any(each.runs and each.is_newer for each in found)
    assert all(any(tags.follows(follow, tag) for tag in each.tags) for each in found if each.is_newer or each.is_newest)
    assert sum(each.is_newest for each in found) <= 1
    assert all(each.reference for each in found)


@pytest.mark.parametrize(("follow", "given_", "expected"), [
    (NUMERIC, ["0001", "main", "10", "9"], ["10", "9", "0001", "main"]),
    (SEMVER, ["1.0.0", "2.0.0", "1.9.0"], ["1.9.0", "1.0.0", "2.0.0"]),
    (REGEX, ["main-1a", "v1", "main-2b"], ["main-2b", "main-1a", "v1"]),
    (MAIN, ["v1", "main", "v2"], ["main", "v2", "v1"]),
    (NUMERIC, [], []),
])  # fmt: skip
def test_tags_for_people_begin_with_the_newest_that_is_followed(
    follow: Follow, given_: list[str], expected: list[str]
) -> None:
    assert tags.newest_first(follow, given_) == expected


def test_policies_without_an_order_compare_no_tags() -> None:
    assert tags.can_compare(NUMERIC, "7") and tags.can_compare(SEMVER, "v1.2.0")
    assert not any(tags.can_compare(*each) for each in ((NUMERIC, "main"), (NUMERIC, ""), (REGEX, "a-1"), (MAIN, "7")))
