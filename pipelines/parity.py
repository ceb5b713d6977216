"""Whether a cluster has the versions that a run needs, asked before anything is submitted to it.

Only its Python itself knows all that is installed there, so a job of a line asks it, 2 s.  The cluster keeps the job
and its answer for as long as it lives: every later stage and command reads it, 20 ms.  An answer that would refuse a
run may be out of date, and is asked for again.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from importlib import metadata

import ray
from packaging.requirements import Requirement
from packaging.version import Version

from gan_core.errors import ConfigError
from pipelines.jobs_api import JobsApi
from pipelines.profile import Profile
from pipelines.stage_order import python_here

NAME = "gan-versions"  # and a number: of its jobs
ANSWER = "gan: versions: "
OURS = "gan-pipelines"
PROBE = f"""
import json, platform, sys
from importlib import metadata
del sys.path[0]
found = {{each.name.lower().replace("_", "-"): each.version for each in metadata.distributions() if each.name}}
print({ANSWER!r} + json.dumps({{**found, "python": platform.python_version()}}))
"""
ANSWERED_WITHIN_S = 120.0
LOOK_S = 0.1

Versions = Mapping[str, str]
"""Of a Python and what is installed for it, by names in lower case with hyphens."""


def refuse_other_versions(api: JobsApi, profile: Profile) -> None:
    """ConfigError, with what to install where, when the cluster's Python, Ray, torch or gan-pipelines is another.

    gan-pipelines is looked at where it is not shipped, and all that it depends on where it is.  Nothing is refused
    when no answer can be had: the job itself looks at Python and the code again.
    """
    number, found = _newest(api)
    if found is None or differences(found, profile.ray.ship):
        found = _ask(api, number + 1)
    if found and (problems := differences(found, profile.ray.ship)):
        raise ConfigError(f"ray.address={api.address}: {'; '.join(problems)}")


def differences(there: Versions, ship: str) -> list[str]:
    """What of the cluster does not fit this process, each with what would."""
    here, python = _here(), there["python"]
    if _minor(python) != python_here():
        return [f"the cluster runs Python {python}, and here is {here['python']}; Python {python_here()} there, or "
                f"{_minor(python)} here, works"]
    found = []
    for name, wanted in _wanted(here, ship).items():
        if name not in there:
            found.append(f"the cluster has no {name}; pip install '{wanted}' there works")
        elif not wanted.specifier.contains(there[name], prereleases=True):
            found.append(f"the cluster has {name} {there[name]}; pip install '{wanted}' there works")
    return found


def _wanted(here: Versions, ship: str) -> dict[str, Requirement]:
    """What the cluster must have, by name.  Of torch: what is here, or the range that we work with."""
    wanted = {name: each for name, each in _requirements().items() if ship == "code" or name == "torch"}
    wanted["ray"] = Requirement(f"ray[default]=={_minor(ray.__version__)}.*")
    if "torch" in here:
        wanted["torch"] = Requirement(f"torch=={_minor(here['torch'])}.*")
    if ship == "none" and OURS in here:
        wanted[OURS] = Requirement(f"{OURS}=={here[OURS]}")
    return wanted


def _requirements() -> dict[str, Requirement]:
    """What the source that is shipped imports whatever it does: the requirements of gan-pipelines without extras."""
    try:
        lines = metadata.requires(OURS) or []
    except metadata.PackageNotFoundError:
        return {}
    every = [Requirement(line) for line in lines if "extra ==" not in line]
    return {each.name.lower().replace("_", "-"): each for each in every}


def _here() -> Versions:
    found = {"python": python_here()}
    for name in ("torch", OURS):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _minor(version: str) -> str:
    """'2.13' of '2.13.0+cpu'."""
    parsed = Version(version)
    return f"{parsed.major}.{parsed.minor}"


def _newest(api: JobsApi) -> tuple[int, Versions | None]:
    """How many of these jobs the cluster knows, and what the last one said; None when that is not known."""
    number = 0
    while api.find(f"{NAME}-{number + 1}") is not None:
        number += 1
    return number, _answer(api, number) if number else None


def _ask(api: JobsApi, number: int) -> Versions | None:
    """ConfigError when the cluster has no Python that answers; None when whoever asks gave up, and for a lost log."""
    job = f"{NAME}-{number}"
    api.submit(job, f"python -c {shlex.quote(PROBE)}", {})  # by whomever: the answer is the same
    deadline = time.monotonic() + ANSWERED_WITHIN_S
    while not api.given_up() and time.monotonic() < deadline:
        found = api.find(job)
        if found is None or found.status.is_terminal():
            break
        time.sleep(LOOK_S)
    else:
        return None
    if found is not None and found.driver_exit_code:
        raise ConfigError(f"ray.address={api.address}: the cluster's `python` does not work, exit status "
                          f"{found.driver_exit_code}, in job {job}; start Ray there in an environment with all that "
                          f"gan-pipelines needs")
    return _answer(api, number)


def _answer(api: JobsApi, number: int) -> Versions | None:
    for line in api.log(f"{NAME}-{number}").splitlines():
        if line.startswith(ANSWER):
            told: dict[str, str] = json.loads(line.removeprefix(ANSWER))
            return told
    return None
