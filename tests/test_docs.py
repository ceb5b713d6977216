"""Every command and every Python example of the README and the docs runs as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from gan_core.config import load_experiment, read_yaml, with_overrides
from tests.pipeline import SMALL

PAGES = ("README.md", "docs/getting-started.md")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", Path(page).read_text(), re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    lines = [line.partition(" #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(("gan ", "python ", "torchrun "))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_their_order(page, undisturbed, embedded, tmp_path):
    """In a directory like a checkout after `gan run`: the experiment is the small one, so that runs are reused."""
    (tmp_path / "configs").mkdir()
    small = with_overrides(read_yaml("configs/digits.yaml"), SMALL)
    (tmp_path / "configs/digits.yaml").write_text(yaml.safe_dump(small))
    shutil.copytree(undisturbed[0], tmp_path / "store")
    bin_ = Path(sys.executable).parent
    environment = {**embedded.environment(), "PATH": f"{bin_}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    for command in commands(page):
        done = subprocess.run(shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    for program in blocks(page, "python"):
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{program}\n{done.stderr}"


def test_the_data_set_of_the_docs_is_prepared(tmp_path, monkeypatch):
    from gan_core.data.shards import open_shards
    from gan_core.data.source import source_of
    from gan_core.data.write import write_shards
    from gan_core.registry import SOURCES
    from gan_core.store import Store

    for split, count in (("train", 4), ("validation", 0), ("test", 2)):
        (tmp_path / "flags" / split).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / "flags" / split / f"{i % 2}_{i}.png")
    (tmp_path / "my_flags.py").write_text(blocks("docs/datasets.md", "python")[0])
    (experiment,) = blocks("docs/datasets.md", "yaml")
    (tmp_path / "flags.yaml").write_text(experiment.replace("/data/flags", str(tmp_path / "flags")))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(SOURCES._targets, "my_flags", "my_flags:MyFlags")
    source = source_of(load_experiment(tmp_path / "flags.yaml"))
    store = Store(tmp_path / "store")
    write_shards(source, store, "shards/flags", shard_examples=3, key="k")
    shards = open_shards(store, "shards/flags")
    assert (shards.shape, shards.classes, len(shards.split("train"))) == ((3, 8, 8), 2, 4)
    assert source.fingerprint() == source.fingerprint()


def test_every_link_of_the_pages_leads_to_a_file():
    for page in [Path("README.md"), *Path("docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
