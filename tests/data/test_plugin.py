"""Any class with `examples(split)` is a source once it is registered, however it was written."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import BaseModel

from gan_core import plugin_files
from gan_core.config import Experiment, experiment_from
from gan_core.data.plugin import as_example, as_source, plugged_in
from gan_core.data.plugin_class import name_of
from gan_core.data.source import Bad, Example, Source, source_of
from gan_core.data.sources.digits import Digits
from gan_core.data.sources.image_folder import ImageFolder
from gan_core.errors import ConfigError, DataError
from gan_core.registry import SOURCES, Registry
from tests.plug_ins import forgotten

IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)

FLAGS = '''
from __future__ import annotations
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

@dataclass(frozen=True)
class MyFlags:
    """Flags."""
    root: Path = Path(".")
    count: int = 3

    def examples(self, split: str) -> Iterator[tuple[np.ndarray, int]]:
        for i in range(self.count if split == "train" else 0):
            yield np.full((4, 4), i, np.uint8), i % 2
'''


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    with forgotten():
        yield


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    return written(tmp_path / "flags.py", FLAGS)


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def experiment(**data: Any) -> Experiment:
    return experiment_from({"name": "plugged", "data": data, "model": {"recipe": "dcgan"}})


def refusal(file: Path) -> str:
    """The one line with which a plug-in file is refused."""
    plugin_files.use([file])
    with pytest.raises(ConfigError) as refused:
        list(SOURCES)
    (line,) = str(refused.value).splitlines()
    return line


@dataclass(frozen=True)
class Squares:
    """A frozen dataclass."""

    side: int = 4
    names: list[str] = field(default_factory=lambda: ["a", "b"])

    def examples(self, split: str) -> Iterator[Any]:
        for i in range(3):
            yield np.full((self.side, self.side), i, np.uint8), i % 2

    def facts(self) -> dict[str, Any]:
        return {"class_names": self.names}


class Model(BaseModel):
    """A pydantic model that lets unknown keys pass and can be changed."""

    side: int = 4

    def examples(self, split: str) -> Iterator[Example]:
        yield Example(np.zeros((self.side, self.side), np.uint8))


class Anonymous(Source):
    """A Source without a field `source`."""

    side: int = 4

    def examples(self, split: str) -> Iterator[Example]:
        yield Example(np.zeros((self.side, self.side), np.uint8))


class Named(Anonymous):
    source: Literal["named"] = "named"


@dataclass(frozen=True)
class Counted:
    """Says how many items it has, and begins anywhere."""

    count: int = 5

    def splits(self) -> dict[str, int]:
        return {"train": self.count}

    def part(self, split: str, start: int, stop: int) -> Iterator[Any]:
        return (np.full((2, 2), i, np.uint8) for i in range(start, min(stop, self.count)))


ALL = [("squares", Squares), ("model", Model), ("anonymous", Anonymous), ("named", Named), ("counted", Counted)]


@pytest.mark.parametrize(("name", "plug_in"), ALL)
def test_whatever_was_registered_is_a_source_of_that_name(name: str, plug_in: type) -> None:
    SOURCES.register(name)(plug_in)
    try:
        kind = SOURCES.get(name)
        assert issubclass(kind, Source)
        assert kind.model_fields["source"].annotation == Literal[name]
        assert SOURCES.module_of(name) == __name__
        made = experiment(source=name).data
        assert made.source == name  # type: ignore[attr-defined]
        assert isinstance(next(iter(made.examples("train"))), Example)  # type: ignore[attr-defined]
        assert experiment(source=name) == experiment_from(experiment(source=name).as_json())
        with pytest.raises(ConfigError, match="unknown key; did you mean"):
            experiment(source=name, sid=1, coun=1)
    finally:
        SOURCES.unregister(name)


@pytest.mark.parametrize(("name", "plug_in"), ALL)
def test_equal_options_are_equal_sources_and_stay_so_through_a_pickle(name: str, plug_in: type) -> None:
    kind = as_source(name, plug_in)
    option = next(option for option in kind.model_fields if option in ("side", "count"))
    assert kind(**{option: 7}) == kind(**{option: 7}) != kind(**{option: 8})
    for pickler in (pickle, cloudpickle):
        assert pickle.loads(pickler.dumps(kind(**{option: 7}))) == kind(**{option: 7})
    with pytest.raises(ValueError, match="frozen"):
        setattr(kind(), option, 9)


def test_a_built_in_source_is_itself() -> None:
    assert SOURCES.get("digits") is Digits
    assert as_source("mine", Digits)().source == "mine"  # type: ignore[attr-defined]


def test_a_dataclass_keeps_its_defaults_and_its_methods() -> None:
    squares = as_source("squares", Squares)()
    assert squares.model_dump() == {"side": 4, "names": ["a", "b"], "source": "squares"}
    assert squares.facts() == {"class_names": ["a", "b"]}
    assert squares.splits() == {}
    assert [item.label for item in squares.examples("train") if isinstance(item, Example)] == [0, 1, 0]
    assert as_source("squares", Squares)(side=6) != squares


def test_a_set_that_begins_anywhere_does_so_as_a_source() -> None:
    counted = as_source("counted", Counted)()
    assert counted.splits() == {"train": 5}
    images = [item.image[0, 0] for item in counted.part("train", 2, 4)]  # type: ignore[union-attr, index]
    assert images == [2, 3]
    assert len(list(counted.examples("train"))) == 5
    assert list(counted.examples("test")) == []


def test_a_dataclass_that_refuses_its_options_is_a_mistake_in_the_configuration() -> None:
    @dataclass(frozen=True)
    class Picky:
        side: int = 4

        def __post_init__(self) -> None:
            if self.side % 2:
                raise ValueError(f"side={self.side} is odd; 4 works")

        def examples(self, split: str) -> Iterator[Any]:
            return iter(())

    SOURCES.register("picky")(Picky)
    try:
        with pytest.raises(ConfigError, match=r"side=3 is odd; 4 works"):
            experiment(source="picky", side=3)
    finally:
        SOURCES.unregister("picky")


@pytest.mark.parametrize(
    ("item", "kind", "label"),
    [
        (IMAGE, "image", None),
        ((IMAGE, 3), "image", 3),
        ((IMAGE, np.int64(3)), "image", 3),
        ((IMAGE, np.array([[3]])), "image", 3),
        ((IMAGE[None], None), "video", None),
        (np.zeros(8, np.int16), "audio", None),
        (np.zeros(8, np.int32), "tokens", None),
    ],
)
def test_arrays_and_pairs_are_examples(item: Any, kind: str, label: int | None) -> None:
    example = as_example(item, "here")
    assert list(example.tensors()) == [kind]
    assert example.label == label
    assert label is None or type(example.label) is int


@pytest.mark.parametrize(
    ("item", "advice"),
    [
        ("text", r"is str 'text'; yield Example\(image, label\)"),
        (None, r"is NoneType None; yield"),
        ((IMAGE, 1, 2), r"is tuple .*; yield"),
        (IMAGE / 255, r"is an array of float64; images are uint8 \(np.round"),
        ((IMAGE, "cat"), r"has the label str 'cat'; a label is a whole number"),
        ((IMAGE, 1.0), r"has the label float 1.0"),
        ((IMAGE, True), r"has the label bool True"),
        ((IMAGE, [1, 2]), r"has the label list"),
        ((np.array([object()]), 1), r"is an array of object"),
    ],
)
def test_anything_else_is_refused_with_what_works(item: Any, advice: str) -> None:
    @dataclass(frozen=True)
    class Odd:
        def examples(self, split: str) -> Iterator[Any]:
            yield IMAGE
            yield item

    with pytest.raises(DataError, match=rf"^odd: train item 1: {advice}"):
        list(as_source("odd", Odd)().examples("train"))


def test_bad_items_pass_as_they_are() -> None:
    @dataclass(frozen=True)
    class Torn:
        def examples(self, split: str) -> Iterator[Any]:
            yield Bad("a.png", "is truncated")

    assert list(as_source("torn", Torn)().examples("train")) == [Bad("a.png", "is truncated")]


def test_what_a_plug_in_raises_is_one_line_with_its_file_and_line(flags: Path) -> None:
    written(flags, FLAGS.replace("i % 2", "self.missing[i]"))
    plugin_files.use([flags])
    source = SOURCES.get("my_flags")()
    with pytest.raises(DataError, match=r"^my_flags: train item 0: AttributeError: .*missing.* \(flags.py, line 17\)"):
        list(source.examples("train"))


def test_a_forgotten_yield_is_named() -> None:
    @dataclass(frozen=True)
    class Silent:
        def examples(self, split: str) -> None:
            """Nothing."""

    with pytest.raises(DataError, match="nothing was yielded, nor returned"):
        list(as_source("silent", Silent)().examples("train"))


@dataclass(frozen=True)
class Tiny:
    root: str

    def examples(self, split: str) -> Iterator[Any]:
        for file in sorted(Path(self.root).glob(f"{split}*")):
            yield np.frombuffer(file.read_bytes(), np.uint8)[None]


@pytest.mark.parametrize("protocol", ["", "file://"])
def test_the_fingerprint_of_a_folder_is_that_of_its_files_and_reads_none(tmp_path: Path, protocol: str) -> None:
    (tmp_path / "train0").write_bytes(b"1234")
    source = as_source("tiny", Tiny)(root=f"{protocol}{tmp_path}")
    before = source.fingerprint()
    assert before == source.fingerprint()
    (tmp_path / "train0").chmod(0)  # a reader would be refused, unless it is root
    assert before == source.fingerprint()
    (tmp_path / "train0").chmod(0o644)
    (tmp_path / "train1").write_bytes(b"5678")
    assert before != source.fingerprint()


def test_the_fingerprint_without_files_is_of_what_is_yielded() -> None:
    kind = as_source("squares", Squares)
    assert kind(side=2).fingerprint() == kind(side=2, names=["c"]).fingerprint() != kind(side=3).fingerprint()


def test_a_plug_ins_own_fingerprint_goes_first(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Versioned:
        root: str
        version: Any = "7"

        def examples(self, split: str) -> Iterator[Any]:
            return iter(())

        def fingerprint(self) -> str:
            return self.version  # type: ignore[no-any-return]

    assert as_source("versioned", Versioned)(root=str(tmp_path)).fingerprint() == "7"
    with pytest.raises(DataError, match=r"versioned: fingerprint\(\) returned 7; return a digest as text"):
        as_source("versioned", Versioned)(root=str(tmp_path), version=7).fingerprint()


class Plain:
    def examples(self, split: str) -> Iterator[Any]:
        return iter(())


@dataclass
class Mute:
    root: str


@dataclass
class Half:
    def splits(self) -> dict[str, int]:
        return {}

    def examples(self, split: str) -> Iterator[Any]:
        return iter(())


@dataclass(frozen=True)
class Shadow(Squares):
    part: int = 1  # type: ignore[assignment]


@dataclass(frozen=True)
class Origin(Squares):
    source: str = "camera"


@dataclass(frozen=True)
class Strange(Squares):
    array: np.ndarray[Any, Any] | None = None


@pytest.mark.parametrize(
    ("plug_in", "said"),
    [
        (Plain, "has no options that can be read; put @dataclass"),
        (len, "has no options that can be read"),
        (Mute, "Mute does not say how to read it; define examples(split)"),
        (Half, "Half says how many items it has; define part(split, start, stop) too"),
        (Shadow, "its option 'part' is a method of every source"),
        (Origin, "its option 'source' is where an experiment writes 'x'"),
        (Strange, "options are str, int, float, bool, Path, lists of those"),
    ],
)
def test_a_class_that_cannot_be_a_source_is_refused_with_what_to_change(plug_in: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        as_source("x", plug_in)
    assert said in str(refused.value)
    assert str(refused.value).startswith("source 'x': ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "plug_in"), [*ALL, ("http_server", type("HTTPServer", (Squares,), {})),
                                               ("cifar10", type("Cifar10", (Squares,), {}))])
def test_a_class_is_called_by_its_source_or_in_snake_case(name: str, plug_in: type) -> None:
    assert name_of(plug_in) == name


@pytest.mark.parametrize("made", [Squares(side=6), Model(side=6), Anonymous(side=6), Named(side=6)])
def test_an_instance_of_a_plug_ins_class_is_a_source_with_its_options(made: Any) -> None:
    source = plugged_in(made)
    assert isinstance(source, Source)
    assert source.side == 6  # type: ignore[attr-defined]
    assert plugged_in(source) is source


def test_a_file_is_loaded_on_the_first_look_up_and_registers_itself(flags: Path) -> None:
    plugin_files.use([flags])
    assert "gan_plugin_flags" not in sys.modules
    assert [item.label for item in experiment(source="my_flags", count=4).data.examples("train")] == [  # type: ignore
        0, 1, 0, 1]
    assert SOURCES.module_of("my_flags") == "gan_plugin_flags"
    assert SOURCES.get("my_flags").__doc__ == "Flags."


def test_a_file_may_register_under_another_name(flags: Path) -> None:
    imported = FLAGS.replace("import numpy", "from gan_core.registry import SOURCES\nimport numpy")
    written(flags, imported.replace("@dataclass", "@SOURCES.register('other')\n@dataclass"))
    plugin_files.use([flags])
    assert "other" in SOURCES
    assert "my_flags" not in SOURCES


def test_a_file_named_later_is_found_too(flags: Path, tmp_path: Path) -> None:
    assert "my_flags" not in SOURCES
    plugin_files.use([flags])
    assert "my_flags" in SOURCES
    plugin_files.use([written(tmp_path / "more.py", FLAGS.replace("MyFlags", "More")), flags])
    assert {"my_flags", "more"} <= set(SOURCES)
    assert os.environ["GAN_PLUGINS"].split(os.pathsep) == [str(flags), str(tmp_path / "more.py")]


def test_a_process_started_later_loads_the_same_files(flags: Path, tmp_path: Path) -> None:
    plugin_files.use([flags])
    program = "from gan_core.registry import SOURCES; print(SOURCES.get('my_flags')(count=1).fingerprint())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert done.stdout.strip() == SOURCES.get("my_flags")(count=1, root=tmp_path).fingerprint(), done.stderr


FOLDER = '''
from typing import Any
from gan_core.data.source import Example
from gan_core.data.sources.image_folder import ImageFolder

class Inverted(ImageFolder):
    level: int = 255

    def read(self, item: Any) -> Any:
        found = super().read(item)
        return self.level - found.image, found.label
'''


def test_a_built_in_source_can_be_changed_in_one_method(tmp_path: Path) -> None:
    for i in range(20):
        file = tmp_path / "set" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(file)
    plugin_files.use([written(tmp_path / "inverted.py", FOLDER)])
    source = source_of(experiment(source="inverted", url=str(tmp_path / "set")))
    assert dict(source.splits()) == {"train": 16, "validation": 2, "test": 2}
    assert source.facts()["class_names"] == ["a", "b"]
    assert source.fingerprint() == ImageFolder(url=str(tmp_path / "set")).fingerprint()
    plain = ImageFolder(url=str(tmp_path / "set")).part("train", 3, 9)
    for mine, theirs in zip(source.part("train", 3, 9), plain, strict=True):
        assert isinstance(mine, Example)
        assert isinstance(theirs, Example)
        assert (mine.label, mine.image[0, 0]) == (theirs.label, 255 - theirs.image[0, 0])  # type: ignore[index]
    assert pickle.loads(pickle.dumps(source)) == source


@pytest.mark.parametrize("made", [Image.new("L", (2, 2)), torch.zeros(2, 2)])
def test_what_is_nearly_an_array_is_refused_with_the_way_to_make_one(made: object) -> None:
    with pytest.raises(DataError, match=r"np.asarray\(…\) makes it an array"):
        as_example(made, "here")


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_a_worker_that_was_told_nothing_unpickles_what_a_file_defines(
    flags: Path, tmp_path: Path, pickler: Any
) -> None:
    plugin_files.use([flags])
    data = pickler.dumps(SOURCES.get("my_flags")(count=2, root=tmp_path))
    program = "import pickle, sys; s = pickle.load(sys.stdin.buffer); print(s.count, len(list(s.examples('train'))))"
    environment = {name: value for name, value in os.environ.items() if name != "GAN_PLUGINS"}
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, env=environment)
    assert done.stdout.split() == [b"2", b"2"], done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (\n", "line 1: not Python: '(' was never closed"),
        ("x = 1\nraise RuntimeError('two\\nlines')\n", "line 2: RuntimeError: two lines; mend it first"),
        ("import nowhere\n", "line 1: ModuleNotFoundError: No module named 'nowhere'; install it"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("x = 1\n", "defines no source: a frozen dataclass, pydantic model or Source subclass"),
        ("from gan_core.data.sources.digits import Digits\n", "defines no source"),
        (FLAGS.replace("MyFlags", "Digits"), "source 'digits' is registered twice: gan_core.data.sources.digits"),
        (FLAGS + "class My_Flags(MyFlags): ...\n", "are both called 'my_flags'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_with_its_name(flags: Path, text: str, said: str) -> None:
    line = refusal(written(flags, text))
    assert line.startswith(str(flags))
    assert said in line
    assert refusal(flags) == line  # the next look-up says the same, and nothing of it stays
    written(flags, FLAGS)
    assert "my_flags" in SOURCES


def test_two_files_of_one_name_are_refused_and_the_first_stays(flags: Path, tmp_path: Path) -> None:
    plugin_files.use([flags])
    assert "my_flags" in SOURCES
    (tmp_path / "other").mkdir()
    line = refusal(written(tmp_path / "other" / "flags.py", FLAGS))
    assert line == f"{tmp_path}/other/flags.py: is called like {flags}; rename one of the two plug-in files"
    os.environ["GAN_PLUGINS"] = str(flags)
    assert "my_flags" in SOURCES


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flag.py", "no such file; did you mean {folder}/flags.py?"),
        ("nothing/like_it.py", "no such file; `gan dataset new NAME` writes one"),
        ("flags.txt", "is not a .py file; name the file that defines"),
        ("folder.py", "no such file"),
    ],
)
def test_a_plug_in_that_is_no_file_is_refused_at_once(flags: Path, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(ConfigError) as refused:
        plugin_files.use([tmp_path / name])
    assert str(refused.value).startswith(f"--plugin {tmp_path / name}: {said.format(folder=tmp_path)}")
    assert "GAN_PLUGINS" not in os.environ


def test_a_file_that_is_gone_is_named_by_the_process_that_looks_for_it(flags: Path) -> None:
    plugin_files.use([flags])
    flags.unlink()
    with pytest.raises(ConfigError, match=r"GAN_PLUGINS names .*flags.py, which is not there; put the plug-in file"):
        "digits" in SOURCES  # noqa: B015 - looking is enough


def test_a_registry_without_an_adapter_returns_what_was_registered() -> None:
    fruit = Registry("fruit", "gan_pipelines.tests", {})
    fruit.register("pear")(Plain)
    assert fruit.get("pear") is Plain


def test_a_change_of_the_file_changes_the_prepare_stages_key(flags: Path, tmp_path: Path) -> None:
    program = (
        "from gan_core.config import experiment_from\n"
        "from pipelines.keys import code, settings, stage_key\n"
        "e = experiment_from({'name': 'x', 'data': {'source': 'my_flags'}, 'model': {'recipe': 'dcgan'}})\n"
        "print(*[stage_key(s, settings(e, s), {}, code(e, s)) for s in ('prepare', 'train')])\n"
    )

    def keys() -> list[str]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              env={**os.environ, "GAN_PLUGINS": str(flags)})
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    before = keys()
    assert keys() == before
    written(flags, FLAGS + "# another line\n")
    after = keys()
    assert after[0] != before[0]
    assert after[1] == before[1]
