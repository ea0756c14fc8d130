"""Whether what runs, what nginx's flag says and what o8 has written down are one: the known state after a mishap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.tenant import Container, Tenant
from lab.waiting import until

RUNNING = ("running", "restarting", "paused")


async def until_agreed(tenant: Tenant, within_s: float = 15) -> None:
    """Raises `TimeoutError` with what is wrong when there still is something after `within_s` seconds."""
    wrong = ""

    async def look() -> bool:
        nonlocal wrong
        wrong = await disagreement(tenant)
        return not wrong

    try:
        await until(look, within_s)
    except TimeoutError:
        raise TimeoutError(f"after {within_s:g} s still: {wrong}\n{tenant.house.log()[-6000:]}") from None


async def disagreement(tenant: Tenant) -> str:
    """The first thing that is not as it should be while nothing is being deployed, empty when all is."""
    live = (await tenant.shown())["live"]
    found = await tenant.containers()
    if live is None:
        return f"never deployed, but {found} are there" if found else ""
    deployment = await tenant.house.get(f"/deployments/{live}")
    return _wrong_containers(deployment, found) or _wrong_flag(tenant, deployment["slot"])


def serving_slot(tenant: Tenant) -> str:
    """What the flag says to nginx."""
    return "b" if (tenant.house.data / f"nginx/slots/{tenant.name}.b").exists() else "a"


def _wrong_containers(live: dict[str, Any], found: Sequence[Container]) -> str:
    serving = [f for f in found if f.slot == live["slot"]]
    spare = [f for f in found if f.slot != live["slot"]]
    wanted = live["configuration"]["replicas"]
    if len(serving) != wanted or any(f.state != "running" for f in serving):
        return f"{serving} instead of {wanted} running in slot {live['slot']}"
    if any(f.deployment not in (live["id"], live["target"]) for f in serving):
        return f"{serving} are not of deployment {live['id']}"
    return f"{spare} should not run" if any(f.state in RUNNING for f in spare) else ""


def _wrong_flag(tenant: Tenant, slot: str) -> str:
    if (flag := serving_slot(tenant)) != slot:
        return f"the flag says {flag}, the store says {slot}"
    if (tenant.house.data / f"nginx/slots/{tenant.name}.maintenance").exists():
        return "the maintenance page is shown"
    return ""
