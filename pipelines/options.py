"""What several commands are asked in the same words.  `gan --help` reads this: it imports nothing but typer."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_STORE = "./store"  # gan_core.store's own, which takes fsspec to import

ExperimentArgument = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="YAML file, for example configs/digits.yaml", show_default=False)
]
StoreOption = Annotated[str, typer.Option("--store", metavar="URL|PATH", help="Where everything is kept.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="One setting, instead of the file's; repeatable.")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME|FILE", help="Where to run: configs/profiles/NAME.yaml.")
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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
