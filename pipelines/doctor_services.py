"""What a run works with beside its own process: Ray, and the Prefect server that records it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from gan_core.errors import ConfigError
from gan_core.probes.finding import Finding, bad, good, probed, warning
from gan_core.store import Store
from pipelines.cluster import connect, stop_ray
from pipelines.notify import Event, wanted
from pipelines.profile import RAY_JOBS, Profile
from pipelines.room import Resources
from pipelines.send import addresses, send
from pipelines.server import check_server, configured_server

if TYPE_CHECKING:
    from pipelines.preflight import Examined

ANSWER_S = 10.0
TEST_TITLE = "gan doctor: a test message"


def ray(profile: Profile, start: bool) -> Finding:
    """The profile's cluster, or Ray on this machine, started where that is wanted."""
    if profile.backend == RAY_JOBS:
        return probed("Ray", lambda: _jobs(profile), "no run can work with this profile: see what it says")
    if profile.ray.address is None and not start:
        return probed("Ray", _imported, "runs cannot train: install the version in infra/constraints.txt")
    try:
        return probed("Ray", lambda: _connected(profile), "no run can train with this profile: see what it says")
    finally:
        stop_ray()


def _imported() -> Finding:
    import ray

    return good("Ray", f"{ray.__version__}, not started", "a run starts it on this machine; --ray tries that now, 10 s")


def _connected(profile: Profile) -> Finding:
    """Ray itself refuses a cluster of another version, its own or Python's."""
    connect(profile, workers=1)
    import ray

    where = "started here" if profile.ray.address is None else f"at {profile.ray.address}"
    return _with_room(profile, where, [node["Resources"] for node in ray.nodes() if node["Alive"]])


def _jobs(profile: Profile) -> Finding:
    """A cluster that takes jobs, asked as a run asks it."""
    from pipelines.on_ray_jobs import jobs_api

    return _with_room(profile, f"takes jobs at {profile.ray.address}", jobs_api(profile).nodes())


def cluster(profile: Profile, store: Store) -> Iterator[Finding]:
    """Its nodes, asked as a run asks them; the store they try is one that they may all reach."""
    found: list[Finding] = []

    def look() -> Finding:
        examined = _examined(profile, store)
        found.extend((*examined.nodes, *examined.of_cluster))
        nodes = f"{len(examined.nodes)} node{'s' * (len(examined.nodes) != 1)}"
        return good("preflight", f"{nodes} asked in {examined.seconds:.1f} s", "as before each run there")

    try:
        yield probed("preflight", look, "no run can work with this profile: see what it says")
    finally:
        stop_ray()
    yield from found


def _examined(profile: Profile, store: Store) -> Examined:
    from pipelines.preflight import Question, examine

    question = Question(need=None, store=store.url, settings=profile.preflight,
                        interface=profile.ray.network.interface)
    if profile.backend != RAY_JOBS:
        connect(profile, workers=1)
        return examine(question, lambda line: None)
    from pipelines.on_ray_jobs import environment, jobs_api
    from pipelines.preflight_job import examined_by_job
    from pipelines.shipping import runtime_env

    api = jobs_api(profile)
    given = runtime_env(api, profile, environment(profile), lambda line: None)
    examined = examined_by_job(api, question, given, lambda line: None)
    assert examined is not None  # nobody gives it up here
    return examined


def _with_room(profile: Profile, where: str, alive: Sequence[Resources]) -> Finding:
    cpus, gpus = (sum(node.get(kind, 0) for node in alive) for kind in ("CPU", "GPU"))
    nodes = f"{len(alive)} {'node' if len(alive) == 1 else 'nodes'}, {cpus:g} CPUs, {gpus:g} GPUs"
    found = f"{version('ray')} {where}: {nodes}"
    if cpus < profile.cpus_per_worker:
        return warning("Ray", found, f"no room for a worker of {profile.cpus_per_worker} CPUs: add nodes, or lower the "
                                     "profile's cpus_per_worker")
    return good("Ray", found, "workers can be placed there")


def prefect() -> Finding:
    """The server that runs are recorded on."""
    url = configured_server()
    if url is None:
        return good("Prefect", f"{version('prefect')}, no server configured",
                    "each run starts one of its own, 5 s; PREFECT_API_URL names one that stays")
    return probed("Prefect", lambda: _server(url), "runs stop before their first stage: start it, or unset "
                                                   "PREFECT_API_URL")


def notifications() -> Iterator[Finding]:
    """What came of a test message to each address that is told of runs."""
    named = "Notifications"
    try:
        events = ", ".join(event for event in Event if event in wanted())
    except ConfigError as error:
        what, _, advice = str(error).partition("; ")
        yield bad(named, what, advice)
    else:
        if not addresses():
            yield warning(named, "GAN_NOTIFY names no address", "nobody is told of runs: name one there")
        for answer in send(TEST_TITLE, f"Told of here: {events}.", "info"):
            if answer.failed:
                yield bad(named, f"{answer.address}: {answer.failed}", "nobody is told there: look at it in GAN_NOTIFY")
            else:
                yield good(named, f"{answer.address} took a test message", f"told of there: {events}")


def _server(url: str) -> Finding:
    check_server(url)
    shown, ours = url.rpartition("@")[2], version("prefect")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/admin/version", timeout=ANSWER_S) as answer:
            theirs = str(json.load(answer))
    except (urllib.error.URLError, ValueError) as error:
        return warning("Prefect", f"{shown} answers and does not tell its version: {getattr(error, 'reason', error)}",
                       f"is it Prefect's API, ending in /api, and of version {ours}?")
    if theirs != ours:
        return warning("Prefect", f"{shown}, version {theirs}, here {ours}",
                       f"seldom a problem while the server is the newer one; pip install prefect=={ours} there")
    return good("Prefect", f"{shown}, version {theirs}", "runs are recorded there")
