"""The address plan: nobody shares an address, and Docker never hands out one of ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.addresses import automatic_range, last_block, replica_address
from bot.models import SLOTS

REPLICAS = 8
subnets = st.builds(
    lambda prefix, place: IPv4Network((int(IPv4Address("10.0.0.0")) + (place << (32 - prefix)), prefix)),
    st.integers(16, 22), st.integers(0, 63),
)  # fmt: skip


@pytest.mark.parametrize("subnet", ["172.29.0.0/16", "172.29.16.0/20", "10.9.4.0/22"])
def test_no_two_replicas_share_an_address(subnet: str) -> None:
    network = IPv4Network(subnet)
    addresses = [
        replica_address(network, block, slot, index)
        for block in range(1, last_block(network) + 1) for slot in SLOTS for index in range(REPLICAS)
    ]  # fmt: skip
    assert len(set(addresses)) == len(addresses)
    assert all(address in network for address in addresses)


@given(subnets, st.data())
def test_no_replica_is_the_gateway_or_in_the_automatic_range(subnet: IPv4Network, data: st.DataObject) -> None:
    block = data.draw(st.integers(1, last_block(subnet)))
    address = replica_address(subnet, block, data.draw(st.sampled_from(SLOTS)), data.draw(st.integers(0, 7)))
    assert address not in (subnet.network_address, subnet[1], subnet.broadcast_address)
    assert address not in automatic_range(subnet)


def test_the_last_block_ends_where_the_automatic_range_begins() -> None:
    network = IPv4Network("172.29.0.0/16")
    last = replica_address(network, last_block(network), "b", REPLICAS - 1)
    assert last + 1 == automatic_range(network).network_address


def test_a_default_subnet_has_room_for_thousands_of_services_and_the_smallest_for_dozens() -> None:
    assert last_block(IPv4Network("172.29.0.0/16")) == 4079
    assert last_block(IPv4Network("10.9.4.0/22")) == 47


@pytest.mark.parametrize(("block", "index"), [(0, 0), (-1, 0), (4080, 0), (1, 8), (1, -1)])
def test_outside_the_plan_there_is_no_address(block: int, index: int) -> None:
    with pytest.raises(ValueError, match="no address for block"):
        replica_address(IPv4Network("172.29.0.0/16"), block, "a", index)
