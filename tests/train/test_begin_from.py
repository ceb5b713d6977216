from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import Parent, artefact, read_manifest
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import Batch, DataSpec, Loss, Networks, build_recipe
from gan_core.registry import RECIPE_OPTIONS, RECIPES
from gan_core.store import Store
from gan_core.systems.dcgan import Dcgan as DcganOptions
from gan_core.train.begin_from import begin, numbered_version
from gan_core.train.loop import fit
from gan_core.train.state import TrainState
from tests.artefacts import a_parent, flip_a_byte
from tests.conftest import TINY
from tests.train.runs import RUN, Scripted, finished, last_state, place, run_main, stop_at

Make = Callable[..., Experiment]
VERSION = "models/digits/versions/0001"
STILL = {"generator_optimizer": {"learning_rate": 1e-12}, "discriminator_optimizer": {"learning_rate": 1e-12}}
FILES = ("generator.json", "generator.safetensors", "networks.safetensors")


def publish(store: Store, run: str = RUN, version: str = VERSION) -> Parent:
    with artefact(store, version, kind="version", key="p") as draft:
        for file in FILES:
            (draft.path / file).write_bytes(store.read(f"{run}/{file}"))
    return a_parent(store, version)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, digits_store: Store, experiment: Make) -> Store:
    """A store with a version of 512 images' training.  Read it, write elsewhere."""
    store = Store(tmp_path_factory.mktemp("published"))
    assert fit(experiment(), open_shards(digits_store, "shards/digits"), place(store), Scripted(), threads=1)
    publish(store)
    return store


@pytest.fixture
def version(published: Store) -> Parent:
    return a_parent(published, VERSION)


def tensors(store: Store, file: str) -> dict[str, Tensor]:
    return load(store.read(f"{VERSION}/{file}"))


def begun(settings: Experiment, parents: tuple[Parent, ...], classes: int = 10) -> tuple[TrainState, list[str]]:
    """Position 0 of a run that begins with a version's weights, and what was noted."""
    recipe = build_recipe(settings, DataSpec((1, 8, 8), classes))
    state, notes = TrainState.fresh(recipe, 7, torch.device("cpu")), list[str]()
    begin(state, recipe, settings.train.init_from, parents, notes.append)
    return state, notes


def tune(store: Store, digits: Store, settings: Experiment, version: Parent, reporter: Any = None) -> bool:
    return fit(settings, open_shards(digits, "shards/digits"), place(store), reporter or Scripted(),
               parents=(version,), threads=1)


def with_init(experiment: Make, **blocks: Any) -> Experiment:
    return experiment(**blocks | {"train": {"init_from": "digits@1", **blocks.get("train", {})}})


def test_networks_begin_raw_and_their_averages_as_they_were_published(
    published: Store, version: Parent, experiment: Make
) -> None:
    state, notes = begun(with_init(experiment), (version,))
    raw, averaged = tensors(published, "networks.safetensors"), tensors(published, "generator.safetensors")
    ours = {f"{name}.{key}": tensor for name, net in state.networks.items() for key, tensor in net.state_dict().items()}
    assert ours.keys() == raw.keys()
    assert all(torch.equal(ours[name], raw[name]) for name in raw)
    average = state.averages["generator"].state_dict()
    assert all(torch.equal(average[name], averaged[name]) for name in averaged)
    assert any((raw[f"generator.{name}"] != averaged[name]).any() for name in averaged)
    assert notes == [f"begins with the weights of {version.uri}"]


def test_what_is_sampled_before_the_first_step_is_what_the_version_makes(
    published: Store, version: Parent, experiment: Make
) -> None:
    state, _ = begun(with_init(experiment), (version,))
    there = TrainState.fresh(build_recipe(experiment(), DataSpec((1, 8, 8), 10)), 0, torch.device("cpu"))
    there.restore(last_state(published))
    z, label = torch.randn(20, 8), torch.arange(20) % 10
    assert torch.equal(state.averages["generator"](z, label), there.averages["generator"](z, label))


def test_a_run_goes_on_from_the_versions_weights_and_says_where_it_began(
    published: Store, version: Parent, experiment: Make, digits_store: Store, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    assert tune(store, digits_store, with_init(experiment, model=STILL, train={"images": 64}), version)
    raw = tensors(published, "networks.safetensors")
    for name, tensor in load(store.read(f"{RUN}/networks.safetensors")).items():
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(tensor, raw[name], rtol=0, atol=1e-9)
    assert version in finished(store).parents


def test_a_checkpoint_of_the_run_itself_comes_first(
    version: Parent, experiment: Make, digits_store: Store, tmp_path: Path
) -> None:
    settings = with_init(experiment)
    whole, stopped = Store(tmp_path / "whole"), Store(tmp_path / "stopped")
    assert tune(whole, digits_store, settings, version)
    assert not tune(stopped, digits_store, settings, version, stop_at(256))
    notes = Scripted(start=256)
    gone = version.model_copy(update={"uri": "/nowhere/1"})  # a resume has no need of it
    assert tune(stopped, digits_store, settings, gone, notes)
    assert not [note for note in notes.notes if "begins" in note]
    assert finished(stopped).digest == finished(whole).digest


class Stumbling(ImageGan):
    """The generator's loss is infinite once, before there is a checkpoint."""

    left: ClassVar[int] = 1

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        found = super().loss(phase, nets, batch, draw)
        if phase == "discriminator" or draw.position != 64 or not Stumbling.left:
            return found
        Stumbling.left -= 1
        return Loss(found.per_example * torch.inf, found.scalars)


def test_a_roll_back_to_the_beginning_goes_back_to_the_versions_weights(
    published: Store, version: Parent, experiment: Make, digits_store: Store, tmp_path: Path
) -> None:
    RECIPES.register("stumbling")(Stumbling)
    options: Any = type("Options", (DcganOptions,), {"__annotations__": {"recipe": str}, "recipe": "stumbling"})
    RECIPE_OPTIONS.register("stumbling")(options)
    try:
        settings = with_init(experiment, model=STILL | {"recipe": "stumbling"}, train={
            "images": 128, "on_divergence": {"policy": "roll_back"}})
        assert tune(Store(tmp_path), digits_store, settings, version)
    finally:
        RECIPES.unregister("stumbling")
        RECIPE_OPTIONS.unregister("stumbling")
    (back,) = finished(Store(tmp_path)).facts["rollbacks"]
    assert back["to"] == 0
    ours, theirs = load(Store(tmp_path).read(f"{RUN}/networks.safetensors")), tensors(published, "networks.safetensors")
    name = "generator.to_image.weight"
    torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-9)


def test_what_does_not_fit_stays_fresh_and_is_told(version: Parent, experiment: Make) -> None:
    settings = with_init(experiment)
    state, notes = begun(settings, (version,), classes=4)
    fresh = TrainState.fresh(build_recipe(settings, DataSpec((1, 8, 8), 4)), 7, torch.device("cpu"))
    for network in ("generator", "discriminator"):
        ours, untouched = state.networks[network].state_dict(), fresh.networks[network].state_dict()
        (embedding,) = (name for name in ours if "embed" in name)
        assert torch.equal(ours[embedding], untouched[embedding])
        assert f"{network}.{embedding}" in notes[0]
    assert (state.networks["generator"].to_image.weight != fresh.networks["generator"].to_image.weight).any()
    average, network = state.averages["generator"].state_dict(), state.networks["generator"].state_dict()
    assert torch.equal(average["embed.weight"], network["embed.weight"])


def test_a_network_that_fits_nowhere_is_named_once(published: Store, experiment: Make, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for file in FILES:
        store.write(f"{RUN}/{file}", published.read(f"{VERSION}/{file}"))
    kept = {name: t for name, t in tensors(published, "networks.safetensors").items() if name.startswith("generator")}
    store.write(f"{RUN}/networks.safetensors", save(kept))
    _, notes = begun(with_init(experiment), (publish(store),))
    assert notes[0].endswith("; fresh stay discriminator")


def test_a_generator_of_another_width_is_refused_with_the_one_that_works(version: Parent, experiment: Make) -> None:
    with pytest.raises(ConfigError, match=r"^train\.init_from: .*0001 has a dcgan_generator of width 8 for images of "
                                          r"\[1, 8, 8\] and this run a dcgan_generator of width 16.*width=8 works$"):
        begun(with_init(experiment, model={"width": 16}), (version,))


def test_another_family_is_refused(version: Parent, experiment: Make) -> None:
    with pytest.raises(ConfigError, match=r"this run a mlp_generator .*take a version of the same networks"):
        begun(with_init(experiment, model={"generator": {"family": "mlp"}}), (version,))


def test_a_damaged_version_is_not_begun_from(published: Store, experiment: Make, tmp_path: Path) -> None:
    for file in FILES:
        store = Store(tmp_path / file)
        for path in FILES:
            store.write(f"{RUN}/{path}", published.read(f"{VERSION}/{path}"))
        version = publish(store)
        flip_a_byte(store, f"{VERSION}/{file}")
        with pytest.raises(DamagedFile, match=f"{file}: is damaged"):
            begun(with_init(experiment), (version,))


def test_a_version_that_changed_since_the_plan_is_not_begun_from(version: Parent, experiment: Make) -> None:
    for changed in ({"digest": "0" * 64}, {"uri": f"{version.uri}0"}):
        with pytest.raises(DamagedFile, match="is gone or changed since the run was planned"):
            begun(with_init(experiment), (version.model_copy(update=changed),))


def test_an_address_that_nobody_looked_up_is_no_fresh_start(experiment: Make) -> None:
    with pytest.raises(ConfigError, match=r"train\.init_from=digits@1: was not looked up"):
        begun(with_init(experiment), ())


# python -m gan_core.train


def test_a_version_is_named_by_its_number_or_its_url(published: Store, version: Parent) -> None:
    for address in ("digits@1", "digits@0001", published.uri(VERSION), str(published.local_path(VERSION))):
        found = numbered_version(address, published)
        assert (found.kind, found.digest) == ("version", version.digest)
        assert read_manifest(*_opened(found)) is not None


def _opened(version: Parent) -> tuple[Store, str]:
    return Store(version.uri.rpartition("/")[0]), version.uri.rpartition("/")[2]


@pytest.mark.parametrize("address", ["digits", "digits@latest", "digits@0002", "/nowhere/0001", "{store}/runs/r"])
def test_what_names_no_version_is_refused(published: Store, address: str) -> None:
    with pytest.raises(ConfigError, match=r"^train\.init_from=.*: no published version; NAME@0003 or the URL"):
        numbered_version(address.replace("{store}", published.url), published)


def test_the_weights_are_part_of_what_a_run_is_named_by(
    published: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(TINY | {"train": TINY["train"] | {"images": 64}}))
    store = Store(tmp_path / "store")
    for number in (1, 2):
        for path in FILES:
            store.write(f"runs/made-{number}/{path}", published.read(f"{VERSION}/{path}"))
        store.write(f"runs/made-{number}/generator.json", published.read(f"{VERSION}/generator.json") + b" " * number)
        publish(store, f"runs/made-{number}", f"models/digits/versions/000{number}")
    for words in ((), ("digits@1",), ("digits@2",), ("digits@0002",)):
        assert run_main(file, "--store", store.url, *(f"--set=train.init_from={word}" for word in words)) == 0
    err = capsys.readouterr().err
    runs = [name for name in store.names("runs") if store.exists(f"runs/{name}/attempts")]
    assert len(runs) == 3
    assert "begins with the weights of" in err
