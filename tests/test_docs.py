"""Every command and every Python example of the README and the docs runs as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gan_core.config import read_yaml, with_overrides
from tests.pipeline import SMALL

PAGES = ("README.md", "docs/training.md", "docs/plan-and-matrix.md",
         *(pytest.param(page, marks=pytest.mark.system)  # they train models of their own, or have many commands
           for page in ("docs/augmentation.md", "docs/getting-started.md", "docs/compare.md", "docs/conditioning.md",
                        "docs/explore.md", "docs/bundles.md", "docs/generation.md", "docs/models.md", "docs/tuning.md",
                        "docs/using-a-model.md")))
SHORT = ("train.images=1280", "evaluate.samples=100")
SEARCHED = "configs/tune/digits_dcgan.yaml"
SEARCH = ("train.images=2560", "tune.images=2560", "tune.look_every=640", "tune.samples=2",
          "tune.repeats={top: 1, seeds: 1}", "evaluate.samples=100", "publish.gate={}")
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")  # the first line of a block that is a file


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", Path(page).read_text(), re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    lines = [line.partition(" #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(("gan ", "python ", "torchrun "))]


def write_files(page: str, folder: Path) -> None:
    """The blocks of a page that are files; experiments train and are measured for a moment."""
    for name, text in ((found[1], text) for kind in ("python", "yaml") for text in blocks(page, kind)
                       if (found := FILE.match(text))):
        if name.endswith(".yaml"):
            text = yaml.safe_dump(with_overrides(yaml.safe_load(text), SHORT))
        (folder / name).write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_their_order(page, undisturbed, served, tmp_path):
    """In a directory like a checkout after `gan run`: the experiment is the small one, so that runs are reused.

    With a Prefect server that runs: a temporary one would take seconds of every run.
    """
    (tmp_path / SEARCHED).parent.mkdir(parents=True)
    for name, settings in (("configs/digits.yaml", SMALL), (SEARCHED, SEARCH)):
        (tmp_path / name).write_text(yaml.safe_dump(with_overrides(read_yaml(name), settings)))
    shutil.copytree(undisturbed[0], tmp_path / "store")
    write_files(page, tmp_path)
    bin_ = Path(sys.executable).parent
    environment = {**served.environment(), "PATH": f"{bin_}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    for command in commands(page):
        done = subprocess.run(shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    for program in [block for block in blocks(page, "python") if not FILE.match(block)]:
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{program}\n{done.stderr}"


def test_every_link_of_the_pages_leads_to_a_file():
    for page in [Path("README.md"), *Path("docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
