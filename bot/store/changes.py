"""What is in a release, as GitHub told it once: asked in the background, kept for cards."""

from __future__ import annotations

from typing import NamedTuple

from sqlite_utils import Database

from bot.github.commits import Changes
from bot.store.connection import Connection, change, question, rows

_AT_ONCE = 20


class Span(NamedTuple):
    """From which commit to which; an empty `base`: that one commit."""

    repository: str
    base: str
    head: str


class ChangesKept(Connection):
    @question
    def unknown_changes(self, db: Database) -> tuple[Span, ...]:
        """What the newest cards could say and GitHub was not asked yet; as `bot.notifiers.slack.cards.span_of`."""
        query = """SELECT DISTINCT repository, base, head FROM (
                SELECT d.id, d.repository, d."commit" AS head, CASE
                    WHEN p.id IS NOT NULL AND p.repository IN ('', d.repository) THEN p."commit" ELSE '' END AS base
                FROM deployments AS d
                JOIN cards AS c ON c.kind = 'deployment' AND c.subject = CAST(d.id AS TEXT)
                    AND (c.ts <> '' OR c.shown < c.wanted)
                LEFT JOIN services AS s ON s.name = d.service AND s.live <> d.id AND d.started_at IS NULL
                LEFT JOIN deployments AS p ON p.id = coalesce(d.previous, s.live)
                WHERE d.id > (SELECT ifnull(max(id), 0) FROM deployments) - 50
                    AND d.repository <> '' AND d."commit" <> '')
            LEFT JOIN changes AS known USING (repository, base, head)
            WHERE base <> head AND known.head IS NULL ORDER BY id DESC LIMIT ?"""
        return tuple(Span(**row) for row in rows(db, query, [_AT_ONCE]))

    @question
    def changes(self, db: Database, span: Span) -> Changes | None:
        """None: not known, or GitHub does not tell."""
        query = "SELECT content FROM changes WHERE repository = ? AND base = ? AND head = ? AND content IS NOT NULL"
        found = rows(db, query, span)
        return Changes.model_validate_json(found[0]["content"]) if found else None

    @change
    def keep_changes(self, db: Database, span: Span, found: Changes | None) -> None:
        """None: GitHub does not tell, and is not asked again. Cards that tell of that commit are edited."""
        db.execute("INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?)", [*span, found and found.model_dump_json()])
        if found:
            cards = """UPDATE cards SET wanted = wanted + 1 WHERE kind = 'deployment' AND (ts <> '' OR shown < wanted)
                AND subject IN (SELECT CAST(id AS TEXT) FROM deployments WHERE repository = ? AND "commit" = ?)"""
            db.execute(cards, [span.repository, span.head])
