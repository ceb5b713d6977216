"""Which interface the training workers speak over, and what of it reaches torch."""

from __future__ import annotations

import os
import socket

import pytest

from gan_core.errors import ConfigError
from pipelines.network import NetworkConfig, interface_to, settle
from pipelines.profile import Profile

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "NCCL_IB_DISABLE", "NCCL_IB_HCA")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back
        monkeypatch.delenv(name)


def variables() -> dict[str, str]:
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


@pytest.mark.parametrize(("asked", "found"), [
    ({}, {}),
    ({"timeout_s": 60}, {}),
    ({"interface": "eth0"}, {"GLOO_SOCKET_IFNAME": "eth0", "NCCL_SOCKET_IFNAME": "eth0"}),
    ({"ib": False}, {"NCCL_IB_DISABLE": "1"}),
    ({"ib": True}, {"NCCL_IB_DISABLE": "0"}),
    ({"ib": "mlx5_0,mlx5_1"}, {"NCCL_IB_HCA": "mlx5_0,mlx5_1"}),
])
def test_a_profile_sets_the_variables_that_it_names_and_no_other(asked: dict[str, object], found: object) -> None:
    assert Profile.model_validate({"ray": {"network": asked}}).ray.network.environment == found


def test_on_one_host_without_a_word_in_the_profile_nothing_is_set() -> None:
    settle(NetworkConfig().environment, None)
    assert variables() == {}


def test_between_hosts_gloo_takes_the_interface_that_reaches_rank_0() -> None:
    settle({}, "127.0.0.1")
    assert variables() == {"GLOO_SOCKET_IFNAME": "lo"}


def test_what_the_profile_or_the_host_itself_says_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.network.interface_to", lambda address: pytest.fail("looked for it"))
    settle({"GLOO_SOCKET_IFNAME": "lo"}, "10.0.0.1")
    assert variables() == {"GLOO_SOCKET_IFNAME": "lo"}


def test_the_hosts_own_variables_come_before_the_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("NCCL_IB_DISABLE", "0")
    settle({"GLOO_SOCKET_IFNAME": "eth9", "NCCL_IB_DISABLE": "1"}, "10.0.0.1")
    assert variables() == {"GLOO_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "0"}


def test_an_interface_that_this_host_has_not_is_one_line_that_names_those_it_has() -> None:
    with pytest.raises(ConfigError, match=r"ray.network.interface=eth99: host .* has no such .* it has: \w+.*; null"):
        settle(NetworkConfig(interface="eth99").environment, None)


def test_the_interface_is_the_one_whose_address_the_way_begins_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this host's name leads to is not asked: it is 127.0.1.1 on many."""
    known = {"lo": ["127.0.0.1", "::1"], "docker0": ["172.17.0.1"], "eth1": ["10.0.0.2", "fe80::2"]}
    monkeypatch.setattr("pipelines.network.socket.socket", _From("10.0.0.2"))
    assert interface_to("10.0.0.1", lambda: known) == "eth1"
    monkeypatch.setattr("pipelines.network.socket.socket", _From("192.168.0.7"))
    assert interface_to("10.0.0.1", lambda: known) is None


def test_a_host_that_cannot_be_reached_has_no_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.network.socket.getaddrinfo", _raises)
    assert interface_to("nowhere") is None


class _From:
    """A socket whose packets would begin at this address."""

    def __init__(self, own: str) -> None:
        self._own = own

    def __call__(self, family: int, kind: int) -> _From:
        return self

    def __enter__(self) -> _From:
        return self

    def __exit__(self, *error: object) -> None: ...

    def connect(self, there: object) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return self._own, 0


def _raises(*asked: object, **named: object) -> object:
    raise socket.gaierror("no such host")
