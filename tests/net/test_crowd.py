"""There are as many connections as there may be: in all, at a door, and from a network."""

from __future__ import annotations

import ipaddress
import os
from collections import Counter

import pytest

from postoffice.events import collected
from postoffice.net.crowd import Crowd, CrowdSettings, Limit
from postoffice.net.networks import Network

DOORS = ("smtp", "pop3")
HOME, OTHER = "192.0.2.7", "203.0.113.9"
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)


def crowd(workers: int = 1, **limits: object) -> Crowd:
    return Crowd(CrowdSettings(**limits), DOORS, LOOPBACK, workers)  # type: ignore[arg-type]


def let_in(crowd: Crowd, times: int, door: str = "pop3", host: str = HOME) -> list[Limit | None]:
    return [crowd.enter(door, host) for _ in range(times)]


def test_a_network_has_as_many_as_it_may_and_others_are_not_touched() -> None:
    ours = crowd(per_network=3)
    assert let_in(ours, 5) == [None] * 3 + [Limit.NETWORK] * 2
    assert let_in(ours, 3, host=OTHER) == [None] * 3
    ours.leave("pop3", HOME)
    assert let_in(ours, 2, "smtp") == [None, Limit.NETWORK]


def test_addresses_of_one_ipv6_network_are_counted_together() -> None:
    ours = crowd(per_network=2)
    hosts = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]
    assert [ours.enter("pop3", host) for host in hosts] == [None, None, Limit.NETWORK, None]


def test_a_door_and_the_office_have_limits_of_their_own() -> None:
    ours = crowd(connections=4, per_door={"smtp": 2})
    hosts = [f"198.51.100.{number}" for number in range(9)]
    assert [ours.enter("smtp", host) for host in hosts[:3]] == [None, None, Limit.DOOR]
    assert [ours.enter("pop3", host) for host in hosts[3:6]] == [None, None, Limit.OFFICE]


def test_trusted_networks_are_counted_in_all_but_not_for_themselves() -> None:
    ours = crowd(connections=5, per_network=2)
    assert let_in(ours, 6, host="127.0.0.1") == [None] * 5 + [Limit.OFFICE]


def test_none_is_forgotten_and_none_is_kept() -> None:
    ours = crowd(per_network=10)
    hosts = [f"10.{number >> 8}.{number & 255}.1" for number in range(9000)]
    for _ in range(2):
        assert {ours.enter("pop3", host) for host in hosts} == {None}
        assert not ours._own.keys() - {ours._place(host) for host in hosts}
        for host in hosts:
            ours.leave("pop3", host)
    assert not ours._own
    assert not any(ours._cells)


def test_workers_count_together() -> None:
    """Each in a process of its own, one after the other, as they stand in shared memory."""
    ours = crowd(workers=3, per_network=6, connections=11, per_door={"smtp": 6})
    told: Counter[str] = Counter()
    for index in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            ours.take_seat(index)
            limits = let_in(ours, 3, "smtp") + let_in(ours, 1, "smtp", OTHER)
            limits += let_in(ours, 1) + let_in(ours, 2, host=OTHER)
            os.write(writing, " ".join(limit.value if limit else "in" for limit in limits).encode())
            os._exit(0)
        os.waitpid(child, 0)
        told.update(os.read(reading, 1000).decode().split())
        os.close(reading)
        os.close(writing)
    assert told == {"in": 11, "door": 2, "network": 1, "office": 7}


def test_who_replaces_a_worker_begins_with_nobody() -> None:
    ours = crowd(workers=2, per_network=3)
    ours.take_seat(1)
    assert let_in(ours, 3) == [None] * 3
    ours.take_seat(0)
    assert let_in(ours, 1) == [Limit.NETWORK]
    ours.take_seat(1)
    ours.take_seat(0)
    assert let_in(ours, 4) == [None] * 3 + [Limit.NETWORK]


@pytest.mark.parametrize("times", [1, 1000])
def test_a_flood_is_told_once(times: int) -> None:
    ours = crowd(per_network=1)
    with collected() as events:
        let_in(ours, 1 + times)
    assert events == [("connection.refused", {"door": "pop3", "peer": HOME, "limit": "network"})]
