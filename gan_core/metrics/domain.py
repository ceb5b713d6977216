"""The `domain` feature network: a small classifier of the data set itself.

Trained on the labels of the train split, or left at its random first weights where there are none; both are
functions of a seed.  Its convolutions go over what `gan_core.modalities` calls signals: images, spectrograms of audio,
sequences of symbols, and whole clips, each along as many axes as there are.  It sees what tells this data's classes
apart, at the cost of being comparable within one data set only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from
from safetensors.torch import save as bytes_of
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, cross_entropy, relu

from gan_core.config import Config
from gan_core.data.shards import Split
from gan_core.errors import DamagedFile, DataError
from gan_core.modalities.form import Form
from gan_core.modalities.kinds import modality_of
from gan_core.modalities.modality import Modality

FEATURES = 64
WEIGHTS_FILE, FACTS_FILE = "domain.safetensors", "domain.json"

LONGEST_SIDE = 64  # larger images are averaged down to this many pixels first
SMALLEST_MAP = 4
FIRST_WIDTH, WIDEST = 16, 64

EPOCHS = 20
MOST_IMAGES = 120_000  # seen in training, whatever the size of the split
BATCH = 64
LEARNING_RATE = 2e-3
FEATURE_BATCH = 256
MOST_STANDARDISED = 10_000

ALONG: Mapping[int, tuple[type[nn.Module], Callable[..., Tensor]]] = {
    1: (nn.Conv1d, adaptive_avg_pool1d), 2: (nn.Conv2d, adaptive_avg_pool2d), 3: (nn.Conv3d, adaptive_avg_pool3d)}
"""By the number of axes besides channels."""


class DomainFacts(Config):
    """domain.json.

    trained_on: images seen in training, repetitions counted; 0 for random weights.  accuracy: share of the
    validation split put into its class; None without labels.
    """

    form: Form
    classes: int
    seed: int
    trained_on: int
    accuracy: float | None = None


class Classifier(nn.Module):
    """Images [n, C, H, W] float32 in [−1, 1] to features [n, 64], and on to class logits.

    shape: of one without n; signals of one or three axes besides channels are seen in the same way.  centre: [64],
    spread: [], the mean of the training features and the root of their mean variance.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, *sides = shape
        convolution, self.pool = ALONG[len(sides)]
        shrink = min(1.0, LONGEST_SIDE / max(sides))
        self.seen = tuple(max(1, round(side * shrink)) for side in sides)
        self.convs = nn.ModuleList([convolution(channels, FIRST_WIDTH, 3, 1, 1)])
        sides, last = [*self.seen], FIRST_WIDTH
        while max(sides) > SMALLEST_MAP:
            following = min(2 * last, WIDEST)
            self.convs.append(convolution(last, following, 3, 2, 1))
            sides, last = [-(-side // 2) for side in sides], following
        self.to_features = nn.Linear(last * math.prod(sides), FEATURES)
        self.to_logits = nn.Linear(FEATURES, classes) if classes else None
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("spread", torch.ones(()))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """The features in units of their spread, so that a distance means the same in every network."""
        return (self.hidden(images) - self.centre) / self.spread

    def hidden(self, images: Tensor) -> Tensor:
        """[n, C, H, W] -> [n, 64], taken before the non-linearity: nearer to a Gaussian than after it."""
        x = self.pool(images, self.seen) if images.shape[2:] != self.seen else images
        for conv in self.convs:
            x = relu(conv(x))
        hidden: Tensor = self.to_features(x.flatten(1))
        return hidden

    def logits(self, images: Tensor) -> Tensor:
        """[n, C, H, W] -> [n, classes]; only where there are classes."""
        if self.to_logits is None:
            raise DataError("this domain network has no classes to tell apart; its data set has no labels")
        logits: Tensor = self.to_logits(relu(self.hidden(images)))
        return logits


@dataclass(frozen=True, eq=False)
class DomainNetwork:
    """A feature network with what is known of it."""

    facts: DomainFacts
    network: Classifier

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """[n, C, H, W] uint8, or other examples as they are stored -> [n, 64] float32.  DataError for another form."""
        return self._of_each(images, self.network, FEATURES)

    def probabilities(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """The same -> [n, classes] float32 of sum 1.  DataError as of `features`, and without classes."""
        return self._of_each(images, lambda batch: self.network.logits(batch).softmax(1), self.facts.classes)

    def _of_each(
        self, images: NDArray[Any], forward: Callable[[Tensor], Tensor], numbers: int
    ) -> NDArray[np.float32]:
        modality, shape = modality_of(self.facts.form), self.facts.form.shape
        if images.shape[1:] != shape or images.dtype != modality.dtype:
            raise DataError(f"{modality.noun} {images.dtype} {images.shape} do not fit the domain network, "
                            f"which was made for {modality.dtype.name} (n, {', '.join(map(str, shape))})")
        made = np.empty((len(images), numbers), np.float32)
        with one_thread(), torch.inference_mode():
            for start in range(0, len(images), FEATURE_BATCH):
                batch = images[start : start + FEATURE_BATCH]
                made[start : start + len(batch)] = forward(_normalised(batch, modality)).numpy()
        return made

    def save(self, directory: Path) -> None:
        """Writes domain.safetensors and domain.json; equal networks give equal bytes."""
        (directory / WEIGHTS_FILE).write_bytes(bytes_of(self.network.state_dict()))
        (directory / FACTS_FILE).write_text(self.facts.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, weights: bytes, facts: bytes) -> Self:
        """From the bytes of both files.  DamagedFile when they are not what `save` writes."""
        try:
            known = DomainFacts.model_validate_json(facts)
            network = _classifier(modality_of(known.form), known.classes)
            network.load_state_dict(tensors_from(weights))
        except (ValidationError, SafetensorError, RuntimeError, DataError) as error:
            reason = str(error).splitlines()[0]
            raise DamagedFile(f"{WEIGHTS_FILE} or {FACTS_FILE} is not a domain network's: {reason}; "
                              "remove the artefact, and the next run makes it again") from None
        return cls(known, network)


def train_domain(
    split: Split,
    form: Form,
    classes: int,
    seed: int,
    validation: Split | None = None,
    most: int = MOST_IMAGES,
) -> DomainNetwork:
    """Trains on a split for 20 epochs, at most `most` images; with fewer than two classes in it weights stay random.

    form: of the split's examples.  The result is a function of (split, form, classes, seed, most): it runs on one
    thread and leaves torch's global random numbers alone.  facts.accuracy is measured on `validation` where that is
    given and has labels.
    """
    if split.labels is not None and len(np.unique(split.labels)) < 2:
        classes = 0  # what knows one class learns to look at nothing
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modality = modality_of(form)
        network = _classifier(modality, classes)
        trained_on = 0
        if split.labels is not None and classes:
            trained_on = min(EPOCHS * len(split), most)
            labels = torch.from_numpy(split.labels.astype(np.int64))
            _descend(network, split, labels, _order(len(split), trained_on, seed), modality)
        _standardise(network, split, seed, modality)
        accuracy = None
        if trained_on and validation is not None and validation.labels is not None:
            accuracy = _accuracy(network, validation, validation.labels, modality)
    facts = DomainFacts(form=form, classes=classes, seed=seed, trained_on=trained_on, accuracy=accuracy)
    return DomainNetwork(facts, network)


def train_classifier(split: Split, form: Form, classes: int, seed: int, order: NDArray[np.int64]) -> Classifier:
    """The same network trained from new weights on a split with labels, its examples in this order, [examples seen].

    The result is a function of (split, form, classes, seed, order), as of `train_domain`.
    """
    if split.labels is None or classes < 2:
        raise DataError("the data set has no classes to tell apart; a classifier needs labels of two or more")
    modality = modality_of(form)
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _classifier(modality, classes)
        _descend(network, split, torch.from_numpy(split.labels.astype(np.int64)), torch.from_numpy(order), modality)
    return network


def _classifier(modality: Modality, classes: int) -> Classifier:
    """With fresh weights, for the signals of such examples."""
    blank = np.zeros((1, *modality.form.shape), modality.dtype)
    return Classifier(modality.signals(blank).shape[1:], classes)


def _descend(network: Classifier, split: Split, labels: Tensor, order: Tensor, modality: Modality) -> None:
    """Adam on the cross-entropy, its learning rate falling to 0."""
    images = len(order)
    steps = -(-images // BATCH)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for start in range(0, images, BATCH):
        chosen = order[start : start + BATCH]
        loss = cross_entropy(network.logits(_normalised(split.gather(chosen.numpy()), modality)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()


def _standardise(network: Classifier, split: Split, seed: int, modality: Modality) -> None:
    """Sets centre and spread from the split, or from 10,000 of its examples drawn by the seed."""
    chosen = _order(len(split), min(len(split), MOST_STANDARDISED), seed).numpy()
    with torch.inference_mode():
        batches = [chosen[start : start + FEATURE_BATCH] for start in range(0, len(chosen), FEATURE_BATCH)]
        hidden = torch.cat([network.hidden(_normalised(split.gather(batch), modality)) for batch in batches])
        spread = hidden.var(dim=0, correction=0).mean().sqrt()
        network.centre.copy_(hidden.mean(dim=0))
        network.spread.copy_(torch.where(spread > 0, spread, 1.0))


def _order(examples: int, images: int, seed: int) -> Tensor:
    """Each epoch is a fresh permutation."""
    draw = torch.Generator().manual_seed(seed)
    epochs = -(-images // examples)
    return torch.cat([torch.randperm(examples, generator=draw) for _ in range(epochs)])[:images]


def accuracy_on(domain: DomainNetwork, split: Split, labels: NDArray[np.int64]) -> float:
    """Share of the split's images that the network puts into the class that `labels` [N] give them, 0 … 1."""
    return _accuracy(domain.network, split, labels, modality_of(domain.facts.form))


def read_by(network: Classifier, split: Split, form: Form) -> NDArray[np.int64]:
    """The class that the network puts each of the split's examples into, [N]."""
    found, modality = np.empty(len(split), np.int64), modality_of(form)
    with torch.inference_mode():
        for start in range(0, len(split), FEATURE_BATCH):
            here = np.arange(start, min(start + FEATURE_BATCH, len(split)))
            found[here] = network.logits(_normalised(split.gather(here), modality)).argmax(dim=1).numpy()
    return found


def _accuracy(network: Classifier, split: Split, labels: NDArray[np.int64], modality: Modality) -> float:
    return int((read_by(network, split, modality.form) == labels).sum()) / len(split)


def _normalised(examples: NDArray[Any], modality: Modality) -> Tensor:
    """Their signals, uint8 0 … 255 to float32 −1 … 1."""
    return torch.from_numpy(modality.signals(examples).astype(np.float32)) / 127.5 - 1


def _initialise(module: nn.Module) -> None:
    """He et al. 2015, so that random weights keep the scale of what passes through; biases 0."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread while the block runs: sums are taken in one order, however many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
