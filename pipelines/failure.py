"""What a person is told of a run that did not end well: one paragraph, on the terminal, in the record, in messages."""

from __future__ import annotations

from gan_core.errors import GanError, GateRefused, Interrupted
from gan_core.outages import reason, without_secrets

NETWORK_CLIENTS = ("aiobotocore", "aiohttp", "botocore", "urllib3")


class RunFailed(GanError):  # noqa: N818 - named for what happened
    """A run that did not end well; its message is the paragraph, its exit code the cause's."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def paragraph(experiment: str, stage: str, error: BaseException, logs: str) -> str:
    """Where it happened, why, what to do, and where the logs are, in one line.

    stage: '' before and between stages.  logs: the command that prints them, or their address.
    """
    where = f"{experiment}: {stage} failed" if stage else f"{experiment} failed"
    if isinstance(error, GateRefused):
        where = f"{experiment}: the gate refused"
    elif isinstance(error, Interrupted) or not isinstance(error, Exception):
        where = f"{experiment}: stopped in {stage}" if stage else f"{experiment}: stopped"
    return f"{where}: {_cause(error)}; its log: {logs}"


def of_the_network(error: BaseException) -> bool:
    """Whether a remote file system's client raised it: they have no common class, and are not imported for this."""
    client = type(error).__module__.partition(".")[0]
    return isinstance(error, ConnectionError | TimeoutError) or client in NETWORK_CLIENTS


def no_answer(error: BaseException) -> str:
    """What to do about such an error."""
    return (f"a store or a data set on the network does not answer: {reason(error)}; look at its address and at the "
            "network; what was done is kept, and the same command goes on")


def _cause(error: BaseException) -> str:
    """The errors that a person can put right say how, in their own words."""
    if isinstance(error, GanError):
        return without_secrets(" ".join(str(error).split()))
    if not isinstance(error, Exception):
        return "interrupted; the same command goes on from what is kept"
    if of_the_network(error):
        return no_answer(error)
    last = (str(error).strip().splitlines() or [""])[-1]
    said = without_secrets(f"{type(error).__name__}: {last}".rstrip(": "))
    return f"{said}; this is not expected, the traceback is in the log; what was done is kept, and the same command " \
           "goes on"
