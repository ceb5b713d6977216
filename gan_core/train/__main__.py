"""Trains one experiment without Ray or Prefect.

    python -m gan_core.train configs/digits.yaml --store ./store
    torchrun --nproc-per-node 2 -m gan_core.train configs/digits.yaml --store ./store

The same command goes on from the newest checkpoint after any interruption, and does nothing when the run is finished.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn, cast

import torch.distributed as dist
from torch._C._distributed_c10d import Store as GroupStore
from torch.distributed.rendezvous import rendezvous

from gan_core.config import Experiment, key_fields, load_experiment
from gan_core.data.fingerprints import remembered
from gan_core.data.shards import open_shards
from gan_core.data.source import source_of
from gan_core.data.write import write_experiment
from gan_core.errors import GanError
from gan_core.manifest import Parent, canonical_digest, missing_files, read_manifest
from gan_core.store import DEFAULT_STORE, Store
from gan_core.train.begin_from import numbered_version
from gan_core.train.checkpoint import RunPlace
from gan_core.train.dealing import refuse_uneven
from gan_core.train.distributed import Workers, backend_for
from gan_core.train.loop import fit
from gan_core.train.measure import refuse_unmeasured
from gan_core.train.patience import WORKERS_WAIT_S
from gan_core.train.report import Command, Event, Trouble
from gan_core.train.signals import Signals

PREFIX_CHARS = 16  # of a key, in the name of what it makes


class Terminal:
    """One line a report on standard error; SIGTERM and SIGINT become a checkpoint and a stop."""

    def __init__(self, images: int, signals: Signals) -> None:
        self.images = images
        self._signals = signals
        self._last = (time.monotonic(), 0)

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        then, seen = self._last
        self._last = (time.monotonic(), position)
        speed = f"{(position - seen) / (self._last[0] - then):>7,.0f} images/s" if seen else " " * 16
        losses = "  ".join(f"{name[5:]} {value:.3f}" for name, value in values.items() if name.startswith("loss/"))
        print(f"{position:>9,} / {self.images:,} images  {speed}  {losses}", file=sys.stderr, flush=True)

    def trouble(self, position: int, trouble: Trouble) -> None:
        print(f"{position:>9,} {trouble.name}: {trouble.what}; {trouble.advice}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def checkpoint(self, position: int, saved: str) -> None:
        """The store shows them."""

    def event(self, event: Event) -> None:
        """The notes say what a person at a terminal should know."""

    def command(self) -> Command:
        return Command.STOP if self._signals.number else Command.CONTINUE


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    cli = argparse.ArgumentParser("python -m gan_core.train", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("experiment", help="YAML file, for example configs/digits.yaml")
    cli.add_argument("--store", default=DEFAULT_STORE, help="URL or path; default %(default)s")
    cli.add_argument("--set", action="append", default=[], metavar="a.b=c", help="one setting, instead of the file's")
    a = cli.parse_args(arguments)
    try:
        return _train(load_experiment(a.experiment, a.set), Store(a.store))
    except GanError as error:
        print(f"gan_core.train: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # before training; from then on it is a stop
        print("gan_core.train: interrupted; the same command goes on", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _train(experiment: Experiment, store: Store) -> int:
    group = _join()
    workers = Workers.current()
    refuse_uneven(experiment, workers.world)
    refuse_unmeasured(experiment.train, None)
    if workers.lead:
        store.check_writable()
    begins = numbered_version(experiment.train.init_from, store) if experiment.train.init_from else None
    shards, key = _prepared(experiment, store, workers, begins)
    prefix = f"runs/{key[:PREFIX_CHARS]}"
    finished = read_manifest(store, prefix)
    if finished is None or missing_files(store, prefix, finished):
        shards_manifest = read_manifest(store, shards)
        assert shards_manifest is not None
        parents = (Parent(kind="shards", uri=store.uri(shards), digest=shards_manifest.digest),
                   *((begins,) if begins else ()))
        with Signals(group, workers.lead) as signals:
            done = fit(experiment, open_shards(store, shards), RunPlace(store, prefix, key),
                       Terminal(experiment.train.images, signals), parents=parents)
            if not done:
                _say(workers, f"stopped by a signal after a checkpoint; the same command goes on: {store.uri(prefix)}")
                _wait_for_lead(workers)
                return 128 + (signals.number or signal.SIGTERM)
    _say(workers, f"finished: {store.uri(prefix)}")
    return 0


def _join() -> GroupStore | None:
    """Joins torchrun's process group, when it started this process: the store by which the processes met."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    store, rank, world = next(rendezvous("env://"))
    backend = backend_for(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    waits = timedelta(seconds=WORKERS_WAIT_S)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=waits)
    return cast(GroupStore, store)


def _prepared(
    experiment: Experiment, store: Store, workers: Workers, begins: Parent | None
) -> tuple[str, str]:
    """The prefix of the shards, made here if they are not there, and the key of the run on them."""
    with remembered(store):
        made_by = {"data": key_fields(experiment.data), "prepare": key_fields(experiment.prepare),
                   "fingerprint": source_of(experiment).fingerprint()}
    key = canonical_digest(made_by)
    prefix = f"shards/{key[:PREFIX_CHARS]}"
    if workers.lead and read_manifest(store, prefix) is None:
        write_experiment(experiment, store, prefix, key=key)
    workers.told_by_lead(0)  # the others wait until the shards are there
    settings = {"seed": experiment.seed, "model": key_fields(experiment.model), "train": key_fields(experiment.train)}
    made_from = {"shards": key, **({"init_from": begins.digest} if begins else {})}
    return prefix, canonical_digest({**made_from, **settings})


def _wait_for_lead(workers: Workers) -> None:
    """Until rank 0 has come here too: torchrun ends all processes as soon as one has ended with a status above 0."""
    with suppress(RuntimeError):  # rank 0 has ended otherwise, and there is nobody to wait for
        workers.told_by_lead(0)


def _say(workers: Workers, line: str) -> None:
    if workers.lead:
        print(line, file=sys.stderr)


def _end(status: int) -> NoReturn:
    """Ends one process of a group at once: its threads in C++ may still be at work, and abort a slower end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    if "WORLD_SIZE" in os.environ:
        _end(main())
    sys.exit(main())
