"""The Slack notifier: cards in channels. Imported only when SLACK_BOT_TOKEN is set, as Slack's library is large."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

from bot.errors import StoreUnavailable
from bot.notifiers.slack.cards import render
from bot.notifiers.slack.client import Identity, SlackClient, SlackError
from bot.notifiers.slack.outbox import Outbox
from bot.notifiers.slack.quiet import QuietHours
from bot.settings import Settings
from bot.store import Store

RETRY_S = 10.0
_log = logging.getLogger(__name__)


class SlackNotifier:
    """Raises `SettingsError` for quiet hours that make no sense."""

    def __init__(self, settings: Settings, store: Store, client: SlackClient) -> None:
        self.client = client
        self._store = store
        quiet = QuietHours.read(settings.slack_quiet_hours)
        self._outbox = Outbox(store, client, render, settings.slack_channel, quiet, time.time)
        self._trouble = "Slack was not asked yet who o8 is."
        self.identity: Identity | None = None

    async def run(self) -> None:
        """Endless: first who we are, then the cards."""
        await self._begin_telling()
        while self.identity is None:
            try:
                await self.connect()
            except SlackError as trouble:
                self._trouble = f"Slack does not know o8: {trouble}"
                _log.warning("%s", self._trouble)
                await asyncio.sleep(RETRY_S)
        await self._outbox.run()

    async def connect(self) -> Identity:
        """Asks Slack once whom the token belongs to; raises `SlackError`."""
        self.identity = await self.client.identity()
        self._trouble = ""
        await self._store.remember("slack_team", self.identity.team)
        _log.info("o8 is %s in Slack's workspace %s", self.identity.bot_user, self.identity.workspace)
        return self.identity

    def trouble(self) -> str:
        return self._trouble or self._outbox.trouble

    async def _begin_telling(self) -> None:
        """What happened while there was no Slack is not told: the channel would drown."""
        try:
            if not await self._store.remembered("slack_since"):
                await self._store.drop_old_cards()
                await self._store.remember("slack_since", datetime.now(UTC).isoformat())
        except StoreUnavailable as trouble:
            _log.warning("Cards of the past may be told: %s", trouble)
