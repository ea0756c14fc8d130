"""Only what is surely Slack's is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.slack.signature import WINDOW_S, is_genuine
from lab.slack import sign

SECRET, NOW, BODY = "8f742231b10e8888abcd99yyyzzz85a5", 1531420618, b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1"
# https://docs.slack.dev/authentication/verifying-requests-from-slack: the published example
PUBLISHED = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
    b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks"
    b".slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121"
    b".803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def check(stamps: list[str], signatures: list[str], body: bytes = BODY, now: float = NOW, secret: str = SECRET) -> bool:
    return is_genuine(secret.encode(), body, stamps, signatures, now)


def test_the_published_example_is_genuine() -> None:
    assert check([str(NOW)], [SIGNATURE], PUBLISHED)


@pytest.mark.parametrize("age", [-WINDOW_S, 0, WINDOW_S])
def test_five_minutes_either_way_are_fine(age: int) -> None:
    stamp = str(NOW - age)
    assert check([stamp], [sign(SECRET, stamp, BODY)])


@pytest.mark.parametrize("age", [-WINDOW_S - 1, WINDOW_S + 1])
def test_older_and_younger_ones_are_not(age: int) -> None:
    stamp = str(NOW - age)
    assert not check([stamp], [sign(SECRET, stamp, BODY)])


GOOD = sign(SECRET, str(NOW), BODY)


@pytest.mark.parametrize(
    ("stamps", "signatures"),
    [
        ([], [GOOD]), ([str(NOW)], []), ([str(NOW)] * 2, [GOOD]), ([str(NOW)], [GOOD, GOOD]),
        (["now"], [GOOD]), ([f" {NOW}"], [GOOD]), ([f"-{NOW}"], [GOOD]), (["1e9"], [GOOD]), (["9" * 400], [GOOD]),
        (["\u0661\u0665"], [GOOD]), ([str(NOW)], ["v0=" + "é" * 64]), ([str(NOW)], [GOOD.upper()]),
        ([str(NOW)], [GOOD[:-1]]), ([str(NOW)], [GOOD + "0"]), ([str(NOW)], ["v1" + GOOD[2:]]), ([str(NOW)], [""]),
    ],
)  # fmt: skip
def test_any_doubt_is_a_no(stamps: list[str], signatures: list[str]) -> None:
    assert not check(stamps, signatures)


def test_without_a_secret_nothing_is_genuine() -> None:
    stamp = str(NOW)
    assert not check([stamp], [sign("", stamp, BODY)], secret="")


@given(st.binary(max_size=200), st.binary(max_size=200), st.text(min_size=1, max_size=30))
def test_a_signature_fits_its_own_body_and_secret_only(body: bytes, other: bytes, secret: str) -> None:
    stamp = str(NOW)
    signature = sign(secret, stamp, body)
    assert check([stamp], [signature], body, secret=secret)
    assert check([stamp], [signature], other, secret=secret) is (other == body)
    assert not check([stamp], [signature], body, secret=secret + "x")
