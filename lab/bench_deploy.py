"""How long from a webhook to a serving release, against the same done by hand: `make bench-deploy`.

In turns, in one run: o8 gets a signed delivery for an image that the engine does not have, and a person who is as
quick as a program pulls, creates and starts one, and asks it until it answers. Drain and watch are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import aiohttp
import docker

from lab import github, results
from lab.house import House, house
from lab.images import Image, at_address, busybox_image, forget
from lab.registry import PASSWORD, USER

SERVICE = f"bench{os.getpid()}"  # container names are one space for all that use this engine
POLL_S = 0.002
LIMIT = 1.5


class Pair(NamedTuple):
    o8_s: float
    by_hand_s: float

    @property
    def ratio(self) -> float:
        return self.o8_s / self.by_hand_s


async def measure(pairs: int) -> list[Pair]:
    found = []
    async with house() as home:
        await home.start()
        await home.apply(SERVICE, health={"path": "/", "within": 20}, watch=0, drain_timeout=3)
        await _by_o8(home, 1)  # the first one also makes the network and the site
        for number in range(2, pairs + 2):
            o8_s = await _by_o8(home, number)
            found.append(Pair(o8_s, await _by_hand(home, number)))
    return found


async def _by_o8(home: House, number: int) -> float:
    tag = f"{number:04}"
    image = _fresh_image(home, f"acme/{SERVICE}", tag)
    began = time.perf_counter()
    body = github.push(image.image, tag, image.digest)
    answer = await github.deliver(f"http://127.0.0.1:{home.port}/webhooks/github", home.secret, body)
    if answer.status != 202:
        raise RuntimeError(f"the delivery was not accepted: {answer}")
    await _until_answers(f"http://127.0.0.1:{home.http_port}/", f"{SERVICE}.test", lambda text: tag in text)
    took = time.perf_counter() - began
    ended = await home.ended((await home.newest(SERVICE))["id"])
    if ended["state"] != "succeeded":
        raise RuntimeError(f"the deployment ended as {ended['state']}: {ended['error']}")
    return took


async def _by_hand(home: House, number: int) -> float:
    """The Engine's API without anything around it: no policy, no health, no switch, no record."""
    tag = f"{number:04}"
    image = _fresh_image(home, "acme/hand", tag)
    client = docker.APIClient(home.engine_host)
    # An address o8 does not use, on the same network.
    address = str(home.subnet[home.subnet.num_addresses - 300])
    began = time.perf_counter()
    container = await asyncio.to_thread(_run, client, home, image, address)
    await _until_answers(f"http://{address}:8080/", "hand.test", lambda text: tag in text)
    took = time.perf_counter() - began
    await asyncio.to_thread(client.remove_container, container, force=True)
    client.close()
    return took


def _run(client: docker.APIClient, home: House, image: Image, address: str) -> str:
    name = f"{image.image}@{image.digest}"
    auth = {"username": USER, "password": PASSWORD}
    for _ in client.pull(name, stream=True, decode=True, auth_config=auth):
        pass
    network = home.environ["O8_NETWORK"]
    container: str = client.create_container(
        name,
        host_config=client.create_host_config(network_mode=network),
        networking_config=at_address(client, network, address),
    )["Id"]
    client.start(container)
    return container


def _fresh_image(home: House, repository: str, tag: str) -> Image:
    """In the registry, no longer on the engine."""
    image = busybox_image(
        home.engine_host, home.registry.image(repository), tag, environment={"VERSION": tag}, account=(USER, PASSWORD)
    )
    forget(home.engine_host, image)
    return image


async def _until_answers(url: str, host: str, is_it: Callable[[str], bool]) -> None:
    give_up = time.monotonic() + 30
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < give_up:
            try:
                async with session.get(url, headers={"Host": host}) as answer:
                    if answer.status == 200 and is_it(await answer.text()):
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(POLL_S)
    raise TimeoutError(f"{host} does not answer as expected")


def table(pairs: list[Pair]) -> str:
    rows = [f"{'':>6} {'o8 (s)':>8} {'by hand (s)':>12} {'ratio':>6}"]
    rows += [f"{n:>6} {p.o8_s:>8.3f} {p.by_hand_s:>12.3f} {p.ratio:>6.2f}" for n, p in enumerate(pairs, 1)]
    median = statistics.median(pair.ratio for pair in pairs)
    rows.append(
        f"median {statistics.median(p.o8_s for p in pairs):>8.3f} "
        f"{statistics.median(p.by_hand_s for p in pairs):>12.3f} {median:>6.2f}"
    )
    return "\n".join([*rows, "", f"asked for: median ratio at most {LIMIT}; {'met' if median <= LIMIT else 'NOT met'}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    arguments = parser.parse_args()
    results.write("deploy", "make bench-deploy", table(asyncio.run(measure(arguments.pairs))))
