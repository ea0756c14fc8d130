"""`o8 service show` says how it is with the certificate, `o8 service certificate` has the authority asked again."""

from __future__ import annotations

import pytest

from bot.configuration import read_toml
from lab.certificates import identity, keep
from tests.cli.conftest import Run
from tests.small_house import House

pytestmark = pytest.mark.slow


async def test_a_service_tells_of_its_certificate_and_asks_for_another_at_once(house: House, o8: Run) -> None:
    store = house.services.store
    await house.services.worker.start()
    await house.add(domains=["web.test"], site={"tls": "auto"})
    await house.deployed()
    assert "# certificate: none yet" in (await o8("service", "show", "web")).output
    await store.certificate_failed("web", frozenset({"web.test"}), "Refused:\nwhy.", is_refusal=True)
    shown = (await o8("service", "show", "web")).output
    assert "# certificate: none yet, or not to be read here: Refused: why." in shown
    assert read_toml(shown).site.tls == "auto"  # it can be applied again

    asked = await o8("service", "certificate", "web")
    assert (asked.exit_code, "o8 tries." in asked.output) == (0, True)
    assert await store.certificate_failures() == {}
    assert (await store.audit(limit=1))[0].action == "retry_certificate"
    keep(house.services.settings.certificates_dir, "web", identity("web.test", days_left=80, quick=True))
    assert "# certificate: good until 20" in (await o8("service", "show", "web")).output


async def test_a_service_without_such_a_certificate_says_so(running: House, o8: Run) -> None:
    asked = await o8("service", "certificate", "web")
    assert asked.exit_code != 0 and 'tls = "auto"' in asked.output
