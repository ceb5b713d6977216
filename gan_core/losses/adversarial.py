"""Adversarial losses.  Each takes logits [B], higher is more real, and returns one value per example [B].

A target is the probability that an image is called real: 1 of real ones and 0 of generated ones, or what softened and
flipped labels make of these, a number for all or [B].  Without an activation at its end a critic's values are logits
too, and need be no probability's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn.functional import relu, softplus

Target = float | Tensor


class DiscriminatorLoss(Protocol):
    def __call__(
        self, real: Tensor, fake: Tensor, real_target: Target = 1.0, fake_target: Target = 0.0
    ) -> Tensor: ...


class GeneratorLoss(Protocol):
    def __call__(self, fake: Tensor, real: Tensor | None = None) -> Tensor: ...


def cross_entropy(logits: Tensor, target: Target) -> Tensor:
    """−t log σ(logit) − (1 − t) log(1 − σ(logit)), t the target.  [B], [B] or a number -> [B]"""
    return target * softplus(-logits) + (1 - target) * softplus(logits)


def non_saturating_d(
    real: Tensor, fake: Tensor, real_target: Target = 1.0, fake_target: Target = 0.0
) -> Tensor:
    """Discriminator: −log σ(real) − log(1 − σ(fake)), or cross entropy to other targets.  [B], [B] -> [B]

    Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1; softened targets: Salimans et al. 2016 (arXiv:1606.03498), 3.4.
    """
    return cross_entropy(real, real_target) + cross_entropy(fake, fake_target)


def non_saturating_g(fake: Tensor) -> Tensor:
    """Generator: −log σ(fake), whose gradient stays when the discriminator wins.  [B] -> [B]

    Goodfellow et al. 2014, section 3.
    """
    return softplus(-fake)


def minimax_g(fake: Tensor) -> Tensor:
    """Generator: log(1 − σ(fake)), whose gradient goes to nothing when the discriminator wins.  [B] -> [B]

    Goodfellow et al. 2014, eq. 1.
    """
    return -softplus(fake)


def least_squares_d(
    real: Tensor, fake: Tensor, real_target: Target = 1.0, fake_target: Target = 0.0
) -> Tensor:
    """Discriminator: ½ (real − 1)² + ½ fake², or the distance to other targets.  [B], [B] -> [B]

    Mao et al. 2017 (arXiv:1611.04076), eq. 2 with b = 1 and a = 0.
    """
    return ((real - real_target).square() + (fake - fake_target).square()) / 2


def least_squares_g(fake: Tensor) -> Tensor:
    """Generator: ½ (fake − 1)².  [B] -> [B]   Mao et al. 2017, eq. 2 with c = 1."""
    return (fake - 1).square() / 2


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator: max(0, 1 − real) + max(0, 1 + fake).  [B], [B] -> [B]

    Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), eq. 16.
    """
    return relu(1 - real) + relu(1 + fake)


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """Critic: fake − real; minus its mean estimates the Wasserstein distance of a critic that is 1-Lipschitz.

    [B], [B] -> [B]   Arjovsky et al. 2017 (arXiv:1701.07875), eq. 3.
    """
    return fake - real


def critic_g(fake: Tensor) -> Tensor:
    """Generator against a critic: −fake.  [B] -> [B]

    Arjovsky et al. 2017, theorem 3; of the hinge loss too: Miyato et al. 2018, eq. 17.
    """
    return -fake


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator: −log σ(real − fake), each real example above the generated one of its row.  [B], [B] -> [B]

    RSGAN of Jolicoeur-Martineau 2019 (arXiv:1807.00734), section 4;
    R3GAN's: Huang et al. 2024 (arXiv:2501.05441), eq. 2.
    """
    return softplus(fake - real)


def relativistic_g(fake: Tensor, real: Tensor) -> Tensor:
    """Generator: −log σ(fake − real).  [B], [B] -> [B]   RSGAN, section 4."""
    return softplus(real - fake)


@dataclass(frozen=True)
class Objective:
    """What the two play for.

    takes_targets: other targets than 1 and 0 mean something to it, else they are a ValueError.  paired: the
    generator's loss reads the logits of real examples too.  margin(real, fake): [B], above 0 where a real example is
    told to be one; what accuracy and the r_t of adaptive augmentation are counted by.
    """

    discriminator: DiscriminatorLoss
    generator: GeneratorLoss
    margin: Callable[[Tensor, Tensor], Tensor]
    takes_targets: bool = False
    paired: bool = False


def _without_targets(loss: Callable[[Tensor, Tensor], Tensor]) -> DiscriminatorLoss:
    def discriminator(
        real: Tensor, fake: Tensor, real_target: Target = 1.0, fake_target: Target = 0.0
    ) -> Tensor:
        given = (real_target, fake_target)
        if any(isinstance(target, Tensor) for target in given) or given != (1.0, 0.0):
            raise ValueError(f"targets {given}, and {loss.__name__} has none: softened and flipped labels work with "
                             "minimax, non_saturating and least_squares")
        return loss(real, fake)

    return discriminator


def _of_fake_alone(loss: Callable[[Tensor], Tensor]) -> GeneratorLoss:
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        return loss(fake)

    return generator


def _of_both(loss: Callable[[Tensor, Tensor], Tensor]) -> GeneratorLoss:
    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ValueError(f"{loss.__name__} compares generated examples with real ones, whose logits are missing")
        return loss(fake, real)

    return generator


def _above_0(real: Tensor, fake: Tensor) -> Tensor:
    return real


def _above_half(real: Tensor, fake: Tensor) -> Tensor:
    return real - 0.5  # between its targets


def _above_fake(real: Tensor, fake: Tensor) -> Tensor:
    return real - fake  # the loss is of differences alone: no value of one logit says real


OBJECTIVES: Mapping[str, Objective] = {
    "minimax": Objective(non_saturating_d, _of_fake_alone(minimax_g), _above_0, takes_targets=True),
    "non_saturating": Objective(non_saturating_d, _of_fake_alone(non_saturating_g), _above_0, takes_targets=True),
    "least_squares": Objective(least_squares_d, _of_fake_alone(least_squares_g), _above_half, takes_targets=True),
    "hinge": Objective(_without_targets(hinge_d), _of_fake_alone(critic_g), _above_0),
    "wasserstein": Objective(_without_targets(wasserstein_d), _of_fake_alone(critic_g), _above_fake),
    "relativistic": Objective(_without_targets(relativistic_d), _of_both(relativistic_g), _above_fake, paired=True),
}
