"""Which tags a policy follows, and which of two is newer: never a downgrade by itself. Pure.

To add a policy: its name in `Follow`, a row in `_POLICIES`, and a sentence in `_why_not_followed`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError
from semver import Version

from bot.configuration import Follow
from bot.errors import InvalidInput

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NUMBER = re.compile(r"[0-9]{1,128}")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
    "==": operator.eq, "=": operator.eq, "": operator.eq, "!=": operator.ne,
}  # fmt: skip
_COMPARISON = re.compile(r"(>=|<=|==|!=|>|<|=|)v?([0-9][0-9A-Za-z.-]*)")


def check(follow: Follow) -> None:
    """Raises `InvalidInput` when the range or pattern cannot be used: it would follow nothing, silently."""
    if follow.policy == "semver":
        _comparisons(follow.range)
    elif follow.policy == "regex":
        _matcher(follow.pattern)


def follows(follow: Follow, tag: str) -> bool:
    """Whether the policy is interested in `tag` at all. What `check` refuses follows nothing."""
    if not _TAG.fullmatch(tag):
        return False
    try:
        return _POLICIES[follow.policy].follows(follow, tag)
    except InvalidInput:
        return False


def is_newer(follow: Follow, tag: str, than: str) -> bool:
    """Whether `tag` may replace `than` by itself.

    numeric and semver compare; a `than` that they cannot read (deployed by hand, or under another policy) is
    older. regex knows no order but that of pushes: every other matching tag is a newer push. The one tag of
    policy tag is always worth a look, its digest decides.
    """
    if not follows(follow, tag):
        return False
    policy = _POLICIES[follow.policy]
    if policy.rank is None:
        return policy.moves or tag != than
    other = policy.rank(than)
    return other is None or bool(policy.rank(tag) > other)


def newest(follow: Follow, tags: Iterable[str]) -> str | None:
    """The tag of `tags` to deploy; None when none is followed. Policy regex takes the last one given."""
    followed = [tag for tag in tags if follows(follow, tag)]
    rank = _POLICIES[follow.policy].rank
    if not followed or rank is None:
        return followed[-1] if followed else None
    # `0005` and `5` are the same number: the longer one wins, whatever the registry's order.
    return max(followed, key=lambda tag: (rank(tag), len(tag), tag))


def newest_first(follow: Follow, tags: Iterable[str]) -> list[str]:
    """For people who look: what is followed, the newest first; then the others. Pushes come as they were made."""
    rank = _POLICIES[follow.policy].rank
    found = list(tags)[::-1]
    followed = [tag for tag in found if follows(follow, tag)]
    if rank is not None:
        followed.sort(key=lambda tag: (rank(tag), len(tag), tag), reverse=True)
    known = set(followed)
    return followed + [tag for tag in found if tag not in known]


def can_compare(follow: Follow, tag: str) -> bool:
    """Whether the policy knows by `tag` alone what is newer than it."""
    rank = _POLICIES[follow.policy].rank
    return rank is not None and rank(tag) is not None


def decide(
    follow: Follow, tag: str, digest: str, live_tag: str, live_digest: str, failed: frozenset[tuple[str, str]]
) -> str:
    """Empty when `tag` shall deploy by itself, else why not, as one sentence for people.

    `digest` and the live values may be empty: not known, or nothing is live. `failed` holds tag and digest of
    attempts that failed.
    """
    shown = tag if _TAG.fullmatch(tag) else f"{tag!a:.80}"
    if follow.auto_deploy == "off":
        return "auto_deploy is off"
    if not follows(follow, tag):
        return _why_not_followed(follow, tag, shown)
    if digest and digest == live_digest:
        return f"{shown} is the image that is live already"
    if digest and (tag, digest) in failed:
        return f"{shown} with this digest failed before (deployment again by hand: o8 deploy SERVICE {shown})"
    if tag == live_tag:
        # A number counts once: one that is pushed again with other content is no newer release.
        by_hand = f"{shown} is live already; pushed again, it deploys only by hand: o8 deploy SERVICE {shown}"
        return "" if _POLICIES[follow.policy].rank is None else by_hand
    return "" if is_newer(follow, tag, live_tag) else f"{shown} is not newer than {live_tag}, which is live"


def _why_not_followed(follow: Follow, tag: str, shown: str) -> str:
    try:
        check(follow)
    except InvalidInput as problem:
        return problem.message
    match follow.policy:
        case "numeric":
            return f"{shown} is not a number, and policy numeric follows only numbers"
        case "regex":
            return f"{shown} does not match the pattern {follow.pattern}"
        case "tag":
            return f"{shown} is not {follow.tag}, the tag that is followed"
        case "semver":
            version = _version(tag)
            if version is None:
                return f"{shown} is not a version such as 1.2.3"
            if version.prerelease:
                return f"{shown} is a pre-release that the range {follow.range or '(any)'} does not take"
            return f"{shown} is outside the range {follow.range}"


def _number(tag: str) -> int | None:
    return int(tag) if _NUMBER.fullmatch(tag) else None


def _version(tag: str) -> Version | None:
    """https://semver.org; a leading `v` is custom, not part of the version."""
    try:
        return Version.parse(tag.removeprefix("v"))
    except ValueError:
        return None


def _is_in_range(follow: Follow, tag: str) -> bool:
    version = _version(tag)
    comparisons = _comparisons(follow.range)
    if version is None or not all(_COMPARISONS[sign](version, bound) for sign, bound in comparisons):
        return False
    # As npm does, so that `<2.0.0` keeps 2.0.0-rc.1 out: the range must name a pre-release of that version.
    # https://github.com/npm/node-semver#prerelease-tags
    named = (bound for _, bound in comparisons if bound.prerelease)
    return not version.prerelease or any(b.finalize_version() == version.finalize_version() for b in named)


@lru_cache(maxsize=256)
def _comparisons(text: str) -> tuple[tuple[str, Version], ...]:
    """`>=1.2.0 <2.0.0` as signs and versions, which must all hold."""
    found = []
    for part in re.sub(r"([<>=!])\s+", r"\1", text).replace(",", " ").split():
        match = _COMPARISON.fullmatch(part)
        bound = _version(match[2]) if match else None
        if match is None or bound is None:
            raise InvalidInput(
                f"range {text!r}: {part!r} is not a comparison with a full version.",
                "Such as `>=1.2.0 <2.0.0`.",
            )
        found.append((match[1], bound))
    return tuple(found)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> TypeAdapter[str]:
    """Matches the whole tag in linear time, whatever the pattern: pydantic's engine never backtracks.

    https://docs.rs/regex/latest/regex/#untrusted-input (so it has no look-around and no back references).
    """
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=rf"\A(?:{pattern})\z")])
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("error: ").strip().rstrip(".")
        raise InvalidInput(
            f"pattern {pattern!r} cannot be used: {reason}.",
            "Write it without look-around, back references and huge counts.",
        ) from None


def _matches(follow: Follow, tag: str) -> bool:
    matcher = _matcher(follow.pattern)
    try:
        matcher.validate_python(tag)
    except ValidationError:
        return False
    return True


class _Policy(NamedTuple):
    """`rank` orders tags (None: cannot read it); a policy without it knows only the order of pushes."""

    follows: Callable[[Follow, str], bool]
    rank: Callable[[str], Any] | None = None
    moves: bool = False  # the same tag names newer images


_POLICIES = {
    "numeric": _Policy(lambda _, tag: _number(tag) is not None, _number),
    "semver": _Policy(_is_in_range, _version),
    "regex": _Policy(_matches),
    "tag": _Policy(lambda follow, tag: tag == follow.tag, moves=True),
}
