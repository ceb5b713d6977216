from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import (
    Elastic,
    Experiment,
    TrainConfig,
    experiment_from,
    key_fields,
    load_experiment,
    read_yaml,
    with_overrides,
)
from gan_core.errors import ConfigError
from pipelines.profile import Profile, load_profile

ROOT = Path(__file__).parents[1]
LEAST: dict[str, Any] = {"name": "least", "data": {"source": "digits"}, "model": {"recipe": "dcgan"}}


def least(*overrides: str) -> Experiment:
    return experiment_from(with_overrides(LEAST, overrides))


def refused(*overrides: str) -> str:
    """The message with which the least experiment is refused once these are set."""
    with pytest.raises(ConfigError) as error:
        least(*overrides)
    assert error.value.exit_code == 2
    return str(error.value)


def test_the_least_experiment_names_a_data_set_and_a_recipe() -> None:
    made = least()
    assert (made.source, made.recipe, made.train) == ("digits", "dcgan", TrainConfig())


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("trian", "train"), ("train.batchsize", "batch"), ("model.widht", "width"), ("data.sorce", "source"),
     ("model.generator_optimizer.learningrate", "learning_rate"), ("publish.gates", "gate"),
     ("publish.gate.recall_pixels.atleast", "at_least")],
)
def test_an_unknown_key_suggests_the_nearest(typo: str, meant: str) -> None:
    message = refused(f"{typo}=1")
    assert re.search(rf"{re.escape(typo)}: unknown key; did you mean '{meant}'\? known: .*\b{meant}\b", message)


MISTAKES = [
    ("train.batch=many", "'many'"),
    ("train.batch=0", "0"),
    ("train.batch=1.5", "1.5"),
    ("train.images=null", "None"),
    ("train.keep_checkpoints=1", "1"),
    ("train.ema_half_life=-1", "-1"),
    ("train=5", "5"),
    ("seed=-1", "-1"),
    ("seed=9223372036854775808", "9223372036854775808"),
    ("model.latent=0", "0"),
    ("model.generator_optimizer.learning_rate=0", "0"),
    ("model.generator_optimizer.learning_rate=.nan", "nan"),
    ("model.generator_optimizer.betas=[0.5]", "[0.5]"),
    ("evaluate.split=tset", "'tset'"),
    ("evaluate.k=five", "'five'"),
    ("publish.licence=[]", "[]"),
]


@pytest.mark.parametrize(("mistake", "shown"), MISTAKES)
def test_a_wrong_value_is_named_with_its_field_and_the_offered_value_works(mistake: str, shown: str) -> None:
    field = mistake.partition("=")[0]
    message = refused(mistake)
    found = re.fullmatch(rf"experiment: {re.escape(field)}(?:\.\d+)?: (.+?): .+; (.+) works", message)
    assert found, message
    assert shown in found[1]
    least(f"{field}={found[2]}")


@pytest.mark.parametrize("name", ["Digits", "", "a b", "../x", "a" * 64, "5"])
def test_a_name_that_is_no_path_segment_is_refused_with_one_that_works(name: str) -> None:
    with pytest.raises(ConfigError, match=r"name: .*\"digits\" works"):
        experiment_from(LEAST | {"name": int(name) if name == "5" else name})


def test_three_workers_cannot_share_128_images_and_both_offers_work() -> None:
    message = refused("train.workers=3", "train.batch=128")
    assert "train.workers=3 cannot share train.batch=128 evenly" in message
    workers, batch = re.findall(r"(train\.workers=\d+) can, or (train\.batch=\d+)$", message)[0]
    assert least("train.batch=128", workers).train.workers in (2, 4)
    assert least("train.workers=3", batch).train.batch == 129


def test_a_run_shorter_than_one_batch_is_refused_with_a_length_that_works() -> None:
    message = refused("train.images=100", "train.batch=128")
    assert least("train.batch=128", re.findall(r"train\.images=\d+", message)[-1]).train.images == 128


def test_every_mistake_has_a_line_of_its_own() -> None:
    lines = refused("train.batch=0", "model.latent=0", "nmae=x").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["model.latent", "train.batch", "nmae"]


@pytest.mark.parametrize(("block", "field", "plug_in"), [("data", "source", "digits"), ("model", "recipe", "dcgan")])
def test_a_missing_or_unknown_plug_in_is_answered_with_one_that_works(block: str, field: str, plug_in: str) -> None:
    missing = re.escape(f"experiment: {block}.{field}: missing; for example {block}: {{{field}: {plug_in}}}")
    for raw in ({}, {block: {}}, {block: None}, {block: [plug_in]}, {block: plug_in}):
        with pytest.raises(ConfigError, match=missing):
            experiment_from({name: value for name, value in LEAST.items() if name != block} | raw)
    for wrong in (plug_in + "s", [plug_in], None, 3):
        with pytest.raises(ConfigError, match=rf"{block}\.{field}: unknown {field} .*known: .*\b{plug_in}\b"):
            experiment_from(LEAST | {block: {field: wrong}})


def test_a_gate_on_a_metric_that_is_not_measured_is_refused() -> None:
    message = refused("publish.gate={coverage_pixel: {at_least: 0.9}}")
    assert "'coverage_pixel', which evaluate does not measure; did you mean 'coverage_pixels'?" in message
    assert "fd_domain" in message
    without_domain = refused("publish.gate={fd_domain: {at_most: 9}}", "evaluate.networks=[pixels]")
    assert "measured: precision_pixels, recall_pixels, density_pixels, coverage_pixels, class_agreement" \
        in without_domain


@pytest.mark.parametrize("bound", ["{}", "{at_least: null}", "{at_least: .nan}", "{at_most: .inf}", "0.9"])
def test_a_bound_that_bounds_nothing_is_refused(bound: str) -> None:
    assert "publish.gate.recall_pixels" in refused(f"publish.gate={{recall_pixels: {bound}}}")


@pytest.mark.parametrize(("metric", "bound", "message"), [
    ("fd_domain", "{at_most_champion: 0}",
     "publish.gate.fd_domain.at_most_champion: 0: input should be greater than 0; 1.02 works"),
    ("fd_domain", "{at_most_champion: .inf}", "at_most_champion: inf: input should be a finite number; 1.02 works"),
    ("recall_pixels", "{at_least_champion: -1}", "at_least_champion: -1: input should be greater than 0; 0.98 works"),
    ("recall_pixels", "{at_least_champion_minus: -1}", "input should be greater than or equal to 0; 0.01 works"),
    ("recall_pixels", "{at_least_champoin: 1}", "unknown key; did you mean 'at_least_champion'?"),
    ("recall_pixels", "{at_least_champion: 1.1, at_most_champion: 1.0}",
     "publish.gate.recall_pixels: at_least_champion=1.1 and at_most_champion=1.0 let nothing through"),
    ("kid_domain", "{at_most_champion: 1.02}",
     "publish.gate.kid_domain.at_most_champion=1.02: a factor says nothing of kid_domain, which may be 0 or below; "
     "at_most_champion_plus: 0.001 works"),
])
def test_a_rule_beside_the_champion_that_says_nothing_is_refused(metric: str, bound: str, message: str) -> None:
    assert message in refused(f"publish.gate={{{metric}: {bound}}}")


def test_bounds_may_be_absolute_and_beside_the_champion_and_read_back_as_they_were_set() -> None:
    bound = "{fd_domain: {at_most: 20, at_most_champion: 1.02}, kid_domain: {at_most_champion_plus: 0.001}}"
    made = least(f"publish.gate={bound}")
    assert made.as_json()["publish"]["gate"] == {
        "fd_domain": {"at_least": None, "at_most": 20.0, "at_most_champion": 1.02},
        "kid_domain": {"at_least": None, "at_most": None, "at_most_champion_plus": 0.001},
    }
    assert experiment_from(made.as_json()) == made


def test_settings_cannot_be_changed_afterwards() -> None:
    made = least()
    with pytest.raises(ValueError, match="frozen"):
        made.train.batch = 7  # type: ignore[misc]


# --set


@pytest.mark.parametrize(
    ("override", "want"),
    [("a=1", {"a": 1}), ("a=1.5", {"a": 1.5}), ("a=true", {"a": True}), ("a=null", {"a": None}), ("a=", {"a": None}),
     ("a=[1, 2]", {"a": [1, 2]}), ("a={b: 1}", {"a": {"b": 1}}), ("a=b=c", {"a": "b=c"}), ("a='1'", {"a": "1"}),
     ("a.b.c=x", {"a": {"b": {"c": "x"}}}), ("a=s3://bucket/x", {"a": "s3://bucket/x"})],
)
def test_a_setting_is_read_as_yaml_at_its_place(override: str, want: dict[str, Any]) -> None:
    assert with_overrides({}, [override]) == want


def test_settings_leave_their_neighbours_and_the_mapping_they_came_from_alone() -> None:
    raw = {"train": {"batch": 64, "workers": 2}}
    kept = copy.deepcopy(raw)
    assert with_overrides(raw, ["train.batch=32", "train.batch=16"]) == {"train": {"batch": 16, "workers": 2}}
    assert raw == kept


@pytest.mark.parametrize(
    ("override", "why"),
    [("train.batch", "not of the form field=value"), ("=5", "not of the form field=value"),
     ("", "not of the form field=value"), ("a=[1", "not a YAML value"), ("a=b: c: d", "not a YAML value"),
     ("name.first=x", "'name' is a single value and has no field 'first'")],
)
def test_a_setting_that_cannot_be_read_is_refused(override: str, why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"--set {override}: ")) as error:
        with_overrides(LEAST, [override])
    assert why in str(error.value)


# Files


def test_a_file_that_is_missing_suggests_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text("name: digits")
    with pytest.raises(ConfigError, match=r"digit\.yaml: no such file; did you mean .*/digits\.yaml\?"):
        load_experiment(tmp_path / "digit.yaml")
    with pytest.raises(ConfigError, match=r"no such file; name an experiment's YAML file"):
        load_experiment(tmp_path / "nowhere" / "digits.yaml")


@pytest.mark.parametrize(
    ("text", "why"),
    [(b"name: [a", "line 1: not YAML"), (b"name: a\n\tseed: 1", "line 2: not YAML"), (b"- a\n- b", "holds list"),
     (b"", "holds NoneType"), (b"digits", "holds str"), (b"name: \xff", "cannot be read"),
     (b"name: a\x00", "not YAML"), (b"a: !!python/object:os.system {}", "not YAML")],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=re.escape(str(file))) as error:
        read_yaml(file)
    assert why in str(error.value)


def test_a_directory_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path)


@pytest.mark.parametrize("text", ["2024-01-01: x", "a: 2024-01-01", "1: x", "null: x", "a: &a [*a]", "? !!set {a}\n"])
def test_yaml_that_is_no_json_ends_in_a_message_too(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(file))):
        load_experiment(file)


def test_a_mistake_is_reported_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(json.dumps(LEAST | {"seed": "x"}))
    with pytest.raises(ConfigError, match=re.escape(f"{file}: seed: 'x'")):
        load_experiment(file)
    assert load_experiment(file, ["seed=3"]).seed == 3


def test_every_experiment_and_profile_in_configs_loads() -> None:
    experiments = sorted((ROOT / "configs").glob("*.yaml"))
    assert experiments
    for file in experiments:
        assert load_experiment(file).as_json()
    for file in (ROOT / "configs" / "profiles").glob("*.yaml"):
        assert isinstance(load_profile(str(file)), Profile)


# What a key is made of


def test_a_resolved_experiment_reads_back_equal(experiment: Callable[..., Experiment]) -> None:
    made = experiment(seed=7, model={"penalties": {"r1": {"gamma": 0.25}},
                                     "generator_optimizer": {"betas": [0.5, 0.9]}},
                      publish={"gate": {"fd_domain": {"at_most": 3}}})
    again = experiment_from(json.loads(json.dumps(made.as_json())))
    assert again.as_json() == made.as_json()
    assert again == made
    assert made.as_json()["model"]["generator_optimizer"]["betas"] == [0.5, 0.9]


CADENCES: dict[str, Any] = {"report_every": 64, "sample_every": 96, "fd_every": 96, "fd_samples": 100,
                            "checkpoint_every": 128, "keep_checkpoints": 9, "keep_every": 256}


def test_workers_and_cadence_are_in_no_key_and_all_else_is() -> None:
    usual = key_fields(TrainConfig())
    assert {*TrainConfig.model_fields} - {*usual} == {"workers", "init_from", *CADENCES}
    assert key_fields(TrainConfig(workers=4, **CADENCES)) == usual
    assert key_fields(TrainConfig(workers=Elastic(min=1, max=4))) == usual
    changed: list[dict[str, Any]] = [
        {"images": 256}, {"batch": 64}, {"ema_half_life": 1}, {"precision": "float32"}, {"channels_last": False},
        {"compile": True}, {"accumulate": 2}, {"augment": {"flip": 0.5}},
    ]
    for change in changed:
        assert key_fields(TrainConfig(**change)) != usual, change


@pytest.mark.parametrize(("deciding", "cadences"), [
    ({"stop_when": [{"rule": "collapse"}]}, {"report_every", "sample_every", "fd_every"}),
    ({"stop_when": [{"rule": "target", "metric": "fd_domain", "value": 1}]},
     {"report_every", "sample_every", "fd_every", "fd_samples"}),
    ({"best_by": {"metric": "loss/generator"}}, {"report_every", "sample_every", "fd_every", "checkpoint_every"}),
    ({"best_by": {"metric": "fd_domain"}},
     {"report_every", "sample_every", "fd_every", "fd_samples", "checkpoint_every"}),
    ({"on_divergence": {"policy": "roll_back"}}, {"checkpoint_every"}),
])
def test_a_cadence_that_decides_what_is_made_is_in_the_key(deciding: dict[str, Any], cadences: set[str]) -> None:
    assert {*key_fields(TrainConfig(**deciding))} - {*key_fields(TrainConfig())} == cadences


@pytest.mark.parametrize(("train", "said"), [
    ("train.workers={min: 3, max: 2}", "train.workers: min=3 is more than max=2; exchange them"),
    ("train.workers={min: 1}", "train.workers.max: missing; 4 works"),
    ("train.workers={min: 1, max: 200}", "train.workers.max=200 is more than train.batch=128 images; "
                                          "train.workers.max=128 works"),
    ("train.workers=3", "train.workers=3 cannot share train.batch=128 evenly"),
    ("train.accumulate=129", "train.accumulate=129 is more parts than a worker has images"),
    ("train.precision=half", "train.precision: 'half'"),
    ("train.stop_when=[{rule: target, metric: a}]", "rule=target needs value; for example value: 0.9"),
    ("train.stop_when=[{rule: no_progress, metric: a}]",
     "rule=no_progress needs patience; for example patience: 51200"),
    ("train.stop_when=[{rule: collapse, metric: a}]", "rule=collapse does not read metric=a; leave it out"),
    ("train.stop_when=[{rule: colapse}]", "train.stop_when.0.rule: 'colapse'"),
    ("train.best_by={goal: max}", 'train.best_by.metric: missing; "diversity/pairwise" works'),
    ("train.on_divergence={policy: roll_back, factor: 1}", "train.on_divergence.factor: 1"),
    ("train.augment.flip=2", "train.augment.flip: 2"),
    ("train.fd_samples=1", "train.fd_samples=1: one example has no covariance; train.fd_samples=1000 works"),
    ("train={fd_samples: 0, best_by: {metric: fd_domain}}",
     "train.best_by.metric=fd_domain is not measured with train.fd_samples=0; train.fd_samples=1000 works"),
])
def test_training_that_cannot_work_is_refused_with_a_value_that_works(train: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        least(train)
    assert said in str(refused.value)


def test_elastic_workers_need_not_share_a_batch_evenly() -> None:
    assert least("train.workers={min: 1, max: 3}").train.most_workers == 3
    assert least("train.workers=4").train.most_workers == 4


def test_the_recipe_s_and_the_source_s_options_are_in_the_key() -> None:
    assert key_fields(least("model.width=8").model)["width"] == 8
    assert key_fields(least().model) != key_fields(least("model.penalties.r1=null").model)
    assert key_fields(least().data) == {"source": "digits", "imbalance": 1.0}


def test_the_gate_is_in_no_key() -> None:
    gated = least("publish.gate={recall_pixels: {at_least: 0.5}}")
    assert key_fields(gated.publish) == key_fields(least().publish)


@pytest.mark.slow
def test_reading_an_experiment_imports_no_torch() -> None:
    script = ("import sys; from gan_core.config import load_experiment; load_experiment('configs/digits.yaml'); "
              "print(sorted({'torch', 'sklearn', 'ray', 'prefect', 'tensorboard'} & {*sys.modules}))")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_what_is_computed_again_is_not_compiled(network: str) -> None:
    works = f"train.compile=false works, or model.{network}.checkpointing=false"
    with pytest.raises(ConfigError, match=re.escape(works)):
        least(f"model.{network}.checkpointing=true", "train.compile=true")
    least(f"model.{network}.checkpointing=true")
    least("train.compile=true")


def test_a_key_that_is_the_name_of_a_form_is_named_as_unknown() -> None:
    with pytest.raises(ConfigError, match=r"model\.generator\.dcgan: unknown key"):
        least("model.generator={dcgan: {norm: batch}}")
