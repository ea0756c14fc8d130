"""The page of a service says how long its certificate is good, and what is amiss."""

from __future__ import annotations

import pytest

from lab.certificates import identity, keep
from tests.small_house import House
from tests.store.ledger import Ledger
from tests.web.conftest import Come
from tests.web.scenery import ADMIN

pytestmark = pytest.mark.slow


async def page(house: House, come: Come, left: float | None, trouble: str = "") -> str:
    """Words of the page of a service with `tls = "auto"` whose certificate is good for `left` more days."""
    await house.add("secure", domains=["secure.test"], site={"tls": "auto"})
    await Ledger(house.services.store).release("0001", service="secure")
    if left is not None:
        found = identity("secure.test", days_left=left, days_of_life=90, quick=True)
        keep(house.services.settings.certificates_dir, "secure", found)
    if trouble:
        await house.services.store.certificate_failed("secure", frozenset({"x"}), trouble, is_refusal=True)
    return (await (await come(ADMIN)).get("/ui/services/secure")).words


async def test_a_good_one_is_a_hint(house: House, come: Come) -> None:
    assert "Certificate until" in await page(house, come, 89)


async def test_one_that_is_missing_is_told_with_the_reason(house: House, come: Come) -> None:
    words = await page(house, come, None, "Refused <b>because</b>.")
    assert "Not every name has a certificate" in words and "Refused <b>because</b>." in words


async def test_one_that_ends_is_told(house: House, come: Come) -> None:
    assert "The certificate ends" in await page(house, come, 10)


async def test_one_that_is_over_is_told(house: House, come: Come) -> None:
    assert "The certificate is over since" in await page(house, come, -1)
