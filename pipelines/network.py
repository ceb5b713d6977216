"""Which network the training workers speak over: the profile's `ray.network` as the variables that torch reads.

Without an interface gloo offers the address that a host's own name resolves to, which on many hosts is 127.0.0.1: the
others then connect to themselves and wait.  Between hosts it is therefore given the interface by which this one
reaches rank 0.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from gan_core.config import Config
from gan_core.errors import ConfigError

GLOO_INTERFACE, NCCL_INTERFACE = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"
ANY_PORT = 9  # no packet is sent there


class NetworkConfig(Config):
    """How training workers reach each other."""

    interface: str | None = Field(
        None, pattern=r"^[\w.@:-]{1,15}$", examples=["eth0"],
        description="network interface between the workers' hosts, for gloo and NCCL; null has gloo take the one that "
                    "reaches rank 0's host, and NCCL choose")
    timeout_s: float | None = Field(
        None, gt=0, examples=[600],
        description="seconds that a worker waits for the others in one exchange before it gives up; null is 4,200, as "
                    "rank 0 may wait that long for the store")
    ib: bool | str | None = Field(
        None, examples=["mlx5_0,mlx5_1"],
        description="NCCL over InfiniBand: false never, the names of adapters those only, null or true where there is "
                    "any")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that say this to gloo and NCCL; none where all is left to them."""
        found = {} if self.interface is None else {GLOO_INTERFACE: self.interface, NCCL_INTERFACE: self.interface}
        if isinstance(self.ib, str):
            found["NCCL_IB_HCA"] = self.ib
        elif self.ib is not None:
            found["NCCL_IB_DISABLE"] = str(int(not self.ib))
        return found


def settle(environment: Mapping[str, str], lead: str | None) -> None:
    """In a worker, before it joins the others: sets the variables that its host has not set itself.

    lead: the address of rank 0's host; None where all workers are on one host.
    ConfigError when this host has no such interface.
    """
    wanted = dict(environment)
    if lead is not None and GLOO_INTERFACE not in wanted:
        found = interface_to(lead)
        wanted |= {GLOO_INTERFACE: found} if found else {}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    _refuse_unknown(os.environ.get(GLOO_INTERFACE))


def interface_to(address: str, interfaces: Callable[[], Mapping[str, list[str]]] | None = None) -> str | None:
    """The interface that has the address from which this host would send to another; None when there is no way.

    address: a name or an IP address; on the host that has it itself, its interface and not the loopback.
    interfaces: the addresses of each interface, by its name.
    """
    try:
        family, kind, _, _, there = socket.getaddrinfo(address, ANY_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            way.connect(there)  # asks the routing table; nothing is sent
            own = way.getsockname()[0]
    except OSError:
        return None
    known = (interfaces or _interfaces)()
    return next((name for name, addresses in known.items() if own in addresses), None)


def _interfaces() -> dict[str, list[str]]:
    import psutil

    return {name: [one.address.partition("%")[0] for one in addresses]
            for name, addresses in psutil.net_if_addrs().items()}


def _refuse_unknown(interface: str | None) -> None:
    """Gloo would say 'unsupported gloo device' of it."""
    here = names()
    if interface is not None and not known(interface, here):
        raise ConfigError(f"ray.network.interface={interface}: host {socket.gethostname()} has no such network "
                          f"interface; it has: {listed(here)}; null finds the one that reaches the other hosts")


def names() -> tuple[str, ...]:
    """Of this host's interfaces."""
    return tuple(name for _, name in socket.if_nameindex())


def known(interface: str, here: Sequence[str]) -> bool:
    """Whether a host with those has what the setting names: one, or several with commas between them."""
    return bool(set(interface.split(",")) & set(here))


def listed(here: Sequence[str]) -> str:
    """For people: those that lead to other hosts."""
    return ", ".join(name for name in here if name != "lo") or "lo"
