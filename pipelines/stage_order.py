"""What a Ray job is asked to do, and what became of it: small files in the store, which both sides reach.

    jobs/<name of the work, with its key>/<n>/    order.json, record.json while it runs, outcome.json at its end

n counts the ended attempts at one key.  Nothing in these files is secret: credentials are the cluster's own.
"""

from __future__ import annotations

import os
import platform
from abc import ABC, abstractmethod
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from pydantic import Field, TypeAdapter

from gan_core import errors
from gan_core.config import Config
from gan_core.errors import GanError, Interrupted, StoreError
from gan_core.store import Store
from pipelines.commit import commit
from pipelines.generate_order import Wish
from pipelines.handles import Published
from pipelines.json_log import ENDED as SAID_LAST
from pipelines.json_log import OURS
from pipelines.keys import PREFIX_CHARS
from pipelines.profile import Profile
from pipelines.records import StageRecord

THREADS = "OMP_NUM_THREADS"
STOPPED = "KeyboardInterrupt"  # an Outcome's error where the job was stopped and had nothing to save
ENDED = f"{OURS}{SAID_LAST}"  # begins the last line of a job that failed; its outcome says the same


def python_here() -> str:
    """Python's version as far as code depends on it: '3.11'."""
    return ".".join(platform.python_version_tuple()[:2])


def code_here() -> str:
    """Which gan-pipelines this is: its version, and its commit where it runs from a checkout."""
    try:
        released = version("gan-pipelines")
    except PackageNotFoundError:
        released = "not installed"
    return " ".join(part for part in (released, commit()[:12]) if part)


def threads_here() -> int:
    """As many as whoever orders lets a process have; 0 where nothing is said."""
    return int(os.environ.get(THREADS) or 0)


class JobOrder(Config, ABC):
    """What every order says.  stage: what is done.  profile: for the job's own process.

    python, code: of whoever orders, as versions.  threads: of the job's own process; 0: one for each core that it may
    use.  workers: as the command's `--workers`.
    """

    stage: str
    profile: Profile
    python: str = Field(default_factory=python_here)
    code: str = Field(default_factory=code_here)
    threads: int = Field(default_factory=threads_here)
    workers: int | None = None

    @property
    @abstractmethod
    def whose(self) -> str:
        """The name of the experiment or the model."""

    @property
    @abstractmethod
    def work(self) -> str:
        """The key of what is made."""

    @property
    def name(self) -> str:
        """The same on every machine for the same work."""
        return f"gan-{self.whose}-{self.stage}-{self.work[:PREFIX_CHARS]}"


class Order(JobOrder):
    """One stage of one experiment.  record: what its key is made of.

    prefixes, digests: of what is upstream, by stage.  counts: whether the job's log says how far preparation is.
    """

    experiment: dict[str, Any]
    record: StageRecord
    remake: bool = False
    prefixes: dict[str, str] = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)
    counts: bool = False

    @property
    def whose(self) -> str:
        return str(self.experiment["name"])

    @property
    def work(self) -> str:
        return self.record.key


class GenerateOrder(JobOrder):
    """A synthetic set of a model.  key: of what is wished for, and where.  address, out, wish.fill: whole URLs."""

    stage: str = "generate"
    model: str
    key: str
    address: str
    out: str
    wish: Wish

    @property
    def whose(self) -> str:
        return self.model

    @property
    def work(self) -> str:
        return self.key


ORDERS: TypeAdapter[Order | GenerateOrder] = TypeAdapter(Order | GenerateOrder)


class Outcome(Config):
    """How a job ended.  error: the name of what was raised, '' when nothing was.

    published: what publish returned.  images: that generate made.
    """

    error: str = ""
    message: str = ""
    exit_code: int = 0
    published: dict[str, Any] | None = None
    images: int = 0

    @staticmethod
    def of(error: BaseException) -> Outcome:
        code = error.exit_code if isinstance(error, GanError) else 1
        return Outcome(error=type(error).__name__, message=str(error), exit_code=code)

    @staticmethod
    def made(published: Published | None) -> Outcome:
        return Outcome(published=None if published is None else asdict(published))

    def version(self) -> Published | None:
        """What publish returned, in the job that published."""
        return None if self.published is None else Published(
            **{**self.published, "refusals": tuple(self.published["refusals"])})

    def raise_again(self, job: str) -> NoReturn:
        """The error as it would have been raised here; one that nobody foresaw as GanError with the job's name."""
        kind = getattr(errors, self.error, None)
        if kind is Interrupted:
            raise Interrupted(self.message, self.exit_code)
        if isinstance(kind, type) and issubclass(kind, GanError):
            raise kind(self.message)
        raise GanError(f"job {job} ended by an error in the program: {self.error}: {self.message}; its log, above, "
                       "says where")


def folder(name: str, number: int) -> str:
    """Where one attempt's files are."""
    return f"jobs/{name}/{number}"


def record_of(name: str, number: int) -> str:
    """Where the job records how far it is."""
    return f"{folder(name, number)}/record.json"


def newest_number(store: Store, name: str) -> int:
    """The highest number of an attempt; 0 when there was none."""
    return max((int(number) for number in store.names(f"jobs/{name}") if number.isdigit()), default=0)


def write_order(store: Store, number: int, order: JobOrder) -> None:
    store.write(f"{folder(order.name, number)}/order.json", order.model_dump_json(indent=1).encode())


def read_order(store: Store, at: str) -> Order | GenerateOrder:
    """The order in a folder.  StoreError when there is none: the job's machine sees another store."""
    try:
        return ORDERS.validate_json(store.read(f"{at}/order.json"))
    except FileNotFoundError:
        raise StoreError(f"{store.uri(at)}/order.json is not there on {platform.node()}, where the job runs; a store "
                         "that the cluster's machines reach, such as s3://bucket/prefix, works") from None


def write_outcome(store: Store, at: str, outcome: Outcome) -> None:
    store.write(f"{at}/outcome.json", outcome.model_dump_json(indent=1).encode())


def read_outcome(store: Store, name: str, number: int) -> Outcome | None:
    """How an attempt ended; None as long as its job has not said."""
    try:
        return Outcome.model_validate_json(store.read(f"{folder(name, number)}/outcome.json"))
    except FileNotFoundError:
        return None
