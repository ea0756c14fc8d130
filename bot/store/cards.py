"""The outbox of the channel: for each card what is true now (`wanted`) and what Slack shows (`shown`).

Not a list of events: however long Slack was away, one message brings a card to its true state. The cards of
deployments are written by triggers of the schema, inside the change they tell of.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlite_utils import Database

from bot.chat import Card, CardKind, Channel
from bot.errors import NotFound
from bot.store.connection import Connection, change, now, question, rows


class Cards(Connection):
    @question
    def due_cards(self, db: Database, limit: int = 500) -> tuple[Card, ...]:
        """Cards that do not show what is true: those that may be shown at once, oldest first, then by their time.

        Steps are there once their deployment's card is posted, or is not going to be.
        """
        query = """SELECT cards.* FROM cards LEFT JOIN cards AS parent
                ON cards.kind = 'steps' AND parent.kind = 'deployment' AND parent.subject = cards.subject
            WHERE cards.shown < cards.wanted
                AND (cards.kind <> 'steps' OR parent.ts <> '' OR parent.shown >= parent.wanted)
            ORDER BY coalesce(cards.not_before, ''), cards.id LIMIT ?"""
        return _cards(db, query, [limit])

    @question
    def card(self, db: Database, kind: CardKind, subject: str) -> Card:
        found = _cards(db, "SELECT * FROM cards WHERE kind = ? AND subject = ?", [kind, subject])
        if not found:
            raise NotFound(f"There is no card of {kind} {subject}.")
        return found[0]

    @question
    def card_at(self, db: Database, channel: str, ts: str) -> Card | None:
        """The card that a message is, for what is said in its thread."""
        found = _cards(db, "SELECT * FROM cards WHERE channel = ? AND ts = ?", [channel, ts])
        return found[0] if found else None

    @change
    def begin_post(self, db: Database, id: int, channel: str) -> None:
        """Before a message is posted: after a kill or a lost answer it is looked for, not posted again."""
        db.execute("UPDATE cards SET attempted_at = ?, channel = ? WHERE id = ?", [now(), channel, id])

    @change
    def card_shown(self, db: Database, id: int, version: int, channel: str, ts: str) -> None:
        """Slack shows the card as it was at `version`."""
        db.execute(
            "UPDATE cards SET shown = max(shown, ?), channel = ?, ts = ?, attempted_at = NULL, shown_at = ?, "
            "failures = 0, not_before = NULL WHERE id = ?",
            [version, channel, ts, now(), id],
        )

    @change
    def post_refused(self, db: Database, id: int) -> None:
        """Slack said that it posted nothing, so there is nothing to look for."""
        db.execute("UPDATE cards SET attempted_at = NULL WHERE id = ?", [id])

    @change
    def card_failed(self, db: Database, id: int, not_before: datetime) -> None:
        """Try again later. A post whose answer is not known stays so."""
        until = not_before.isoformat(timespec="milliseconds")
        db.execute("UPDATE cards SET failures = failures + 1, not_before = ? WHERE id = ?", [until, id])

    @change
    def postpone_card(self, db: Database, id: int, not_before: datetime) -> None:
        """Not now: the channel is left alone. What failed before is past."""
        until = not_before.isoformat(timespec="milliseconds")
        db.execute("UPDATE cards SET not_before = ?, failures = 0 WHERE id = ?", [until, id])

    @change
    def card_gone(self, db: Database, id: int) -> None:
        """Its message was deleted: it will be posted anew."""
        db.execute("UPDATE cards SET ts = '', attempted_at = NULL WHERE id = ?", [id])

    @change
    def card_dropped(self, db: Database, id: int, version: int) -> None:
        """Nobody wants to see it in this state."""
        db.execute("UPDATE cards SET shown = max(shown, ?) WHERE id = ?", [version, id])

    @change
    def drop_old_cards(self, db: Database) -> None:
        """What happened while there was no channel is not told; cards that are in one still follow what is true."""
        db.execute("UPDATE cards SET shown = wanted WHERE ts = ''")

    @question
    def channel_of(self, db: Database, service: str) -> Channel:
        found = rows(db, "SELECT * FROM channels WHERE service = ?", [service])
        return Channel.model_validate(found[0] if found else {"service": service})

    @change
    def set_channel(self, db: Database, service: str, channel: str) -> None:
        """Cards of `service` go to `channel` from now on; empty: to the default one."""
        statement = """INSERT INTO channels (service, channel) VALUES (?, ?)
            ON CONFLICT (service) DO UPDATE SET channel = excluded.channel"""
        db.execute(statement, [service, channel])

    @change
    def mute(self, db: Database, service: str, until: datetime | None) -> None:
        """None: what was kept back is told now."""
        statement = """INSERT INTO channels (service, muted_until) VALUES (?, ?)
            ON CONFLICT (service) DO UPDATE SET muted_until = excluded.muted_until"""
        db.execute(statement, [service, until and until.isoformat(timespec="milliseconds")])
        if until is None:
            db.execute("UPDATE cards SET not_before = NULL WHERE service = ? AND failures = 0", [service])


def _cards(db: Database, query: str, parameters: Any = ()) -> tuple[Card, ...]:
    return tuple(Card.model_validate(row) for row in rows(db, query, parameters))
