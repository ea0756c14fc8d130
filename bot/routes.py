"""Which networks this machine has a route to, as its kernel sees them; so that o8's own takes nobody's addresses."""

from __future__ import annotations

import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

TABLE = Path("/proc/net/route")
_DESTINATION, _MASK = 1, 7  # columns; the first line names them


class Route(NamedTuple):
    """A network and the interface that leads there."""

    network: IPv4Network
    interface: str


def read(table: str) -> tuple[Route, ...]:
    """The routes of the text of `TABLE`, without the default one."""
    rows = [line.split() for line in table.splitlines()[1:]]
    found = [Route(IPv4Network((_address(row[_DESTINATION]), str(_address(row[_MASK])))), row[0]) for row in rows]
    return tuple(route for route in found if route.network.prefixlen)


def clashes(routes: tuple[Route, ...], subnet: IPv4Network) -> tuple[Route, ...]:
    """Routes into `subnet` that are not that of its own bridge, which Docker calls `br-...`."""
    return tuple(
        route
        for route in routes
        if route.network.overlaps(subnet) and not (route.network == subnet and route.interface.startswith("br-"))
    )


def _address(text: str) -> IPv4Address:
    """The kernel prints addresses as numbers in the machine's own byte order."""
    return IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))
