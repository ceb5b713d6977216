"""Settings that cannot work together are refused, and what the refusal offers does work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gan_core.config import Experiment, experiment_from, with_overrides
from gan_core.errors import ConfigError
from gan_core.options.conditions import Attribute
from gan_core.options.losses import InstanceNoise, Penalties
from gan_core.options.optimizers import Adam, Fall
from gan_core.systems.dcgan import Dcgan

# recipe, its settings, the value that is refused, and values that are offered in its place
REFUSED: dict[str, tuple[str, dict[str, Any], str, list[str]]] = {
    **{f"{name} and batch norm": (
        "lsgan", {"penalties": {name: {}}}, f"model.discriminator.norm=batch: model.penalties.{name}",
        ["model.discriminator.norm=layer"],
    ) for name in ("gradient", "dragan", "zero_centred", "r1", "r2")},
    "batch norm in published networks": (
        "dcgan_original", {"penalties": {"r1": {}}}, "model.discriminator.norm=batch",
        ["model.discriminator.norm=layer"]),
    "a critic that is not Lipschitz": (
        "dcgan", {"objective": "wasserstein"}, "model.objective=wasserstein",
        ["model.penalties.gradient={weight: 10}", "model.penalties.clip=0.01", "model.discriminator.spectral=true"]),
    "a critic with batch norm that is not Lipschitz": (
        "lsgan", {"objective": "wasserstein"}, "model.objective=wasserstein",
        ["model.penalties.clip=0.01", "model.discriminator.spectral=true"]),
    "clipping and spectral norm": (
        "wgan", {"discriminator": {"spectral": True}}, "model.penalties.clip=0.01", ["model.penalties.clip=null"]),
    "a classifier without labels": (
        "acgan", {"conditional": False}, "model.conditional=false",
        ["model.conditional=true", "model.discriminator.condition=projection"]),
    "conditional batch norm without labels": (
        "sngan", {"conditional": False}, "model.generator.norm=conditional_batch",
        ["model.generator.norm=batch", "model.conditional=true"]),
    "attributes without conditions": (
        "dcgan", {"conditional": False, "attributes": ["hair"]}, "model.attributes=['hair']",
        ["model.conditional=true"]),
    "an attribute twice": (
        "dcgan", {"attributes": ["hair", "age", "hair"]}, "model.attributes=['hair', 'age', 'hair']",
        ["model.attributes=['hair', 'age']"]),
    "wrong labels without labels": (
        "wgan_gp", {"wrong_labels": 0.1}, "model.wrong_labels=0.1", ["model.wrong_labels=0"]),
    "wrong labels of attributes": (
        "dcgan", {"wrong_labels": 0.1, "attributes": ["hair"]}, "model.wrong_labels=0.1", ["model.wrong_labels=0"]),
    **{f"{name} of {objective}": (
        recipe, {"targets": {name: 0.1}}, f"model.targets.{name}=0.1: model.objective={objective}",
        ["model.objective=non_saturating", f"model.targets.{name}=0"],
    ) for name, recipe, objective in (("smooth_real", "sngan", "hinge"), ("smooth_fake", "r3gan", "relativistic"),
                                      ("flipped", "wgan_gp", "wasserstein"))},
    **{f"spectral norm of the {network}'s zeros": (
        "r3gan", {network: {"spectral": True}}, f"model.{network}.spectral=true",
        [f"model.{network}.init=he", f"model.{network}.spectral=false"],
    ) for network in ("generator", "discriminator")},
}
SETTING = re.compile(r"model(?:\.\w+)+=(?:\{[^}]*\}|\[[^]]*\]|[^\s,;)]+)")


def raw(recipe: str, **model: Any) -> dict[str, Any]:
    return {"name": "t", "data": {"source": "digits"}, "model": {"recipe": recipe, **model}}


def resolved(recipe: str, *overrides: str, **model: Any) -> Experiment:
    return experiment_from(with_overrides(raw(recipe, **model), overrides))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_its_name_its_value_and_values_that_work(case: str) -> None:
    recipe, model, refused, offered = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        resolved(recipe, **model)
    told = str(caught.value)
    assert told.startswith("experiment: model")
    assert refused in told
    assert "\n" not in told
    assert SETTING.findall(told.rpartition("; ")[2]) == offered
    for setting in offered:
        resolved(recipe, setting, **model)


@pytest.mark.parametrize("recipe", ["wgan", "wgan_gp", "dragan", "r3gan"])
def test_each_of_a_system_s_own_penalties_is_kept_to_its_critic_s_norm(recipe: str) -> None:
    """Layer norm is of each example by itself."""
    penalised = resolved(recipe, discriminator={"family": "dcgan", "norm": "layer"})
    assert penalised.model.model_dump()["discriminator"]["norm"] == "layer"


@pytest.mark.parametrize("bound", [{"clip": 0.01}, {"gradient": {}}, {"zero_centred": {}}, {"dragan": {}}])
def test_any_bound_on_gradients_makes_a_critic(bound: dict[str, Any]) -> None:
    found = resolved("dcgan", objective="wasserstein", penalties={"r1": None, **bound})
    assert found.model.model_dump()["objective"] == "wasserstein"


def test_penalties_at_images_alone_do_not() -> None:
    with pytest.raises(ConfigError, match="nothing makes it so"):
        resolved("dcgan", objective="wasserstein", penalties={"r1": {"gamma": 10}, "r2": {"gamma": 10}})


@pytest.mark.parametrize("init", ["normal", "orthogonal", "he", "xavier"])
def test_spectral_norm_of_r3gan_s_weights_works_where_they_are_not_0(init: str) -> None:
    found = resolved("r3gan", **{name: {"spectral": True, "init": init} for name in ("generator", "discriminator")})
    assert found.model.model_dump()["generator"]["init"] == init


@pytest.mark.parametrize(("given", "told"), [
    ({"kind": "categorical", "values": 1}, "values"),
    ({"kind": "continuous", "low": 3, "high": 2}, "hair goes from low=3.0 down to high=2.0; exchange them"),
])
def test_an_attribute_without_a_choice_or_a_range_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Attribute(name="hair", **given)


@pytest.mark.parametrize(("model", "told"), [
    ({"generator": {"family": "dcgna"}},
     "model.generator: 'dcgna' is not known; did you mean dcgan? known: mlp, dcgan, dcgan_original, resnet, "
     "biggan, r3gan, wavegan"),
    ({"generator": {"nrom": "batch"}}, "model.generator.nrom: unknown key; did you mean 'norm'? known: dropout, init, "
                                       "spectral, family, norm, activation, checkpointing"),
    ({"discriminator": {"family": "mlp", "layers": 0}},
     "model.discriminator.layers: 0: input should be greater than or equal to 1; 3 works"),
    ({"discriminator": {"family": "mlp", "attention": 8}},
     "model.discriminator.attention: unknown key; did you mean 'activation'? known: dropout, init, spectral, "
     "condition, family, layers, norm, activation"),
    ({"generator": "dcgan"}, "model.generator: 'dcgan' is no block of settings; {"),
    ({"discriminator_optimizer": {"algorithm": "adm"}},
     "model.discriminator_optimizer: 'adm' is not known; did you mean adam? known: adam, adamw, rmsprop, sgd"),
    ({"discriminator_optimizer": {"algorithm": "sgd", "learning_rate": -1}},
     "model.discriminator_optimizer.learning_rate: -1: input should be greater than 0; 0.01 works"),
    ({"discriminator_optimizer": {"algorithm": "sgd", "betas": [0, 0.9]}},
     "model.discriminator_optimizer.betas: unknown key; known: learning_rate, weight_decay, fall, algorithm, momentum"),
    ({"generator_optimizer": {"betas": [0, 1]}},
     "model.generator_optimizer.betas.1: 1: input should be less than 1; [0.0, 0.99] works"),
    ({"generator_optimizer": {"fall": {"until": 0}}},
     "model.generator_optimizer.fall.until: 0: input should be greater than or equal to 1; 102400 works"),
    ({"generator_optimizer": {"fall": {"after": 10, "until": 5}}},
     "model.generator_optimizer.fall: until=5 is not after after=10; until=20 works"),
    ({"augment": {"method": "ad"}}, "model.augment: 'ad' is not known; did you mean ada? known: diffaugment, ada"),
    ({"augment": {"method": "ada", "start": 2}},
     "model.augment.start: 2: input should be less than or equal to 1; 0.0 works"),
    ({"augment": {"start": 0.1}}, "model.augment.start: unknown key; known: method, policy"),
    ({"penalties": {"r1": {"gama": 1}}},
     "model.penalties.r1.gama: unknown key; did you mean 'gamma'? known: gamma, every"),
    ({"penalties": {"r1": 3}},
     "model.penalties.r1: 3: input should be a valid dictionary or instance of GradientAt; {\"gamma\": 1.0} works"),
    ({"augment": "ada"}, "model.augment: 'ada' is no block of settings; {\"method\": \"ada\"} works"),
    ({"instance_noise": 0.1}, "model.instance_noise: 0.1: input should be a valid dictionary or instance of "
                              "InstanceNoise; {\"std\": 0.1, \"until\": 51200} works"),
    ({"instance_noise": {}}, "model.instance_noise.until: missing; 51200 works"),
])
def test_a_mistake_in_a_block_of_several_forms_is_named_by_the_field_s_own_path(
    model: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved("dcgan", **model)
    assert str(caught.value).startswith(f"experiment: {told}")
    if not told.endswith("{"):
        assert str(caught.value) == f"experiment: {told}"


def _examples(kind: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str, Any]]:
    for name, field in kind.model_fields.items():
        yield from ((kind, name, example) for example in field.examples or ())


@pytest.mark.parametrize(("kind", "name", "example"), [
    *_examples(Dcgan), *_examples(Penalties), *_examples(Adam), *_examples(Fall), *_examples(InstanceNoise)])
def test_a_value_that_is_shown_as_one_that_works_does(kind: type[BaseModel], name: str, example: Any) -> None:
    others = {"until": 51_200} if kind in (Fall, InstanceNoise) else {}
    assert getattr(kind.model_validate({**others, name: example}), name) is not None
