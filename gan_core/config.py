"""One experiment, read from YAML into a frozen record that refuses what cannot work.

    name: digits
    data: {source: digits}
    model: {recipe: dcgan}
    train: {images: 102400, batch: 128, workers: 2}

`data` and `model` are checked by the source and the recipe that they name.  Everything that counts in time counts
images seen.  Nothing here imports torch: a plan is made from this alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails

from gan_core.block import Config as Config
from gan_core.block import Count as Count
from gan_core.errors import ConfigError
from gan_core.options.evaluation import ANOMALY_METRICS as ANOMALY_METRICS
from gan_core.options.evaluation import NEIGHBOUR_METRICS as NEIGHBOUR_METRICS
from gan_core.options.evaluation import TRANSLATION_METRICS as TRANSLATION_METRICS
from gan_core.options.evaluation import EvaluateConfig as EvaluateConfig
from gan_core.options.gate import Bound as Bound
from gan_core.options.gate import PublishConfig as PublishConfig
from gan_core.options.losses import METHODS
from gan_core.options.networks import FAMILIES
from gan_core.options.optimizers import ALGORITHMS
from gan_core.options.schedule import ScheduleConfig as ScheduleConfig
from gan_core.options.tune import TuneConfig as TuneConfig
from gan_core.registry import RECIPES, SOURCES, Registry, recipe_options
from gan_core.transforms import KINDS, Transform

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
FD_DOMAIN = "fd_domain"
"""The Fréchet distance on `domain` features: its name in the curves, in evaluate's metrics and in the settings."""


class Elastic(Config):
    """A number of workers that may change while a run goes on."""

    min: Count = Field(1, description="workers without which the run waits")
    max: Count = Field(examples=[4], description="workers it uses when the cluster has room")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min={self.min} is more than max={self.max}; exchange them")
        return self


class Divergence(Config):
    """What follows when a loss, gradient or weight is no longer finite.

    `roll_back` goes on from the newest good checkpoint with learning rates multiplied by `factor`, at most `times`
    times; what was rolled back is in the run's manifest.
    """

    policy: Literal["stop", "roll_back"] = "stop"
    factor: float = Field(0.5, gt=0, lt=1, description="what learning rates are multiplied by")
    times: Count = Field(3, description="roll-backs after which the run stops")


class StopRule(Config):
    """One reason to end a run early; it is then finished at that position, evaluated and published as usual.

    collapse     the samples of fixed noise have become alike
    no_progress  `metric` has not improved for `patience` images
    target       `metric` has reached `value`
    """

    rule: Literal["collapse", "no_progress", "target"]
    metric: str | None = Field(None, description="a name in the curves", examples=["diversity/pairwise"])
    goal: Literal["min", "max"] = Field("min", description="which way `metric` is better")
    value: FiniteFloat | None = Field(None, description="for target: where `metric` should get", examples=[0.9])
    patience: Count | None = Field(None, description="for no_progress: images without improvement", examples=[51_200])

    @model_validator(mode="after")
    def _has_what_it_reads(self) -> Self:
        wanted = {"collapse": (), "no_progress": ("metric", "patience"), "target": ("metric", "value")}[self.rule]
        for name in ("metric", "value", "patience"):
            given = getattr(self, name) is not None
            example = json.dumps(type(self).model_fields[name].examples[0])  # type: ignore[index]
            if name in wanted and not given:
                raise ValueError(f"rule={self.rule} needs {name}; for example {name}: {example}")
            if given and name not in wanted:
                raise ValueError(f"rule={self.rule} does not read {name}={getattr(self, name)}; leave it out")
        return self


class BestBy(Config):
    """Which checkpoint is the best one, by a scalar of the curves."""

    metric: str = Field(examples=["diversity/pairwise"])
    goal: Literal["min", "max"] = "min"


class Augment(Config):
    """What is done to real images as they are drawn, as a function of (seed, position)."""

    flip: float = Field(0.0, ge=0, le=1, description="probability of a left-right mirror image")
    shift: int = Field(0, ge=0, description="most pixels an image is moved, along each side; edges are reflected")


def _as_texts(value: Any) -> Any:
    """A class may be named by its label, which is a whole number in YAML."""
    if not isinstance(value, list | tuple):
        return value
    return [str(name) if isinstance(name, int) else name for name in value]


class PrepareConfig(Config):
    """How a data set is written as shards."""

    NOT_IN_KEY = frozenset({"max_bad_fraction"})  # it stops the stage or does not; the shards are the same

    transforms: tuple[Transform, ...] = Field((), description="what is done to each example, in order")
    normal: Annotated[tuple[str, ...], BeforeValidator(_as_texts)] = Field(
        (), description="classes, by name or label, that alone are trained and validated on; test keeps all, to tell "
                        "abnormal examples from normal ones", examples=[["0"]])
    shard_examples: Count = Field(4096, description="items in one shard file; fewer where they would pass 64 MiB")
    max_bad_fraction: float = Field(0.0, ge=0, lt=1, description="share of unusable items that is left out quietly")


def _text_keys(value: Any) -> Any:
    """Labels are whole numbers in YAML and text in JSON; both mean the class."""
    return {str(key): weight for key, weight in value.items()} if isinstance(value, Mapping) else value


NUMBER, RANGE = "number", "range"  # pydantic's names for the two forms
TAGS = {NUMBER, RANGE, *FAMILIES, *ALGORITHMS, *METHODS}  # of forms of a block; no part of a field's path


def _form_of_workers(value: Any) -> str:
    return RANGE if isinstance(value, Mapping | Elastic) else NUMBER


Workers = Annotated[
    Annotated[Count, Tag(NUMBER)] | Annotated[Elastic, Tag(RANGE)], Discriminator(_form_of_workers)
]


class TrainConfig(Config):
    """How long, how wide, and how often to look.  All cadences count images seen."""

    NOT_IN_KEY = frozenset({  # what init_from names is an input of the stage, by its digest
        "workers", "report_every", "sample_every", "fd_every", "fd_samples", "checkpoint_every", "keep_checkpoints",
        "keep_every", "init_from",
    })

    images: Count = Field(102_400, description="real images seen when training ends")
    batch: Count = Field(128, description="images of one step over all workers")
    workers: Workers = Field(1, description="processes that share each batch; {min: 1, max: 4} is elastic")
    accumulate: Count = Field(1, description="parts in which each worker takes its share of a batch, to save memory")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the networks' arithmetic; weights stay float32.  auto: what the device is made for")
    channels_last: Literal["auto"] | bool = Field("auto", description="memory order of images and maps")
    compile: bool = Field(False, description="torch.compile for what is differentiated once")
    sampling: Literal["natural", "balanced", "sqrt"] | Annotated[
        dict[str, FiniteFloat | str], BeforeValidator(_text_keys)
    ] = Field(
        "natural",
        description="how often each example is drawn: once an epoch, each class as often, by the square root of its "
                    "size, by {class: weight}, or by {column: a numeric attribute, or weight}",
        examples=["balanced"],
    )
    shuffle_shards: Count | None = Field(
        None, description="shards shuffled together, for sets larger than the local cache; all of them when null")
    augment: Augment = Augment()
    ema_half_life: float = Field(2_000, ge=0, description="images after which a weight's share has halved")
    ema_ramp_up: float | None = Field(None, gt=0, le=1, description="half-life at most this share of the images seen",
                                      examples=[0.05])
    init_from: str | None = Field(None, description="published model whose weights training begins with",
                                  examples=["digits@champion"])
    report_every: Count = Field(1_280, description="images between rows of the training curves")
    sample_every: Count = Field(10_240, description="images between sample grids and what is measured on them")
    fd_every: Count | None = Field(None, examples=[25_600],
                                   description="images between looks at fd_domain; sample_every when null")
    fd_samples: int = Field(1_000, ge=0, description="samples of a look at fd_domain and as many validation examples, "
                                                     "or as many as there are; 0 measures none")
    checkpoint_every: Count = Field(10_240, description="images between checkpoints")
    keep_checkpoints: int = Field(2, ge=2, description="newest checkpoints kept; one may be lost in a crash")
    keep_every: Count | None = Field(None, description="images between checkpoints that are kept for good")
    best_by: BestBy | None = Field(None, description="keeps the best checkpoint too, and publishes its weights")
    on_divergence: Divergence = Divergence()
    stop_when: tuple[StopRule, ...] = Field((), description="reasons to end early")

    @property
    def most_workers(self) -> int:
        return self.workers.max if isinstance(self.workers, Elastic) else self.workers

    def read_by(self, metric: str) -> str | None:
        """The first setting that decides about the run by this name in the curves; None when there is none."""
        if self.best_by is not None and self.best_by.metric == metric:
            return "train.best_by.metric"
        rules = (f"train.stop_when.{n}.metric" for n, rule in enumerate(self.stop_when) if rule.metric == metric)
        return next(rules, None)

    def not_in_key(self) -> frozenset[str]:
        """Cadences are settings like others where they decide at which position something is seen."""
        decide: set[str] = set()
        if self.stop_when or self.best_by is not None:
            decide |= {"report_every", "sample_every", "fd_every"}
        if self.read_by(FD_DOMAIN):
            decide |= {"fd_samples"}
        if self.best_by is not None or self.on_divergence.policy == "roll_back":
            decide |= {"checkpoint_every"}
        return self.NOT_IN_KEY - decide

    @model_validator(mode="after")
    def _fd_can_be_measured(self) -> Self:
        if self.fd_samples == 1:
            raise ValueError("train.fd_samples=1: one example has no covariance; train.fd_samples=1000 works, or 0 to "
                             "measure none")
        if not self.fd_samples and (field := self.read_by(FD_DOMAIN)):
            raise ValueError(f"{field}={FD_DOMAIN} is not measured with train.fd_samples=0; train.fd_samples=1000 "
                             "works")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if isinstance(self.workers, Elastic):
            if self.workers.max > self.batch:
                raise ValueError(f"train.workers.max={self.workers.max} is more than train.batch={self.batch} images; "
                                 f"train.workers.max={self.batch} works")
        elif self.batch % self.workers:
            fits = [w for w in range(1, self.batch + 1) if self.batch % w == 0]
            near = min(fits, key=lambda w: (abs(w - int(str(self.workers))), w))
            raise ValueError(
                f"train.workers={self.workers} cannot share train.batch={self.batch} evenly; "
                f"train.workers={near} can, or train.batch={-(-self.batch // self.workers) * self.workers}"
            )
        if self.batch // self.most_workers < self.accumulate:
            raise ValueError(f"train.accumulate={self.accumulate} is more parts than a worker has images: train.batch="
                             f"{self.batch} over {self.most_workers} workers; train.accumulate=1 works")
        if self.shuffle_shards is not None and self.sampling != "natural":
            raise ValueError(f"train.shuffle_shards={self.shuffle_shards} keeps few shards at hand, and train.sampling="
                             f"{self.sampling} draws from all of them; train.sampling=natural works, or "
                             "train.shuffle_shards=null")
        if self.images < self.batch:
            raise ValueError(f"train.images={self.images} is less than one batch of {self.batch}; "
                             f"train.images={self.batch} works")
        return self


class Experiment(Config):
    """One YAML file.  `data` and `model` hold the options of the source and the recipe that they name."""

    name: Name = Field(examples=["digits"])
    seed: int = Field(0, ge=0, lt=2**63)
    data: Config
    model: Config
    prepare: PrepareConfig = PrepareConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    publish: PublishConfig = PublishConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    tune: TuneConfig | None = None

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        for network in ("generator", "discriminator"):
            if self.train.compile and getattr(getattr(self.model, network, None), "checkpointing", False):
                raise ValueError(f"train.compile=true cannot compile what model.{network}.checkpointing=true computes "
                                 f"again; train.compile=false works, or model.{network}.checkpointing=false")
        return self

    @model_validator(mode="after")
    def _gate_names_metrics(self) -> Self:
        known = (*self.evaluate.metric_names, *TRANSLATION_METRICS, *ANOMALY_METRICS)
        for metric in self.publish.gate:
            if metric not in known:
                near = get_close_matches(metric, known, n=1)
                hint = f"did you mean '{near[0]}'? " if near else ""
                raise ValueError(f"publish.gate names '{metric}', which evaluate does not measure; "
                                 f"{hint}measured: {', '.join(known)}")
        return self

    @property
    def source(self) -> str:
        """The registered name of the data set."""
        return str(getattr(self.data, "source"))  # noqa: B009 - every source's options have it

    @property
    def recipe(self) -> str:
        """The registered name of the GAN system."""
        return str(getattr(self.model, "recipe"))  # noqa: B009 - every recipe's options have it

    @property
    def target(self) -> str | None:
        """Of a recipe that makes one image of a pair from the other, the column that is made and measured."""
        found: str | None = getattr(self.model, "target", None)
        return found

    def as_json(self) -> dict[str, Any]:
        """The resolved settings as plain JSON values; `experiment_from` reads them back."""
        return cast(dict[str, Any], json.loads(self.model_dump_json(serialize_as_any=True)))


def experiment_class(source: str, recipe: str) -> type[Experiment]:
    """`Experiment` with the options of one source and one recipe in place.  ConfigError for unknown names."""
    return _with_blocks(SOURCES.get(source), recipe_options(recipe))


@cache  # one class for one pair, so that equal experiments are equal
def _with_blocks(data: type[Config], model: type[Config]) -> type[Experiment]:
    return create_model("Experiment", __base__=Experiment, data=(data, ...), model=(model, ...))


def experiment_from(raw: Mapping[str, Any], where: str = "experiment") -> Experiment:
    """Validates plain values.  ConfigError names `where`, the field, the value, and a value that works."""
    source = _plug_in_named(raw, "data: {source: digits}", SOURCES, where)
    recipe = _plug_in_named(raw, "model: {recipe: dcgan}", RECIPES, where)
    return validate(experiment_class(source, recipe), raw, where)


def load_experiment(path: Path | str, overrides: Iterable[str] = ()) -> Experiment:
    """Reads an experiment's YAML and applies `a.b=c` overrides.  ConfigError for anything that cannot work."""
    return experiment_from(with_overrides(read_yaml(path), overrides), where=str(path))


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def validate(kind: type[ConfigT], raw: Mapping[str, Any], where: str) -> ConfigT:
    """`raw` as a record of that kind.  ConfigError with one line per mistake."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [f"{where}: {_explain(kind, mistake)}" for mistake in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def read_yaml(path: Path | str) -> dict[str, Any]:
    """A YAML file whose top level is a mapping.  ConfigError when it is missing, unreadable or malformed."""
    file = Path(path)
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(_no_such_file(file)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; name an experiment's YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{file}: {line}not YAML: {getattr(error, 'problem', error)}; "
                          "write one 'key: value' a line") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{file}: holds {type(raw).__name__}, not settings; it should begin like 'name: digits'")
    return raw


def with_overrides(raw: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `raw` with each `a.b=c` set; values are read as YAML, so 1, true, null and [1, 2] mean themselves."""
    merged: dict[str, Any] = deepcopy(dict(raw))
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise ConfigError(f"--set {override}: not of the form field=value; for example --set train.images=20480")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {override}: '{text}' is not a YAML value; put it in quotes") from None
        *blocks, leaf = path.split(".")
        block = merged
        for step in blocks:
            block = block.setdefault(step, {})
            if not isinstance(block, dict):
                raise ConfigError(f"--set {override}: '{step}' is a single value and has no field '{leaf}'")
        block[leaf] = value
    return merged


def key_fields(config: Config) -> dict[str, Any]:
    """The settings of a block that belong in a stage key, as plain JSON values."""
    dumped = config.model_dump(mode="json", serialize_as_any=True)
    left_out = config.not_in_key()
    return {name: value for name, value in dumped.items() if name not in left_out}


def _plug_in_named(raw: Mapping[str, Any], example: str, registry: Registry, where: str) -> str:
    """The plug-in that a block names in the field that the example, 'block: {field: name}', shows."""
    block, field = example.partition(":")[0], registry.kind
    options = raw.get(block)
    if not isinstance(options, Mapping) or field not in options:
        raise ConfigError(f"{where}: {block}.{field}: missing; for example {example}")
    name = options[field]
    if not isinstance(name, str) or name not in registry:
        raise ConfigError(f"{where}: {block}.{field}: {registry.unknown(name)}")
    return name


def _no_such_file(file: Path) -> str:
    beside = sorted(p.name for p in file.parent.glob("*.yaml")) if file.parent.is_dir() else []
    near = get_close_matches(file.name, beside, n=1, cutoff=0.4)
    advice = f"did you mean {file.parent / near[0]}?" if near else "name an experiment's YAML file, " \
        "for example configs/digits.yaml"
    return f"{file}: no such file; {advice}"


def _explain(kind: type[BaseModel], mistake: ErrorDetails) -> str:
    """One line: the field, what is wrong with its value, and a value that works."""
    tagged = [str(part) for part in mistake["loc"]]
    path = [*(part for part in tagged[:-1] if part not in TAGS), *tagged[-1:]]
    if tagged[-1:] and tagged[-1] in TAGS and mistake["type"] != "extra_forbidden":
        path = path[:-1]
    field = ".".join(path)
    match mistake["type"]:
        case "extra_forbidden":
            known = list(_block_at(kind, tagged[:-1]).model_fields)
            near = get_close_matches(path[-1], known, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            return f"{field}: unknown key; {hint}known: {', '.join(known)}"
        case "missing" if path[-1] in _block_at(kind, tagged[:-1]).model_fields:
            return f"{field}: missing; {_working_value(kind, tagged)}"
        case "value_error":
            reason = str(mistake["ctx"]["error"])
            return reason if not field or field in reason else f"{field}: {reason}"
        case "union_tag_invalid":
            tag, known = mistake["ctx"]["tag"], mistake["ctx"]["expected_tags"].replace("'", "")
            near = get_close_matches(str(tag), known.split(", "), n=1)
            return f"{field}: '{tag}' is not known; {f'did you mean {near[0]}? ' if near else ''}known: {known}"
        case "union_tag_not_found":
            return f"{field}: {mistake['input']!r} is no block of settings; {_working_value(kind, tagged)}"
    reason = mistake["msg"][0].lower() + mistake["msg"][1:]
    return f"{field}: {mistake['input']!r}: {reason}; {_working_value(kind, tagged)}"


def _block_at(kind: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """The block that a path leads into; past a field that is no block, the last one that is."""
    annotation: Any = None
    for step in path:
        if kind is PublishConfig and step == "gate":
            return Bound
        if kind is PrepareConfig and (step == "transforms" or step.isdigit()):
            continue
        if step in TAGS and (tagged := _tagged(annotation, step)) is not None:
            kind = tagged
            continue
        annotation = kind.model_fields[step].annotation if step in kind.model_fields else None
        inner = _block_in(annotation)
        if kind is PrepareConfig and step in KINDS:
            inner = KINDS[step]
        if inner is None:
            return kind
        kind = inner
    return kind


def _tagged(annotation: Any, tag: str) -> type[BaseModel] | None:
    """The form of a union that a tag names."""
    if any(isinstance(extra, Tag) and extra.tag == tag for extra in getattr(annotation, "__metadata__", ())):
        return _block_in(annotation)
    return next((block for choice in get_args(annotation) if (block := _tagged(choice, tag)) is not None), None)


def _block_in(annotation: Any) -> type[BaseModel] | None:
    """The block that a field holds, alone or as one of several forms such as `Block | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((block for choice in get_args(annotation) if (block := _block_in(choice)) is not None), None)


def _working_value(kind: type[BaseModel], path: list[str]) -> str:
    """A value for the innermost field that the path names: its example, else its default."""
    fields = _block_at(kind, path[:-1]).model_fields
    info = next((fields[step] for step in reversed(path) if step in fields), None)
    if info is not None and info.examples:
        return f"{json.dumps(info.examples[0])} works"
    if info is None or info.is_required():
        return f"see `gan config schema` for {'.'.join(part for part in path if part not in TAGS)}"
    default = info.get_default(call_default_factory=True)
    shown = default.model_dump(mode="json") if isinstance(default, BaseModel) else default
    return f"{json.dumps(shown, default=list)} works"
