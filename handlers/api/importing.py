"""The data of the original Orchestr8, taken over. `o8 import` reads its folder and sends what it found."""

from __future__ import annotations

from bot.importing import Original, Plan
from bot.permissions import Action
from handlers.access import globally
from handlers.api.routing import Call, Route, Values


class DryRun(Values):
    dry_run: bool = True


async def take_over(call: Call[Original, DryRun]) -> Plan:
    """What an import of the original's services and users would do; with `?dry_run=0` it is done. Deploys nothing."""
    return await call.commands.import_original(call.body, is_dry_run=call.query.dry_run)


ROUTES = (
    Route("POST", "/import", take_over, globally(Action.ADMIN), Plan, body=Original, query=DryRun, is_kept=False),
)
