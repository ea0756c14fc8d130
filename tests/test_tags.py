"""Tag policies: which tag is followed, which is newer, and why one is not deployed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.configuration import Follow
from bot.errors import InvalidInput
from bot.tags import check, decide, follows, is_newer, newest

NUMERIC = Follow()
SEMVER = Follow(policy="semver")
STABLE = Follow(policy="semver", range=">=1.2.0 <2.0.0")
REGEX = Follow(policy="regex", pattern="main-[0-9a-f]{7}")
MOVING = Follow(policy="tag", tag="main")
NEW, OLD = "sha256:" + "b" * 64, "sha256:" + "a" * 64
NONE: frozenset[tuple[str, str]] = frozenset()

tag_texts = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
numbers = st.from_regex(r"[0-9]{1,12}", fullmatch=True)
versions = st.from_regex(r"v?(0|[1-9][0-9]?)\.(0|[1-9])\.(0|[1-9])(-(alpha|rc)\.[1-9])?", fullmatch=True)
any_texts = tag_texts | numbers | versions | st.just("main") | st.text(max_size=5)
policies = st.sampled_from([NUMERIC, SEMVER, STABLE, REGEX, MOVING])


@pytest.mark.parametrize(("follow", "tag", "expected"), [
    (NUMERIC, "0005", True), (NUMERIC, "5", True), (NUMERIC, "9" * 128, True),
    (NUMERIC, "", False), (NUMERIC, "latest", False), (NUMERIC, "0005-rc", False), (NUMERIC, "1.2", False),
    (NUMERIC, "-5", False), (NUMERIC, "\u0665", False), (NUMERIC, "5\n", False), (NUMERIC, "9" * 129, False),
    (SEMVER, "1.2.3", True), (SEMVER, "v1.2.3", True), (SEMVER, "0.0.0", True),
    (SEMVER, "1.2", False), (SEMVER, "01.2.3", False), (SEMVER, "vv1.2.3", False), (SEMVER, "latest", False),
    (SEMVER, "1.2.3-rc.1", False), (SEMVER, "1.2.3+build", False),
    (STABLE, "1.2.0", True), (STABLE, "1.99.0", True), (STABLE, "1.1.9", False), (STABLE, "2.0.0", False),
    (STABLE, "2.0.0-rc.1", False), (STABLE, "1.3.0-rc.1", False),
    (REGEX, "main-0a1b2c3", True), (REGEX, "main-0a1b2c3d", False), (REGEX, "xmain-0a1b2c3", False),
    (REGEX, "main-0a1b2c3\n", False),
    (MOVING, "main", True), (MOVING, "Main", False), (MOVING, "main2", False),
])  # fmt: skip
def test_a_policy_follows_the_tags_of_its_kind(follow: Follow, tag: str, expected: bool) -> None:
    assert follows(follow, tag) is expected


@pytest.mark.parametrize(("range_", "tag", "expected"), [
    (">=2.0.0-rc.1", "2.0.0-rc.2", True), (">=2.0.0-rc.1", "2.0.0-beta.1", False),
    (">=2.0.0-rc.1", "2.1.0-rc.1", False),
    (">=2.0.0-rc.1", "2.1.0", True), ("> 1.0.0, != 1.1.0", "1.1.0", False),
    ("> 1.0.0, != 1.1.0", "1.1.1", True),
    ("1.2.3", "1.2.3", True), ("=1.2.3", "1.2.4", False), ("==v1.2.3", "v1.2.3", True),
    ("<=1.2.3", "1.2.3", True),
])  # fmt: skip
def test_a_range_holds_as_written_and_names_the_prereleases_it_takes(range_: str, tag: str, expected: bool) -> None:
    assert follows(Follow(policy="semver", range=range_), tag) is expected


@pytest.mark.parametrize(("follow", "tag", "than", "expected"), [
    (NUMERIC, "0010", "9", True), (NUMERIC, "0005", "0004", True), (NUMERIC, "0004", "0005", False),
    (NUMERIC, "5", "0005", False), (NUMERIC, "0005", "", True), (NUMERIC, "0005", "hotfix", True),
    (NUMERIC, "latest", "0005", False),
    (SEMVER, "1.10.0", "1.9.0", True), (SEMVER, "1.9.0", "1.10.0", False), (SEMVER, "v1.2.3", "1.2.3", False),
    (SEMVER, "1.2.3", "1.2.3-rc.1", True), (STABLE, "1.9.0", "2.0.0", False),
    (STABLE, "2.0.0", "1.9.0", False),
    (REGEX, "main-0000000", "main-fffffff", True), (REGEX, "main-0000000", "main-0000000", False),
    (REGEX, "other", "main-0000000", False),
    (MOVING, "main", "main", True), (MOVING, "main", "0005", True), (MOVING, "dev", "main", False),
])  # fmt: skip
def test_newer_is_what_the_policy_says(follow: Follow, tag: str, than: str, expected: bool) -> None:
    assert is_newer(follow, tag, than) is expected


@given(st.sampled_from([NUMERIC, SEMVER, STABLE]), any_texts, any_texts)
def test_of_two_tags_at_most_one_is_newer(follow: Follow, one: str, other: str) -> None:
    if follows(follow, one) and follows(follow, other):
        assert not (is_newer(follow, one, other) and is_newer(follow, other, one))
        assert not is_newer(follow, one, one)


@given(policies, st.lists(any_texts))
def test_nothing_is_newer_than_the_newest(follow: Follow, tags: list[str]) -> None:
    found = newest(follow, tags)
    if found is None:
        assert not any(follows(follow, tag) for tag in tags)
    elif follow.policy in ("numeric", "semver"):
        assert not any(is_newer(follow, tag, found) for tag in tags)


@pytest.mark.parametrize(("follow", "tags", "expected"), [
    (NUMERIC, ["0009", "latest", "0010", "9"], "0010"), (NUMERIC, ["5", "0005"], "0005"),
    (NUMERIC, ["0005", "5"], "0005"),
    (NUMERIC, ["latest"], None), (NUMERIC, [], None),
    (SEMVER, ["1.9.0", "v1.10.0", "2.0.0-rc.1", "1"], "v1.10.0"),
    (STABLE, ["2.1.0", "1.3.0", "1.2.9"], "1.3.0"),
    (REGEX, ["main-bbbbbbb", "main-aaaaaaa", "latest"], "main-aaaaaaa"),
    (MOVING, ["dev", "main", "0005"], "main"), (MOVING, ["dev"], None),
])  # fmt: skip
def test_the_newest_tag_is_found(follow: Follow, tags: list[str], expected: str | None) -> None:
    assert newest(follow, tags) == expected


@pytest.mark.parametrize(("follow", "tag", "digest", "live", "why"), [
    (NUMERIC, "0005", NEW, ("0004", OLD), ""),
    (NUMERIC, "0005", "", ("0004", OLD), ""),
    (NUMERIC, "0001", NEW, ("", ""), ""),
    (NUMERIC, "0005", NEW, ("hotfix", OLD), ""),
    (NUMERIC, "0004", NEW, ("0005", OLD), "0004 is not newer than 0005, which is live"),
    (NUMERIC, "0005", OLD, ("0005", OLD), "0005 is the image that is live already"),
    (NUMERIC, "0006", OLD, ("0005", OLD), "0006 is the image that is live already"),
    (NUMERIC, "0005", NEW, ("0005", OLD),
     "0005 is live already; pushed again, it deploys only by hand: o8 deploy SERVICE 0005"),
    (NUMERIC, "latest", NEW, ("0005",
    OLD), "latest is not a number, and policy numeric follows only numbers"),
    (NUMERIC, "a b\x1b", NEW, ("",
    ""), "'a b\\x1b' is not a number, and policy numeric follows only numbers"),
    (SEMVER, "1.2.4", NEW, ("1.2.3", OLD), ""),
    (SEMVER, "1.2.3", NEW, ("1.2.4", OLD), "1.2.3 is not newer than 1.2.4, which is live"),
    (SEMVER, "1.2", NEW, ("", ""), "1.2 is not a version such as 1.2.3"),
    (SEMVER, "1.2.3-rc.1", NEW, ("", ""), "1.2.3-rc.1 is a pre-release that the range (any) does not take"),
    (STABLE, "2.0.0", NEW, ("", ""), "2.0.0 is outside the range >=1.2.0 <2.0.0"),
    (REGEX, "main-0000000", NEW, ("main-fffffff", OLD), ""),
    (REGEX, "main-0000000", NEW, ("main-0000000", OLD), ""),
    (REGEX, "dev", NEW, ("", ""), "dev does not match the pattern main-[0-9a-f]{7}"),
    (MOVING, "main", NEW, ("main", OLD), ""),
    (MOVING, "main", "", ("main", OLD), ""),
    (MOVING, "main", OLD, ("main", OLD), "main is the image that is live already"),
    (MOVING, "dev", NEW, ("main", OLD), "dev is not main, the tag that is followed"),
    (Follow(auto_deploy="off"), "0005", NEW, ("", ""), "auto_deploy is off"),
    (Follow(auto_deploy="approve"), "0005", NEW, ("", ""), ""),
])  # fmt: skip
def test_a_decision_says_why_not(follow: Follow, tag: str, digest: str, live: tuple[str, str], why: str) -> None:
    assert decide(follow, tag, digest, *live, NONE) == why


def test_what_failed_is_not_tried_again_by_itself_but_other_content_is() -> None:
    failed = frozenset({("0007", NEW)})
    why = "0007 with this digest failed before (deployment again by hand: o8 deploy SERVICE 0007)"
    assert decide(NUMERIC, "0007", NEW, "0006", OLD, failed) == why
    assert decide(NUMERIC, "0007", "sha256:" + "c" * 64, "0006", OLD, failed) == ""


@given(policies, any_texts, st.text(), any_texts, st.text())
def test_a_decision_never_raises_and_never_downgrades(
    follow: Follow, tag: str, digest: str, live_tag: str, live_digest: str
) -> None:
    if decide(follow, tag, digest, live_tag, live_digest, NONE) == "":
        assert follows(follow, tag)
        assert follow.policy in ("regex", "tag") or is_newer(follow, tag, live_tag)


@pytest.mark.parametrize("pattern", [r"(a+)+", r"(a|a)*b", r"([a-z]+)*x", r"(.*)*=", r"(a?){60}a{60}"])
def test_no_pattern_takes_long(pattern: str) -> None:
    started = time.monotonic()
    follows(Follow(policy="regex", pattern=pattern), "a" * 127 + "_")
    assert time.monotonic() - started < 1  # Python's own engine needs longer than the universe for these


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(?:[a-z]{1000}){1000}"])
def test_a_pattern_that_cannot_be_matched_in_time_is_refused_and_follows_nothing(pattern: str) -> None:
    follow = Follow(policy="regex", pattern=pattern)
    with pytest.raises(InvalidInput, match="cannot be used"):
        check(follow)
    assert not follows(follow, "ab")
    assert "cannot be used" in decide(follow, "ab", NEW, "", "", NONE)


@pytest.mark.parametrize("range_", ["^1.2.0", "~1.2", ">=1.2", "1.x", ">=1.0.0 || <3.0.0", ">=", "latest"])
def test_a_range_that_cannot_be_read_is_refused_and_follows_nothing(range_: str) -> None:
    follow = Follow(policy="semver", range=range_)
    with pytest.raises(InvalidInput, match="is not a comparison with a full version"):
        check(follow)
    assert not follows(follow, "1.2.3")
    assert decide(follow, "1.2.3", NEW, "", "", NONE).startswith("range ")


@pytest.mark.parametrize("follow", [NUMERIC, SEMVER, STABLE, REGEX, MOVING])
def test_sound_policies_pass_the_check(follow: Follow) -> None:
    check(follow)


def test_alternatives_in_a_pattern_match_the_whole_tag_too() -> None:
    follow = Follow(policy="regex", pattern="main|dev")
    assert [tag for tag in ("main", "dev", "mainx", "xdev") if follows(follow, tag)] == ["main", "dev"]
