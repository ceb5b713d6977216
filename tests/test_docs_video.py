"""docs/video.md does what it says: its commands run, and the settings it shows are read."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from gan_core.config import experiment_from
from gan_core.data.sources.moving_digits import MovingDigits
from gan_core.options.mocogan import MocoganOptions
from tests.pipeline import Prefect

PAGE = Path(__file__).parents[1] / "docs" / "video.md"
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
    with Image.open(tmp_path / "clips.gif") as moving:
        assert moving.n_frames == 8  # type: ignore[attr-defined]  # of animations alone


@pytest.mark.parametrize("block", [text for language, text in BLOCKS if language == "yaml"])
def test_a_block_of_settings_is_read(block: str) -> None:
    assert experiment_from({"name": "page"} | yaml.safe_load(block)).recipe == "mocogan"


@pytest.mark.parametrize("options", [MocoganOptions, MovingDigits])
def test_every_setting_is_on_the_page(options: type[MocoganOptions | MovingDigits]) -> None:
    text = PAGE.read_text()
    assert [name for name in options.model_fields if f"`{name}`" not in text and name not in ("recipe", "source")] == []
