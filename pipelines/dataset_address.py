"""Which data set a command is about: an experiment's file, or a source and a URL on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from gan_core.config import Experiment, experiment_from, with_overrides
from gan_core.errors import ConfigError
from gan_core.registry import SOURCES
from pipelines.profile import Profile

PLACES = ("url", "root", "path", "folder")  # options that say where the data is, most usual first


def experiment_at(
    experiment: str | None, source: str | None, url: str | None, overrides: Iterable[str], profile: Profile
) -> Experiment:
    """The experiment, or one made up around --source.  ConfigError when neither or both are given."""
    if (experiment is None) == (source is None):
        raise ConfigError("name an experiment's YAML file, or --source NAME with --url URL; "
                          "`gan dataset list` prints the sources")
    if experiment is not None:
        from pipelines.run import with_profile

        if url is not None:
            raise ConfigError(f"--url {url}: {experiment} names its data already; --set data.url={url} replaces it")
        return with_profile(experiment, overrides, profile)
    assert source is not None
    return _around(source, url, overrides)


def _around(source: str, url: str | None, overrides: Iterable[str]) -> Experiment:
    if source not in SOURCES:
        raise ConfigError(f"--source {source}: {SOURCES.unknown(source)}")
    data = {"source": source}
    if url is not None:
        options = SOURCES.get(source).model_fields
        place = next((place for place in PLACES if place in options), None)
        if place is None:
            known = ", ".join(option for option in options if option != "source") or "none"
            raise ConfigError(f"--url {url}: source '{source}' has no url, root, path or folder; its options: {known}")
        data[place] = url
    raw = {"name": _name(source, url), "data": data, "model": {"recipe": "dcgan"}}
    return experiment_from(with_overrides(raw, map(_in_full, overrides)), where=f"--source {source}")


def _in_full(override: str) -> str:
    """`class_level=2` as `data.class_level=2`; what begins with a block of an experiment stays."""
    return override if re.split(r"[.=]", override)[0] in Experiment.model_fields else f"data.{override}"


def _name(source: str, url: str | None) -> str:
    """What the set is called: by its folder or file, in letters that a name may have."""
    words = PurePosixPath((url or "").rpartition("::")[2].rstrip("/")).name.partition(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40] or source
