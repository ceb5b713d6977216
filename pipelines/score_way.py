"""How `gan score` finds what is nearest to an image: by a bundle's encoder, or by a search with what is at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from gan_core.anomalies import Features, Search, by_search, features_in, has_encoder
from gan_core.bundle import Generator
from gan_core.config import experiment_from
from gan_core.detecting import Look, encoder_look
from gan_core.errors import ConfigError, GanError
from gan_core.manifest import Manifest, read_named
from gan_core.metrics.judge import WEIGHTS_FILE, judge_for
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store

ENCODER, SEARCH = "encoder", "search"


@dataclass(frozen=True)
class Way:
    """discriminator: whether its features count; why: where they do not."""

    method: str
    look: Look
    discriminator: bool
    why: str


def way_of(generator: Generator, version: tuple[Store, str, Manifest], method: str | None, search: Search) -> Way:
    """The way that was asked for; with None the encoder where there is one.  ConfigError for what cannot be scored by.

    A search goes by the residual alone where the version has no discriminator beside its generator.
    """
    if generator.translates is not None or generator.spec.kind != "image":
        raise ConfigError(f"{generator.uri}: a score is of images, by what is made from noise; a model of recipe "
                          "fanogan works")
    method = method or (ENCODER if has_encoder(generator) else SEARCH)
    if method == ENCODER:
        if not has_encoder(generator):
            raise ConfigError(f"--method {ENCODER}: {generator.uri} has no encoder; --method {SEARCH} works")
        return Way(method, encoder_look(generator), True, "")
    quick = generator.at(torch.float32)
    features, why = (features_in(quick), "") if has_encoder(quick) else _beside(quick, *version)
    return Way(method, lambda images, numbers: by_search(quick, images, search, features, numbers),
               features is not None, why)


def _beside(generator: Generator, store: Store, prefix: str, bundle: Manifest) -> tuple[Features | None, str]:
    """The features of the discriminator beside a published generator; None, and why, where it cannot be had."""
    if bundle.file(WEIGHTS_FILE) is None or bundle.file("config.json") is None:
        return None, f"{generator.uri} has no {WEIGHTS_FILE} beside the generator"
    try:
        experiment = experiment_from(json.loads(read_named(store, prefix, bundle, "config.json")), "config.json")
        weights = read_named(store, prefix, bundle, WEIGHTS_FILE)
        judge = judge_for(experiment, DataSpec(generator.spec.output, generator.classes), weights)
        judge.features_of(torch.zeros(1, *generator.spec.output))
    except GanError as error:
        return None, str(error)
    return judge.features_of, ""
