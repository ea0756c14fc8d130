"""The inbox: every genuine delivery, its body and o8's verdict, committed before GitHub hears 202."""

from __future__ import annotations

from typing import Any

import orjson
from sqlite_utils import Database

from bot.errors import NotFound
from bot.models import Delivery, Wanted
from bot.store.connection import Connection, change, now, question, rows
from bot.store.deployments import want
from bot.store.origins import learn
from bot.store.packages import seen
from bot.webhooks import PackageEvent

KEPT_BODIES = 2_000  # newest deliveries whose bodies are kept; verdicts are kept ten times as long


class Deliveries(Connection):
    @change
    def receive(self, db: Database, delivery: Delivery, body: bytes, wanted: tuple[Wanted, ...],
                unused: PackageEvent | None = None, service: str = "",
                package: PackageEvent | None = None) -> Delivery | None:  # fmt: skip
        """Stores a delivery together with the deployments it asks for; None when it is a duplicate.

        `unused` is what it announces when no service uses that; with a `service` it is to become that by itself. The
        answer says whether it does. `package`: what it announces, used or not.

        Duplicate: the same id (GitHub keeps it on a redelivery) or the same body under another id, once accepted. One
        that failed inside o8 is taken again.
        """
        first = rows(
            db, "SELECT id, verdict FROM deliveries WHERE id = ? OR (body_digest = ? AND verdict = 'accepted')",
            [delivery.id, delivery.body_digest],
        )  # fmt: skip
        if taken := [row["id"] for row in first if row["verdict"] != "failed"]:
            db.execute("UPDATE deliveries SET duplicates = duplicates + 1 WHERE id = ?", [taken[0]])
            return None
        if unused and seen(db, unused.image, unused.tag, unused.digest, delivery.id if service else "", unused.commit):
            delivery = delivery.model_copy(update={"verdict": "accepted", "accepted": (service,), "ignored": ()})
        row = delivery.model_dump(mode="json") | {"body": body}
        row |= {name: orjson.dumps(row[name]).decode() for name in ("accepted", "ignored")}
        columns, marks = ", ".join(row), ", ".join("?" for _ in row)
        db.execute(f"INSERT OR REPLACE INTO deliveries ({columns}) VALUES ({marks})", list(row.values()))  # noqa: S608
        for each in wanted:
            want(db, each)
        if package:
            learn(db, package)
        _forget_old(db)
        return delivery

    @change
    def processed(self, db: Database, id: str, *, failure: str = "") -> None:
        """Marks a delivery as done, or as failed inside o8 (then a redelivery is taken again)."""
        db.execute("UPDATE deliveries SET processed_at = ? WHERE id = ?", [now(), id])
        if failure:
            query = "UPDATE deliveries SET verdict = 'failed', ignored = ? WHERE id = ?"
            db.execute(query, [orjson.dumps([failure]).decode(), id])

    @question
    def unprocessed(self, db: Database) -> tuple[Delivery, ...]:
        """Acknowledged, not yet acted upon: what a kill left behind."""
        query = "SELECT * FROM deliveries WHERE verdict = 'accepted' AND processed_at IS NULL ORDER BY received_at"
        return tuple(_delivery(row) for row in rows(db, query))

    @question
    def deliveries(self, db: Database, limit: int = 20, before: str = "") -> tuple[Delivery, ...]:
        """The newest first; those received before the delivery `before`, when that is still known."""
        query = """SELECT * FROM deliveries
            WHERE ? = '' OR (received_at, rowid) < (SELECT received_at, rowid FROM deliveries WHERE id = ?)
            ORDER BY received_at DESC, rowid DESC LIMIT ?"""
        return tuple(_delivery(row) for row in rows(db, query, [before, before, limit]))

    @question
    def delivery(self, db: Database, id: str) -> Delivery:
        found = rows(db, "SELECT * FROM deliveries WHERE id = ?", [id])
        if not found:
            raise NotFound(f"There is no delivery {id!r:.140}.", "`o8 deliveries` lists them.")
        return _delivery(found[0])


def _forget_old(db: Database) -> None:
    newest = "SELECT received_at FROM deliveries ORDER BY received_at DESC LIMIT 1 OFFSET ?"
    db.execute(f"UPDATE deliveries SET body = NULL WHERE body IS NOT NULL AND received_at < ({newest})", [KEPT_BODIES])  # noqa: S608
    db.execute(f"DELETE FROM deliveries WHERE received_at < ({newest})", [10 * KEPT_BODIES])  # noqa: S608


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery.model_validate(
        row | {"accepted": orjson.loads(row["accepted"]), "ignored": orjson.loads(row["ignored"])}
    )
