"""Networks of texts: shapes, what they are told, gradients, and the noise that characters are drawn by."""

from __future__ import annotations

from math import exp, pi, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_core.models.dropout import dropout_from
from gan_core.models.text_conv import TextConvDiscriminator, TextConvGenerator
from gan_core.models.text_rnn import TextRnnDiscriminator, TextRnnGenerator, gumbel, straight_through

N, LATENT = 6, 5
LABEL = torch.arange(N) % 3
ALPHABETS = [(2, 1), (2, 7), (30, 12), (500, 40)]  # symbols, length
TOLD: dict[str, Any] = {"classes": 3}
ONE = torch.tensor(1.0)


def noise(*shape: int) -> Tensor:
    return torch.randn(N, *shape, generator=torch.Generator().manual_seed(1))


def generator(family: str, symbols: int, length: int, told: dict[str, Any] | None = None) -> nn.Module:
    torch.manual_seed(0)
    if family == "conv":
        return TextConvGenerator(symbols, length, LATENT, 8, 1, told)
    return TextRnnGenerator(symbols, length, LATENT, 8, told)


def made(family: str, network: nn.Module, symbols: int, length: int, *label: Tensor) -> Tensor:
    given = {"z": noise(LATENT), **({"noise": noise(symbols, length)} if family == "rnn" else {})}
    text: Tensor = network(**given, **({"label": label[0]} if label else {}))
    return text


@pytest.mark.parametrize("family", ["conv", "rnn"])
@pytest.mark.parametrize(("symbols", "length"), ALPHABETS)
def test_a_text_has_a_distribution_at_each_place(family: str, symbols: int, length: int) -> None:
    text = made(family, generator(family, symbols, length), symbols, length)
    assert text.shape == (N, symbols, length)
    assert torch.allclose(text.sum(1), torch.ones(N, length), atol=1e-5)
    assert bool((text >= 0).all())
    if family == "rnn":
        assert bool(((text == 0) | (text == 1)).all())


@pytest.mark.parametrize("family", ["conv", "rnn"])
def test_the_label_has_a_part_in_the_text_and_in_the_verdict(family: str) -> None:
    network = generator(family, 30, 12, TOLD).double()
    given = {"z": noise(LATENT).double(), **({"noise": noise(30, 12).double()} if family == "rnn" else {})}
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(4)
        one, other = (network(**given, label=label) for label in (LABEL, LABEL.flip(0)))
    assert not torch.equal(one, other)
    judge = judge_of(family, TOLD)
    text = made(family, generator(family, 30, 12), 30, 12)
    assert judge(text, LABEL).shape == (N,)
    assert not torch.allclose(judge(text, LABEL), judge(text, LABEL.flip(0)))


def judge_of(family: str, told: dict[str, Any] | None = None, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    if family == "conv":
        return TextConvDiscriminator(30, 12, 8, 1, told)
    return TextRnnDiscriminator(30, 12, 8, told, **options)


@pytest.mark.parametrize("family", ["conv", "rnn"])
def test_every_weight_has_a_part(family: str) -> None:
    network, judge = generator(family, 30, 12, TOLD), judge_of(family, TOLD)
    given = {"z": noise(LATENT), "label": LABEL, **({"noise": noise(30, 12), "temperature": ONE} if family == "rnn"
                                                    else {})}
    judge(network(**given), LABEL).sum().backward()
    assert not [name for net in (network, judge) for name, weight in net.named_parameters() if weight.grad is None]
    assert all(bool(weight.grad.abs().sum() > 0) for weight in network.parameters() if weight.grad is not None)


def test_a_penalty_on_the_critic_is_differentiated_as_finite_differences_say() -> None:
    judge = judge_of("conv").double()
    with torch.no_grad():
        for weight in judge.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
    text = torch.rand(N, 30, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    def penalty() -> Tensor:
        (slope,) = torch.autograd.grad(judge(text).sum(), text, create_graph=True)
        return slope.square().sum()

    weight = judge.get_parameter("from_symbols.weight")
    (found,) = torch.autograd.grad(penalty(), weight)
    ends = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            weight[0, 0, 0] += step
        ends.append(penalty().item())
    assert float(found[0, 0, 0]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_normal_numbers_become_those_of_gumbels_distribution() -> None:
    x = torch.linspace(-5, 5, 200_001, dtype=torch.float64)
    density = torch.exp(-x.square() / 2) / sqrt(2 * pi) * 5e-5
    g = gumbel(x)
    assert float((g * density).sum()) == pytest.approx(0.57722, abs=1e-4)  # Euler's constant
    assert float((g.square() * density).sum()) - 0.57722**2 == pytest.approx(pi**2 / 6, abs=1e-3)
    assert float(gumbel(torch.zeros(1))) == pytest.approx(0.36651, abs=1e-5)  # −log log 2
    assert bool(gumbel(torch.tensor([-60.0, -6.0, 6.0, 60.0])).isfinite().all())


def test_symbols_are_drawn_as_often_as_their_probabilities_say() -> None:
    scores = torch.tensor([0.0, 1.0, 2.0])
    drawn = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(0))
    found = straight_through(scores + gumbel(drawn), None).mean(0)
    total = sum(exp(score) for score in scores.tolist())
    assert found.tolist() == pytest.approx([exp(score) / total for score in scores.tolist()], abs=0.01)


def test_the_gradient_is_that_of_the_softmax_at_the_temperature() -> None:
    weights = torch.tensor([1.0, -2.0, 0.5])
    for temperature in (0.5, 3.0):
        scores = torch.tensor([[0.2, 0.9, -0.4]], requires_grad=True)
        hard = straight_through(scores, torch.tensor(temperature))
        assert hard.detach().round(decimals=5).tolist() == [[0, 1, 0]]
        (found,) = torch.autograd.grad((hard * weights).sum(), scores)
        (want,) = torch.autograd.grad((torch.softmax(scores / temperature, 1) * weights).sum(), scores)
        assert torch.allclose(found, want)


def test_the_temperature_moves_no_character() -> None:
    network, given = generator("rnn", 30, 12), {"z": noise(LATENT), "noise": noise(30, 12)}
    cold, hot = (network(**given, temperature=torch.tensor(t)) for t in (0.1, 10.0))
    assert torch.equal(cold.argmax(1), hot.argmax(1))
    assert torch.equal(cold.argmax(1), network(**given).argmax(1))


def test_dropout_hides_other_numbers_from_each_look_in_training_alone() -> None:
    judge, text = judge_of("rnn", dropout=0.5), made("rnn", generator("rnn", 30, 12), 30, 12)
    seeds = iter(range(9))
    with dropout_from(lambda: torch.Generator().manual_seed(next(seeds)), slice(0, N), N):
        assert not torch.allclose(judge(text), judge(text))
        assert torch.equal(judge.eval()(text), judge(text))
