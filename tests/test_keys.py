"""What a stage key depends on, and what it must not depend on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.config import Experiment, experiment_from, load_experiment
from gan_core.errors import ConfigError
from gan_core.registry import SOURCES
from pipelines import keys
from pipelines.keys import STAGES, code, inputs_of, settings, stage_key

DIGITS = "configs/digits.yaml"


def key(stage: str, *overrides: str) -> str:
    experiment = load_experiment(DIGITS, overrides)
    return stage_key(stage, settings(experiment, stage), {"upstream": "0"}, code(experiment, stage))


def changed_stages(*overrides: str) -> set[str]:
    return {stage for stage in STAGES if key(stage) != key(stage, *overrides)}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("prepare.shard_examples=100", {"prepare"}),
        ("model.width=16", {"train"}),
        ("train.images=256000", {"train"}),
        ("train.batch=64", {"train"}),
        ("seed=1", {"train"}),
        ("evaluate.k=3", {"evaluate"}),
        ("publish.licence=mit", {"publish"}),
        ("train.workers=1", set()),
        ("train.report_every=640", set()),
        ("train.checkpoint_every=1280", set()),
        ("train.fd_every=1280", set()),
        ("train.fd_samples=100", set()),
        ("train.keep_checkpoints=5", set()),
        ("publish.gate={}", set()),
    ],
)
def test_a_setting_is_in_the_keys_of_the_stages_that_read_it(override, stages):
    assert changed_stages(override) == stages


def test_a_key_changes_with_the_inputs_and_with_the_code():
    experiment = load_experiment(DIGITS)
    at = settings(experiment, "train"), code(experiment, "train")
    assert stage_key("train", at[0], {"prepare": "1"}, at[1]) != stage_key("train", at[0], {"prepare": "2"}, at[1])
    edited = {**at[1], "gan_core.train.loop": "0" * 64}
    assert stage_key("train", at[0], {}, at[1]) != stage_key("train", at[0], {}, edited)


def test_the_code_of_a_stage_is_what_it_imports():
    digits = load_experiment(DIGITS)
    train = code(digits, "train")
    assert {"gan_core.train.loop", "gan_core.models.dcgan", "gan_core.losses.penalties"} <= set(train)
    assert not [module for module in train if module.startswith("gan_core.metrics") or module == "pipelines.on_ray"]
    assert "gan_core.metrics.neighbours" in code(digits, "evaluate")
    assert "gan_core.data.sources.digits" in code(digits, "prepare")


BY_FD = ("train.best_by={metric: fd_domain}", "train.stop_when=[{rule: target, metric: fd_domain, value: 1}]")


@pytest.mark.parametrize("decides", BY_FD)
def test_what_measures_fd_is_part_of_training_where_it_decides(decides, monkeypatch: pytest.MonkeyPatch):
    """The network by its digest, what is measured with it by its code; neither where it only shows how it goes."""
    plain, judged = load_experiment(DIGITS), load_experiment(DIGITS, [decides])
    assert inputs_of(plain, "train") == ("prepare",)
    assert inputs_of(judged, "train") == ("prepare", "features")
    assert inputs_of(judged, "evaluate") == ("prepare", "train")
    before = {stage: (key(stage), key(stage, decides)) for stage in STAGES}
    real = keys._source
    monkeypatch.setattr(keys, "_source", lambda module: real(module) and real(module) + b"# edited"
                        if module == "gan_core.metrics.frechet" else real(module))
    keys._closure.cache_clear()
    try:
        after = {stage: (key(stage), key(stage, decides)) for stage in STAGES}
    finally:
        keys._closure.cache_clear()
    assert {stage for stage in STAGES if before[stage][0] != after[stage][0]} == {"evaluate"}
    assert {stage for stage in STAGES if before[stage][1] != after[stage][1]} == {"train", "evaluate"}


def test_cadence_and_number_of_samples_of_fd_are_settings_where_it_decides():
    for decides in BY_FD:
        assert key("train", decides) not in {key("train", decides, "train.fd_samples=100"), key("train")}
        assert key("train", decides) != key("train", decides, "train.fd_every=1280")


def test_a_plug_in_is_part_of_the_code_it_is_used_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_reader.py").write_text("LEVELS = 16\n")
    (tmp_path / "my_set.py").write_text(
        "from typing import Literal\n"
        "from gan_core.data.sources.digits import Digits\n"
        "import my_reader\n"
        "class MySet(Digits):\n"
        "    source: Literal['my_set'] = 'my_set'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_set  # type: ignore[import-not-found]

    SOURCES.register("my_set")(my_set.MySet)
    try:
        mine = load_experiment(DIGITS, ["data.source=my_set"])
        assert {"my_set", "gan_core.data.sources.digits"} <= set(code(mine, "prepare"))
        assert "my_set" not in code(mine, "train")
    finally:
        SOURCES.unregister("my_set")


def test_source_that_is_not_python_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_set.py").write_text("x = 1\ndef broken(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(SOURCES._targets, "digits", "broken_set:Broken")
    with pytest.raises(ConfigError, match=r"broken_set, line 2: not Python"):
        code(Experiment.model_construct(data=load_experiment(DIGITS).data), "prepare")


def test_keys_are_made_without_importing_torch():
    program = (
        "import sys\n"
        "from gan_core.config import load_experiment\n"
        "from pipelines.keys import STAGES, code\n"
        f"e = load_experiment({DIGITS!r})\n"
        "[code(e, stage) for stage in STAGES]\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_code_of_a_set_of_two_sources_is_that_of_both():
    def modules(source: str) -> set[str]:
        data = {"source": "two_domains", "a": {"source": source, "url": "x"}, "b": {"source": "digits"}}
        return {*code(experiment_from({"name": "two", "data": data, "model": {"recipe": "cyclegan"}}), "prepare")}

    sources = "gan_core.data.sources"
    assert {f"{sources}.{name}" for name in ("two_domains", "hdf5", "array_items", "digits")} <= modules("hdf5")
    assert f"{sources}.hdf5" not in modules("npz")
