"""The program of the Ray job that looks at a cluster which takes jobs only, and the side that waits for it.

    python -m pipelines.preflight_job QUESTION      as JSON

Its last line is what it found, as JSON.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from gan_core.errors import GanError, WorkersFailed
from pipelines.cluster import connect, ray_for_a_while
from pipelines.jobs_api import JobsApi
from pipelines.preflight import Examined, Question, Say, examine, say
from pipelines.profile import Profile

PROGRAM = "exec python -P -m pipelines.preflight_job"  # -P: as in on_ray_jobs
FOUND = "gan: preflight found: "
START_S = 90.0  # that the job has to begin, beside what it is to take by the profile
LOOK_S = 0.2


def main(words: list[str]) -> int:
    """The exit status of the job."""
    question = Question.model_validate_json(words[0])
    try:
        with ray_for_a_while():
            connect(Profile.model_validate({"ray": {"address": "auto"}}), 1)
            found = examine(question)
    except GanError as error:
        print(f"gan: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    print(f"{FOUND}{json.dumps(found.as_json())}", file=sys.stderr, flush=True)
    return 0


def examined_by_job(
    api: JobsApi, question: Question, runtime_env: Mapping[str, Any], tell: Say = say,
    given_up: Callable[[], bool] = lambda: False,
) -> Examined | None:
    """What a job of the cluster finds there.  None when it was given up, and stopped.

    runtime_env: what the job is given, its variables and code.  WorkersFailed when it ends without an answer, or takes
    too long.
    """
    job = f"gan-preflight-{uuid.uuid4().hex[:12]}"
    settings, heard = question.settings, 0
    seconds = START_S + 2 * settings.answer_s + settings.nodes_wait_s
    deadline = time.monotonic() + seconds
    api.submit(job, f"{PROGRAM} {shlex.quote(question.model_dump_json())}", dict(runtime_env))
    while True:
        state = api.find(job)
        over = state is None or state.status.is_terminal()
        lines = api.log(job).splitlines()
        for line in lines[heard:]:
            if line.startswith(FOUND):
                return Examined.of(json.loads(line.removeprefix(FOUND)))
            if line.startswith("gan: "):
                tell(line.removeprefix("gan: "))
        heard = len(lines)
        if over:
            said = [line.strip() for line in ((state and state.message) or "").splitlines() if line.strip()]
            raise WorkersFailed(f"job {job} ended before it could say what the cluster is like: "
                                f"{said[-1] if said else 'no reason given'}; start Ray on the cluster's machines in "
                                "the environment that gan-pipelines is installed in")
        if given_up() or time.monotonic() > deadline:
            api.stop(job)
            if given_up():
                return None
            raise WorkersFailed(f"job {job} did not say within {seconds:.0f} s what the cluster is like; `ray job logs "
                                f"{job}` shows how far it came")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing is kept; to take the process apart would be seconds that somebody waits
