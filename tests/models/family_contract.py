"""What every network family promises; a family's tests inherit it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import Any, ClassVar, get_args

import pytest
import torch
from torch import Tensor, nn

from gan_core.models.dropout import dropout_from
from gan_core.options.conditions import Attribute, Conditions
from gan_core.options.networks import ConditionBy

N, LATENT = 4, 6
NOTHING = Conditions()
CLASSES = Conditions(classes=3)
ATTRIBUTES = Conditions(attributes=(Attribute(name="smiling", kind="binary"),
                                    Attribute(name="hair", kind="categorical", values=3)))
LABELS = {NOTHING: None, CLASSES: torch.tensor([0, 1, 2, 1]),
          ATTRIBUTES: torch.tensor([[0.0, 2], [1, 0], [1, 1], [0, 1]])}
TOLD = pytest.mark.parametrize("told", LABELS, ids=["nothing", "classes", "attributes"])
BY = pytest.mark.parametrize("by", get_args(ConditionBy))
Options = Mapping[str, Any]
Shape = tuple[int, int, int]


class FamilyContract:
    """Give `Generator`, `Discriminator`, the shapes of images to make and the options to try, each by itself."""

    Generator: ClassVar[type[nn.Module]]
    Discriminator: ClassVar[type[nn.Module]]
    shape: ClassVar[Shape] = (1, 8, 8)
    generator_options: ClassVar[tuple[Options, ...]]
    discriminator_options: ClassVar[tuple[Options, ...]]

    def generator(self, told: Conditions = NOTHING, shape: Shape | None = None, **own: Any) -> nn.Module:
        torch.manual_seed(0)
        return self.Generator(shape or self.shape, LATENT, 2, told.model_dump(), **own)

    def discriminator(self, told: Conditions = NOTHING, shape: Shape | None = None, **own: Any) -> nn.Module:
        torch.manual_seed(0)
        return self.Discriminator(shape or self.shape, 2, told.model_dump(), **own)

    def noise(self) -> Tensor:
        return torch.randn(N, LATENT, generator=torch.Generator().manual_seed(1))

    def images(self, shape: Shape | None = None) -> Tensor:
        return torch.randn(N, *(shape or self.shape), generator=torch.Generator().manual_seed(2))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name in ("generator_options", "discriminator_options"):
            if name in metafunc.fixturenames:
                tried = ({}, *getattr(self, name))
                metafunc.parametrize(name, tried, ids=[json.dumps(options) for options in tried])

    @TOLD
    def test_images_are_within_their_range_and_differ_by_label(self, told: Conditions) -> None:
        made, label = at_large(self.generator(told)).eval(), LABELS[told]
        images = made(self.noise(), label)
        assert images.shape == (N, *self.shape)
        assert images.dtype == torch.float32
        assert -1 <= images.min() < -0.3 < 0.3 < images.max() <= 1
        if label is not None:
            assert not torch.allclose(images, made(self.noise(), label.flip(0)))

    @BY
    @TOLD
    def test_verdicts_are_one_logit_and_what_is_predicted(self, told: Conditions, by: ConditionBy) -> None:
        judge, label = at_large(self.discriminator(told, condition=by)).eval(), LABELS[told]
        found = judge(self.images(), label)
        assert found.isfinite().all()
        if told and by == "auxiliary":
            assert found.shape == (N, 1 + told.heads)
            assert torch.equal(found, judge(self.images(), None))
        else:
            assert found.shape == (N,)
            assert label is None or not torch.allclose(found, judge(self.images(), label.flip(0)))

    def test_the_label_and_every_weight_of_a_generator_have_a_part_in_its_images(
        self, generator_options: Options
    ) -> None:
        for told in (CLASSES,) if generator_options else LABELS:
            made = self.generator(told, **generator_options).train()
            with masks():
                (made(self.noise(), LABELS[told]) * self.images()).sum().backward()
            assert_all_have_gradients(made)
            made, label = at_large(made).eval(), LABELS[told]
            assert label is None or not torch.allclose(made(self.noise(), label), made(self.noise(), label.flip(0)))

    @BY
    @TOLD
    def test_every_weight_of_a_discriminator_has_a_part_in_its_verdict(self, told: Conditions, by: ConditionBy) -> None:
        judge = self.discriminator(told, condition=by).train()
        with masks():
            judge(self.images(), LABELS[told]).sum().backward()
        assert_all_have_gradients(judge)

    def test_penalties_are_differentiated_as_finite_differences_say(self, discriminator_options: Options) -> None:
        for by in ("projection",) if discriminator_options else get_args(ConditionBy):
            self.check_penalty({"condition": by, **discriminator_options})

    def check_penalty(self, options: Options) -> None:
        judge = at_large(self.discriminator(CLASSES, **options).double().train(), 0.5)
        weights = [weight for weight in judge.parameters() if weight.requires_grad]

        def penalty() -> Tensor:
            x = self.images().double().requires_grad_()
            with masks():
                logits = judge(x, LABELS[CLASSES]).view(N, -1)[:, 0]
            (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
            return slope.square().sum().log()

        gradients = torch.autograd.grad(penalty(), weights, allow_unused=True)  # the last bias has no part in it
        found = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]
        generator = torch.Generator().manual_seed(3)
        way = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
        step = 1e-6
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                torch._foreach_add_(weights, way, alpha=sign * step)
            ends.append(penalty().item())
            with torch.no_grad():
                torch._foreach_add_(weights, way, alpha=-sign * step)
        want = (ends[0] - ends[1]) / (2 * step)
        assert float(sum((g * w).sum() for g, w in zip(found, way, strict=True))) == pytest.approx(want, rel=1e-4)

    def test_options_change_the_network(self) -> None:
        for make, tried, given in ((self.generator, self.generator_options, self.noise()),
                                   (self.discriminator, self.discriminator_options, self.images())):
            with masks():
                plain = make(CLASSES)(given, LABELS[CLASSES])
                for options in tried:
                    other = make(CLASSES, **options)(given, LABELS[CLASSES])
                    same = "checkpointing" in options
                    assert torch.allclose(plain, other, rtol=1e-3, atol=0) == same, options

    @TOLD
    def test_options_as_json_and_a_state_dict_make_the_same_network(self, told: Conditions) -> None:
        options = json.loads(json.dumps({"shape": self.shape, "latent": LATENT, "width": 2,
                                         "conditions": told.model_dump(), "spectral": True}))
        first, again = self.Generator(**options), self.Generator(**options)
        again.load_state_dict(first.state_dict())
        copied = copy.deepcopy(first)
        images = [network.eval()(self.noise(), LABELS[told]) for network in (first, again, copied)]
        assert torch.equal(images[0], images[1])
        assert torch.equal(images[0], images[2])

    def test_spectral_norm_bounds_every_layer(self) -> None:
        for network in (self.generator(CLASSES, spectral=True), self.discriminator(CLASSES, spectral=True)):
            stepping = [part for part in network.modules() if hasattr(part, "stepped")]
            named = [name for name in network.state_dict() if name.endswith("weight")]
            assert len(stepping) >= 3
            assert not [name for name in named if network.get_parameter(name).dim() > 1]


def at_large(network: nn.Module, std: float = 1.0) -> nn.Module:
    """With weights large enough to reach the ends of what they can."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * std)
    return network


def masks() -> AbstractContextManager[None]:
    """The same for every run of a network in training."""
    seeds = count()
    return dropout_from(lambda: torch.Generator().manual_seed(next(seeds)), slice(0, N), N)


def numbers_kept(run: Callable[[], Tensor]) -> int:
    """How many numbers a forward keeps for the backward pass."""
    kept: list[int] = []

    def counted(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(counted, lambda tensor: tensor):
        run()
    return sum(kept)


def assert_all_have_gradients(network: nn.Module) -> None:
    assert not [name for name, weight in network.named_parameters() if weight.grad is None]
