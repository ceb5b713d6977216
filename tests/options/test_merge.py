"""What is left out of a block stays as the recipe has it, until the block is of another form."""

from __future__ import annotations

from typing import Any

import pytest

from gan_core.config import experiment_from
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Ada, DiffAugment, GradientAt, GradientPenalty, Penalties
from gan_core.options.networks import DcganGenerator, MlpDiscriminator, ResnetGenerator
from gan_core.options.optimizers import Adam, RmsProp, Sgd
from gan_core.registry import RECIPE_OPTIONS
from gan_core.systems.acgan import Acgan
from gan_core.systems.biggan import Biggan
from gan_core.systems.dcgan import Dcgan
from gan_core.systems.r3gan import R3gan
from gan_core.systems.sngan import Sngan
from gan_core.systems.wgan import Wgan


def given(kind: type[ImageGanOptions], **settings: Any) -> Any:
    return kind.model_validate(settings)


def test_one_setting_of_a_network_leaves_the_others_as_the_recipe_has_them() -> None:
    found = given(Sngan, generator={"dropout": 0.1}).generator
    assert found == ResnetGenerator(norm="conditional_batch", dropout=0.1)
    assert found == given(Sngan, generator={"family": "resnet", "dropout": 0.1}).generator


def test_another_family_has_nothing_of_the_recipe_s_own() -> None:
    found = given(Acgan, conditional=False, discriminator={"family": "mlp"})
    assert found.discriminator == MlpDiscriminator()
    assert given(Sngan, generator={"family": "dcgan"}).generator == DcganGenerator()


def test_an_optimizer_is_kept_by_its_algorithm() -> None:
    assert given(Biggan, generator_optimizer={"weight_decay": 0.1}).generator_optimizer \
        == Adam(learning_rate=5e-5, betas=(0.0, 0.999), weight_decay=0.1)
    assert given(Biggan, generator_optimizer={"algorithm": "sgd"}).generator_optimizer == Sgd(algorithm="sgd")
    assert given(Wgan, generator_optimizer={"alpha": 0.9}).generator_optimizer \
        == RmsProp(algorithm="rmsprop", alpha=0.9)
    assert given(Wgan, generator_optimizer={"algorithm": "adam"}).generator_optimizer == Adam()


def test_a_penalty_is_changed_taken_out_and_put_beside_the_recipe_s_own() -> None:
    assert given(R3gan, penalties={"r1": {"every": 16}}).penalties \
        == Penalties(r1=GradientAt(gamma=1.0, every=16), r2=GradientAt(gamma=1.0))
    assert given(R3gan, penalties={"r1": None}).penalties == Penalties(r2=GradientAt(gamma=1.0))
    assert given(Dcgan, penalties={"gradient": {}}).penalties \
        == Penalties(r1=GradientAt(gamma=1.0), gradient=GradientPenalty())
    assert given(Biggan, penalties={"generator_weights": {"l2": 0.1}}).penalties.generator_weights.orthogonal == 1e-4


def test_null_takes_a_block_out() -> None:
    assert given(Dcgan, augment={}).augment == DiffAugment()
    assert given(Dcgan, augment={"method": "ada"}).augment == Ada(method="ada")
    assert given(Dcgan, augment=None).augment is None


def test_whole_blocks_are_taken_as_they_are() -> None:
    assert Dcgan(penalties=Penalties()).penalties == Penalties()
    assert Dcgan(penalties={"r1": GradientAt(gamma=3)}).penalties.r1 == GradientAt(gamma=3)
    assert Sngan(generator=DcganGenerator()).generator == DcganGenerator()


def test_a_given_block_is_not_changed() -> None:
    settings = {"penalties": {"r1": {"every": 4}}}
    given(Dcgan, **settings)
    assert settings == {"penalties": {"r1": {"every": 4}}}


@pytest.mark.parametrize("recipe", [*RECIPE_OPTIONS])
def test_what_is_resolved_is_read_back_from_json_as_it_is(recipe: str) -> None:
    source = {"source": "unpaired", "url": "a.zip"} if recipe in ("cyclegan", "cut") else {"source": "digits"}
    whole = experiment_from({"name": "t", "data": source, "model": {"recipe": recipe}})
    assert experiment_from(whole.as_json()) == whole
    assert whole.model.model_dump()["recipe"] == recipe


@pytest.mark.parametrize("model", [
    {"recipe": "r3gan", "penalties": {"r1": None}},
    {"recipe": "acgan", "discriminator": {"family": "biggan"}, "generator_optimizer": {"algorithm": "rmsprop"}},
    {"recipe": "dcgan", "augment": {"method": "ada", "target": 0.5}, "generator": {"family": "mlp"},
     "discriminator_optimizer": {"fall": {"shape": "cosine", "until": 1000}}},
    {"recipe": "wgan", "penalties": {"clip": None, "gradient": {}}, "discriminator": {"norm": "layer"}},
])
def test_so_is_what_differs_from_the_recipe_s_own(model: dict[str, Any]) -> None:
    whole = experiment_from({"name": "t", "data": {"source": "digits"}, "model": model})
    assert experiment_from(whole.as_json()) == whole
    assert experiment_from(whole.as_json()).as_json() == whole.as_json()
