"""Combinations of settings that cannot work, refused with advice before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_core.options.image_gan import ImageGanOptions

TAKE_TARGETS = ("minimax", "non_saturating", "least_squares")


def refuse_what_cannot_work(options: ImageGanOptions) -> None:
    """ValueError, naming the settings and what works instead."""
    for reason in (*_of_networks(options), *_of_penalties(options), *_of_conditions(options), *_of_targets(options)):
        raise ValueError(reason)


def _of_networks(options: ImageGanOptions) -> Iterator[str]:
    for name, network in (("generator", options.generator), ("discriminator", options.discriminator)):
        if network.family == "r3gan" and network.spectral and network.init == "auto":
            yield (f"model.{name}.spectral=true divides weights by their norm, and with model.{name}.init=auto r3gan's "
                   f"blocks start from weights that are 0; model.{name}.init=he works, or model.{name}.spectral=false")


def _of_penalties(options: ImageGanOptions) -> Iterator[str]:
    penalties, judge = options.penalties, options.discriminator
    gradients = {name: getattr(penalties, name) for name in ("gradient", "dragan", "zero_centred", "r1", "r2")}
    wanted = [name for name, settings in gradients.items() if settings is not None]
    if wanted and getattr(judge, "norm", "none") == "batch":
        yield (f"model.discriminator.norm=batch: model.penalties.{wanted[0]} is on the gradient of each example by "
               "itself, and batch norm mixes them (Gulrajani et al. 2017, section 4); model.discriminator.norm=layer "
               "works, or none")
    bounded = penalties.clip or judge.spectral or any(n in wanted for n in ("gradient", "dragan", "zero_centred"))
    if options.objective == "wasserstein" and not bounded:
        bounds = ["model.penalties.clip=0.01 works", "model.discriminator.spectral=true"]
        if getattr(judge, "norm", "none") != "batch":  # which allows no penalty on gradients
            bounds = ["model.penalties.gradient={weight: 10} works", "model.penalties.clip=0.01", bounds[1]]
        yield ("model.objective=wasserstein needs a critic that is Lipschitz, and nothing makes it so; "
               f"{', or '.join(bounds)}")
    if penalties.clip and judge.spectral:
        yield (f"model.penalties.clip={penalties.clip} cuts weights that model.discriminator.spectral=true divides by "
               "their norm anyway; leave one of them out: model.penalties.clip=null works")


def _of_conditions(options: ImageGanOptions) -> Iterator[str]:
    told = options.conditional
    if not told and options.discriminator.condition == "auxiliary":
        yield ("model.discriminator.condition=auxiliary predicts labels, and model.conditional=false learns without "
               "them; model.conditional=true works, or model.discriminator.condition=projection")
    if not told and getattr(options.generator, "norm", "none") == "conditional_batch":
        yield ("model.generator.norm=conditional_batch is told labels, and model.conditional=false learns without "
               "them; model.generator.norm=batch works, or model.conditional=true")
    if not told and options.attributes:
        yield (f"model.attributes={list(options.attributes)}, and model.conditional=false learns without them; "
               "model.conditional=true works")
    if len(set(options.attributes)) != len(options.attributes):
        yield (f"model.attributes={list(options.attributes)} names one twice; "
               f"model.attributes={list(dict.fromkeys(options.attributes))} works")
    if options.wrong_labels and (not told or options.attributes):
        yield (f"model.wrong_labels={options.wrong_labels} is of labels, and the model learns "
               f"{'by attributes' if told else 'without them'}; model.wrong_labels=0 works")


def _of_targets(options: ImageGanOptions) -> Iterator[str]:
    targets = options.targets
    for name in ("smooth_real", "smooth_fake", "flipped"):
        value = getattr(targets, name)
        if value and options.objective not in TAKE_TARGETS:
            yield (f"model.targets.{name}={value}: model.objective={options.objective} has no labels of real and "
                   f"generated; model.objective=non_saturating has, or model.targets.{name}=0 works")
