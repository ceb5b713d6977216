"""docs/video.md does what it says: its commands run, and the settings it shows are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from PIL import Image

from gan_core.config import experiment_from
from gan_core.data.sources.moving_digits import MovingDigits
from gan_core.options.mocogan import MocoganOptions
from tests.pages import DOCS, blocks_of, follow
from tests.pipeline import Prefect

PAGE = "video.md"


@pytest.mark.system
def test_the_page_works_from_top_to_bottom(served: Prefect, tmp_path: Path) -> None:
    follow(PAGE, served, tmp_path)
    with Image.open(tmp_path / "clips.gif") as moving:
        assert moving.n_frames == 8  # type: ignore[attr-defined]  # of animations alone


@pytest.mark.parametrize("block", [text for language, text in blocks_of(PAGE) if language == "yaml"])
def test_a_block_of_settings_is_read(block: str) -> None:
    assert experiment_from({"name": "page"} | yaml.safe_load(block)).recipe == "mocogan"


@pytest.mark.parametrize("options", [MocoganOptions, MovingDigits])
def test_every_setting_is_on_the_page(options: type[MocoganOptions | MovingDigits]) -> None:
    text = (DOCS / PAGE).read_text()
    assert [name for name in options.model_fields if f"`{name}`" not in text and name not in ("recipe", "source")] == []
