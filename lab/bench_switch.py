"""How many requests a deployment loses: `make bench-switch`.

The same load (keep-alive GET and POST, 2-second requests, fresh connections, open WebSockets) over deployments by o8,
and over the usual script: start the new container, rewrite the upstream, `nginx -s reload`, stop the old one.
The script is the control: a load that cannot see it lose requests would prove nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import aiohttp
import docker

from lab import github, results
from lab.app.image import app_image
from lab.house import House, house
from lab.images import Image, at_address
from lab.load import LoadProcess, Mix, Report, Target
from lab.registry import PASSWORD, USER
from lab.system_nginx import SystemNginx, system_nginx

SERVICE = f"bench{os.getpid()}"  # container names are one space for all that use this engine
MIX = Mix(get=12, post=8, slow=4, fresh=2, websocket=8)
RATE = 700.0  # requests a second; leaves one of two cores to what is measured
DRAIN_S = 5  # open WebSockets would use up whatever is allowed
PAUSE_S = 3.0  # between two deployments of the control, so that its connections are in use again
ASKED_REQUESTS = 100_000
_UPSTREAM = """
upstream web {{ server {address}:8080; keepalive 32; }}
map $http_upgrade $connection_header {{ default upgrade; "" ""; }}
server {{
    listen 127.0.0.1:{port} default_server;
    server_name _;
    location / {{
        proxy_pass http://web;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_header;
        proxy_set_header Host $host;
    }}
}}
"""


class Outcome(NamedTuple):
    name: str
    deployments: int
    report: Report


async def by_o8(home: House, deployments: int) -> Outcome:
    """Each image is pushed and deployed by a signed delivery, the next one when the one before has ended."""
    await home.start()
    await home.apply(SERVICE, watch=0, drain_timeout=DRAIN_S, stop_timeout=10)
    await _deliver(home, await _image(home, 1))
    load = LoadProcess(Target("127.0.0.1", home.http_port, f"{SERVICE}.test"), MIX, rate=RATE)
    await load.start()
    for number in range(2, deployments + 2):
        await _deliver(home, await _image(home, number))
    return Outcome("o8: flag, drain, stop", deployments, await load.stop())


async def by_script(home: House, deployments: int) -> Outcome:
    """What hand-made scripts do. The addresses are ones that o8 does not use."""
    client = docker.APIClient(home.engine_host, timeout=60)
    addresses = [str(home.subnet[home.subnet.num_addresses - 300 - n]) for n in range(2)]
    with tempfile.TemporaryDirectory(prefix="o8-script-") as folder, system_nginx(Path(folder)) as nginx:
        old = await _run(client, home, await _image(home, 1), addresses[0])
        _point(nginx, addresses[0])
        await _until_answers(nginx.http_port, f"{SERVICE}.test")
        load = LoadProcess(Target("127.0.0.1", nginx.http_port, f"{SERVICE}.test"), MIX, rate=RATE)
        await load.start()
        for number in range(1, deployments + 1):
            new = await _run(client, home, await _image(home, number + 1), addresses[number % 2])
            _point(nginx, addresses[number % 2])
            await asyncio.to_thread(client.stop, old, timeout=10)
            await asyncio.to_thread(client.remove_container, old)
            old = new
            await asyncio.sleep(PAUSE_S)
        report = await load.stop()
    client.remove_container(old, force=True)
    client.close()
    return Outcome("script: reload, stop at once", deployments, report)


async def _image(home: House, number: int) -> Image:
    return await asyncio.to_thread(
        app_image, home.engine_host, home.registry.image(f"acme/{SERVICE}"), f"{number:04}", version=f"{number:04}",
        account=(USER, PASSWORD),
    )  # fmt: skip


async def _deliver(home: House, image: Image) -> None:
    body = github.push(image.image, image.tag, image.digest)
    answer = await github.deliver(f"http://127.0.0.1:{home.port}/webhooks/github", home.secret, body)
    if answer.status != 202:
        raise RuntimeError(f"{image.tag} was not accepted: {answer}")
    ended = await home.ended((await home.newest(SERVICE))["id"], within_s=120)
    if ended["state"] != "succeeded":
        raise RuntimeError(f"{image.tag} ended as {ended['state']}: {ended['error']}")


async def _run(client: docker.APIClient, home: House, image: Image, address: str) -> str:
    """Id of a new container that answers at `address`."""
    network = home.environ["O8_NETWORK"]

    def create_and_start() -> str:
        container: str = client.create_container(
            f"{image.image}:{image.tag}",
            host_config=client.create_host_config(network_mode=network),
            networking_config=at_address(client, network, address),
        )["Id"]
        client.start(container)
        return container

    container = await asyncio.to_thread(create_and_start)
    await _until_answers(8080, f"{SERVICE}.test", address)
    return container


def _point(nginx: SystemNginx, address: str) -> None:
    (nginx.managed / "web.conf").write_text(_UPSTREAM.format(address=address, port=nginx.http_port))
    nginx.reload()


async def _until_answers(port: int, host: str, address: str = "127.0.0.1") -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://{address}:{port}/", headers={"Host": host}) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)


def table(outcomes: list[Outcome]) -> str:
    rows = [f"{'':<30} {'deployments':>11} {'requests':>9} {'failed':>6}"]
    rows += [f"{o.name:<30} {o.deployments:>11} {o.report.requests:>9,} {o.report.failed:>6,}" for o in outcomes]
    o8, script = outcomes
    is_met = o8.report.failed == 0 and o8.report.requests >= ASKED_REQUESTS and script.report.failed > 0
    rows += ["", f"asked for: o8 loses 0 of at least {ASKED_REQUESTS:,}, the script loses some; "
             f"{'met' if is_met else 'NOT met'}"]  # fmt: skip
    return "\n".join([*rows, *(f"\n{o.name}\n{_without_versions(o.report)}" for o in outcomes)])


def _without_versions(report: Report) -> str:
    return "\n".join(line for line in str(report).splitlines() if not line.startswith("  version"))


async def measure(deployments: int, of_script: int) -> list[Outcome]:
    async with house() as home:
        return [await by_o8(home, deployments), await by_script(home, of_script)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=60)
    parser.add_argument("--of-script", type=int, default=20)
    arguments = parser.parse_args()
    outcomes = asyncio.run(measure(arguments.deployments, arguments.of_script))
    results.write("switch", "make bench-switch", table(outcomes))
