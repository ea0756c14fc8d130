"""Telling people: one notifier per place. To add one: a package here, one line in `bot/app.py`."""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    """Nothing in it may hold up a deployment: it reads what is true from the store, in its own time."""

    async def run(self) -> None:
        """Endless."""

    def trouble(self) -> str:
        """Why people are not told at the moment and what to do, as a sentence; empty while they are."""
