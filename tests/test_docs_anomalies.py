"""docs/anomalies.md does what it says: its commands run, and the settings it shows are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gan_core.config import ANOMALY_METRICS, experiment_from
from pipelines.score_run import COLUMNS
from tests.pages import DOCS, blocks_of, follow
from tests.pipeline import Prefect

PAGE = "anomalies.md"


@pytest.mark.system
def test_the_page_works_from_top_to_bottom(served: Prefect, tmp_path: Path) -> None:
    follow(PAGE, served, tmp_path)
    assert (tmp_path / "scores" / "searched" / "heat.png").exists()


@pytest.mark.parametrize("block", [text for language, text in blocks_of(PAGE) if language == "yaml"])
def test_a_block_of_settings_is_read(block: str) -> None:
    assert experiment_from({"name": "page"} | yaml.safe_load(block)).recipe == "fanogan"


@pytest.mark.parametrize("name", [*ANOMALY_METRICS, *COLUMNS.names])
def test_every_metric_and_column_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in (DOCS / PAGE).read_text()
