"""A house that looks lived in: believable services, people and history, for pages and pictures of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import argon2
import orjson
from sqlite_utils import Database

from bot.configuration import read
from bot.engines import Replica
from bot.models import Address, Delivery, Hold, Kind, Lock, Wanted
from bot.observer import Sample
from bot.permissions import GLOBAL, Action
from bot.webhooks import PackageEvent
from lab.waiting import until
from tests.handlers.visiting import PASSWORD
from tests.small_house import House

ADMIN = "mira"
_LOG = """2026-05-04T09:12:31.104Z listening on 0.0.0.0:8080
2026-05-04T09:12:31.377Z connecting to postgres://search@db:5432/search
2026-05-04T09:12:36.402Z fatal: could not reach the database after 5 s
Traceback (most recent call last):
  File "/app/server.py", line 41, in <module>
    pool = connect(os.environ["DATABASE_URL"], timeout=5)
ConnectionError: timed out
"""
_LINES = [
    b'172.29.0.1 "GET /health" 200 1 ms',
    b'172.29.0.1 "GET /products?page=2" 200 23 ms',
    b'172.29.0.1 "GET /products/8812" 200 9 ms',
    b'172.29.0.1 "POST /cart" 201 31 ms',
    b"cache: 1204 of 1290 answers came from memory",
    b'172.29.0.1 "GET /static/app.css" 304 0 ms',
    b"warning: payment provider answered after 2.4 s",
    b'172.29.0.1 "POST /checkout" 200 2461 ms',
]


class Past(NamedTuple):
    """A deployment of the past, so many minutes ago; `steps` are seconds, in their order."""

    service: str
    minutes: float
    tag: str
    state: str = "succeeded"
    actor: str = "delivery:7a51e2c0"
    kind: str = "deploy"
    steps: tuple[tuple[str, float], ...] = (
        ("resolving", 0.6), ("pulling", 6.2), ("starting", 1.3), ("checking", 2.1), ("switching", 0.4),
        ("draining", 3.2), ("watching", 8.0),
    )  # fmt: skip
    more: dict[str, Any] = {}


_FAILED = (("resolving", 0.5), ("pulling", 7.4), ("starting", 1.2), ("checking", 20.0))
HISTORY = (
    Past("docs", 60 * 24 * 12, "0031"), Past("mailer", 60 * 24 * 9, "2.4.0"), Past("billing", 60 * 24 * 6, "1.18.2"),
    Past("search", 60 * 24 * 5, "0112"), Past("shop", 60 * 24 * 4, "0206", actor="user:jonas"),
    Past("web", 60 * 24 * 3, "0410"), Past("billing", 60 * 52, "1.19.0", actor="user:priya"),
    Past("web", 60 * 30, "0411"),
    Past("shop", 60 * 27, "0207"), Past("search", 60 * 26, "0113"),
    Past("search", 60 * 25, "0114", "rolled_back", more={
        "error": "The container stopped 4 seconds after it had begun to serve.",
        "next_step": "0113 serves again. Read its last lines below.", "exit_code": 137,
        "log": "Killed\n"}),
    Past("billing", 60 * 22, "1.18.2", actor="user:priya", kind="rollback", more={"reason": "wrong VAT on invoices"}),
    Past("web", 60 * 5, "0412", actor="user:mira", more={"reason": "new start page", "commit": "9f1c2ab"}),
    Past("search", 42, "0115", "failed", steps=_FAILED, more={
        "error": "It did not become healthy within 20 seconds: nobody listened on port 8080.",
        "next_step": "Nothing has changed for visitors. Its last lines are below.", "exit_code": 1, "log": _LOG}),
    Past("web", 18, "0413", actor="delivery:c3b90d11", more={"commit": "4be7a90"}),
)  # fmt: skip
SERVICES: dict[str, dict[str, Any]] = {
    "billing": {"follow": {"policy": "semver", "range": ">=1.0.0 <2.0.0", "auto_deploy": "approve"}},
    "docs": {},
    "mailer": {"follow": {"policy": "semver"}, "domains": []},
    "search": {"limits": {"memory": "1g"}},
    "shop": {"replicas": 2},
    "web": {"replicas": 2, "domains": ["www.acme.example", "acme.example"],
            "volumes": [{"name": "uploads", "path": "/var/lib/web/uploads"}]},
}  # fmt: skip
_USE = {"billing": (0.06, 118), "docs": (0.01, 34), "search": (0.41, 640), "shop": (0.22, 301), "web": (0.34, 264)}


PEOPLE: dict[str, tuple[tuple[Action, str], ...]] = {
    ADMIN: ((Action.ADMIN, GLOBAL),),
    "jonas": ((Action.DEPLOY, "service:shop"), (Action.VIEW_LOGS, "service:shop"), (Action.VIEW_STATUS, GLOBAL)),
    "priya": ((Action.MANAGE, "service:billing"), (Action.EDIT_ENV, "service:billing")),
}


@cache
def _hash() -> str:
    """Of everybody's password; that takes a while, so once."""
    return argon2.PasswordHasher().hash(PASSWORD)


async def furnish(house: House) -> None:
    """Services with a past, and one deployment that pulls for as long as the house stands. Admin: `ADMIN`."""
    for name, more in SERVICES.items():
        file = {"image": f"ghcr.io/acme/{name}", "port": 8080, "domains": [f"{name}.acme.example"]} | more
        await house.add(name, **file)
    await _people(house)
    environment = "# connections\nDATABASE_URL=postgres://web:s3cret-word@db/web\nREDIS_URL=redis://cache:6379/0\n"
    environment += "\n# features\nNEW_CHECKOUT=on\nLOG_LEVEL=info\n"
    await house.services.operations.write_environment("web", environment, "user:mira")
    await house.services.store.write(lambda db: _history(db, datetime.now(UTC)))
    await _state(house)
    for name, (cpus, megabytes) in _USE.items():
        _runs(house, name, len(_replicas(house, name)), cpus, megabytes)
    await house.services.observer.look()
    await _deliveries(house)
    _speak(house)
    await _pull(house)


def _replicas(house: House, name: str) -> list[Replica]:
    started = datetime.now(UTC) - timedelta(minutes=18)
    found = [
        Replica(
            id=f"{name}{index}".ljust(64, "0"), name=f"o8-{name}-a-{index}", service=name, slot="a", index=index,
            deployment=1, address=Address("127.0.0.1", house.port), state="running", health="none", exit_code=0,
            is_oom_killed=False, restarts=0, started_at=started,
        )
        for index in range(SERVICES[name].get("replicas", 1))
    ]  # fmt: skip
    house.engine.replicas[name, "a"] = found
    return found


def _runs(house: House, name: str, replicas: int, cpus: float, megabytes: float) -> None:
    """An hour of samples that look like a day of work."""
    samples = house.services.observer._samples[name]
    now, phase = datetime.now(UTC), len(name)
    for n in range(119, -1, -1):
        wave = 1 + 0.35 * math.sin(n / 9 + phase) + 0.12 * math.sin(n * 2.7 + phase) + (0.5 if n in (31, 32, 77) else 0)
        memory = megabytes * (0.86 + 0.14 * (1 - n / 120) + 0.02 * math.sin(n * 1.3))
        limit = int(replicas * (1024 if name == "search" else 512) * 2**20)
        samples.append(Sample(now - timedelta(seconds=30 * n), cpus * wave, int(memory * 1e6), limit))


async def _people(house: House) -> None:
    hash = _hash()
    for name, rights in PEOPLE.items():
        await house.services.store.add_user(name, hash, rights, "user:mira")
    store = house.services.store
    await store.add_user("noor", "", [(Action.DEPLOY, "service:docs")], "user:mira")
    await store.write(lambda db: db.execute("INSERT INTO slack_users VALUES ('T024BE7LD', 'U2147483697', 'noor', 1)"))
    for act, subject, detail in (
        ("grant", "priya", {"action": "manage", "scope": "service:billing"}),
        ("env write", "web", {}), ("lock", "billing", {"reason": "month end", "until": "2026-06-01T06:00:00+00:00"}),
        ("rollback", "billing", {"deployment": 12, "release": "1.18.2", "reason": "wrong VAT on invoices"}),
        ("deploy", "web", {"deployment": 13, "release": "0412", "reason": "new start page"}),
    ):  # fmt: skip
        await store.record(f"user:{'priya' if subject == 'billing' else 'mira'}", act, subject, detail)


def _history(db: Database, now: datetime) -> None:
    db.execute("UPDATE services SET created_at = ?", [(now - timedelta(days=60)).isoformat(timespec="milliseconds")])
    for id, past in enumerate(HISTORY, 1):
        asked = now - timedelta(minutes=past.minutes)
        at, steps = asked + timedelta(seconds=0.2), []
        configuration = db.execute("SELECT configuration FROM services WHERE name = ?", [past.service]).fetchone()[0]
        for state, seconds in past.steps:
            end = at + timedelta(seconds=seconds)
            steps.append((state, at, end, _found(state, past)))
            at = end
        row = {
            "id": id, "service": past.service, "kind": past.kind, "state": past.state, "actor": past.actor,
            "image": f"ghcr.io/acme/{past.service}", "tag": past.tag, "digest": _digest(past.service, past.tag),
            "is_automatic": past.actor.startswith("delivery"), "configuration": configuration, "slot": "a",
            "created_at": asked.isoformat(), "started_at": asked.isoformat(), "finished_at": at.isoformat(),
            "switched_at": None if past.state == "failed" else steps[-2][1].isoformat(),
        } | past.more  # fmt: skip
        marks = ", ".join("?" for _ in row)
        columns = ", ".join(f'"{name}"' for name in row)
        db.execute(f"INSERT INTO deployments ({columns}) VALUES ({marks})", list(row.values()))  # noqa: S608
        for state, begin, end, detail in steps:
            db.execute(
                "INSERT INTO steps (deployment, state, started_at, ended_at, detail) VALUES (?, ?, ?, ?, ?)",
                [id, state, begin.isoformat(), end.isoformat(), orjson.dumps(detail).decode()],
            )
        if past.state == "succeeded":
            db.execute("UPDATE services SET live = ? WHERE name = ?", [id, past.service])


def _found(state: str, past: Past) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {
        "resolving": {"digest": _digest(past.service, past.tag)[:19]},
        "pulling": {"bytes": 41_200_000},
        "checking": {"checks": 3},
        "draining": {"requests": 12},
    }
    return found.get(state, {})


def _digest(service: str, tag: str) -> str:
    return "sha256:" + f"{service}-{tag}".encode().hex().ljust(64, "0")[:64]


async def _state(house: House) -> None:
    store, now = house.services.store, datetime.now(UTC)
    since, until_then = now - timedelta(hours=22), now + timedelta(hours=9)
    await store.set_hold("billing", Hold(reason="rolled back by priya", actor="user:priya", since=since))
    await store.set_lock("billing", Lock(reason="month end", actor="user:priya", since=since, until=until_then))
    await store.write(lambda db: db.execute("UPDATE services SET is_stopped = 1 WHERE name = 'mailer'"))
    await store.found_newest("web", "0413", _digest("web", "0413"))
    await store.found_newest("billing", "1.19.0", _digest("billing", "1.19.0"))


async def _deliveries(house: House) -> None:
    store, now = house.services.store, datetime.now(UTC)
    told: Sequence[tuple[str, float, str, str, Any, tuple[str, ...], tuple[str, ...]]] = (
        ("7a51e2c0-3f41-11f1-9c1e-6a6b7c8d9e0f", 27 * 60, "shop", "0207", "accepted", ("shop",), ()),
        ("1d77c0a4-3f9a-11f1-8b0d-0c1d2e3f4a5b", 130, "", "", "ignored", (), ("ping: the webhook works",)),
        ("5e2f9b10-3fa0-11f1-9d3c-7b8c9daebfc0", 44, "search", "0115", "accepted", ("search",), ()),
        ("c3b90d11-3fa2-11f1-8e52-1a2b3c4d5e6f", 18, "web", "0413", "accepted", ("web",), ()),
        ("e90a4f72-3fa2-11f1-9f11-2b3c4d5e6f70", 17, "web", "latest", "ignored", (),
         ("web: latest is no number, as its policy wants",)),
        ("f4410c3e-3fa3-11f1-8a20-3c4d5e6f7081", 3, "reports", "0001", "ignored", (),
         ("no service uses ghcr.io/acme/reports",)),
    )  # fmt: skip
    for id, minutes, name, tag, verdict, accepted, ignored in told:
        image = f"ghcr.io/acme/{name}" if name else ""
        at = now - timedelta(minutes=minutes)
        unused = PackageEvent(image=image, tag=tag, digest=_digest(name, tag)) if name == "reports" else None
        delivery = Delivery(id=id, event="package" if name else "ping", received_at=at, body_digest=id, image=image,
                            verdict=verdict, accepted=accepted, ignored=ignored, tag=tag)  # fmt: skip
        await store.receive(delivery, b"{}", (), unused)
        await store.processed(id)


def _speak(house: House) -> None:
    house.engine.begin = datetime.now(UTC) - timedelta(seconds=30)
    house.engine.lines = [_LINES[n % len(_LINES)] + b"\n" for n in range(60)]


async def _pull(house: House) -> None:
    """The next release of `shop` hangs in its pull."""
    house.engine.may_pull.clear()
    house.registry.push("0208")
    await house.services.worker.start()
    asked = await house.services.worker.want(Wanted(service="shop", kind=Kind.DEPLOY, actor="user:jonas", tag="0208"))

    async def pulls() -> bool:
        return (await house.services.store.deployment(asked.id)).state == "pulling"

    await until(pulls)
    await asyncio.sleep(0)


def file_of(name: str) -> dict[str, Any]:
    """The service file of one that is there."""
    return read({"name": name, "image": f"ghcr.io/acme/{name}", "port": 8080} | SERVICES[name]).model_dump(mode="json")
