"""What became of a run of stages, for whoever shows or prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gan_core.errors import GanError
from gan_core.store import Store
from pipelines.records import StageResult


@dataclass(frozen=True)
class Outcome:
    """What became of each stage; error: why the run did not end well, or the gate refused."""

    results: tuple[StageResult, ...]
    published: str | None
    error: GanError | None

    def as_json(self) -> dict[str, Any]:
        """{"stages": [{"name", "status", "seconds", "uri", "trained"?}], "published": uri}."""
        return {"stages": self.stages(), "published": self.published}

    def stages(self) -> list[dict[str, Any]]:
        """Each stage's result as plain values."""
        return [result.model_dump(mode="json", exclude_none=True) for result in self.results]

    def scores(self, store: Store) -> str | None:
        """The prefix that the figures are shown from; None for none."""
        return None if self.published is None else self.published.removeprefix(f"{store.url}/")

    def made(self, store: Store) -> tuple[tuple[str, str, str], ...]:
        """(what it is, prefix, file below it) of what a person looks at first."""
        if self.published is None:
            return ()
        prefix = self.published.removeprefix(f"{store.url}/")
        return ("sample grid", prefix, "samples.png"), ("report", prefix, "report.html"), ("bundle", prefix, "")
