"""What `gan config` prints: settings on standard output, the counted cost of a step beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.config import experiment_from, load_experiment
from gan_core.models.dcgan import DcganGenerator
from gan_core.store import Store
from pipelines.cli import main
from tests.train.runs import contents

DIGITS = "configs/digits.yaml"
Capture = pytest.CaptureFixture[str]


def shown(capsys: Capture, *words: object) -> tuple[str, str]:
    """What `gan config show` with these words puts on standard output and on standard error."""
    with pytest.raises(SystemExit) as ended:
        main(["config", "show", *map(str, words)])
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    return printed.out, printed.err


def as_json(capsys: Capture, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(capsys, *words, "--json")[0])
    return found


def test_the_table_says_what_networks_and_a_step_cost_and_stays_off_standard_output(
    tmp_path: Path, capsys: Capture
) -> None:
    out, table = shown(capsys, DIGITS, "--store", tmp_path)
    assert experiment_from(yaml.safe_load(out)) == load_experiment(DIGITS)
    for word in ("generator", "discriminator", "parameters", "FLOPs an image", "64 images of 1x8x8",
                 "each of 2 workers", "at its peak", "counted, not measured"):
        assert word in table
    assert not list(tmp_path.iterdir())  # nothing was prepared for it


def test_json_holds_the_cost_of_the_very_networks(tmp_path: Path, capsys: Capture) -> None:
    found = as_json(capsys, DIGITS, "--store", tmp_path)
    generator = DcganGenerator((1, 8, 8), 64, 32, {"classes": 10})
    assert found["cost"]["networks"]["generator"]["parameters"] == sum(w.numel() for w in generator.parameters())
    assert 0 < found["cost"]["kept_bytes"] < found["cost"]["peak_bytes"]


def test_a_search_is_shown_with_its_defaults_and_reads_back(tmp_path: Path, capsys: Capture) -> None:
    space = "tune.space={model.width: 'choice(8, 16)', train.ema_half_life: {uniform: [1e2, 1e3]}}"
    out, _ = shown(capsys, DIGITS, "--store", tmp_path, "--set", space)
    assert experiment_from(yaml.safe_load(out)) == load_experiment(DIGITS, [space])
    tune = yaml.safe_load(out)["tune"]
    assert tune["space"] == {"model.width": {"choice": [8, 16]}, "train.ema_half_life": {"uniform": [100.0, 1000.0]}}
    assert (tune["samples"], tune["objective"]["metric"]) == (32, "fd_domain")


def test_without_the_cost_json_is_the_settings_and_torch_is_not_imported() -> None:
    program = (
        "import sys\n"
        "from pipelines.cli import main\n"
        f"try: main(['config', 'show', {DIGITS!r}, '--json', '--no-cost'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert experiment_from(json.loads(done.stdout)) == load_experiment(DIGITS)


def test_prepared_data_is_believed_and_left_as_it_is(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    words = (DIGITS, "--store", tmp_path, "--set", "prepare.transforms=[{resize: 16}]")
    with pytest.raises(SystemExit):
        main(["dataset", "prepare", DIGITS, "--store", str(tmp_path), "--workers", "1", *words[3:]])
    capsys.readouterr()
    before = contents(store)
    said = shown(capsys, *words)[1]
    assert "the data as prepared" in said
    assert "64 images of 1x16x16" in said
    assert contents(store) == before
    fresh = as_json(capsys, *words[:2], tmp_path / "empty", *words[3:])["cost"]
    assert fresh == as_json(capsys, *words)["cost"]  # its first examples say the same


def test_data_that_is_not_there_is_one_line_and_the_settings_are_shown_all_the_same(
    tmp_path: Path, capsys: Capture
) -> None:
    words = (DIGITS, "--store", tmp_path, "--set", "data={source: image_folder, url: nowhere}")
    out, said = shown(capsys, *words)
    assert yaml.safe_load(out)["data"]["url"] == "nowhere"
    (line,) = said.splitlines()
    assert line.startswith("what a step costs is not known: ")
    assert "nowhere" in line
    assert as_json(capsys, *words)["cost"] is None


@pytest.mark.parametrize(("model", "advice"), [
    ("{recipe: dcgan_original}", "dcgan_original makes no images of 8 by 8; 28 by 28 and 64 by 64 work"),
    ("{recipe: sagan, generator: {attention: 5}}", "attention=8 works"),
])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_networks_that_are_not_made_for_the_data_are_refused(
    model: str, advice: str, form: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["config", "show", DIGITS, "--store", str(tmp_path), "--set", f"model={model}", *form])
    assert ended.value.code == 2
    assert advice in capsys.readouterr().err


def test_a_precision_that_this_machine_has_not_got_is_counted_all_the_same(tmp_path: Path, capsys: Capture) -> None:
    def peak(precision: str) -> int:
        words = (DIGITS, "--store", tmp_path, "--set", f"train.precision={precision}")
        return int(as_json(capsys, *words)["cost"]["peak_bytes"])

    assert peak("float16") == peak("bfloat16") < peak("float32")
