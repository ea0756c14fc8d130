"""Brings every card to its true state, however long Slack was away and however often o8 was killed: exactly one message
per card.

Before a message is posted that is written down, and it carries the card's name; so after a lost answer or a kill it is
looked for before it is posted again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot.chat import Card, CardKind
from bot.errors import NotFound, StoreUnavailable
from bot.notifiers.slack.cards import Rendered
from bot.notifiers.slack.client import (
    ChannelGone,
    MessageGone,
    Posted,
    RateLimited,
    SlackClient,
    SlackError,
    TokenGone,
    TooLong,
    Uncertain,
    Unsent,
)
from bot.notifiers.slack.pacing import Due, Pace
from bot.notifiers.slack.quiet import QuietHours
from bot.store import Store

LOOK_BACK_S = 60.0  # Slack's clock and ours may differ
TOKEN_RETRY_S, CHANNEL_RETRY_S, LONGEST_PAUSE_S = 60.0, 60.0, 60.0
LOOK_AGAIN = timedelta(minutes=1)
_log = logging.getLogger(__name__)


class Renderer(Protocol):
    async def __call__(self, card: Card, store: Store, *, is_short: bool = False) -> Rendered | None: ...


class Outbox:
    """`channel`: where cards go that have none of their own. `clock` counts seconds since 1970."""

    def __init__(
        self, store: Store, client: SlackClient, render: Renderer, channel: str, quiet: QuietHours | None,
        clock: Callable[[], float], sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._store = store
        self._client = client
        self._render = render
        self._channel = channel
        self._quiet = quiet
        self._clock = clock
        self._sleep = sleep
        self._pace = Pace()
        self._ids: dict[str, str] = {}  # channels by the name they are called in settings
        self._gone: dict[str, float] = {}  # channels that take nothing, until they are tried again
        self._too_long: set[int] = set()  # cards that Slack takes only in their short form
        self._failures = 0
        self.trouble = ""

    async def run(self) -> None:
        """Endless."""
        while True:
            try:
                seen = await self._store.committed()
                pause = await self.round()
                await self._idle(seen, pause)
            except StoreUnavailable as trouble:
                _log.warning("Cards wait for the database: %s", trouble)
                await self._sleep(1.0)

    async def round(self) -> float:
        """Sends what may be sent now; returns how many seconds until the next card may be."""
        while True:
            dues = [due for card in await self._store.due_cards() if (due := await self._due(card))]
            found = self._pace.next(dues, self._clock())
            if isinstance(found, float):
                return found
            await self._send(found)

    async def _idle(self, seen: int, pause: float) -> None:
        """Until something changed, or `pause` is over."""
        changed = asyncio.ensure_future(self._store.committed(seen))
        pausing = asyncio.ensure_future(self._sleep(min(pause, 3600.0)))
        try:
            await asyncio.wait({changed, pausing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (changed, pausing):
                task.cancel()

    async def _due(self, card: Card) -> Due | None:
        """Where and when a card may go; None while it has to wait for another one."""
        not_before = card.not_before.timestamp() if card.not_before else 0.0
        if card.kind is CardKind.STEPS:
            with suppress(NotFound):
                parent = await self._store.card(CardKind.DEPLOYMENT, card.subject)
                if parent.ts:
                    return Due(card, parent.channel, not_before)
                if parent.shown >= parent.wanted:  # nobody was told of it
                    await self._store.card_dropped(card.id, card.wanted)
            return None
        return Due(card, card.channel if card.ts else await self._target(card), not_before)

    async def _target(self, card: Card) -> str:
        wanted = (await self._store.channel_of(card.service)).channel if card.service else ""
        found = self._ids.get(wanted, wanted)
        usual = self._ids.get(self._channel, self._channel)
        return found if found and self._gone.get(found, 0) < self._clock() else usual

    async def _send(self, due: Due) -> None:
        card = due.card
        try:
            rendered = await self._render(card, self._store, is_short=card.id in self._too_long)
        except NotFound:
            rendered = None
        except ValueError:  # a fault inside o8 that must not keep all other cards waiting
            _log.exception("The card %s:%s cannot be made", card.kind, card.subject)
            await self._put_off(card, _longer(card))
            return
        if rendered is None:
            await self._store.card_dropped(card.id, card.wanted)
            return
        if not card.ts and await self._is_held_back(card, rendered):
            return
        self._pace.sent(due, self._clock())
        try:
            await self._show(due, rendered)
            self._failures, self.trouble = 0, ""
        except SlackError as trouble:
            await self._failed(due, trouble)

    async def _is_held_back(self, card: Card, rendered: Rendered) -> bool:
        """Mutes drop what goes well and keep trouble for later; quiet hours keep what goes well and tell trouble."""
        at = datetime.fromtimestamp(self._clock(), UTC)
        muted = (await self._store.channel_of(card.service)).muted_until if card.service else None
        if muted and muted > at:
            if rendered.is_trouble:
                await self._store.postpone_card(card.id, muted)
            elif card.is_final:
                await self._store.card_dropped(card.id, card.wanted)
            else:
                await self._store.postpone_card(card.id, min(muted, at + LOOK_AGAIN))
            return True
        ends = self._quiet.ends(at) if self._quiet else None
        if ends and not rendered.is_trouble:
            # A deployment that is under way may still become trouble, so it is looked at again.
            await self._store.postpone_card(card.id, ends if card.is_final else min(ends, at + LOOK_AGAIN))
            return True
        return False

    async def _show(self, due: Due, rendered: Rendered) -> None:
        card, name = due.card, f"{due.card.kind}:{due.card.subject}"
        if card.ts:
            await self._client.update(Posted(card.channel, card.ts), rendered.message, card=name)
            await self._store.card_shown(card.id, card.wanted, card.channel, card.ts)
            return
        thread = await self._thread_of(card)
        found = await self._already_there(card, name, thread)
        if found is None:
            found = await self._post(due, rendered, name, thread)
            await self._store.card_shown(card.id, card.wanted, found.channel, found.ts)
            await self._upload(rendered, Posted(found.channel, thread or found.ts))
        else:
            # It may show an older state: shown once more, as an update.
            await self._store.card_shown(card.id, card.wanted - 1, found.channel, found.ts)

    async def _post(self, due: Due, rendered: Rendered, name: str, thread: str) -> Posted:
        is_broadcast = rendered.is_broadcast and bool(thread)
        await self._store.begin_post(due.card.id, due.channel)
        try:
            found = await self._client.post(
                due.channel, rendered.message, thread=thread, is_broadcast=is_broadcast, card=name
            )
        except Uncertain:
            raise
        except SlackError:
            await self._store.post_refused(due.card.id)
            raise
        self._ids[due.channel] = found.channel
        return found

    async def _upload(self, rendered: Rendered, at: Posted) -> None:
        """Once, and whatever comes of it: the card says what matters, and `o8 logs` has the rest."""
        if rendered.message.file is None:
            return
        name, text = rendered.message.file
        try:
            await self._client.upload(at.channel, name, text, thread=at.ts)
        except SlackError as trouble:
            _log.warning("%s is not in Slack: %s", name, trouble)

    async def _thread_of(self, card: Card) -> str:
        if card.kind is not CardKind.STEPS:
            return ""
        return (await self._store.card(CardKind.DEPLOYMENT, card.subject)).ts

    async def _already_there(self, card: Card, name: str, thread: str) -> Posted | None:
        """The message of an earlier try whose answer nobody heard."""
        if card.attempted_at is None or not card.channel:
            return None
        channel = self._ids.get(card.channel, card.channel)
        if channel.startswith("#"):  # history is asked by id, which an answer would have told
            channel = await self._client.channel_id(channel) or channel
        try:
            oldest = card.attempted_at.timestamp() - LOOK_BACK_S
            return await self._client.find(channel, name, oldest=oldest, thread=thread)
        except (ChannelGone, MessageGone):
            return None
        except SlackError as refusal:
            if refusal.is_transient or isinstance(refusal, TokenGone):
                raise
            _log.warning("Cannot look whether %s was posted already (%s), so it may come twice", name, refusal)
            return None

    async def _failed(self, due: Due, trouble: SlackError) -> None:
        card, now = due.card, self._clock()
        pause = 0.0
        if isinstance(trouble, RateLimited):
            self._pace.hush(now + trouble.retry_after)
        elif isinstance(trouble, TokenGone):
            pause = TOKEN_RETRY_S
            self.trouble = (
                f"Slack does not accept o8's token ({trouble.reason}). Install the app anew, then set SLACK_BOT_TOKEN."
            )
            self._pace.hush(now + pause)
        elif isinstance(trouble, MessageGone) and card.kind is CardKind.STEPS:  # its thread is not there
            await self._store.card_dropped(card.id, card.wanted)
        elif isinstance(trouble, MessageGone):
            await self._store.card_gone(card.id)
        elif isinstance(trouble, TooLong) and card.id not in self._too_long:
            self._too_long.add(card.id)
        elif isinstance(trouble, ChannelGone):
            pause = await self._without_channel(due, trouble)
        elif isinstance(trouble, Unsent | Uncertain):
            self._failures += 1
            pause = min(2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE_S) * random.uniform(0.75, 1)  # noqa: S311
            self.trouble = f"Slack does not answer ({trouble.reason}); cards follow when it does."
            self._pace.hush(now + pause)
        else:
            pause = _longer(card)
            _log.error("Slack refuses the card %s:%s: %s", card.kind, card.subject, trouble)
        if self.trouble:
            _log.warning("%s", self.trouble)
        await self._put_off(card, pause)

    async def _put_off(self, card: Card, pause: float) -> None:
        await self._store.card_failed(card.id, datetime.fromtimestamp(self._clock() + pause, UTC))

    async def _without_channel(self, due: Due, trouble: ChannelGone) -> float:
        """Joins a public channel, or goes to the usual one; returns how long to wait when there is none."""
        if trouble.reason == "not_in_channel":
            with suppress(SlackError):
                channel = await self._client.channel_id(due.channel)
                if channel:
                    await self._client.join(channel)
                    return 0.0
        is_usual = due.channel in (self._channel, self._ids.get(self._channel))
        self._gone[due.channel] = self._clock() + 10 * CHANNEL_RETRY_S
        if due.card.ts or due.card.kind is CardKind.STEPS:  # in a channel where nobody looks any more
            await self._store.card_dropped(due.card.id, due.card.wanted)
        words = f"Cards cannot be posted to {due.channel} ({trouble.reason})."
        self.trouble = f"{words} Invite @o8 there, or set SLACK_CHANNEL." if is_usual else ""
        _log.warning("%s %s", words, "" if is_usual else f"They go to {self._channel}.")
        return CHANNEL_RETRY_S if is_usual else 0.0


def _longer(card: Card) -> float:
    """Seconds until a card that failed by itself is tried again: a minute more each time, an hour at most."""
    return LONGEST_PAUSE_S * min(card.failures + 1, 60)
