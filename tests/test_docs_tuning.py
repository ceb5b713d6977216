"""The example of the page on tuning is a search that works."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from gan_core.config import TuneConfig, experiment_from
from gan_core.search_space import refuse_unsearchable

PAGE = Path("docs/tuning.md").read_text(encoding="utf-8")


def test_the_example_of_the_block_can_be_searched() -> None:
    example = re.search(r"^```yaml\n(name: .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert example is not None
    refuse_unsearchable(experiment_from(yaml.safe_load(example[1])))


def test_the_table_has_every_field_of_the_block() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [*TuneConfig.model_fields]
