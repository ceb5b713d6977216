"""`gan sample --input`: an image file, or every one of a folder or prefix, translated to a file of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gan_core.addresses import resolve
from gan_core.data.decode import is_image
from gan_core.data.files import Files, Limits
from gan_core.errors import ConfigError, DamagedFile, DataError
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.pictures import check_folder
from pipelines.profile import Profile
from pipelines.sample_files import Target
from pipelines.show import console

PART = 64  # files that are read, translated and written at a time
TOLD = 20  # of the files that could not be read
WRITTEN = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Asked:
    """input, out: paths or URLs.  direction: a2b or b2a, the generator's own when None.  workers: of a folder."""

    input: str
    out: str
    direction: str | None = None
    resize: bool = False
    workers: int | None = None


@dataclass(frozen=True)
class Done:
    """made: files that were translated now.  kept: that were there.  bad: that could not be read, and why."""

    uri: str
    out: str
    direction: str
    made: int
    kept: int
    bad: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"uri": self.uri, "out": self.out, "direction": self.direction, "made": self.made, "kept": self.kept,
                "bad": [{"file": file, "reason": reason} for file, reason in self.bad]}

    def say(self) -> None:
        """For a person: what was done, and what could not be."""
        there = f", {self.kept:,} were there" if self.kept else ""
        console().print(f"{self.out}: {self.made:,} images of {self.uri}, {self.direction}{there}", soft_wrap=True)
        for file, reason in self.bad[:TOLD]:
            console().print(f"  {file}: {reason}", soft_wrap=True, markup=False)
        if self.bad[TOLD:]:
            console().print(f"  and {len(self.bad) - TOLD:,} more; --json has them all")


def translate(store: Store, address: str, asked: Asked, profile: Profile) -> Done:
    """Translates what is at `asked.input`.  ConfigError for what cannot be, before anything is made.

    Files of a folder that cannot be read are told of in what is returned; DataError for a file that was named itself.
    """
    files = Files(asked.input)
    version = resolve(address, store)
    return _one(files, version, asked) if files.is_file else _all(files, version, asked, profile)


def _one(files: Files, version: tuple[Store, str], asked: Asked) -> Done:
    target = Target(asked.out)
    target.check()
    if target.suffix not in WRITTEN:
        raise ConfigError(f"--out {asked.out}: an image is written as {', '.join(WRITTEN)}; --out "
                          f"{PurePosixPath(asked.out).stem or 'image'}.png works")
    from gan_core.bundle import read_generator  # torch takes seconds to import
    from pipelines.translate_files import direction_of, encoded, given_to, read_image, translated

    generator = read_generator(*version)
    given_to(generator, f"--input {asked.input}")
    direction = direction_of(generator, asked.direction)
    try:
        image = read_image(files.read("", Limits().bytes), generator, asked.resize)
    except DataError as error:
        raise DataError(f"--input {asked.input}: {error}") from None
    target.write(encoded(translated(generator, image[None], direction)[0], target.suffix))
    return Done(generator.uri, asked.out, direction, 1, 0)


def _all(files: Files, version: tuple[Store, str], asked: Asked, profile: Profile) -> Done:
    if "://" not in asked.out:
        check_folder(Path(asked.out), Path(asked.out))
    elif asked.out.startswith("memory://") and asked.workers not in (None, 1):
        raise ConfigError(f"--out {asked.out}: lives in one process, and workers are several; --out ./there works")
    out = Store(asked.out)
    paths = [file.path for file in files.list() if is_image(file.path)]
    if not paths:
        raise DataError(f"--input {asked.input}: holds no image; name a folder of PNG or JPEG files, or one of them")
    from gan_core.bundle import read_generator
    from pipelines.cluster import ray_for_a_while
    from pipelines.counting import counting
    from pipelines.on_ray_translate import carried_out
    from pipelines.translate_files import Order, direction_of, given_to, name_of

    generator = read_generator(*version)
    given_to(generator, f"--input {asked.input}")
    direction = direction_of(generator, asked.direction)
    _begin(out, version, asked, direction)
    names = {path: name_of(path) for path in paths}
    bad, clear = _told_apart(names)
    there = out.sizes("")
    left = [path for path in clear if names[path] not in there]
    order = Order(generator=(version[0].url, version[1]), source=asked.input, out=out.url, direction=direction,
                  resize=asked.resize)
    parts = [left[start : start + PART] for start in range(0, len(left), PART)]
    kept = done = len(clear) - len(left)
    with ray_for_a_while(), counting("translating", "images") as progress:
        for count, unread in carried_out(profile, asked.workers, order, parts):
            bad += unread
            done += count
            progress(done, len(clear), len(bad))
    return Done(generator.uri, asked.out, direction, len(paths) - len(bad) - kept, kept, tuple(sorted(bad)))


def _told_apart(names: dict[str, str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Files that would become one, which are not made, with the reason; and the others."""
    often = Counter(names.values())
    bad = [(path, f"would become {name}, as another file would; rename one of them")
           for path, name in names.items() if often[name] > 1]
    return bad, [path for path, name in names.items() if often[name] == 1]


def _begin(out: Store, version: tuple[Store, str], asked: Asked, direction: str) -> None:
    """Says what the folder is of.  ConfigError where it holds what another generator made, or made otherwise."""
    from pipelines.translate_files import MARK

    manifest = read_manifest(*version)
    assert manifest is not None, "its generator was read"
    told = {"generator": version[0].uri(version[1]), "digest": manifest.digest, "input": asked.input,
            "direction": direction, "resize": asked.resize}
    try:
        found = json.loads(out.read(MARK))
    except FileNotFoundError:
        out.write(MARK, (json.dumps(told, indent=1) + "\n").encode())
        return
    except ValueError:
        raise DamagedFile(f"{out.uri(MARK)}: is no JSON; remove it, and what lies beside it is taken as it is"
                          ) from None
    for name in ("digest", "input", "direction", "resize"):
        if found.get(name) != told[name]:
            raise ConfigError(f"--out {asked.out}: holds translations with {name}={found.get(name)}, and {name}="
                              f"{told[name]} is asked for; name another folder, or remove that one")


def bad_at_the_end(bad: Sequence[tuple[str, str]]) -> str:
    """What the command ends with where some files could not be read."""
    return (f"{len(bad):,} files could not be translated, the first is {bad[0][0]}: {bad[0][1]}; the same command goes "
            "on with them once they are mended")
