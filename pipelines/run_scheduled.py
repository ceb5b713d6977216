"""`python -m pipelines.run_scheduled ID`: one flow run in this process.

Prefect's own `prefect.engine` would ask the server once more where the flow is, and print a traceback below the message
of a run that failed.
"""

from __future__ import annotations

import sys
from uuid import UUID


def main() -> None:
    """The flow run that the first argument names."""
    from prefect.engine import handle_engine_signals
    from prefect.flow_engine import load_flow_run, run_flow

    from pipelines.scheduled import scheduled

    flow_run = UUID(sys.argv[1])
    with handle_engine_signals(flow_run):
        run_flow(scheduled, flow_run=load_flow_run(flow_run), return_type="state")


if __name__ == "__main__":
    main()
