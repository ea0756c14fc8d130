"""Two addresses of a webhook are the same place, however they are written."""

from __future__ import annotations

import pytest

from bot.github.hooks import is_same_address

OURS = "https://o8.example.org/webhooks/github"


@pytest.mark.parametrize("other", [
    OURS, OURS + "/", "https://O8.Example.org/webhooks/github", "https://o8.example.org:443/webhooks/github",
    "HTTPS://o8.example.org/webhooks/github?x=1",
])  # fmt: skip
def test_the_same_place(other: str) -> None:
    assert is_same_address(OURS, other) and is_same_address(other, OURS)


@pytest.mark.parametrize("other", [
    "", "/webhooks/github", "https://", "https://[", "http://o8.example.org/webhooks/github", "mailto:o8@example.org",
    "https://o8.example.org/", "https://o8.example.org:8443/webhooks/github", "https://example.org/webhooks/github",
    "https://o8.example.org/webhooks/GitHub", "https://o8.example.org:99999999/webhooks/github", "\0",
])  # fmt: skip
def test_another_place(other: str) -> None:
    assert not is_same_address(OURS, other) and not is_same_address(other, OURS)
