"""What is seen of a run from outside its losses: the same noise and the same real examples, looked at again and again.

    diversity/pairwise      mean distance between two samples of fixed noise ÷ that between two real examples
    diversity/class         the same within a class, for the class where it is smallest
    agreement/class         share of samples whose nearest class mean of real images is that of the class asked for
    agreement/real          the same share of held-out real images: what a perfect generator would reach, not 1
    logits/train            mean logit of the discriminators on fixed training examples
    logits/validation       on fixed validation examples, which no discriminator has been trained on
    overfit/discriminator   share of pairs of a training and a validation example of which the training one has the
                            higher logit: ½ where the discriminator cannot tell them apart, 1 where it knows the
                            training set by heart

Diversity is 1 for samples as far apart as the data and goes to 0 as they become one picture; distances are L2 between
whole examples, which are looked at as pictures where they are none (`gan_core.modalities`).  These samples are of the
averaged weights, which are what is published and which follow slowly; diversity/raw_pairwise, diversity/raw_class and
agreement/raw_class are of the weights as they are being trained, where a collapse shows first.  All of it is a function
of (seed, networks), whoever looks and on however many workers they were trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_core.data.batches import Batches, ready
from gan_core.data.sampler import stream
from gan_core.data.shards import RemoteSplit, Shards, Split
from gan_core.modalities.kinds import modality_of
from gan_core.models.spec import InputSpec
from gan_core.pictures import COLOURS, grid, png
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Recipe
from gan_core.train.likeness import Real, looked_at

NAMES = ("diversity/", "agreement/", "logits/train", "logits/validation", "overfit/")
"""What the names of its measurements begin with."""
ALWAYS = "logits/train"
"""Measured of every recipe and data set, so that a row without it was not watched."""

UNLABELLED = 64  # samples of fixed noise where there are no classes, and at least about as many where there are
PER_CLASS = 10  # samples of each class on the grid, and no fewer measured
MOST_CLASSES = 10  # classes looked at: with more, some that lie evenly among them
JUDGED = 256  # fixed real examples of each split that the discriminators judge
JUDGED_BYTES = 32 * 2**20  # of such examples as they are stored, so that large images are fewer
AT_ONCE = 64  # examples that a network is given at one time
MOST_FILES = 4  # of a set that is larger than the cache: real examples are looked for in these alone
SQUARE = 8  # columns of a grid without classes

Networks = Mapping[str, nn.Module]


class Watch:
    """Fixed noise, fixed real examples, and what they say of the networks as they are now.

    Of the inputs that the recipe publishes it is given what is not drawn: the attributes of real examples, and for an
    'image' real ones, of another domain than the label asks for; held-out examples where there are some.

    Made once a run, from the same (recipe, shards, seed) with the same result; `measure` and `grid` leave networks,
    gradients, running statistics and random numbers as they were.
    """

    def __init__(self, recipe: Recipe, shards: Shards, seed: int, device: torch.device) -> None:
        self._recipe, self._seed, self._device = recipe, seed, device
        self._modality = modality_of(shards.form)
        taken = recipe.published()[1].inputs
        self._labels = _dealt(max((one.classes for one in taken.values()), default=0), device)
        n = UNLABELLED if self._labels is None else len(self._labels)
        draw = Draw(seed, 0, n, slice(0, n), device, "watch")
        splits = {name: _at_hand(shards.split(name)) for name in ("train", "validation") if shards.splits.get(name)}
        held_out = splits.get("validation", splits["train"])
        condition = self._labels if self._labels is not None else _attributes(taken, held_out, n, device)
        self._given = {name: _to_translate(held_out, self._labels, n, device) for name, one in taken.items()
                       if one.distribution == "image"}
        self._inputs = {**recipe.inputs(draw, condition), **self._given}
        self._judged = {name: _fixed(split, shards, stream(seed, "watch"), device) for name, split in splits.items()}
        self._real = Real.of(splits, self._labels, n, self._modality, device)

    def measure(self, networks: Networks, averages: Networks) -> dict[str, float]:
        """What can be measured of this data and recipe, by the names above; a value that is not finite is left out."""
        with self._undisturbed(networks, averages):
            averaged = self._real.compare(self._seen({**networks, **averages}), self._labels)
            raw = self._real.compare(self._seen(networks), self._labels)
            found = {**averaged, **_as_raw(raw), **self._logits(networks)}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def grid(self, averages: Networks) -> bytes | None:
        """PNG of the samples of fixed noise: a class a row, or a square; above each row what it is a translation of.

        None where samples have no grey or RGB pictures.
        """
        with self._undisturbed(averages):
            samples = self._samples(averages)
        n, labels = len(samples), self._labels
        rows = [*torch.arange(n, device=samples.device).split(SQUARE)] if labels is None else \
            [(labels == label).nonzero().flatten()[:PER_CLASS] for label in labels.unique()]
        shown = [*(images for images in self._given.values() if images.shape == samples.shape), samples]
        made = torch.cat([kind[row] for row in rows for kind in shown]).float().cpu().numpy()
        views = self._modality.views(self._modality.stored(made))
        if views.shape[1] not in COLOURS:
            return None
        return png(grid(views, SQUARE if labels is None else PER_CLASS))

    def _undisturbed(self, *kinds: Networks) -> AbstractContextManager[None]:
        return undisturbed([net for networks in kinds for net in networks.values()], self._seed, self._device)

    def _seen(self, networks: Networks) -> Tensor:
        return looked_at(self._samples(networks), self._modality)

    def _samples(self, networks: Networks) -> Tensor:
        n = len(next(iter(self._inputs.values())))
        parts = [{name: value[i : i + AT_ONCE] for name, value in self._inputs.items()} for i in range(0, n, AT_ONCE)]
        return torch.cat([self._recipe.generate(networks, part) for part in parts])

    def _logits(self, networks: Networks) -> dict[str, float]:
        """Means over discriminators; with several of them also each one's own."""
        judged = {split: self._judge(networks, examples) for split, examples in self._judged.items()}
        found: dict[str, float] = {}
        for split, by_name in judged.items():
            found |= _with_mean(f"logits/{split}", {name: float(logits.mean()) for name, logits in by_name.items()})
        if "validation" in judged:
            told = {name: _told_apart(train, judged["validation"][name]) for name, train in judged["train"].items()}
            found |= _with_mean("overfit/discriminator", told)
        return found

    def _judge(self, networks: Networks, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """[n] logits of each discriminator, by name."""
        parts: dict[str, list[Tensor]] = {}
        for start in range(0, len(next(iter(examples.values()))), AT_ONCE):
            part = {name: ready(values[start : start + AT_ONCE]) for name, values in examples.items()}
            for name, logits in self._recipe.logits(networks, part).items():
                parts.setdefault(name, []).append(logits.float())
        return {name: torch.cat(logits) for name, logits in parts.items()}


def _as_raw(found: Mapping[str, float]) -> dict[str, float]:
    """diversity/class as diversity/raw_class; what does not depend on the samples is not repeated."""
    return {name.replace("/", "/raw_"): value for name, value in found.items() if name != "agreement/real"}


def _with_mean(name: str, each: Mapping[str, float]) -> dict[str, float]:
    if not each:
        return {}
    own = {f"{name}/{inner}": value for inner, value in each.items()} if len(each) > 1 else {}
    return {name: sum(each.values()) / len(each), **own}


def _told_apart(train: Tensor, validation: Tensor) -> float:
    """Share of pairs in which the first is higher, [n] and [m] logits; half of those that are equal counts."""
    above = train[:, None] - validation[None]
    return float(((above > 0).float() + (above == 0).float() / 2).mean())


def _dealt(classes: int, device: torch.device) -> Tensor | None:
    """[n] int64: as many samples of each class that is looked at."""
    if not classes:
        return None
    looked_at = min(classes, MOST_CLASSES)
    each = max(PER_CLASS, UNLABELLED // looked_at)
    return (torch.arange(looked_at, device=device) * classes // looked_at).repeat_interleave(each)


def _attributes(taken: Mapping[str, InputSpec], split: Split, n: int, device: torch.device) -> Tensor | None:
    """[n, attributes] float32 of real examples, spread evenly over the split; None where none are asked for."""
    names = [attribute.name for one in taken.values() for attribute in one.attributes]
    if not names:
        return None
    assert split.attributes is not None, "the recipe takes its attributes from those of the data"
    columns = split.attributes[:, [split.attribute_names.index(name) for name in names]]
    return torch.from_numpy(columns[_spread(np.arange(len(split)), n)]).to(device)


def _to_translate(split: Split, labels: Tensor | None, n: int, device: torch.device) -> Tensor:
    """[n, C, H, W] real images, spread evenly over the split: for each label of another one, where there are others."""
    chosen = _spread(np.arange(len(split)), n)
    if labels is not None and split.labels is not None:
        asked, known = labels.cpu().numpy(), np.asarray(split.labels)
        for label in np.unique(asked):
            others = np.flatnonzero(known != label)
            if len(others):
                chosen[asked == label] = _spread(others, int((asked == label).sum()))
    return ready(torch.from_numpy(split.gather(chosen)).to(device))


def _spread(among: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """n of these indices, evenly spread over them; some more than once where they are fewer."""
    return among[np.arange(n) * len(among) // n]


def _at_hand(split: Split) -> Split:
    """The split, or some files of one that is larger than the cache: not all of it is fetched for this."""
    if not isinstance(split, RemoteSplit):
        return split
    files = len(split.counts)
    n = min(files, MOST_FILES, max(1, split.largest_group))
    return split.open([number * files // n for number in range(n)])


def _fixed(split: Split, shards: Shards, seed: int, device: torch.device) -> dict[str, Tensor]:
    """Examples as they are stored, all columns, in an order of their own."""
    example_bytes = sum(parts[0][0].nbytes for parts in split.columns.values())
    n = min(len(split), JUDGED, max(1, JUDGED_BYTES // example_bytes))
    batches = Batches(split, seed=seed, batch=n, rank=0, world=1, device=device, facts=shards.facts)
    return batches.take(0)


@contextmanager
def undisturbed(networks: Iterable[nn.Module], seed: int, device: torch.device) -> Iterator[None]:
    """Networks as they are used, not trained: no gradients, no statistics of what they are given; all put back after.

    A recipe's networks may draw random numbers; here they draw the same ones every time.
    """
    modes = {module: module.training for network in networks for module in network.modules()}
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        try:
            for module in modes:
                module.training = False
            yield
        finally:
            for module, training in modes.items():
                module.training = training
