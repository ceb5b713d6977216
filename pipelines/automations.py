"""What Prefect's server does about runs whose process is gone: automations, which `gan deploy` registers.

A run's process sends a heartbeat every HEARTBEAT_S seconds.  One that stays away for WINDOW_S has died, with its runner
or its machine, and nobody else would end its run: the server does, as Crashed.  A live process that the server did not
hear for so long goes on; the state it ends with replaces Crashed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from gan_core.errors import ConfigError
from pipelines.heartbeats import HEARTBEAT_S

TAG = "gan-pipelines"
WINDOW_S = 6 * HEARTBEAT_S
BEGIN_S = 600  # a cluster may have to fetch an image first
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "Nothing new", "Skipped*", "Gate refused")
WAITS = ("Scheduled", "AwaitingConcurrencySlot", "AwaitingRetry", "Paused", "Suspended")
ALIVE = ("Running", "Retrying", "Cancelling")


def automations(window_s: int = WINDOW_S, begin_s: int = BEGIN_S) -> list[AutomationCore]:
    """What the server should hold.  window_s: seconds without a heartbeat, at least 10.  begin_s: from Pending on."""
    return [
        AutomationCore(
            name=f"{TAG}: process gone",
            description="Ends a run as Crashed whose process sends no heartbeats any more.",
            trigger=_missing({"heartbeat"}, {"heartbeat", "Late", *WAITS, *ENDS}, window_s),
            actions=[_crashed(f"Its process sent no heartbeat for {window_s} s: it was killed, or its machine is gone. "
                              "Started again, the run goes on from its newest checkpoint.")],
        ),
        AutomationCore(
            name=f"{TAG}: never began",
            description="Ends a run as Crashed that was handed to a process and never began.",
            trigger=_missing({"Pending"}, {"Late", *ALIVE, *WAITS, *ENDS}, begin_s),
            actions=[_crashed(f"It was handed to a process that did not begin within {begin_s} s; look at the log of "
                              "what serves it, or of the work pool.")],
        ),
    ]


def wanted_automations(client: SyncPrefectClient) -> list[AutomationCore]:
    """Those, and one that tells of late runs where GAN_LATE_BLOCK names a notification block."""
    block = os.environ.get("GAN_LATE_BLOCK")
    return automations() + ([late_automation(client, block)] if block else [])


def late_automation(client: SyncPrefectClient, block: str, begin_s: int = BEGIN_S) -> AutomationCore:
    """Tells of runs that nothing has begun so long after they were late.

    block: "TYPE/NAME" of one of the server's notification blocks, such as "slack-webhook/operators".
    ConfigError when the server has no such block.
    """
    kind, _, name = block.partition("/")
    try:
        found = client.read_block_document_by_name(name, kind)
    except ObjectNotFound:
        raise ConfigError(f"GAN_LATE_BLOCK={block}: the Prefect server has no such block; slack-webhook/operators "
                          "works once it is made on the server's page of blocks") from None
    told = SendNotification(
        block_document_id=found.id, subject="Late: {{ flow_run.name }}",
        body="{{ flow_run.name }} was due at {{ flow_run.expected_start_time }}, and nothing has begun it "
             f"{begin_s} s later. Does `gan serve`, or the work pool's worker, run?",
    )
    return AutomationCore(
        name=f"{TAG}: late", description="Tells of runs that nothing has begun in time.",
        trigger=_missing({"Late"}, {"Pending", *ALIVE, *WAITS, *ENDS}, begin_s), actions=[told],
    )


def ensure_automations(
    client: SyncPrefectClient, wanted: Iterable[AutomationCore], *, dry_run: bool = False
) -> list[str]:
    """Has the server hold these, by name; returns a line for each that it did not hold so.

    An automation that an operator switched off stays off.
    """
    said = []
    for automation in wanted:
        held = client.read_automations_by_name(automation.name)
        if not held:
            said.append(f"automation '{automation.name}': made")
            if not dry_run:
                client.create_automation(automation)
        elif not _same(held[0], automation):
            said.append(f"automation '{automation.name}': changed")
            if not dry_run:
                client.update_automation(held[0].id, automation.model_copy(update={"enabled": held[0].enabled}))
    return said


def _missing(after: set[str], expect: set[str], seconds: int) -> EventTrigger:
    """Fires for a run when none of `expect` follows one of `after` within some seconds."""
    return EventTrigger(
        after=_events(after), expect=_events(expect), for_each={"prefect.resource.id"}, match_related=_tagged(),
        posture=Posture.Proactive, threshold=1, within=timedelta(seconds=seconds),
    )


def _events(names: set[str]) -> set[str]:
    return {f"prefect.flow-run.{name}" for name in names}


def _tagged() -> ResourceSpecification:
    tag = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
    return ResourceSpecification.model_validate(tag)


def _crashed(message: str) -> ActionTypes:
    return ChangeFlowRunState(state=StateType.CRASHED, message=message)


def _same(held: AutomationCore, wanted: AutomationCore) -> bool:
    fields = {"description", "trigger", "actions"}
    return held.model_dump(include=fields) == wanted.model_dump(include=fields)
