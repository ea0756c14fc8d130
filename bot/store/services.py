"""Services, their hold and lock, and their encrypted environment."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import orjson
from sqlite_utils import Database

from bot.configuration import Configuration
from bot.errors import ChangedMeanwhile, Conflict, NotFound
from bot.models import EnvironmentRevision, Hold, Lock, Service, State
from bot.permissions import scope_of
from bot.store.connection import Connection, change, now, question, rows

Expected = Configuration | Literal["absent"] | None  # what was read before; None: whatever it is


class Services(Connection):
    @question
    def services(self, db: Database) -> tuple[Service, ...]:
        return select_services(db, "SELECT * FROM services ORDER BY name")

    @question
    def service_names(self, db: Database) -> tuple[str, ...]:
        return tuple(row["name"] for row in rows(db, "SELECT name FROM services ORDER BY name"))

    @question
    def service(self, db: Database, name: str) -> Service:
        """Raises `NotFound` with the names that come close."""
        return find_service(db, name)

    @question
    def services_of_image(self, db: Database, image: str) -> tuple[Service, ...]:
        query = "SELECT * FROM services WHERE configuration ->> 'image' = ? ORDER BY name"
        return select_services(db, query, [image])

    @change
    def apply(self, db: Database, configuration: Configuration, last_block: int,
              expected: Expected = None, base_domain: str = "") -> bool:  # fmt: skip
        """Stores a service's configuration; True when the service is new.

        Raises `Conflict` when a domain (below `base_domain`, too) or host port belongs to another service, or no
        address block is left; `ChangedMeanwhile` when it is another one than `expected`.
        """
        others = select_services(db, "SELECT * FROM services WHERE name <> ?", [configuration.name])
        _refuse_overlap(configuration, others, base_domain)
        text = configuration.model_dump_json()
        found = select_services(db, "SELECT * FROM services WHERE name = ?", [configuration.name])
        if expected not in (None, found[0].configuration if found else "absent"):
            raise ChangedMeanwhile(f"{configuration.name} was changed meanwhile.", "Look at it and try again.")
        if found:
            _change(db, found[0].configuration, configuration, text)
            return False
        taken = {service.block for service in others}
        block = next((n for n in range(1, last_block + 1) if n not in taken), None)
        if block is None:
            raise Conflict(f"O8_SUBNET has room for {last_block} services.", "Remove one, or choose a larger subnet.")
        db.execute(
            "INSERT INTO services (name, configuration, block, created_at) VALUES (?, ?, ?, ?)",
            [configuration.name, text, block, now()],
        )
        return True

    @change
    def forget_service(self, db: Database, name: str) -> None:
        """Removes the service; its deployments stay as history, what waits is cancelled, its environment goes.

        So do the rights in its scope: they were not given for what may be called so later.
        """
        _cancel_pending(db, name, f"{name} was removed.")
        db.execute("DELETE FROM services WHERE name = ?", [name])
        db.execute("DELETE FROM environments WHERE service = ?", [name])
        db.execute("DELETE FROM grants WHERE scope = ?", [scope_of(name)])

    @change
    def set_hold(self, db: Database, name: str, hold: Hold | None) -> None:
        find_service(db, name)
        set_hold(db, name, hold)

    @change
    def set_lock(self, db: Database, name: str, lock: Lock | None) -> None:
        find_service(db, name)
        db.execute("UPDATE services SET lock = ? WHERE name = ?", [lock and lock.model_dump_json(), name])

    @change
    def set_stopped(self, db: Database, name: str, is_stopped: bool) -> None:
        """A stop also ends what people have queued, which would start it again; automatic ones become `held`."""
        db.execute("UPDATE services SET is_stopped = ? WHERE name = ?", [is_stopped, name])
        if is_stopped:
            _cancel_pending(db, name, f"{name} was stopped.", has_automatic=False)

    @change
    def add_environment(self, db: Database, service: str, expected: int, seal: Callable[[], bytes], names: list[str],
                        actor: str) -> int:  # fmt: skip
        """Stores the next revision, sealed for `expected` + 1, and makes it the service's; returns its number.

        `seal` is called inside the transaction: one of another key cannot come in after `reseal`.
        Raises `Conflict` when somebody else stored one since `expected` was read.
        """
        found = db.execute("SELECT max(revision) FROM environments WHERE service = ?", [service]).fetchone()[0] or 0
        if found != expected:
            raise ChangedMeanwhile(f"The environment of {service} was changed meanwhile.", "Look at it and try again.")
        revision = expected + 1
        db.execute(
            "INSERT INTO environments VALUES (?, ?, ?, ?, ?, ?)",
            [service, revision, seal(), orjson.dumps(names).decode(), actor, now()],
        )
        db.execute("UPDATE services SET environment_revision = ? WHERE name = ?", [revision, service])
        return revision

    @question
    def environment(self, db: Database, service: str, revision: int) -> bytes:
        """The sealed text of one revision; empty for revision 0."""
        query = "SELECT sealed FROM environments WHERE service = ? AND revision = ?"
        found = rows(db, query, [service, revision])
        return bytes(found[0]["sealed"]) if found else b""

    @change
    def reseal(self, db: Database, anew: Callable[[str, int, bytes], bytes]) -> int:
        """Every revision of every service as `anew` gives it back, all of them or none; how many have changed."""
        changed = 0
        for key in rows(db, "SELECT service, revision FROM environments"):
            where, place = "WHERE service = ? AND revision = ?", [key["service"], key["revision"]]
            before = bytes(rows(db, f"SELECT sealed FROM environments {where}", place)[0]["sealed"])  # noqa: S608
            after = anew(key["service"], key["revision"], before)
            if after != before:
                db.execute(f"UPDATE environments SET sealed = ? {where}", [after, *place])  # noqa: S608
                changed += 1
        return changed

    @question
    def environment_revisions(self, db: Database, service: str) -> tuple[EnvironmentRevision, ...]:
        """Names, author and time of every revision, newest first; no values."""
        query = "SELECT revision, names, actor, created_at FROM environments WHERE service = ? ORDER BY revision DESC"
        return tuple(
            EnvironmentRevision.model_validate(row | {"names": orjson.loads(row["names"])})
            for row in rows(db, query, [service])
        )


def _change(db: Database, before: Configuration, after: Configuration, text: str) -> None:
    db.execute("UPDATE services SET configuration = ? WHERE name = ?", [text, after.name])
    same_tags = after.follow.model_copy(update={"auto_deploy": before.follow.auto_deploy})
    if (after.image, same_tags) != (before.image, before.follow):
        # The newest tag of another image, or under another policy, says nothing about this one.
        db.execute("DELETE FROM newest WHERE service = ?", [after.name])


def find_service(db: Database, name: str) -> Service:
    found = select_services(db, "SELECT * FROM services WHERE name = ?", [name])
    if not found:
        names = [row["name"] for row in rows(db, "SELECT name FROM services ORDER BY name")]
        raise no_service(name, has_any=bool(names), close=difflib.get_close_matches(name, names, n=2))
    return found[0]


def no_service(name: str, *, has_any: bool, close: Sequence[str]) -> NotFound:
    """The words for a service that does not exist, or that somebody must not know of: there is no difference."""
    where = "`o8 service list` shows them." if has_any else "`o8 service apply FILE.toml` makes the first one."
    return NotFound(f"There is no service {name!r:.80}.", where, close)


def _cancel_pending(db: Database, service: str, why: str, *, has_automatic: bool = True) -> None:
    db.execute(
        "UPDATE deployments SET state = ?, finished_at = ?, error = ? "
        "WHERE service = ? AND state IN (?, ?) AND is_automatic <= ?",
        [State.CANCELLED, now(), why, service, State.WAITING, State.QUEUED, has_automatic],
    )


def set_hold(db: Database, name: str, hold: Hold | None) -> None:
    db.execute("UPDATE services SET hold = ? WHERE name = ?", [hold and hold.model_dump_json(), name])


def select_services(db: Database, query: str, parameters: Any = ()) -> tuple[Service, ...]:
    return tuple(_service(row) for row in rows(db, query, parameters))


def _service(row: dict[str, Any]) -> Service:
    for column in ("hold", "lock"):
        row[column] = orjson.loads(row[column]) if row[column] else None
    return Service.model_validate(row | {"configuration": configuration_of(row["configuration"])})


@lru_cache(maxsize=2000)
def configuration_of(text: str) -> Configuration:
    """As a row holds it. Kept: reading it takes most of the time of a long list."""
    return Configuration.model_validate_json(text)


def _refuse_overlap(configuration: Configuration, others: tuple[Service, ...], base_domain: str) -> None:
    """nginx would serve one of the two, and nobody would see which."""
    for service in others:
        common = _hosts(configuration, base_domain) & _hosts(service.configuration, base_domain)
        if common:
            raise Conflict(f"{min(common)} already belongs to {service.name}.", "Remove it there first.")
        port = configuration.host_port.rpartition(":")[2]
        if port and port == service.configuration.host_port.rpartition(":")[2]:
            raise Conflict(f"host_port {port} already belongs to {service.name}.", "Choose another port.")


def _hosts(configuration: Configuration, base_domain: str) -> set[str]:
    implied = {f"{configuration.name}.{base_domain}"} if base_domain else set()
    return set(configuration.domains) or implied
