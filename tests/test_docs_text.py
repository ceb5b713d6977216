"""docs/text.md does what it says: its commands run, its settings are read, and nothing of the systems is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gan_core.config import EvaluateConfig, experiment_from
from gan_core.options.text import TextGumbelOptions, TextWganGpOptions
from pipelines.report import MEANINGS
from tests.pages import DOCS, blocks_of, follow
from tests.pipeline import Prefect

PAGE = "text.md"


@pytest.mark.system
def test_the_page_works_from_top_to_bottom(served: Prefect, tmp_path: Path) -> None:
    follow(PAGE, served, tmp_path)
    words = (tmp_path / "light.txt").read_text().splitlines()
    assert len(words) == 20
    assert sum(set(word) <= set("kptei") for word in words) > 15


@pytest.mark.parametrize("block", [text for language, text in blocks_of(PAGE) if language == "yaml"])
def test_a_block_of_settings_is_read(block: str) -> None:
    assert experiment_from({"name": "page"} | yaml.safe_load(block)).recipe == "text_gumbel"


def test_every_setting_and_every_measure_is_on_the_page_and_every_metric_is_explained() -> None:
    text, also = (DOCS / PAGE).read_text(), ("ngrams", "distinct", "copied")
    settings = {*TextWganGpOptions.model_fields, *TextGumbelOptions.model_fields} - {"recipe"}
    assert sorted(name for name in {*settings, *also} if f"`{name}`" not in text) == []
    assert [name for name in EvaluateConfig(also=also).also_names if name not in MEANINGS] == []
