"""Whether this machine and a store can be trusted: every probe, in the order in which an operator would ask."""

from __future__ import annotations

from collections.abc import Iterator

from gan_core.probes.finding import Finding
from gan_core.probes.races import Say
from gan_core.probes.store import probe_store
from gan_core.store import Store
from pipelines import doctor_machine, doctor_services
from pipelines.profile import Profile


def examine_machine(
    store: Store, profile: Profile, with_ray: bool, say: Say, with_message: bool = False
) -> Iterator[Finding]:
    """What runs here, and where it would keep things.  with_ray: starts Ray on this machine, where it has no other.
    with_message: sends one to each address that is told of runs.
    """
    say("versions")
    yield doctor_machine.packages()
    yield doctor_machine.processors()
    say("GPUs")
    yield doctor_machine.gpus()
    yield from doctor_machine.disks(store)
    yield doctor_machine.plug_ins()
    say("Ray")
    yield doctor_services.ray(profile, with_ray)
    say("Prefect")
    yield doctor_services.prefect()
    if with_message:
        say("notifications")
        yield from doctor_services.notifications()


def examine_cluster(store: Store, profile: Profile, say: Say) -> Iterator[Finding]:
    """What a run would find wrong on the profile's cluster before it starts, and each of its nodes.  Nothing where the
    profile names no cluster.
    """
    if profile.ray.address is not None:
        say("the cluster's nodes")
        yield from doctor_services.cluster(profile, store)


def examine_store(store: Store, rounds: int, say: Say) -> Iterator[Finding]:
    """What `gan_core.probes` finds.  rounds: of eight writers at once."""
    yield from probe_store(store, say, rounds=rounds)
