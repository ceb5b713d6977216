"""An experiment with the values that a search drew, and whether it takes all that may be drawn.

    refuse_unsearchable(experiment)                                      # once, before the first trial
    trial = with_values(experiment, experiment.tune.draw(ask), images=25_600)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import product
from typing import Any, get_args

from pydantic import BaseModel

from gan_core.config import Experiment, experiment_from
from gan_core.errors import ConfigError
from gan_core.options.distributions import Distribution, as_text
from gan_core.options.merge import FORMS
from gan_core.options.searched import may_change_mid_run, why_unsearchable
from gan_core.options.tune import STOPPING, Lengths, TuneConfig

INNER = 0.3819  # of the way through a range: hardly a whole number where its ends are


def with_values(
    experiment: Experiment, params: Mapping[str, Any], *, images: int | None = None, seed: int | None = None
) -> Experiment:
    """The experiment with these values by dotted name, and without its `tune:` block.

    images, seed: instead of train.images and the experiment's own seed.  A block that takes another form (`family`,
    `algorithm`, `method`) has that form's own defaults for all that is not among the values.  ConfigError for what the
    experiment does not take.
    """
    told = ", ".join(f"{name}={as_text(value)}" for name, value in params.items())
    return _loaded(experiment, params, f"{experiment.name} with {told}" if told else experiment.name, images, seed)


def refuse_unsearchable(experiment: Experiment) -> None:
    """ConfigError, a line for each mistake, where the experiment has no search or one that would fail on its way.

    Every name is a field of this experiment that a trial may change, the lengths fit, and each end of each range and
    each choice makes an experiment: with all else as it is, or else with the first value of all else that is searched.
    """
    tune = experiment.tune
    if tune is None:
        raise ConfigError(f"{experiment.name}: tune: missing; for example tune: {{space: "
                          "{train.ema_half_life: 'lograndint(500, 10000)'}, samples: 16}")
    for reasons in (_of_names, _of_lengths, _of_corners):
        if found := [*reasons(experiment, tune)]:
            raise ConfigError("\n".join(dict.fromkeys(found)))


def _loaded(
    experiment: Experiment, params: Mapping[str, Any], where: str, images: int | None, seed: int | None = None
) -> Experiment:
    own = {"seed": experiment.seed if seed is None else seed, "tune": None}
    length = {} if images is None else {"train.images": images}
    return experiment_from(_with(experiment.as_json() | own, {**params, **length}), where)


def _with(raw: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings with these values; forms first, as they decide which others there are."""
    for name in sorted(params, key=lambda name: name.rpartition(".")[2] not in FORMS):
        *blocks, leaf = name.split(".")
        block = raw
        for step in blocks:
            if not isinstance(block.get(step), dict):  # a block that the experiment leaves out
                block[step] = {}
            block = block[step]
        if leaf in FORMS and block.get(leaf, params[name]) != params[name]:
            block.clear()
        block[leaf] = params[name]
    return raw


def _of_names(experiment: Experiment, tune: TuneConfig) -> Iterator[str]:
    fields = {name: None for block in ("model", "train") for name in fields_of(type(experiment), block)}
    searchable = [name for name in fields if why_unsearchable(name) is None]
    for name in tune.space:
        reason = why_unsearchable(name)
        if reason is not None:
            yield f"tune.space.{name}: {name} {reason}"
        elif name not in fields:
            ending = [known for known in searchable if known.endswith(f".{name}")]
            near = [*ending, *get_close_matches(name, searchable, n=3, cutoff=0.7)][:3]
            hint = f"did you mean {' or '.join(near)}?" if near else f"{searchable[0]} is one"
            yield f"tune.space.{name}: this experiment has no such field; {hint}"
        elif tune.scheduler == "pbt" and not may_change_mid_run(name):
            able = [known for known in searchable if may_change_mid_run(known)]
            yield (f"tune.space.{name}: tune.scheduler=pbt changes values in the middle of a run, and {name} decides "
                   f"what a checkpoint holds or means; {' and '.join(able[:2])} may change, or tune.scheduler=asha "
                   "works")


def fields_of(kind: type[BaseModel], name: str, path: str = "") -> Iterator[str]:
    """A field and all inside it, by dotted name, in every form that its blocks may take."""
    yield f"{path}{name}"
    for block in _blocks(kind.model_fields[name].annotation):
        for inner in block.model_fields:
            yield from fields_of(block, inner, f"{path}{name}.")


def _blocks(annotation: Any) -> Iterator[type[BaseModel]]:
    """The forms of block that a field may hold; none where it holds a list or table of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif getattr(annotation, "__origin__", None) not in (tuple, list, dict):
        for form in get_args(annotation):
            yield from _blocks(form)


def _of_lengths(experiment: Experiment, tune: TuneConfig) -> Iterator[str]:
    most, batch = experiment.train.images, experiment.train.batch
    given = tune.lengths(most, batch)
    if given.images > most:
        yield (f"tune.images={given.images} is more than train.images={most}, with which the best is trained in the "
               f"end; tune.images={most} works")
    if given.images < batch:
        yield f"tune.images={given.images} is less than train.batch={batch}; tune.images={batch} works"
    elif not batch <= given.look_every <= given.images:
        works = tune.model_copy(update={"look_every": None}).lengths(most, batch).look_every
        yield (f"tune.look_every={given.look_every} is not between train.batch={batch} and a trial's {given.images} "
               f"images; tune.look_every={works} works")
    elif tune.scheduler in STOPPING:
        yield from _of_rungs(given, tune, batch)
    elif tune.scheduler == "pbt":
        yield from _of_exchanges(given, batch)


def _of_rungs(given: Lengths, tune: TuneConfig, batch: int) -> Iterator[str]:
    """A first rung at a look, and a second one before a trial ends, or at its end."""
    if given.grace * tune.reduction > given.images:
        yield (f"tune.grace={given.grace} times tune.reduction={tune.reduction} is more than a trial's {given.images} "
               f"images, so that tune.scheduler={tune.scheduler} could stop none early; "
               f"{_first_look(given, given.images // tune.reduction, batch, 'grace')}")
    elif given.grace % given.look_every:
        yield (f"tune.grace={given.grace} is at no look, which are {given.look_every} images apart; "
               f"{_first_look(given, given.grace, batch, 'grace')}")


def _of_exchanges(given: Lengths, batch: int) -> Iterator[str]:
    """At a look, and once at least before a trial ends."""
    if given.perturb_every % given.look_every or given.perturb_every >= given.images:
        most = min(max(given.perturb_every, given.look_every), given.images // 2)
        yield (f"tune.perturb_every={given.perturb_every}: an exchange is at a look, of which there is one each "
               f"{given.look_every} images, before the end of a trial's {given.images}; "
               f"{_first_look(given, most, batch, 'perturb_every')}")


def _first_look(given: Lengths, most: int, batch: int, field: str) -> str:
    """What to set so that it is at a look and at most so many images."""
    looks, batches = most // given.look_every * given.look_every, most // batch * batch
    if looks:
        return f"tune.{field}={looks} works"
    return f"tune.look_every={batches} and tune.{field}={batches} work" if batches else "tune.scheduler=none works"


def _of_corners(experiment: Experiment, tune: TuneConfig) -> Iterator[str]:
    """The first value of each field that makes no trial, tried with every value that decides whether it is drawn."""
    lengths = tune.lengths(experiment.train.images, experiment.train.batch)
    for name, distribution in tune.space.items():
        drawn = product(_corners(distribution), _beside(tune, name))
        reasons = (_of_corner(experiment, tune, name, value, beside, lengths) for value, beside in drawn)
        first = next((reason for reason in reasons if reason is not None), None)
        if first is not None:
            yield first


def _of_corner(
    experiment: Experiment, tune: TuneConfig, name: str, value: Any, beside: Mapping[str, Any], lengths: Lengths
) -> str | None:
    """Why this value beside those of others makes no trial; None where it does."""
    told = ", ".join(f"{other}={as_text(given)}" for other, given in beside.items())
    where = f"tune.space.{name}={as_text(value)}{f' with {told}' if told else ''}"
    own = {**beside, name: value}
    try:
        trial = _loaded(experiment, own, where, lengths.images)
    except ConfigError as error:
        try:
            trial = _loaded(experiment, _complete(tune, own), where, lengths.images)
        except ConfigError:
            return f"{error}{_advice(tune, name, value, beside)}"
    return _of_batch(trial, tune, where, lengths.look_every)


def _corners(distribution: Distribution) -> tuple[Any, ...]:
    """Each choice; of a range both ends, and a number inside, which is no whole one unless all are."""
    if distribution.choices:
        return distribution.choices
    low, high = distribution.ends
    return (low, high) if distribution.whole else (low, high, low + INNER * (high - low))


def _beside(tune: TuneConfig, name: str) -> Iterator[dict[str, Any]]:
    """Values of other fields with which this one is drawn: each that `when` names, and each form of its blocks."""
    parts = name.split(".")
    blocks = [".".join(parts[:end]) for end in range(1, len(parts))]
    forms = [f"{block}.{form}" for block in blocks for form in FORMS]
    texts = {other: [as_text(value) for value in tune.space[other].choices]
             for other in forms if other in tune.space and other != name}
    texts |= tune.allowed(name)
    for chosen in product(*texts.values()):
        yield {other: json.loads(text) for other, text in zip(texts, chosen, strict=True)}


def _complete(tune: TuneConfig, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """A draw with these values, all others at the first that they may have."""
    drawn: dict[str, Any] = {}
    for name in tune.order:
        if name in fixed:
            drawn[name] = fixed[name]
        elif tune.space[name].holds(drawn):
            drawn[name] = _corners(tune.space[name])[0]
    return drawn


def _advice(tune: TuneConfig, name: str, value: Any, beside: Mapping[str, Any]) -> str:
    """How to draw whole numbers, or to say for which form of its block a field is."""
    one = tune.space[name]
    if not one.choices and value not in one.ends:
        return "; randint draws whole numbers"
    form = next((other for other in beside if other.rpartition(".")[2] in FORMS and other not in one.when), None)
    return f"; tune.space.{name}.when: {{{form}: [...]}} says with which of them it is drawn" if form else ""


def _of_batch(trial: Experiment, tune: TuneConfig, where: str, look_every: int) -> str | None:
    batch, workers = trial.train.batch, tune.workers
    if batch % workers or batch // workers < trial.train.accumulate:
        fits = max(w for w in range(1, workers + 1) if not batch % w and batch // w >= trial.train.accumulate)
        return (f"{where}: tune.workers={workers} cannot share train.batch={batch} evenly in train.accumulate="
                f"{trial.train.accumulate} parts; tune.workers={fits} works")
    if batch > look_every:
        return f"{where}: train.batch={batch} is more than tune.look_every={look_every}; tune.look_every={batch} works"
    return None
