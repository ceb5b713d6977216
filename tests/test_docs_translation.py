"""docs/translation.md does what it says: its commands run, and the settings it shows are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gan_core.config import Config, experiment_from
from gan_core.options.cut import CutOptions
from gan_core.options.cyclegan import CycleganOptions
from gan_core.options.pix2pix import Pix2pixOptions
from tests.pages import DOCS, blocks_of, follow
from tests.pipeline import Prefect

PAGE = "translation.md"


@pytest.mark.system
def test_the_page_works_from_top_to_bottom(served: Prefect, tmp_path: Path) -> None:
    follow(PAGE, served, tmp_path)
    assert (tmp_path / "dark.png").exists()
    assert len([*(tmp_path / "translated").glob("*.png")]) == 20


@pytest.mark.parametrize("block", [text for language, text in blocks_of(PAGE) if language == "yaml"])
def test_a_block_of_settings_is_read(block: str) -> None:
    assert experiment_from({"name": "page"} | yaml.safe_load(block)).recipe in ("cyclegan", "cut", "pix2pix")


@pytest.mark.parametrize("options", [CycleganOptions, CutOptions, Pix2pixOptions])
def test_every_setting_of_the_systems_is_on_the_page(options: type[Config]) -> None:
    text = (DOCS / PAGE).read_text()
    assert [name for name in options.model_fields if f"`{name}`" not in text and name != "recipe"] == []
