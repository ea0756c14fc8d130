"""Everything o8 remembers. All SQL is in this package, one method per question or change.

To add one: a method marked `@question` or `@change` in the module of its subject.
"""

from __future__ import annotations

from bot.store.alarms import Alarms
from bot.store.answers import Answers
from bot.store.asks import Asks
from bot.store.audit import Audit
from bot.store.cards import Cards
from bot.store.catalogue import Catalogue
from bot.store.certificates import Certificates
from bot.store.changes import ChangesKept
from bot.store.connection import AlreadyRunning
from bot.store.copies import Copies
from bot.store.counters import Counters
from bot.store.deliveries import Deliveries
from bot.store.deployments import Deployments
from bot.store.health import Health
from bot.store.history import History
from bot.store.linked import LinkedLogins
from bot.store.logins import Logins
from bot.store.meta import Meta
from bot.store.newest import NewestTags
from bot.store.packages import Packages
from bot.store.people import People
from bot.store.releases import Releases
from bot.store.requests import Requests
from bot.store.services import Services
from bot.store.told import Told

__all__ = ["AlreadyRunning", "Store"]


class Store(
    Services, History, Deployments, Releases, Deliveries, Packages, NewestTags, Audit, Health, People, Requests,
    Logins, LinkedLogins, Alarms, Answers, Asks, Cards, Catalogue, ChangesKept, Certificates, Told, Counters, Meta,
    Copies,
):  # fmt: skip
    """The database, from `Store.open(path)`. Every method raises `StoreUnavailable` when SQLite cannot answer."""
