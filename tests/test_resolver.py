"""How long a tag is looked for that the registry does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import resolver
from bot.models import Kind, State, Wanted
from bot.registry import DELAYS_S
from tests.small_house import open_house

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("is_automatic", "looks"), [(True, len(DELAYS_S) + 1), (False, resolver.PERSONS_TRIES + 1)])
async def test_a_delivery_is_patient_and_a_person_who_has_mistyped_hears_soon(
    is_automatic: bool, looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "DELAYS_S", (0.0,) * len(DELAYS_S))
    async with open_house(tmp_path) as house:
        await house.add()
        house.registry.lags = True
        await house.services.worker.start()
        wanted = Wanted(service="web", kind=Kind.DEPLOY, actor="cli:ann", tag="00O5", is_automatic=is_automatic)
        ended = await house.ended((await house.services.worker.want(wanted)).id)
    assert (ended.state, house.registry.looks) == (State.FAILED, looks)
    assert "has no tag 00O5" in ended.error


def test_a_person_waits_a_quarter_of_a_minute_at_most() -> None:
    assert sum(DELAYS_S[: resolver.PERSONS_TRIES]) <= 15 < 60 < sum(DELAYS_S)
