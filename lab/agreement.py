"""Whether what runs, what nginx's flag says and what o8 has written down are the same: the known state after a mishap."""

from __future__ import annotations

from typing import Any, NamedTuple

import docker

from lab.house import House

RUNNING = ("running", "restarting", "paused")


class Found(NamedTuple):
    """A container of a service, as Docker lists it; no matter who made it."""

    id: str
    name: str
    slot: str
    deployment: int
    state: str


async def until_agreed(home: House, service: str, within_s: float = 15) -> None:
    """Raises `TimeoutError` with what is wrong when there still is something after `within_s` seconds."""
    wrong = [""]

    async def look() -> bool:
        wrong[0] = await disagreement(home, service)
        return not wrong[0]

    try:
        await home.until(look, within_s)
    except TimeoutError as error:
        raise TimeoutError(f"{wrong[0]}: {error}") from None


async def disagreement(home: House, service: str) -> str:
    """The first thing that is not as it should be while nothing is being deployed, empty when all is."""
    live = (await home.get(f"/services/{service}"))["live"]
    found = containers(home.engine_host, home.environ["O8_NETWORK"], service)
    if live is None:
        return f"never deployed, but {found} are there" if found else ""
    deployment = await home.get(f"/deployments/{live}")
    return _wrong_containers(deployment, found) or _wrong_flag(home, service, deployment["slot"])


def containers(host: str, network: str, service: str) -> list[Found]:
    client = docker.APIClient(host)
    try:
        filters = {"network": network, "label": f"o8.service={service}"}
        return [_found(line) for line in client.containers(all=True, filters=filters)]
    finally:
        client.close()


def serving_slot(home: House, service: str) -> str:
    """What the flag says to nginx."""
    return "b" if (home.data / f"nginx/slots/{service}.b").exists() else "a"


def _wrong_containers(live: dict[str, Any], found: list[Found]) -> str:
    serving = [f for f in found if f.slot == live["slot"]]
    spare = [f for f in found if f.slot != live["slot"]]
    wanted = live["configuration"]["replicas"]
    if len(serving) != wanted or any(f.state != "running" for f in serving):
        return f"{serving} instead of {wanted} running in slot {live['slot']}"
    if any(f.deployment not in (live["id"], live["target"]) for f in serving):
        return f"{serving} are not of deployment {live['id']}"
    return f"{spare} should not run" if any(f.state in RUNNING for f in spare) else ""


def _wrong_flag(home: House, service: str, slot: str) -> str:
    if (flag := serving_slot(home, service)) != slot:
        return f"the flag says {flag}, the store says {slot}"
    if (home.data / f"nginx/slots/{service}.maintenance").exists():
        return "the maintenance page is shown"
    return ""


def _found(line: dict[str, Any]) -> Found:
    labels = line["Labels"]
    name = line["Names"][0].lstrip("/")
    return Found(line["Id"], name, labels["o8.slot"], int(labels["o8.deployment"]), line["State"])
