"""MoCoGAN (Tulyakov et al. 2018, arXiv:1707.04993): clips whose content stays while their motion goes on.

The generator makes T frames ṽ out of one content code z, the noise ε of each frame and, where there are labels, the
class c.  One judge D_I sees a frame S₁ of a clip at random, the other D_V all of it, S_T:

    L(D_I, D_V, G) = E_v[log D_I(S₁(v))] + E_ṽ[log(1 − D_I(S₁(ṽ)))]                                  (section 3.2)
                   + E_v[log D_V(S_T(v))] + E_ṽ[log(1 − D_V(S_T(ṽ)))]

Unlike the paper's, the generator's loss is the non-saturating one by default, labels reach the judges by projection
(Miyato & Koyama 2018) in place of being predicted, and R1 (Mescheder et al. 2018) takes the place of the judges' batch
norm: γ / 2 · E_v[|∇D(v)|²] of either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.losses.adversarial import OBJECTIVES
from gan_core.losses.penalties import zero_centred
from gan_core.models.dcgan import DcganDiscriminator
from gan_core.models.mocogan import ClipDiscriminator, ClipShape, MocoganGenerator
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.conditions import Conditions
from gan_core.options.mocogan import MocoganOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Defaults, Loss, Networks, Phase, judgement

JUDGES = ("judge_frames", "judge_clips")


class Mocogan(Defaults):
    """One generator of clips, a judge of frames and a judge of clips."""

    def __init__(self, options: MocoganOptions, data: DataSpec) -> None:
        if data.kind != "video":
            raise ConfigError(f"model.recipe: mocogan makes clips, and this data set holds {data.kind}; data of video "
                              "works, such as data.source=moving_digits")
        if options.conditional and not data.classes:
            raise ConfigError("model.conditional: true, but the data has no labels; model.conditional=false works")
        self.options, self.shape, self.form = options, cast(ClipShape, data.shape), data.form
        self.conditions = Conditions(classes=data.classes if options.conditional else 0)
        self.objective = OBJECTIVES[options.objective]

    def networks(self) -> dict[str, nn.Module]:
        width, told = self.options.width, self.conditions.model_dump()
        return {"generator": MocoganGenerator(**self._generator_options),
                "judge_frames": DcganDiscriminator(self.shape[1:], width, told),
                "judge_clips": ClipDiscriminator(self.shape, width, told)}

    @property
    def _generator_options(self) -> dict[str, Any]:
        o = self.options
        return {"shape": self.shape, "content": o.content, "motion": o.motion, "width": o.width,
                "conditions": self.conditions.model_dump()}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("judges", JUDGES, self.options.judge_optimizer),
                Phase("generator", ("generator",), self.options.generator_optimizer))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """What the judges see, and what the generator then learns from."""
        return {"fake": self.generate(nets, self.inputs(draw, batch["label"] if self.conditions else None))}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        label = batch["label"] if self.conditions else None
        if phase == "generator":
            return self._generator_loss(nets, batch["fake"], label, draw)
        frames, clips = (self._judge_loss(nets, judge, batch, label, draw) for judge in JUDGES)
        return Loss(frames.per_example + clips.per_example, {**frames.scalars, **clips.scalars})

    def _generator_loss(self, nets: Networks, fake: Tensor, label: Tensor | None, draw: Draw) -> Loss:
        said = (nets[judge](self._seen(judge, fake, draw), label) for judge in JUDGES)
        frames, clips = map(self.objective.generator, said)
        return Loss(frames + clips, {"loss/generator_frames": frames, "loss/generator_clips": clips})

    def _judge_loss(self, nets: Networks, judge: str, batch: Batch, label: Tensor | None, draw: Draw) -> Loss:
        real = self._seen(judge, batch["video"], draw.within("real")).detach().requires_grad_()
        fake = self._seen(judge, batch["fake"].detach(), draw.within("fake"))
        of_real, of_fake = nets[judge](real, label), nets[judge](fake, label)
        loss, slope = self.objective.discriminator(of_real, of_fake), zero_centred(real, of_real)
        told = judgement(of_real, of_fake, self.objective.margin)
        scalars = {f"loss/{judge}": loss, f"penalty/{judge}": slope,
                   **{f"{name}_{judge}": value for name, value in told.items()}}
        return Loss(loss + self.options.r1 / 2 * slope, scalars)

    def _seen(self, judge: str, clips: Tensor, draw: Draw) -> Tensor:
        """Clips [n, T, C, H, W] themselves, or one frame at random of each, [n, C, H, W]."""
        if judge == "judge_clips":
            return clips
        return clips[torch.arange(len(clips), device=clips.device), draw.integers("frame", clips.shape[1])]

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        """Of the frames, what is said of the one in the middle."""
        label, clips = batch["label"] if self.conditions else None, batch["video"]
        return {"judge_frames": nets["judge_frames"](clips[:, clips.shape[1] // 2], label),
                "judge_clips": nets["judge_clips"](clips, label)}

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        noise = {name: draw.normal(name, *shape) for name, shape in self._noise.items()}
        return noise if condition is None else {**noise, "label": condition}

    @property
    def _noise(self) -> dict[str, tuple[int, ...]]:
        return {"z": (self.options.content,), "motion": (self.shape[0] + 1, self.options.motion)}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets["generator"](**inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        inputs = {name: InputSpec(shape=shape, distribution="normal") for name, shape in self._noise.items()}
        if self.conditions:
            inputs["label"] = InputSpec(shape=(), distribution="condition", classes=self.conditions.classes)
        return ("generator",), GeneratorSpec(family="mocogan_generator", options=self._generator_options,
                                             inputs=inputs, **self.form.stated)
