"""The address plan: which IPv4 address each replica of each slot has. Pure.

A service owns a block of 16 addresses: 0-7 for slot `a`, 8-15 for slot `b`. Block 0 is the network's own (gateway);
the last 256 addresses are left to Docker's automatic ones, so that they never collide with a fixed one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from bot.models import Slot

BLOCK_SIZE = 16
AUTOMATIC_SIZE = 256  # addresses at the end of the subnet


def last_block(subnet: IPv4Network) -> int:
    """The highest block number that fits; blocks are numbered from 1."""
    return (subnet.num_addresses - AUTOMATIC_SIZE) // BLOCK_SIZE - 1


def automatic_range(subnet: IPv4Network) -> IPv4Network:
    """The part of `subnet` (at most /23) that Docker may hand out by itself."""
    return list(subnet.subnets(new_prefix=24))[-1]


def replica_address(subnet: IPv4Network, block: int, slot: Slot, index: int) -> IPv4Address:
    """Address of replica `index` (from 0) of a slot; raises ValueError outside the plan."""
    if not 1 <= block <= last_block(subnet) or not 0 <= index < BLOCK_SIZE // 2:
        raise ValueError(f"no address for block {block}, replica {index} in {subnet}")
    return subnet[block * BLOCK_SIZE + (BLOCK_SIZE // 2 if slot == "b" else 0) + index]
