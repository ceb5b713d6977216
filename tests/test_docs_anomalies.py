"""docs/anomalies.md does what it says: its commands run, and the settings it shows are read."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gan_core.config import ANOMALY_METRICS, experiment_from
from pipelines.score_run import COLUMNS
from tests.pipeline import Prefect

PAGE = Path(__file__).parents[1] / "docs" / "anomalies.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.system
def test_the_page_works_from_top_to_bottom(served: Prefect, tmp_path: Path) -> None:
    environment = {**served.environment(), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                   "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PAGE.parents[1])}
    for language, text in BLOCKS:
        if named := re.match(r"# (\S+\.yaml)\n", text):
            (tmp_path / named[1]).write_text(text)
            continue
        commands = {"sh": text.splitlines(), "python": [f"{sys.executable} -c {shlex.quote(text)}"]}
        for command in commands.get(language, []):
            done = subprocess.run(shlex.split(command, comments=True), cwd=tmp_path, env=environment,
                                  capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "scores" / "searched" / "heat.png").exists()


@pytest.mark.parametrize("block", [text for language, text in BLOCKS if language == "yaml"])
def test_a_block_of_settings_is_read(block: str) -> None:
    assert experiment_from({"name": "page"} | yaml.safe_load(block)).recipe == "fanogan"


@pytest.mark.parametrize("name", [*ANOMALY_METRICS, *COLUMNS.names])
def test_every_metric_and_column_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text()
