"""Only genuine deliveries act: GitHub's test vector, rotation, and thousands of changed ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.webhooks import is_genuine
from lab import github

pytestmark = pytest.mark.slow

SECRET = b"It's a Secret to Everybody"
VECTOR = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
BODY = b"Hello, World!"


def test_the_test_vector_of_github_is_genuine() -> None:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation"""
    assert is_genuine([SECRET], BODY, VECTOR)
    assert github.sign(SECRET, BODY) == VECTOR


def test_while_secrets_are_replaced_each_of_them_counts() -> None:
    assert is_genuine([b"the next secret", SECRET], BODY, VECTOR)
    assert is_genuine([SECRET, b"the next secret"], BODY, VECTOR)
    assert not is_genuine([b"the next secret"], BODY, VECTOR)


@pytest.mark.parametrize("signature", [
    None, "", "sha256=", VECTOR.upper(), VECTOR.replace("sha256=", ""), VECTOR.replace("sha256",
    "sha1"), f" {VECTOR}",
    VECTOR + "0", VECTOR[:-1], VECTOR + "\n", f"{VECTOR},{VECTOR}",
    "sha256=é" + VECTOR[8:], "\udce9" * 71, "\x00",
])  # fmt: skip
def test_a_signature_of_another_form_is_refused(signature: str | None) -> None:
    assert not is_genuine([SECRET], BODY, signature)


def test_without_a_secret_nothing_is_genuine() -> None:
    assert not is_genuine([], BODY, VECTOR)
    assert not is_genuine([b""], BODY, github.sign(b"", BODY))


Triple = tuple[bytes, str, bytes]


def _flip(data: bytes, place: int, bit: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


@st.composite
def mutated(draw: st.DrawFn) -> Triple:
    """A genuine (body, header, secret) of which at least one part was changed."""
    parts = [draw(st.binary(min_size=1, max_size=80)), b"", draw(st.binary(min_size=16, max_size=40))]
    parts[1] = github.sign(parts[2], parts[0]).encode()
    before = tuple(parts)
    for which in draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)):
        change: Callable[[bytes], bytes] = draw(st.sampled_from([
            lambda data: _flip(data, draw(st.integers(0, 200)), draw(st.integers(0, 7))),
            lambda data: data[:-1] or b"x", lambda data: data + draw(st.binary(min_size=1, max_size=3)),
            lambda data: draw(st.binary(min_size=1, max_size=80)),
        ]))  # fmt: skip
        parts[which] = change(parts[which])
    # HMAC pads short keys with zero bytes, so those are the same key.
    if (parts[0], parts[1], parts[2].rstrip(b"\0")) == (before[0], before[1], before[2].rstrip(b"\0")):
        parts[0] += b"!"
    return parts[0], parts[1].decode("latin-1"), parts[2]


@settings(max_examples=2500, deadline=None)
@given(mutated())
def test_no_mutated_delivery_is_genuine(triple: Triple) -> None:
    body, signature, secret = triple
    assert not is_genuine([secret], body, signature)


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=100))
def test_control_every_unchanged_delivery_is_genuine(body: bytes, secret: bytes) -> None:
    assert is_genuine([b"another", secret], body, github.sign(secret, body))


@given(st.lists(st.binary()), st.binary(), st.none() | st.text())
def test_asking_whether_something_is_genuine_never_raises(
    secrets: list[bytes], body: bytes, signature: str | None
) -> None:
    assert is_genuine(secrets, body, signature) in (True, False)
