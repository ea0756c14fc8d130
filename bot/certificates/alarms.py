"""What the channel is told of certificates: one message for each that is missing, about to end or over, to its end."""

from __future__ import annotations

from collections.abc import Iterable

from bot.pem import Standing
from bot.store import Store


async def tell(store: Store, standings: Iterable[Standing]) -> None:
    """Raises and ends alarms, so that they agree with `standings`: those of all services."""
    known = {standing.service: standing for standing in standings}
    for name, standing in known.items():
        if level := standing.level():
            ends = standing.certificate.ends if standing.certificate else None
            await store.raise_certificate_alarm(name, level, standing.trouble, ends)
    for alarm in await store.open_certificate_alarms():
        now = known.get(alarm.service)
        if now is None or not now.level():
            ends = now.certificate.ends if now and now.certificate else None
            await store.end_certificate_alarm(alarm.id, ends)
