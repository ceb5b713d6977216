"""What goes wrong in a run, named while it happens: each rule reads the newest rows of the curves and nothing else.

    troubles(rows) -> [Trouble("the discriminator wins", what was seen, what to change), …]

A rule speaks only when what it looks for has lasted for several rows or measurements, after a warm-up, and is not
already getting better: a young generator is blind, alike and far behind in every healthy run too.  Each threshold says
what it was chosen from: "healthy" and "provoked" are runs of the DCGAN over 40,960 to 102,400 images, thirteen healthy
ones on digits, USPS and Fashion-MNIST, in none of which any rule speaks, and twenty-five that were to be provoked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median

from gan_core.train.report import Trouble

Row = Mapping[str, float]

REMEMBERED = 64
"""Rows that the rules are given at most, the newest."""

WARM_UP_IMAGES, WARM_UP_ROWS = 20_480, 16
"""Before these, nothing is said.  Healthy runs of the digits have their first classes after 5,000 to 20,000 images."""

LASTING_ROWS = 8
"""Rows in which a scalar of every step must be out of bounds."""

LASTING_LOOKS = 3
"""Measurements on fixed samples, one each `train.sample_every`, that must be out of bounds."""

RISING = 1.1
"""A measurement that has grown by a tenth within the last looks is on its way up: the rule waits."""

MODE_COLLAPSE = "mode collapse"
WINS = "the discriminator wins"
LOSES = "the discriminator is fooled"
OVERFITS = "the discriminator overfits"
VANISHES, EXPLODES = "vanishing gradient", "exploding gradient"
IGNORES = "classes are ignored"
OSCILLATES = "oscillation"

WINNING_ACCURACY, WINNING_GAP = 0.98, 3.0
"""Share that the discriminator gets right, and mean logit of real minus that of generated samples.

Provoked by a generator that hardly learns: 1.000, and 4.1 to 22 apart.  Healthy after the warm-up: at most 0.82, and
0.02 to 1.  A gap of 3 around 0 is 82 % certainty either way.
"""

FOOLED_ACCURACY = 0.35
"""Provoked by a discriminator that hardly learns: 0.16.  Healthy: above 0.5, which is what a match is like."""

OVERFIT_SHARE, OVERFIT_GAP = 0.70, 0.5
"""Pairs of a training and a validation example that the discriminator tells apart, and the distance of their mean
logits beside that of real and generated ones (r_v of Karras et al. 2020, arXiv:2006.06676).

Provoked by 32 to 256 training examples: 0.70 to 1.00 and 0.9 to 5.  Healthy, with 1,257 and more: at most 0.62; the
second alone is noise where the discriminator cannot tell real from generated, and reaches 0.85.
"""

VANISHED, VANISHED_SHARE = 1e-5, 0.02
"""Norm at which an element of a million is no larger than Adam's epsilon, 1e-8; and share of the norm's own median."""

EXPLODED, EXPLODED_TIMES = 10.0, 20.0
"""Norm, and how many times its own median.

Provoked by learning rates 20 times too high: 43 to 51, and 114 times the median.  Healthy: at most 4 times the median.
"""

ALIKE, ALIKE_IN_CLASS, FALLEN = 0.25, 0.2, 0.5
"""Distances of samples beside those of real examples: over all, within the worst class, and beside the best so far.

Provoked by a generator's learning rate 100 times too high: 0.00 to 0.19 within a class, with 0.9 over all.  Healthy:
above 0.5 over all at 20,480 images and 0.85 later, above 0.29 within a class.
"""

DEAD, YOUNG = 0.05, 0.5
"""Diversity of a generator that says one thing (a learning rate of 1: 0.00), and what one that has not learned anything
yet has never reached (weights fresh from the seed: 0.2 to 0.3).
"""

IGNORED, TELLING = 0.5, 0.6
"""Agreement beside that of real images; and the agreement of real images from which class means tell anything."""

SWING, CROSSINGS, SWINGING_ROWS = 0.25, 4, 16
"""A loss's mean distance from its median beside the median itself, and how often it crosses it, in how many rows.

Provoked by momentum (betas 0.9, 0.999) and a learning rate 4 times too high without R1: 0.27 to 0.9 and 5 to 9.
Healthy: at most 0.03, after the warm-up.
"""

R1 = "model.penalties.r1.gamma"
RATE_G, RATE_D = "model.generator_optimizer.learning_rate", "model.discriminator_optimizer.learning_rate"


def troubles(rows: Sequence[Row]) -> list[Trouble]:
    """What lasts at the newest of these rows.  rows: of one run, in order; not every row has every name."""
    rows = rows[-REMEMBERED:]
    return [trouble for rule in RULES for trouble in rule(rows)] if warmed_up(rows) else []


def warmed_up(rows: Sequence[Row]) -> bool:
    """Whether a run is far enough for any trouble to be named."""
    return len(rows) >= WARM_UP_ROWS and rows[-1]["position"] >= WARM_UP_IMAGES


def mode_collapse(rows: Sequence[Row]) -> Iterator[Trouble]:
    """The samples of fixed noise have become alike, all of them or those of a class."""
    overall, in_class = _looks(rows, "diversity/raw_pairwise"), _looks(rows, "diversity/raw_class")
    best = max(overall, default=0.0)
    if overall and overall[-1] > DEAD and best < YOUNG and any(one_network_wins(rows)):
        return  # it has not begun to learn, for another reason
    if _stays_below(overall, max(ALIKE, FALLEN * best)):
        seen = (f"samples of fixed noise are {overall[-1]:.2f} times as far apart as real examples"
                f"{_over(rows, LASTING_LOOKS, 'diversity/raw_pairwise')}; at best it was {best:.2f}")
    elif _stays_below(in_class, ALIKE_IN_CLASS):
        seen = (f"samples of one class are {in_class[-1]:.2f} times as far apart as real examples of it"
                f"{_over(rows, LASTING_LOOKS, 'diversity/raw_class')}: the generator knows one picture of it")
    else:
        return
    yield Trouble(MODE_COLLAPSE, seen, f"lower {RATE_G}, raise {R1} or train.batch, and begin again: a collapsed "
                                       "generator seldom recovers")


def classes_ignored(rows: Sequence[Row]) -> Iterator[Trouble]:
    """Samples differ, and not by the class that was asked for."""
    found, real = _looks(rows, "agreement/raw_class"), _looks(rows, "agreement/real")
    overall = _looks(rows, "diversity/raw_pairwise")
    if not real or real[-1] < TELLING or not overall or overall[-1] < ALIKE or any(one_network_wins(rows)):
        return
    if _stays_below(found, IGNORED * real[-1]):
        yield Trouble(IGNORES, f"{found[-1]:.0%} of the samples look like the class that was asked for, of real images "
                               f"{real[-1]:.0%}{_over(rows, LASTING_LOOKS, 'agreement/raw_class')}",
                      "if nothing else is wrong: see with `gan dataset check` whether the labels fit the images, or "
                      "raise model.width")


def one_network_wins(rows: Sequence[Row]) -> Iterator[Trouble]:
    """The discriminator is nearly always right by a wide margin, or worse than a coin: the other learns little."""
    last = [row for row in rows[-LASTING_ROWS:] if {"logits/real", "logits/fake"} <= row.keys()]
    right = [value for row in last for name, value in row.items() if name.startswith("accuracy/")]
    if len(last) < LASTING_ROWS or not right:
        return
    gaps = [row["logits/real"] - row["logits/fake"] for row in last]
    seen = (f"it is right about {fmean(right):.1%} of real and generated examples, whose logits are {gaps[-1]:.2g} "
            f"apart{_over(rows, LASTING_ROWS)}")
    if min(right) >= WINNING_ACCURACY and min(gaps) >= WINNING_GAP:
        yield Trouble(WINS, seen, f"raise {RATE_G} or lower {RATE_D}; raise {R1} where the gap still grows")
    elif max(right) <= FOOLED_ACCURACY:
        yield Trouble(LOSES, seen, f"raise {RATE_D} or lower {RATE_G}")


def discriminator_overfits(rows: Sequence[Row]) -> Iterator[Trouble]:
    """It knows training examples by heart: what it asks of the generator is to copy them."""
    last = [row for row in rows if {"overfit/discriminator", "logits/train", "logits/validation", "logits/real",
                                    "logits/fake"} <= row.keys()][-LASTING_LOOKS:]
    apart = [row["logits/train"] - row["logits/validation"] for row in last]
    gaps = [row["logits/real"] - row["logits/fake"] for row in last]
    if len(last) < LASTING_LOOKS or min(row["overfit/discriminator"] for row in last) < OVERFIT_SHARE:
        return
    if all(ours >= OVERFIT_GAP * gap for ours, gap in zip(apart, gaps, strict=True)):
        share = last[-1]["overfit/discriminator"]
        yield Trouble(OVERFITS, f"in {share:.0%} of pairs it scores the training example above the validation one"
                                f"{_over(rows, LASTING_LOOKS, 'overfit/discriminator')}; their logits are "
                                f"{apart[-1]:.2g} apart, those of real and generated examples {gaps[-1]:.2g}",
                      f"raise {R1}; set train.augment.flip or train.augment.shift where that leaves examples real; "
                      "lower train.images; or find more training examples")


def gradients(rows: Sequence[Row]) -> Iterator[Trouble]:
    """The norm of a network's gradient has left its own range for good."""
    for name in sorted({name for row in rows for name in row if name.startswith("gradient/")}):
        norms = _looks(rows, name)
        last, before = norms[-LASTING_ROWS:], norms[:-LASTING_ROWS]
        if len(before) < LASTING_ROWS:
            continue
        usual, network = median(before), name.partition("/")[2]
        seen = (f"the {network}'s has norm {last[-1]:.2g}{_over(rows, LASTING_ROWS, name)}; its median before was "
                f"{usual:.2g}")
        if max(last) < max(VANISHED, VANISHED_SHARE * usual):
            yield Trouble(VANISHES, seen, f"the {network} no longer learns: lower the learning rates, raise {R1}, and "
                                          "begin again or from an earlier checkpoint")
        elif min(last) > max(EXPLODED, EXPLODED_TIMES * usual):
            yield Trouble(EXPLODES, seen, f"lower the learning rates or raise {R1}; with train.on_divergence.policy="
                                          "roll_back a run that diverges goes on from its last good checkpoint")


def oscillation(rows: Sequence[Row]) -> Iterator[Trouble]:
    """A loss swings widely around its middle instead of settling: the networks chase each other in circles."""
    for name in ("loss/generator", "loss/discriminator"):
        values = [row[name] for row in rows[-SWINGING_ROWS:] if name in row and row["position"] > WARM_UP_IMAGES]
        if len(values) < SWINGING_ROWS or min(values) <= 0:
            continue  # where a loss may be negative its size says nothing
        middle = median(values)
        offsets = [value - middle for value in values]
        crossings = sum(a * b < 0 for a, b in pairwise(offsets))
        if crossings >= CROSSINGS and fmean(map(abs, offsets)) >= SWING * middle:
            seen = (f"{name} swings between {min(values):.2g} and {max(values):.2g} and has crossed its median of "
                    f"{middle:.2g} {crossings} times{_over(rows, SWINGING_ROWS, name).replace(' for', ' in')}")
            yield Trouble(OSCILLATES, seen,
                          f"lower both learning rates or their first beta, raise {R1} or train.batch")
            return


@dataclass(frozen=True)
class Spell:
    """A trouble as it was last seen.  first, last: positions; times: how often it began; lasting: at the newest row."""

    trouble: Trouble
    first: int
    last: int
    times: int
    lasting: bool


def history(rows: Sequence[Row]) -> list[Spell]:
    """Every trouble of a run from its first row on, as it was told while it went on, in order of appearance."""
    spells: dict[str, Spell] = {}
    for end in range(1, len(rows) + 1):
        position = int(rows[end - 1]["position"])
        found = {trouble.name: trouble for trouble in troubles(rows[max(0, end - REMEMBERED) : end])}
        for name, trouble in found.items():
            known = spells.get(name, Spell(trouble, position, position, 0, False))
            spells[name] = Spell(trouble, known.first, position, known.times + (not known.lasting), True)
        for name in spells.keys() - found:
            spells[name] = replace(spells[name], lasting=False)
    return list(spells.values())


RULES: tuple[Callable[[Sequence[Row]], Iterator[Trouble]], ...] = (
    mode_collapse, one_network_wins, discriminator_overfits, classes_ignored, gradients, oscillation,
)


def _looks(rows: Sequence[Row], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _stays_below(values: Sequence[float], bound: float) -> bool:
    """Whether the last measurements are all below, and not on their way up."""
    last = values[-LASTING_LOOKS:]
    return len(last) == LASTING_LOOKS and max(last) < bound and last[-1] < RISING * max(last[0], math.ulp(0))


def _over(rows: Sequence[Row], count: int, name: str = "position") -> str:
    """' for 10,240 images', from the position of the first to that of the last of `count` rows that have the name."""
    those = [row for row in rows if name in row][-count:]
    return f" for {int(those[-1]['position'] - those[0]['position']):,} images"
