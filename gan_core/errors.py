"""Every error a user can meet, by who can put it right.

GanError                 exit 1
  ConfigError            exit 2   the person who wrote the YAML or the command
  DataError              exit 1   the person who owns the data set
    DamagedFile          exit 1   a stored file is not what its manifest says
  StoreError             exit 1   the operator: the store refused or lost something
    Outage               exit 1   nobody: a store or a network does not answer now, and may later
  CheckpointError        exit 1   the operator: no checkpoint fits this run
  Superseded             exit 1   nobody: a newer start of the same run took over
  WorkersFailed          exit 1   the operator: training workers or a server kept dying
  ProgramFailed          exit 1   the author of a recipe, a plug-in or this program: an error on the workers
  Diverged               exit 1   the researcher: a loss is no longer finite
  Interrupted            exit 130 nobody: Ctrl-C, or SIGTERM (143), stopped it after a checkpoint
  NotExportable          exit 1   nobody: a network family has no ONNX form; a version is published without
  ExportDiffers          exit 1   the author of a network family: its ONNX model makes other images
  GateRefused            exit 3   the researcher: a published version may not become champion
"""

from __future__ import annotations


class GanError(Exception):
    """Something a person can put right; its message says what and how."""

    exit_code = 1


class ConfigError(GanError):
    """A setting, an argument or a file name that cannot work."""

    exit_code = 2


class DataError(GanError):
    """The data set is not what its source promises."""


class DamagedFile(DataError):  # noqa: N818 - named for what happened, as the message starts
    """A stored file whose size or sha256 differs from its manifest."""


class StoreError(GanError):
    """The object store refused an operation or lost an object."""


class Outage(StoreError):  # noqa: N818
    """A store or a network did not answer for longer than anyone waited; later the same work may succeed."""


class CheckpointError(GanError):
    """No checkpoint can be loaded, or the one found belongs to another run."""


class Superseded(GanError):  # noqa: N818
    """A newer attempt at the same run exists; this one must not write."""


class WorkersFailed(GanError):  # noqa: N818
    """Processes that a run needs died, or never answered, more often than the profile allows."""


class ProgramFailed(GanError):  # noqa: N818
    """What runs on the workers raised an error that nobody foresaw; it would again."""


class WorkersDisagree(GanError):  # noqa: N818
    """Workers that should hold the same state do not."""


class Diverged(GanError):  # noqa: N818
    """A loss or gradient is not finite."""


class NotExportable(GanError):  # noqa: N818
    """No ONNX model can be made of a network; the message is the reason, in one line."""


class ExportDiffers(GanError):  # noqa: N818
    """The ONNX model of a network makes other images than the network."""


class Interrupted(GanError):  # noqa: N818
    """Training was stopped from outside, after a checkpoint.  exit_code: as shells report the signal that asked."""

    exit_code = 130

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class GateRefused(GanError):  # noqa: N818
    """A metric is outside the bounds that the gate sets."""

    exit_code = 3
