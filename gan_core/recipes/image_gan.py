"""One generator against one discriminator or several: the game that every system of `gan_core.systems` is a setting of.

Of images, or of another kind of data that the networks' families are for.

    common         fake = G(z, c)                                   made once; who must not train G detaches it
    discriminator  D's loss of real and fake as D sees them: with noise, augmented; penalties in the same backward
    r1, r2         these penalties alone, where they are lazy: each `every` steps, as much heavier
    generator      G's loss of fake as D sees it, each `critic_steps` steps
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.losses.adversarial import OBJECTIVES
from gan_core.losses.auxiliary import attribute_loss, auxiliary_accuracy
from gan_core.losses.penalties import zero_centred
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import GradientAt
from gan_core.recipes.ada import AdaAugment
from gan_core.recipes.conditioning import conditions_of, with_wrong_labels, within
from gan_core.recipes.draw import Draw
from gan_core.recipes.penalised import consistency_penalty, cut_weights, on_weights, point_penalties
from gan_core.recipes.recipe import Batch, DataSpec, Defaults, Loss, Networks, Phase, judged_together, judgement
from gan_core.recipes.seen import AUGMENT, as_seen, augmentation_of
from gan_core.registry import FAMILIES

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
NOUNS = {"image": "images", "audio": "recordings"}
WORKS = {"image": "data of images works, such as data.source=digits",
         "audio": "data of recordings works, such as data.source=wav_folder"}


class Verdict(NamedTuple):
    """What a discriminator says.  logits: [n].  heads: [n, heads] of the classifier beside it, which may be 0."""

    logits: Tensor
    heads: Tensor


class Shown(NamedTuple):
    """What a discriminator is shown: real and generated examples [n, …] as it sees them, and the condition."""

    real: Tensor
    fake: Tensor
    condition: Tensor | None


class ImageGan(Defaults):
    """Any system of `gan_core.systems` on a data set of the kind that its families make."""

    averaged: tuple[str, ...] = (GENERATOR,)

    def __init__(self, options: ImageGanOptions, data: DataSpec) -> None:
        refuse_other_kinds(options, data.kind)
        self.options, self.form, self.shape = options, data.form, data.shape
        self.conditions = conditions_of(options, data)
        self.columns = [[a.name for a in data.attributes].index(name) for name in options.attributes]
        self.objective = OBJECTIVES[options.objective]
        self.judges = (DISCRIMINATOR, *(f"{DISCRIMINATOR}_{n}" for n in range(2, options.discriminators + 1)))

    def networks(self) -> dict[str, nn.Module]:
        family, judge = self.options.families
        made: dict[str, nn.Module] = {GENERATOR: FAMILIES.get(family)(**self._generator_options)}
        made |= {name: FAMILIES.get(judge)(**self._judge_options) for name in self.judges}
        return {**made, **augmentation_of(self.options.augment)}

    @cached_property
    def _generator_options(self) -> dict[str, Any]:
        return {"shape": self.shape, "latent": self.options.latent, "width": self.options.width,
                "conditions": self.conditions.model_dump(), **self.options.generator.model_dump(exclude={"family"})}

    @cached_property
    def _judge_options(self) -> dict[str, Any]:
        return {"shape": self.shape, "width": self.options.width, "conditions": self.conditions.model_dump(),
                **self.options.discriminator.model_dump(exclude={"family"})}

    def phases(self) -> tuple[Phase, ...]:
        descent = self.options.discriminator_optimizer
        lazy = [Phase(name, self.judges, descent, every=penalty.every, shares=DISCRIMINATOR)
                for name, penalty in self._at_images.items() if penalty.every > 1]
        return (
            Phase(DISCRIMINATOR, self.judges, descent),
            *lazy,
            Phase(GENERATOR, (GENERATOR,), self.options.generator_optimizer, every=self.options.critic_steps),
        )

    @cached_property
    def _at_images(self) -> dict[str, GradientAt]:
        """R1 and R2, as far as they are wanted."""
        wanted = {"r1": self.options.penalties.r1, "r2": self.options.penalties.r2}
        return {name: penalty for name, penalty in wanted.items() if penalty is not None}

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """The samples that the discriminator sees and the generator then learns from, and what they were asked for."""
        condition = self._condition(batch)
        if condition is None:
            return {"fake": self.generate(nets, self.inputs(draw, None))}
        condition = with_wrong_labels(condition, self.options.wrong_labels, self.conditions.classes, draw)
        return {"fake": self.generate(nets, self.inputs(draw, condition)), "condition": condition}

    def _condition(self, batch: Batch) -> Tensor | None:
        """int64 [n] labels, or float32 [n, attributes]; None without conditions."""
        if self.conditions.attributes:
            return within(batch["attributes"][:, self.columns], self.conditions)
        return batch["label"] if self.conditions.classes else None

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        match phase:
            case "discriminator":
                return self._d_loss(nets, batch, draw)
            case "r1" | "r2":
                return self._lazy_loss(phase, nets, batch, draw)
        return self._g_loss(nets, batch, draw)

    def _shown(self, nets: Networks, batch: Batch, draw: Draw) -> Shown:
        seen = partial(as_seen, options=self.options, nets=nets)
        real, fake = batch[self.form.kind], batch["fake"]
        return Shown(seen(real, draw=draw.within("real")), seen(fake, draw=draw.within("fake")), batch.get("condition"))

    def _d_loss(self, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        """Each discriminator descends its own loss; the curves show their mean."""
        shown = self._shown(nets, {**batch, "fake": batch["fake"].detach()}, draw)
        losses = [self._one_d_loss(nets, judge, shown, draw) for judge in self.judges]
        return Loss(_stacked(losses).sum(0), _means([loss.scalars for loss in losses]))

    def _one_d_loss(self, nets: Networks, judge: str, shown: Shown, draw: Draw) -> Loss:
        real, fake, slopes = self._judged(nets, judge, shown)
        loss = self._objective_of_d(real.logits, fake.logits, draw)
        scalars = {"loss/discriminator": loss, **self._judgement(real.logits, fake.logits)}
        penalties = {name: self._at_images[name].gamma / 2 * slope for name, slope in slopes.items()}
        scalars |= {f"penalty/{name}": slope for name, slope in slopes.items()}

        def logits(images: Tensor) -> Tensor:
            return _verdict(nets[judge](images, shown.condition)).logits

        points = point_penalties(self.options.penalties, logits, shown.real, shown.fake, draw)
        if settings := self.options.penalties.consistency:
            points["consistency"] = consistency_penalty(settings, logits, shown[:2], (real.logits, fake.logits), draw)
        scalars |= {f"penalty/{name}": value for name, value in points.items()}
        for penalty in (*penalties.values(), *points.values()):
            loss = loss + penalty
        if self._classifies:
            told = self._told_apart(real.heads, shown.condition) + self._told_apart(fake.heads, shown.condition)
            scalars |= {"auxiliary/loss": told, **self._known(real.heads, shown.condition)}
            loss = loss + self.options.auxiliary_weight * told
        if judge == DISCRIMINATOR:
            scalars |= self._observe(nets, self.objective.margin(real.logits, fake.logits))
        return Loss(loss, scalars)

    def _judged(self, nets: Networks, judge: str, shown: Shown) -> tuple[Verdict, Verdict, dict[str, Tensor]]:
        """Of real, of fake, and the squared gradients [n] of the logits at them, as far as these are penalised now."""
        eager = [name for name, penalty in self._at_images.items() if penalty.every == 1]  # in one order everywhere
        if not eager:
            both = judged_together(nets[judge], shown.real, shown.fake, shown.condition)
            return _verdict(both[0]), _verdict(both[1]), {}
        real, fake = (images.detach().requires_grad_(name in eager)
                      for images, name in ((shown.real, "r1"), (shown.fake, "r2")))
        of_real, of_fake = (_verdict(nets[judge](images, shown.condition)) for images in (real, fake))
        penalised = {"r1": (real, of_real.logits), "r2": (fake, of_fake.logits)}
        return of_real, of_fake, {name: zero_centred(*penalised[name]) for name in eager}

    def _objective_of_d(self, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        targets = self.options.targets
        if targets.model_dump() == type(targets)().model_dump():
            return self.objective.discriminator(real, fake)
        for_real, for_fake = real.new_full((), 1 - targets.smooth_real), fake.new_full((), targets.smooth_fake)
        real_target = torch.where(draw.uniform("flip real") < targets.flipped, for_fake, for_real)
        fake_target = torch.where(draw.uniform("flip fake") < targets.flipped, for_real, for_fake)
        return self.objective.discriminator(real, fake, real_target, fake_target)

    def _judgement(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        if self.options.objective == "wasserstein":  # a critic has no boundary to be right about
            return {"logits/real": real, "logits/fake": fake, "wasserstein/estimate": real - fake}
        return judgement(real, fake, self.objective.margin)

    def _lazy_loss(self, penalty: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        """R1 or R2 alone, as often as it is wanted and as much heavier."""
        settings = self._at_images[penalty]
        shown = self._shown(nets, {**batch, "fake": batch["fake"].detach()}, draw)
        images = (shown.real if penalty == "r1" else shown.fake).detach().requires_grad_()
        losses = []
        for judge in self.judges:
            out = nets[judge](images, shown.condition)
            slope = zero_centred(images, _verdict(out).logits)
            # the last bias has no part in it; without a gradient of it DDP would wait for one: pytorch#47562
            nothing = 0 * out.reshape(len(out), -1).sum(1)
            losses.append(Loss(settings.every * settings.gamma / 2 * slope + nothing, {f"penalty/{penalty}": slope}))
        return Loss(_stacked(losses).sum(0), _means([loss.scalars for loss in losses]))

    def _g_loss(self, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        """The mean over the discriminators (Durugkar et al. 2017, arXiv:1611.01673)."""
        shown = self._shown(nets, batch, draw)
        losses = []
        for judge in self.judges:
            verdict = _verdict(nets[judge](shown.fake, shown.condition))
            loss = self.objective.generator(verdict.logits, self._real_logits(nets, judge, shown))
            scalars = {"loss/generator": loss}
            if self._classifies:
                loss = loss + self.options.auxiliary_weight * self._told_apart(verdict.heads, shown.condition)
            losses.append(Loss(loss, scalars))
        return Loss(_stacked(losses).mean(0), _means([loss.scalars for loss in losses]))

    def _real_logits(self, nets: Networks, judge: str, shown: Shown) -> Tensor | None:
        """What generated images are paired with; nothing here trains on it."""
        if not self.objective.paired:
            return None
        with torch.no_grad():
            return _verdict(nets[judge](shown.real, shown.condition)).logits

    @property
    def _classifies(self) -> bool:
        return bool(self.conditions) and self.options.discriminator.condition == "auxiliary"

    def _told_apart(self, heads: Tensor, condition: Tensor | None) -> Tensor:
        assert condition is not None
        return attribute_loss(heads, condition, self.conditions)

    def _known(self, heads: Tensor, condition: Tensor | None) -> dict[str, Tensor]:
        assert condition is not None
        known = auxiliary_accuracy(heads, condition, self.conditions)
        return {} if known is None else {"auxiliary/accuracy": known}

    def _observe(self, nets: Networks, margins: Tensor) -> dict[str, Tensor]:
        """Tells ADA what the first discriminator makes of real images."""
        if AUGMENT not in nets:
            return {}
        augment = cast(AdaAugment, nets[AUGMENT])
        augment.observe(margins)
        return augment.scalars()

    def weight_loss(self, phase: str, networks: Mapping[str, nn.Module]) -> Loss | None:
        penalties = self.options.penalties
        settings = {DISCRIMINATOR: penalties.discriminator_weights, GENERATOR: penalties.generator_weights}
        return on_weights(settings[phase], networks) if phase in settings else None

    def after_step(self, phase: str, networks: Mapping[str, nn.Module]) -> None:
        if phase == DISCRIMINATOR and AUGMENT in networks:
            cast(AdaAugment, networks[AUGMENT]).stepped()
        if phase != GENERATOR and self.options.penalties.clip:
            for judge in self.judges:
                cut_weights(networks[judge], self.options.penalties.clip)

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        condition = self._condition(batch)
        return {judge: _verdict(nets[judge](batch[self.form.kind], condition)).logits for judge in self.judges}

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        noise = {"z": draw.normal("z", self.options.latent)}
        return noise if condition is None else {**noise, "label": within(condition, self.conditions)}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets[GENERATOR](**inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        inputs = {"z": InputSpec(shape=(self.options.latent,), distribution="normal")}
        if self.conditions:
            told = self.conditions.attributes
            inputs["label"] = InputSpec(shape=(len(told),) if told else (), distribution="condition",
                                        classes=self.conditions.classes, attributes=told)
        return (GENERATOR,), GeneratorSpec(family=self.options.families[0], options=self._generator_options,
                                           inputs=inputs, **self.form.stated)


def refuse_other_kinds(options: ImageGanOptions, kind: str) -> None:
    """ConfigError for data, or settings, of another kind than the networks are for."""
    makes = options.generator.makes
    if makes != kind:
        raise ConfigError(f"model.recipe: {getattr(options, 'recipe', 'this')} makes {NOUNS[makes]}, and this data set "
                          f"holds {kind}; {WORKS[makes]}")
    if options.discriminator.makes != makes:
        family = options.generator.family
        raise ConfigError(f"model.discriminator.family={options.discriminator.family} judges "
                          f"{NOUNS[options.discriminator.makes]}, and model.generator.family={family} makes "
                          f"{NOUNS[makes]}; model.discriminator.family={family} works")
    of_images = {"augment": options.augment, "penalties.consistency": options.penalties.consistency}
    for name, setting in of_images.items():
        if setting is not None and makes != "image":
            raise ConfigError(f"model.{name}: changes images, and {options.generator.family} makes {NOUNS[makes]}; "
                              f"model.{name}=null works")


def _verdict(out: Tensor) -> Verdict:
    """[n], or [n, 1 + heads] of a discriminator that classifies."""
    return Verdict(out, out[:, None][:, :0]) if out.dim() == 1 else Verdict(out[:, 0], out[:, 1:])


def _stacked(losses: Iterable[Loss]) -> Tensor:
    """[discriminators, n]"""
    return torch.stack([loss.per_example for loss in losses])


def _means(of_each: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of scalars of the same names."""
    every = [*of_each]
    return dict(every[0]) if len(every) == 1 else {
        name: torch.stack([scalars[name].float().mean() for scalars in every if name in scalars]).mean()
        for name in every[0]
    }
