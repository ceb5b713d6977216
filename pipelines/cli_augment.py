"""`gan augment`: whether a generator's examples help a classifier of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core import plugin_files
from gan_core.errors import GateRefused
from pipelines.interrupt import end_interrupted
from pipelines.options import (
    DEFAULT_STORE,
    ExperimentArgument,
    JsonOption,
    PluginOption,
    ProfileOption,
    RayAddressOption,
    SetOption,
    StoreOption,
)
from pipelines.printed import print_json, print_table

if TYPE_CHECKING:
    from pipelines.augment_run import Augmented

ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="ADDRESS", help="The generator; the experiment's champion without it.")
]
SeedsOption = Annotated[int, typer.Option("--seeds", help="Trainings of each way, each with examples of its own.")]
ImagesOption = Annotated[int, typer.Option("--images", help="Examples seen in each training.")]
PerClassOption = Annotated[
    int | None,
    typer.Option("--per-class", help="Examples of each class, real and synthetic together; without it, as many as the "
                                     "largest class has.", show_default=False),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Shards made at one time; as of `gan generate`.")
]
RequireOption = Annotated[
    bool, typer.Option("--require-gain", help="Exit code 3 where synthetic examples are not shown to help.")
]


def augment(
    experiment: ExperimentArgument,
    model: ModelOption = None,
    seeds: SeedsOption = 3,
    images: ImagesOption = 30_000,
    per_class: PerClassOption = None,
    require_gain: RequireOption = False,
    workers: WorkersOption = None,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says whether a generator's examples help a classifier: trained with and without them, tested on real ones.

    Small classifiers learn from the real training examples, from the same with classes drawn alike, from synthetic
    examples, and from real ones filled up with synthetic ones. Synthetic examples are recommended only where the last
    is better than the better real way beyond doubt. The same command goes on after any interruption.

    Example: gan augment configs/digits_augment.yaml

    Example: gan augment configs/digits_augment.yaml --model digits@0003 --seeds 5 --per-class 500 --require-gain
    """
    from pipelines.augment_run import AugmentWish
    from pipelines.augment_run import augment as make
    from pipelines.profile import load_profile
    from pipelines.run import open_to_run

    plugin_files.use(plugin or [])
    wish = AugmentWish(images=images, seeds=seeds, per_class=per_class)
    wish.check()
    try:
        where = load_profile(profile, ray_address)
        made = make(open_to_run(experiment, store, set_ or [], where, []), model, wish, workers)
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on with the classifiers that are missing", stopped)
    if as_json:
        print_json(made.as_json())
    else:
        _say(made)
    if require_gain and not made.facts["recommended"]:
        raise GateRefused(f"{made.facts['experiment']}: {made.facts['verdict']}; without --require-gain "
                          "this is no error")


def _say(made: Augmented) -> None:
    """For a person: the ways, the classes, and the verdict."""
    from pipelines.augment_facts import NAMES, percent, rarest, sentence

    facts = made.facts
    ways: dict[str, Any] = facts["ways"]
    print_table(["trained on", "accuracy, %", "mean recall, %"],
                [[NAMES[way], percent(of["accuracy"]), percent(of["balanced_accuracy"])] for way, of in ways.items()])
    typer.echo()
    print_table(["recall, % of class", "train", *(NAMES[way] for way in ways)],
                [[each["name"], f"{each['train']:,}",
                  *(f"{100 * of['recall'][str(each['label'])]['value']:.1f}" for of in ways.values())]
                 for each in rarest(facts)])
    typer.echo()
    for line in (sentence(facts), facts["method"], *facts["notes"]):
        typer.echo(line)
    typer.echo(f"{made.status}  {made.uri}/report.html  ({made.seconds:.1f} s)", err=True)
