"""GANs of text: their losses against the papers' formulas, and small runs on words of two made-up languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from gan_core.bundle import load_generator
from gan_core.config import Experiment, experiment_from
from gan_core.data.batches import Batches
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.export import exported
from gan_core.metrics.text import ngram_divergence, ngrams
from gan_core.metrics.text_classifier import text_classifier
from gan_core.options.text import Temperature, TextGumbelOptions, TextWganGpOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import DataSpec, Recipe, build_recipe, data_of
from gan_core.recipes.text import one_hot
from gan_core.recipes.text_gumbel import TextGumbel
from gan_core.recipes.text_wgan_gp import TextWganGp
from gan_core.store import Store
from gan_core.train.curves import Curves
from gan_core.train.distributed import Workers
from gan_core.train.loop import fit
from gan_core.train.state import TrainState
from gan_core.train.step import Step
from gan_core.train.switches import Switches
from tests.artefacts import in_fresh_process
from tests.texts import PREFIX, RECIPES, of_texts, write_words, written
from tests.train.runs import (
    RUN,
    Scripted,
    close_enough,
    curves,
    equal,
    finished,
    last_state,
    place,
    stop_at,
)
from tests.workers import run_workers

BOTH = pytest.mark.parametrize("recipe", RECIPES)
ONE = Workers(0, 1, torch.device("cpu"))
N, LENGTH, SYMBOLS = 3, 4, ("<pad>", "a", "b", "ß", "日")
DATA = DataSpec((LENGTH,), 2, "tokens", symbols=SYMBOLS)
DRAW = Draw(0, 0, N, slice(0, N), torch.device("cpu"))
BATCH = {"tokens": torch.tensor([[1, 2, 0, 0], [3, 4, 4, 3], [0, 0, 0, 0]]), "label": torch.tensor([0, 1, 1])}
WEIGHTS = torch.linspace(-1, 1, len(SYMBOLS))[:, None].expand(-1, LENGTH)
MADE: dict[str, Callable[..., Recipe]] = {
    "text_wgan_gp": lambda data=DATA, **o: TextWganGp(TextWganGpOptions(width=4, blocks=1, latent=3, **o), data),
    "text_gumbel": lambda data=DATA, **o: TextGumbel(TextGumbelOptions(width=4, latent=3, **o), data),
}


def linear(text: Tensor, label: Tensor) -> Tensor:
    """A judge whose gradient by a text is (1 + label) times `WEIGHTS`."""
    return (1 + label) * (text * WEIGHTS).sum((1, 2))


def fake() -> Tensor:
    return torch.softmax(torch.randn(N, len(SYMBOLS), LENGTH, generator=torch.Generator().manual_seed(0)), 1)


def test_a_critic_minimises_the_wasserstein_loss_and_the_penalty_of_the_paper() -> None:
    made, batch = MADE["text_wgan_gp"](penalty=7.0), {**BATCH, "fake": fake()}
    found = made.loss("critic", {"critic": linear}, batch, DRAW)
    real, times = one_hot(BATCH["tokens"], len(SYMBOLS)), 1 + BATCH["label"]
    critic = times * ((batch["fake"] - real) * WEIGHTS).sum((1, 2))
    assert torch.allclose(found.per_example, critic + 7 * (times * WEIGHTS.norm() - 1).square())
    assert torch.allclose(found.scalars["wasserstein/estimate"], -critic)
    of_generator = made.loss("generator", {"critic": linear}, batch, DRAW)
    assert torch.allclose(of_generator.per_example, -times * (batch["fake"] * WEIGHTS).sum((1, 2)))


@pytest.mark.parametrize("objective", ["non_saturating", "relativistic", "hinge", "least_squares"])
def test_each_objective_pulls_texts_towards_what_is_called_real(objective: str) -> None:
    made, texts = MADE["text_gumbel"](objective=objective), fake().requires_grad_()
    loss = made.loss("generator", {"discriminator": linear}, {**BATCH, "fake": texts}, DRAW)
    loss.per_example.sum().backward()
    assert texts.grad is not None
    assert bool(((texts.grad * WEIGHTS).sum((1, 2)) < 0).all())


def test_a_discriminator_minimises_cross_entropy_and_learns_nothing_for_the_generator() -> None:
    made, texts = MADE["text_gumbel"](), fake().requires_grad_()
    found = made.loss("discriminator", {"discriminator": linear}, {**BATCH, "fake": texts}, DRAW)
    logits = [linear(text, BATCH["label"]) for text in (one_hot(BATCH["tokens"], len(SYMBOLS)), texts)]
    assert torch.allclose(found.per_example, -logits[0].sigmoid().log() - (1 - logits[1].sigmoid()).log())
    assert not found.per_example.requires_grad


def test_the_temperature_is_a_function_of_the_position() -> None:
    asked: list[float] = []

    def generator(**given: Tensor) -> Tensor:
        asked.append(float(given["temperature"]))
        return fake()

    made = MADE["text_gumbel"](temperature={"start": 5.0, "end": 1.0, "until": 1000})
    for position in (0, 250, 1000, 5000):
        made.common({"generator": generator}, BATCH, replace(DRAW, position=position))
    assert asked == pytest.approx([5, 4, 1, 1])
    falling = Temperature(start=4.0, end=1.0, until=1000, shape="exponential")
    assert [falling.at(position) for position in (0, 500, 1000, 2000)] == pytest.approx([4, 2, 1, 1])


@BOTH
@pytest.mark.parametrize(("spec", "said"), [
    (DataSpec((1, 8, 8), 2), r"makes texts, and this data set holds image; .*data\.source=text_lines"),
    (DataSpec((8,), 2, "tokens"), r"needs to know the symbols.*source=text_lines"),
    (replace(DATA, classes=0), r"^model\.conditional: true, but .* no labels; model\.conditional=false works$"),
])
def test_data_that_does_not_fit_is_refused_with_some_that_works(recipe: str, spec: DataSpec, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        MADE[recipe](spec)


@BOTH
@pytest.mark.parametrize("symbols", [("<pad>", "x"), SYMBOLS, ("<pad>", *map(chr, range(0x4E00, 0x4E00 + 3000)))])
@pytest.mark.parametrize("conditional", [False, True])
def test_what_is_published_makes_the_texts_of_the_recipe(
    recipe: str, symbols: tuple[str, ...], conditional: bool
) -> None:
    made = MADE[recipe](replace(DATA, symbols=symbols), conditional=conditional)
    nets = {name: network.eval() for name, network in made.networks().items()}
    (name,), spec = made.published()
    built = spec.build().eval()
    built.load_state_dict(nets[name].state_dict())
    inputs = made.inputs(DRAW, BATCH["label"] if conditional else None)
    assert {*inputs} == {*spec.inputs}
    texts = made.generate(nets, inputs)
    assert torch.equal(built(**inputs), texts)
    assert torch.equal(made.generate(nets, inputs), texts)  # nothing is drawn but the inputs
    assert texts.shape == (N, len(symbols), LENGTH)
    assert (spec.kind, spec.output, spec.symbols) == ("tokens", (LENGTH,), symbols)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("texts") / "words")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory, words: Path) -> Store:
    return written(of_texts(words, RECIPES[0]), tmp_path_factory.mktemp("shards"))


def run(store: Store, texts: Store, experiment: Experiment, reporter: Any = None) -> bool:
    return fit(experiment, open_shards(texts, PREFIX), place(store), reporter or Scripted(), threads=1)


@pytest.fixture(scope="module", params=RECIPES)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, texts: Store, words: Path
) -> tuple[Experiment, Store]:
    """A finished run of each recipe."""
    experiment, store = of_texts(words, request.param), Store(tmp_path_factory.mktemp("trained"))
    assert run(store, texts, experiment)
    return experiment, store


def test_it_is_resumed_bit_for_bit(trained: tuple[Experiment, Store], tmp_path: Path, texts: Store) -> None:
    (experiment, whole), resumed = trained, Store(tmp_path)
    assert not run(resumed, texts, experiment, stop_at(160, step=32))
    assert run(resumed, texts, experiment)
    assert equal(last_state(resumed), last_state(whole))
    assert curves(resumed) == curves(whole)


LOADED = """
import sys
from gan_core.bundle import load_generator
generator = load_generator(sys.argv[1])
print(*generator.spec.modality.texts(generator.sample(5, label=1)))
print(*sorted({m.split(".")[1] for m in sys.modules if m.startswith("gan_core.")}))
"""


def test_a_bundle_writes_texts_in_a_fresh_process_without_what_trained_it(trained: tuple[Experiment, Store]) -> None:
    store = trained[1]
    texts, loaded = in_fresh_process(LOADED, store.uri(RUN)).splitlines()
    generator = load_generator(store.uri(RUN))
    tokens = generator.sample(5, label=1)
    assert texts == " ".join(generator.spec.modality.texts(tokens)).strip()  # type: ignore[attr-defined]
    assert {"models", "modalities"} <= {*loaded.split()}
    assert {"recipes", "losses", "data", "train", "metrics"}.isdisjoint(loaded.split())
    assert np.array_equal(generator.sample(3, label=1), tokens[:3])


def test_an_onnx_model_makes_the_same_scores(trained: tuple[Experiment, Store]) -> None:
    store = trained[1]
    found = exported(*(store.read(f"{RUN}/generator.{suffix}") for suffix in ("json", "safetensors")), "here")
    assert found.output == "scores"
    assert found.difference < 1e-4


def work(rank: int, raw: dict[str, Any], texts: str, folder: str) -> None:
    """One of two workers of the same run, for the first steps."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    run(Store(f"{folder}/store"), Store(texts), experiment_from(raw))
    dist.destroy_process_group()


@pytest.mark.slow
@BOTH
def test_two_workers_with_half_the_batch_take_the_steps_one_takes_with_all_of_it(
    recipe: str, tmp_path: Path, texts: Store, words: Path
) -> None:
    experiment = of_texts(words, recipe, train={"images": 96, "precision": "float32"})
    run(alone := Store(tmp_path / "alone"), texts, experiment)
    run_workers(work, (experiment.as_json(), texts.url, str(tmp_path)), 2)
    shared = Store(tmp_path / "store")
    assert finished(shared).facts["worlds"] == [2]
    assert close_enough(last_state(shared), last_state(alone), learning_rate=2e-3)


@BOTH
def test_it_learns_words_and_whose_they_are(recipe: str, texts: Store, words: Path) -> None:
    """Measured: from 0.789 and 0.579 bits between pairs of symbols to 0.139 and 0.091; all words of their language."""
    experiment = of_texts(words, recipe, train={"images": 8192, "precision": "float32", "ema_half_life": 500})
    shards, seen = open_shards(texts, PREFIX), slice(0, 400)
    system, split = build_recipe(experiment, data_of(experiment, shards)), shards.split("train")
    switches = Switches.resolved(experiment.train, ONE.device, 1)
    state = TrainState.fresh(system, 0, ONE.device, switches)
    batches = Batches(split, seed=0, batch=32, rank=0, world=1, device=ONE.device, facts=shards.facts)
    step, told = Step.of(experiment, system, batches, ONE, state, switches), Curves()
    real, labels = split.gather(np.arange(400)), torch.from_numpy(np.asarray(split.labels)[seen].copy())

    def made() -> np.ndarray[Any, np.dtype[np.int32]]:
        with torch.no_grad():
            inputs = system.inputs(Draw(0, 0, 400, seen, ONE.device, "learning"), labels)
            return system.generate(state.averages, inputs).argmax(1).numpy().astype(np.int32)

    before = ngram_divergence(ngrams(real, 2), ngrams(made(), 2))
    while state.position < experiment.train.images:
        step.take(told)
    assert before / ngram_divergence(ngrams(real, 2), ngrams(made(), 2)) > 2.5
    read = text_classifier(split.images, np.asarray(split.labels))(made())
    assert (read == labels.numpy()).mean() > 0.9
