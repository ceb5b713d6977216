"""What several commands are asked in the same words.  `gan --help` reads this: it imports nothing but typer.

What an operator sets once for a machine comes from the environment: GAN_STORE, GAN_PROFILE and GAN_SET.  The command
line goes before it; of GAN_SET it goes before the same setting alone.
"""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

DEFAULT_STORE = "./store"  # gan_core.store's own, which takes fsspec to import
SETTINGS = "GAN_SET"


def settings_of_environment() -> list[str]:
    """The `a.b=c` of GAN_SET, in their order: between spaces or line ends, in quotes where they hold any."""
    text = os.environ.get(SETTINGS, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(f"{SETTINGS}={text!r}: {error}; {SETTINGS}=\"train.images=20480 seed=1\" works"
                                 ) from None


def _after_the_environments(
    context: typer.Context, parameter: typer.CallbackParam, value: list[str] | None
) -> list[str] | None:
    """GAN_SET's, then the command line's; typer alone would take one or the other."""
    source = context.get_parameter_source(parameter.name or "")
    given = source is not None and source.name == "COMMANDLINE"
    return [*settings_of_environment(), *((value or []) if given else [])]


ExperimentArgument = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="YAML file, for example configs/digits.yaml", show_default=False)
]
ExperimentsArgument = Annotated[
    list[str], typer.Argument(metavar="EXPERIMENT...", help="YAML files, for example configs/digits.yaml",
                              show_default=False)
]
StoreOption = Annotated[
    str, typer.Option("--store", metavar="URL|PATH", envvar="GAN_STORE", help="Where everything is kept.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", envvar=SETTINGS, callback=_after_the_environments,
                 help="One setting, instead of the file's; repeatable."),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME|FILE", envvar="GAN_PROFILE",
                             help="Where to run: configs/profiles/NAME.yaml.")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", metavar="URL|HOST:PORT", show_default=False,
                 help="The Ray cluster, instead of the profile's: http://head:8265 takes the work as jobs, head:6379 "
                      "is joined."),
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE.py", help="A file that defines a data set's class; repeatable.",
                 show_default=False),
]
RemakeOption = Annotated[
    list[str] | None,
    typer.Option("--remake", metavar="STAGE", help="Make a stage's result again though it is there; repeatable."),
]
MatrixOption = Annotated[
    list[str] | None,
    typer.Option("--matrix", metavar="a.b=c,d,…", show_default=False,
                 help="A run for each value of a setting; repeatable, for each combination."),
]
ParallelOption = Annotated[
    int, typer.Option("--parallel", min=1, metavar="N", help="Of several runs, how many at once.")
]
VerifyDataOption = Annotated[
    bool, typer.Option("--verify-data", help="Read every byte of the data set, whatever its listing says.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
