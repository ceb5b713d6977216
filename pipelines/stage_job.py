"""The program of a Ray job: does what is ordered as a command on one machine would, and leaves in the store how that
ended.

    python -m pipelines.stage_job --store URL jobs/<name>/<n>
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import nullcontext

from gan_core.errors import ConfigError, GanError
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.cluster import ray_for_a_while
from pipelines.counting import counting
from pipelines.execute import HandleT, Run
from pipelines.handles import Published, Scored, Shards, Trained
from pipelines.json_log import JsonLog, is_wanted
from pipelines.keys import FEATURES, PREFIX_CHARS, features_key
from pipelines.plan import Planner
from pipelines.stage_order import (
    ENDED,
    STOPPED,
    THREADS,
    GenerateOrder,
    JobOrder,
    Order,
    Outcome,
    code_here,
    python_here,
    read_order,
    write_outcome,
)


def main(words: list[str]) -> int:
    """The exit status of the job.  Its outcome is in the store, but where the store cannot be reached."""
    option, url, at = words
    assert option == "--store"
    store = Store(url)
    outcome = carried_out(store, at)
    write_outcome(store, at, outcome)
    return outcome.exit_code


def carried_out(store: Store, at: str) -> Outcome:
    """Does what is ordered at a folder of the store, and says how it ended."""
    log: JsonLog | None = None
    try:
        order = read_order(store, at)
        log = log_of(order, at)
        # before torch is imported: Ray allows a job's own process one thread, and a run on one machine takes all
        os.environ[THREADS] = str(order.threads or len(os.sched_getaffinity(0)))
        with log.telling() if log else nullcontext(), ray_for_a_while():
            return done(store, order, at)
    except KeyboardInterrupt:
        outcome = Outcome(error=STOPPED, exit_code=130)
    except GanError as error:
        outcome = Outcome.of(error)
    except Exception as error:
        if log is None:
            traceback.print_exc()
        outcome = Outcome.of(error)
    if log is None:  # else it has said so
        print(f"{ENDED}{outcome.error}: {outcome.message}", file=sys.stderr, flush=True)
    return outcome


def log_of(order: JobOrder, at: str) -> JsonLog | None:
    """The job's log, where it is for machines."""
    if not is_wanted():
        return None
    attempt = int(at.rpartition("/")[2])
    return JsonLog(order.whose, order.stage, order.work[:PREFIX_CHARS], attempt=attempt)


def done(store: Store, order: Order | GenerateOrder, at: str) -> Outcome:
    """Does what is ordered.  ConfigError when it would make something else here than where it was ordered."""
    refuse_another_python(order)
    if isinstance(order, Order):
        return Outcome.made(stage_done(store, order, at))
    from pipelines.generate_run import generate_set

    made = generate_set(order.address, order.out, order.wish, store=store, profile=order.profile, workers=order.workers)
    return Outcome(images=made.images)


def stage_done(store: Store, order: Order, at: str) -> Published | None:
    """Does one stage; returns what publish returned."""
    remake = (order.stage,) if order.remake else ()
    run = Run.of(order.experiment, store.url, order.profile.model_dump(mode="json"), remake, f"{at}/record.json")
    run.prefixes.update(order.prefixes)
    run.digests.update(order.digests)
    refuse_another(order, run)
    match order.stage:
        case "prepare":
            with counting("preparing", "items") if order.counts else nullcontext() as progress:
                run.prepare(order.workers, progress)
        case "features":
            run.features(_handle(run, "prepare", Shards))
        case "train":
            run.train(_handle(run, "prepare", Shards))
        case "tune":
            run.tune(_handle(run, "prepare", Shards))
        case "evaluate":
            run.evaluate(_handle(run, "prepare", Shards), _handle(run, "train", Trained))
        case "publish":
            return run.publish(_handle(run, "train", Trained), _handle(run, "evaluate", Scored))
    return None


def refuse_another_python(order: JobOrder) -> None:
    """ConfigError where Python here is not the one where it was ordered."""
    if order.python != python_here():
        raise ConfigError(f"{_there(order)}; the same Python on both works")


def _there(order: JobOrder) -> str:
    return (f"where the command ran it is Python {order.python} with gan-pipelines {order.code}, on the cluster "
            f"Python {python_here()} with {code_here()}")


def refuse_another(order: Order, run: Run) -> None:
    """ConfigError where the code or the data here give the stage another key than where it was ordered."""
    there = _there(order)
    if order.stage == FEATURES:
        key = features_key(read_manifest(run.store, order.prefixes["prepare"]), run.experiment.evaluate.seed,
                           run.experiment.target)
        if key != order.record.key:
            raise ConfigError(f"the code differs: {there}; install the same on both")
        return
    here, ordered = Planner(run.store, run.experiment).step(order.stage, run.digests).record, order.record
    if here.key == ordered.key:
        return
    modules = sorted(name for name in {**here.code, **ordered.code} if here.code.get(name) != ordered.code.get(name))
    if modules:
        named = ", ".join(modules[:3]) + (" …" if len(modules) > 3 else "")
        raise ConfigError(f"the code differs, in {named}: {there}; install the same on both")
    inputs = ", ".join(sorted(name for name in here.inputs if here.inputs[name] != ordered.inputs.get(name)))
    raise ConfigError(f"the {inputs or 'settings'} of stage {order.stage} differs on the cluster's machines from where "
                      "the command ran; name data by a URL, or by a path at which all of them have the same files")


def _handle(run: Run, stage: str, kind: type[HandleT]) -> HandleT:
    prefix = run.prefixes[stage]
    return kind(run.store.uri(prefix), prefix, run.digests[stage])


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # all is in the store; to take the process apart would be seconds that the next stage waits
