"""What a trained generator is measured by, and what a version must reach."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gan_core.block import Config, Count
from gan_core.errors import ConfigError
from gan_core.options.feature_networks import INCEPTION_NAME, NAMED, NetworkFile

NetworkName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]  # no underscore: it ends a metric's name
OWN_NETWORKS = ("domain", "pixels", "random")  # which need no file
Also = Literal[
    "sliced_wasserstein", "inception_score", "class_kl", "ms_ssim", "memorisation", "class_fd", "class_accuracy",
    "feature_diversity", "membership", "linear_probe", "image_quality", "adaptation",
    "agreement_real", "ngrams", "distinct", "copied",
]
OF_TRANSLATIONS = ("image_quality", "adaptation")  # measured of images of one domain translated to another's
OF_KINDS = dict.fromkeys(("ngrams", "distinct", "copied"), "tokens")  # what is measured of one kind of data alone
OF_FRESH_EXAMPLES = ("memorisation", "class_accuracy", "membership", "linear_probe", "ngrams", "copied")
OF_DISCRIMINATORS = ("membership", "linear_probe")
Split = Literal["train", "validation", "test"]


class EvaluateConfig(Config):
    """What is measured, on which split, with how many samples."""

    split: Split = "test"
    samples: Count | None = Field(None, description="real and generated images compared; all of the split when null")
    networks: tuple[str, ...] = Field(
        ("domain", "pixels"),
        description="what images go through: domain, pixels, random (convolutions), inception (TensorFlow's of 2015: "
                    "FID), or a name of network_files", examples=[["domain", "inception"]])
    network_files: dict[NetworkName, NetworkFile] = Field(
        default_factory=dict, description="TorchScript files by the name that metrics carry: {url, sha256, range, …}")
    also: tuple[Also, ...] = Field(
        (), description="measured besides: sliced_wasserstein on each network; inception_score, memorisation, class_fd "
                        "and feature_diversity on domain; class_kl; ms_ssim (diversity within classes); class_accuracy "
                        "(GAN-train, GAN-test); agreement_real (what class_agreement can reach); membership and "
                        "linear_probe of the discriminator; image_quality of translations, adaptation (what a "
                        "classifier learns from them); of texts ngrams, distinct and copied",
        examples=[["sliced_wasserstein"]])
    anomaly_quantile: float = Field(
        0.95, gt=0, lt=1, description="share of normal validation images that an anomaly score must be above to be one")
    k: Count = Field(5, description="neighbours that set the radius of precision, recall, density, coverage")
    kid_subsets: Count = 100
    kid_subset_size: Count = Field(1000, description="at most all samples")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _can_be_measured(self) -> Self:
        if self.samples is not None and self.samples <= self.k:
            raise ValueError(f"evaluate.samples={self.samples} is too few for evaluate.k={self.k} neighbours; "
                             f"evaluate.samples={max(100, 10 * self.k)} works, or null for all of the split")
        if len(set(self.networks)) != len(self.networks) or not self.networks:
            raise ValueError(f"evaluate.networks={list(self.networks)} names none or one twice; "
                             "[domain, pixels] works")
        taken = sorted({*OWN_NETWORKS, *NAMED} & self.network_files.keys())
        if taken:
            raise ValueError(f"evaluate.network_files names '{taken[0]}', which is known already; my-{taken[0]} works")
        known = (*OWN_NETWORKS, *NAMED, *self.network_files)
        for name in self.networks:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'? " if near else ""
                raise ValueError(f"evaluate.networks names '{name}', which is not known; {hint}known: "
                                 f"{', '.join(known)}; others by evaluate.network_files")
        fresh = next((asked for asked in self.also if asked in OF_FRESH_EXAMPLES), None)
        if fresh and self.split == "train":
            raise ValueError(f"evaluate.also={fresh} compares with examples that were not trained on, and evaluate."
                             "split=train are those; evaluate.split=test works")
        return self

    def refuse_for_translations(self) -> None:
        """ConfigError when `also` asks for what is not measured of images that are translations of others."""
        self._refuse([asked for asked in self.also if asked not in OF_TRANSLATIONS],
                     "a generator that translates images")

    def refuse_for_pairs(self) -> None:
        """ConfigError when `also` asks for what is not measured of one image of a pair made from the other."""
        self._refuse([asked for asked in self.also if asked in (*OF_DISCRIMINATORS, *OF_TRANSLATIONS)],
                     "a generator that makes one image of a pair from the other")

    def refuse_without_translations(self) -> None:
        """ConfigError when `also` asks for what is measured of nothing but translations."""
        self._refuse([asked for asked in self.also if asked in OF_TRANSLATIONS],
                     "a generator that does not translate images")

    def refuse_for_kind(self, kind: str) -> None:
        """ConfigError when `also` asks for what is not measured of examples of this kind."""
        self._refuse([asked for asked in self.also if OF_KINDS.get(asked, kind) != kind],
                     f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} generator")

    def _refuse(self, asked: list[Also], generator: str) -> None:
        if asked:
            others = [other for other in self.also if other not in asked]
            raise ConfigError(f"evaluate.also={json.dumps(asked)} is not measured of {generator}; "
                              f"evaluate.also={json.dumps(others)} works")

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Every metric that evaluate reports; the name carries the feature network's."""
        return (*self.feature_metrics, "class_agreement", *self.also_names)

    @property
    def feature_metrics(self) -> tuple[str, ...]:
        """Those between two sets of features."""
        all_of_them = ("fd", "kid", *NEIGHBOUR_METRICS)  # pixels are too many for a covariance
        return tuple(f"{measure}_{network}" for network in self.networks
                     for measure in (NEIGHBOUR_METRICS if network == "pixels" else all_of_them))

    @property
    def also_names(self) -> tuple[str, ...]:
        """The metrics that `also` asks for."""
        names: dict[str, tuple[str, ...]] = {
            "sliced_wasserstein": tuple(f"sliced_wasserstein_{network}" for network in self.networks),
            "inception_score": ("inception_score_domain", *self._scored_by_inception),
            "class_kl": ("class_kl",), "ms_ssim": ("ms_ssim",),
            "memorisation": ("memorisation_domain",), "class_fd": ("class_fd_domain",),
            "class_accuracy": ("gan_train", "gan_test", "gan_real"),
            "feature_diversity": ("feature_diversity_domain", "feature_diversity_real_domain"),
            "membership": ("membership_auc",), "linear_probe": ("linear_probe_discriminator",),
            "image_quality": ("cycle_psnr_a", "cycle_psnr_b", "cycle_ssim_a", "cycle_ssim_b"),
            "adaptation": ("adaptation", "adaptation_before"),
            "agreement_real": ("agreement_real",),
            "ngrams": tuple(f"ngram_js_{of}{n}" for of in ("", "real_") for n in (1, 2, 3, 4)),
            "distinct": tuple(f"distinct_{of}{what}" for of in ("", "real_") for what in (1, 2, "texts")),
            "copied": tuple(f"copied_{of}{what}" for of in ("", "real_") for what in ("texts", "12grams")),
        }
        return tuple(dict.fromkeys(name for asked in self.also for name in names[asked]))

    @property
    def _scored_by_inception(self) -> tuple[str, ...]:
        return ("inception_score_inception",) if INCEPTION_NAME in self.networks else ()


NEIGHBOUR_METRICS = ("precision", "recall", "density", "coverage")
TRANSLATION_METRICS = ("agreement_before", "agreement_real", "cycle_error_a", "cycle_error_b",
                       "pair_l1", "pair_l1_before", "pair_psnr", "pair_ssim")
"""What evaluate reports of a generator that translates images, beside the metrics of every generator."""
ANOMALY_METRICS = ("anomaly_auc", "anomaly_precision", "anomaly_threshold", "anomaly_found", "anomaly_false_alarms")
"""What evaluate reports of a generator with an encoder, of a set that says which classes are normal."""
