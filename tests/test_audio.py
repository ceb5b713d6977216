"""Recordings through the whole pipeline: trained, measured, reported, published, sampled, and made into a set."""

from __future__ import annotations

import base64
import io
import json
import wave
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save
from typer.testing import CliRunner

from gan_core.bundle import Generator, generator_of, load_generator
from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError, GanError
from gan_core.export import exported
from gan_core.manifest import read_manifest
from gan_core.metrics.domain import train_domain
from gan_core.metrics.in_training import fd_domain_against
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.store import Store
from pipelines.cli_sample import sample
from pipelines.generate_order import Wish
from pipelines.generate_run import generate_set
from pipelines.handles import Shards, Trained
from pipelines.profile import load_profile
from pipelines.serving.reload import Source
from pipelines.stages.evaluate import evaluate
from tests.artefacts import in_fresh_process, publish_as
from tests.domains import PREFIX, written
from tests.tones import LENGTH, PITCHES, RATE, recordings, write_tones
from tests.train.runs import RUN, train

app = typer.Typer()
app.command()(sample)

TRAIN = {"images": 10_240, "batch": 32, "precision": "float32", "ema_half_life": 200, "report_every": 1280,
         "sample_every": 5120, "checkpoint_every": 10_240}
MODEL = {"width": 16, "latent": 16, "critic_steps": 2, "generator_optimizer": {"learning_rate": 2e-3},
         "discriminator_optimizer": {"learning_rate": 2e-3}}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    tones = write_tones(tmp_path_factory.mktemp("tones") / "wav")
    return recordings(tones, model=MODEL, train=TRAIN, evaluate={"networks": ["domain", "pixels"], "also": [
        "class_accuracy", "membership", "linear_probe"], "k": 3}, publish={"gate": {}})


@pytest.fixture(scope="module")
def store(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """With the data, a run, its scores and a version."""
    made = written(experiment, tmp_path_factory.mktemp("audio") / "store")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_core.metrics.maps.ITERATIONS", 250)
        patch.setattr("gan_core.metrics.class_accuracy.MOST", 1000)
        assert train(made, made, experiment)
        evaluate(made, experiment, handle(Shards, made, PREFIX), handle(Trained, made, RUN), key="e",
                 prefix="scores/e", features="f")
    publish_as(made, "p", RUN, "scores/e", experiment)
    torch.set_num_threads(threads)
    return made


def handle(kind: Any, store: Store, prefix: str) -> Any:
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    return kind(store.uri(prefix), prefix, manifest.digest)


@pytest.fixture(scope="module")
def generator(store: Store) -> Generator:
    return load_generator(store.uri("models/tones@latest"))


def test_samples_come_nearer_to_the_data_than_those_of_fresh_weights(
    store: Store, experiment: Experiment, generator: Generator
) -> None:
    """By the Fréchet distance on features of a classifier of spectrograms."""
    data = open_shards(store, PREFIX)
    domain = train_domain(data.split("train"), data.form, data.classes, 0)
    real = data.split("train")
    measured = fd_domain_against(domain, real.images)
    torch.manual_seed(0)
    fresh = build_recipe(experiment, DataSpec.of(data.form, data.classes, (), data.facts)).networks()["generator"]
    before = generator_of(generator.spec.model_dump_json().encode(), save(fresh.state_dict()), "fresh")
    fd = [measured(one.sample(len(real), label=real.labels))["fd_domain"] for one in (before, generator)]
    assert fd[0] > 2 * fd[1], fd  # 115 and 25


def test_every_figure_of_recordings_is_measured(store: Store) -> None:
    metrics = json.loads(store.read("scores/e/metrics.json"))
    assert {"fd_domain", "kid_domain", "coverage_domain", "coverage_pixels", "class_agreement", "gan_train",
            "membership_auc", "linear_probe_discriminator"} <= {*metrics}
    curves = [json.loads(line) for line in store.read(f"{RUN}/metrics.jsonl").splitlines()]
    assert {"diversity/pairwise", "agreement/class", "logits/validation"} <= {*curves[-1]}
    assert store.read(f"{RUN}/samples/{TRAIN['images']:012d}.png").startswith(b"\x89PNG")


class Players(HTMLParser):
    """The audio elements of a page, and the words of the captions before them."""

    def __init__(self) -> None:
        super().__init__()
        self.sounds: list[bytes] = []
        self.captions: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._within = tag
        if tag == "audio":
            given = dict(attributes)
            assert "controls" in given
            head, _, content = (given["src"] or "").partition(",")
            assert head == "data:audio/wav;base64"
            self.sounds.append(base64.b64decode(content))

    def handle_data(self, data: str) -> None:
        if self._within == "figcaption" and data.strip():
            self.captions.append(data.strip())


def test_the_report_plays_samples_of_each_class(store: Store, generator: Generator) -> None:
    page = store.read("scores/e/report.html").decode()
    players = Players()
    players.feed(page)
    assert len(players.sounds) == 36  # 18 of the four pitches, and a real one beside each
    for data in players.sounds:
        with wave.open(io.BytesIO(data)) as sound:
            assert (sound.getframerate(), sound.getnframes()) == (RATE, LENGTH)
    assert {str(pitch) for pitch in PITCHES} <= {*players.captions}
    assert "media-src data:" in page
    assert "audio = " not in page
    assert f"recordings = {'generator'}.sample(" in page
    assert len(page) < 3_000_000


def test_a_bundle_of_recordings_loads_without_what_trained_it(store: Store) -> None:
    script = ("import sys\nfrom gan_core.bundle import load_generator\n"
              "made = load_generator(sys.argv[1]).sample(3, seed=1, label=2)\n"
              "print(made.dtype, made.shape, made.sum())\n"
              "print(*(m for m in sys.modules if m.startswith('gan_core.')))")
    told, modules = in_fresh_process(script, store.uri("models/tones/versions/0001")).splitlines()
    made = load_generator(store.uri("models/tones@latest")).sample(3, seed=1, label=2)
    assert told == f"int16 {made.shape} {made.sum()}"
    assert not [name for name in modules.split() if name.split(".")[1] in ("recipes", "losses", "data", "train")]


def gan_sample(store: Store, *arguments: str) -> None:
    result = CliRunner().invoke(app, ["tones", *arguments, "--store", store.url])
    if isinstance(result.exception, GanError):
        raise result.exception
    assert result.exit_code == 0, result.output


def test_gan_sample_writes_a_wav_that_plays_each_recording(store: Store, generator: Generator, tmp_path: Path) -> None:
    out = tmp_path / "x.wav"
    gan_sample(store, "--n", "1", "--seed", "3", "--label", "1", "--out", str(out))
    with wave.open(str(out)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (RATE, 1, LENGTH)
        read = np.frombuffer(sound.readframes(LENGTH), "<i2")
    np.testing.assert_array_equal(read, generator.sample(1, seed=3, label=1)[0, 0])
    for name in ("x.png", "x.npy"):
        gan_sample(store, "--n", "4", "--out", str(tmp_path / name))
        assert (tmp_path / name).stat().st_size


def test_a_file_that_holds_no_recordings_is_refused_with_those_that_do(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"makes recordings of 1 x 128; .*x\.wav, .*x\.png and .*x\.npy work"):
        gan_sample(store, "--out", str(tmp_path / "x.gif"))


def test_no_server_serves_recordings(store: Store) -> None:
    with pytest.raises(ConfigError, match="makes recordings, and only images are served; `gan sample"):
        Source("tones", store).load()


def test_onnx_makes_the_same_recordings_and_the_card_says_how(
    store: Store, generator: Generator, tmp_path: Path
) -> None:
    prefix = "models/tones/versions/0001"
    again = exported(store.read(f"{prefix}/generator.json"), store.read(f"{prefix}/generator.safetensors"), "here")
    assert store.read(f"{prefix}/generator.onnx") == again.model
    assert json.loads(store.read(f"{prefix}/generator.json"))["onnx"]["output"] == "audio"
    card = store.read(f"{prefix}/README.md").decode()
    assert "recordings of 128 samples at 1,000 Hz with 1 channel" in card
    program = next(block for block in card.split("```python\n") if "InferenceSession" in block).partition("```")[0]
    for name in ("generator.json", "generator.onnx"):
        (tmp_path / name).write_bytes(store.read(f"{prefix}/{name}"))
    in_fresh_process(f"import os\nos.chdir({str(tmp_path)!r})\n{program}")
    with wave.open(str(tmp_path / "recording-0.wav")) as sound:
        read = np.frombuffer(sound.readframes(LENGTH), "<i2").astype(int)
    first = generator.sample(1, seed=0, label=0)[0, 0]
    assert np.abs(read - first).max() <= 33  # 1e-3 of full scale


def test_a_synthetic_set_of_recordings_opens_as_the_real_one_does(store: Store, tmp_path: Path) -> None:
    generate_set("tones", str(tmp_path / "set"), Wish(per_class=5), store=store, profile=load_profile(None))
    made, real = open_shards(Store(tmp_path), "set"), open_shards(store, PREFIX)
    assert made.form == real.form
    assert made.split("train").images.dtype == np.int16
    assert np.bincount(made.split("train").labels).tolist() == [5] * len(PITCHES)


@pytest.mark.parametrize(("model", "data", "says"), [
    ({"recipe": "wavegan"}, DataSpec((1, 8, 8), 10), "wavegan makes recordings, and this data set holds image"),
    ({"recipe": "wavegan", "discriminator": {"family": "dcgan"}}, DataSpec((1, 64), 4, "audio"),
     "discriminator.family=dcgan judges images, .*discriminator.family=wavegan works"),
    ({"recipe": "wavegan", "augment": {"method": "ada"}}, DataSpec((1, 64), 4, "audio"), "augment=null works"),
])
def test_what_does_not_go_with_recordings_is_refused(experiment: Experiment, model: Any, data: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build_recipe(recordings("x", model=model), data)
