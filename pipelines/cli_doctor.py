"""`gan doctor`: whether this machine and a store can be trusted."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipelines.options import DEFAULT_STORE, JsonOption, ProfileOption, RayAddressOption, StoreOption


def doctor(
    store: StoreOption = DEFAULT_STORE,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    ray: Annotated[bool, typer.Option("--ray", help="Start Ray on this machine too: 10 seconds.")] = False,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="How often eight writers race for one object.")
    ] = 50,
    notify: Annotated[
        bool, typer.Option("--notify", help="Send a test message to each address in GAN_NOTIFY.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Says whether this machine and a store can be trusted.

    A line for each thing that was looked at: ✓ good, ! look at it, ✗ failed;
    what there is, and what that means for you.  Exit code 1 where one failed.

    What it writes into the store is removed, apart from its verdict on how to
    publish there: .doctor/verdict.json.

    Example: gan doctor --store s3://bucket/gans

    Example: gan doctor --profile cluster --json
    """
    from gan_core.store import Store
    from pipelines.doctor import examine_cluster, examine_machine, examine_store
    from pipelines.profile import load_profile
    from pipelines.show_doctor import progress, show, summary

    place, where = Store(store), load_profile(profile, ray_address)
    with progress() as say:
        machine = examine_machine(place, where, ray, say, notify)
        cluster, kept = examine_cluster(place, where, say), examine_store(place, rounds, say)
        if as_json:
            findings = [*machine, *cluster, *kept]
        else:
            findings = show("this machine", machine)
            if where.ray.address is not None:
                findings += show(f"the cluster at {where.ray.address}", cluster)
            findings += show(f"the store {place.url}", kept)
    if as_json:
        typer.echo(json.dumps([finding.as_json() for finding in findings], indent=1, ensure_ascii=False))
    else:
        summary(findings)
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)
