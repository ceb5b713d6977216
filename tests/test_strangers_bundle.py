"""A bundle that a stranger made: what is wrong with it is said in one line, and nothing of it is fetched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save

from gan_core import bundle_network
from gan_core.bundle import load_generator, read_generator
from gan_core.bundle_files import MOST_FILES, MOST_MANIFEST, MOST_SPEC
from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import MANIFEST
from gan_core.mixture import averaged
from gan_core.onnx_network import OnnxNetwork, most_bytes, refuse_unsafe
from gan_core.pictures import to_uint8
from gan_core.store import Store
from tests.artefacts import publish_one

VERSION = "models/digits/versions/0001"
NEEDED = ["generator.json", "generator.safetensors"]


class Watched(Store):
    """Writes down what is read."""

    def __init__(self, url: str | Path) -> None:
        super().__init__(url)
        self.read_paths: list[str] = []

    def read(self, path: str) -> bytes:
        self.read_paths.append(path.removeprefix(f"{VERSION}/"))
        return super().read(path)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = Store(tmp_path_factory.mktemp("published"))
    publish_one(store)
    return {path: store.read(f"{VERSION}/{path}") for path in store.sizes(VERSION)}


@pytest.fixture
def store(tmp_path: Path, published: dict[str, bytes]) -> Watched:
    """A copy of a version, to be spoilt."""
    made = Watched(tmp_path / "store")
    for path, data in published.items():
        made.write(f"{VERSION}/{path}", data)
    return made


def manifest_of(store: Store) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(store.read(f"{VERSION}/{MANIFEST}"))
    return manifest


def rewrite(store: Watched, files: list[dict[str, Any]]) -> None:
    """Has the manifest list these files, and forgets what was read."""
    store.write(f"{VERSION}/{MANIFEST}", json.dumps(manifest_of(store) | {"files": files}).encode())
    store.read_paths.clear()


def put(store: Watched, files: dict[str, bytes]) -> None:
    """Adds or replaces files, with a manifest that says so."""
    for path, data in files.items():
        store.write(f"{VERSION}/{path}", data)
    told = [{"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in files.items()]
    rewrite(store, [*(file for file in manifest_of(store)["files"] if file["path"] not in files), *told])


def listed_as(store: Watched, which: str, **changes: Any) -> None:
    """Changes what the manifest says of one file."""
    rewrite(store, [file | (changes if file["path"] == which else {}) for file in manifest_of(store)["files"]])


def refused(store: Watched, why: str, read: list[str]) -> None:
    with pytest.raises(DamagedFile, match=why) as raised:
        read_generator(store, VERSION)
    assert "\n" not in str(raised.value)
    assert "; " in str(raised.value) or "its manifest" in str(raised.value)
    assert store.read_paths == read


def test_of_a_version_only_what_is_needed_is_read(store: Watched) -> None:
    put(store, {"evil.pkl": b"cos\nsystem\n", "network.pt2": b"PK"})
    read_generator(store, VERSION)
    assert store.read_paths == [MANIFEST, *NEEDED]


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "a\\b", "", ".", "./generator.json", "a//b", "a/",
                                  "new\nline", "MANIFEST.json", "a/../b"])
def test_a_path_that_leads_elsewhere_is_refused(store: Watched, path: str) -> None:
    listed_as(store, "samples.png", path=path)
    refused(store, rf"{MANIFEST}: not a manifest: files\.\d+\.path: .* such as 'generator\.json'; .* another copy",
            [MANIFEST])


def test_a_very_long_path_makes_no_long_line(store: Watched) -> None:
    listed_as(store, "samples.png", path="../" * 10**5)
    with pytest.raises(DamagedFile) as raised:
        read_generator(store, VERSION)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(("change", "why"), [
    ({"path": "generator.json"}, "'generator.json' is listed twice"),
    ({"size": -1}, r"files\.\d+\.size: .*greater than or equal to 0"),
    ({"sha256": "0" * 63}, r"files\.\d+\.sha256"),
    ({"sha256": "G" * 64}, r"files\.\d+\.sha256"),
    ({"sha256": ""}, r"files\.\d+\.sha256"),
])
def test_a_manifest_that_cannot_be_is_refused(store: Watched, change: dict[str, Any], why: str) -> None:
    listed_as(store, "samples.png", **change)
    refused(store, why, [MANIFEST])


def test_a_manifest_of_too_many_files_is_refused(store: Watched) -> None:
    many = [{"path": f"f{n}", "size": 0, "sha256": "0" * 64} for n in range(MOST_FILES)]
    rewrite(store, [*manifest_of(store)["files"], *many])
    refused(store, r"lists 4,106 files, and a bundle has 4,096 at most", [MANIFEST])


def grown(store: Store, path: str, size: int) -> None:
    """The file has that many bytes, of which the disk holds none."""
    os.truncate(store.local_path(f"{VERSION}/{path}"), size)


def test_a_manifest_that_is_too_large_is_not_read(store: Watched) -> None:
    grown(store, MANIFEST, 2**40)
    refused(store, rf"{MANIFEST}: has 1,099,511,627,776 bytes, and a bundle's has {MOST_MANIFEST:,} at most", [])


@pytest.mark.parametrize(("path", "why", "before"), [
    ("generator.json", rf"and {MOST_SPEC:,} are the most that such a file can need", [MANIFEST]),
    ("generator.safetensors", r"and the network of generator\.json needs [\d,]+ at most", [MANIFEST, "generator.json"]),
])
def test_a_file_that_is_larger_than_its_use_is_not_read(
    store: Watched, path: str, why: str, before: list[str]
) -> None:
    grown(store, path, 2**40)
    listed_as(store, path, size=2**40)
    refused(store, rf"{path}: has 1,099,511,627,776 bytes, {why}; take another copy", before)


@pytest.mark.parametrize(("path", "before"), [("generator.json", [MANIFEST]),
                                              ("generator.safetensors", [MANIFEST, "generator.json"])])
def test_a_store_that_has_another_size_is_not_read_from(store: Watched, path: str, before: list[str]) -> None:
    grown(store, path, 2**40)
    refused(store, rf"{path}: is damaged: 1099511627776 bytes, its manifest says \d+", before)
    store.delete(f"{VERSION}/{path}")
    store.read_paths.clear()
    refused(store, rf"{path}: is missing, though its manifest lists it", before)


@pytest.mark.parametrize(("path", "before"), [(MANIFEST, []), ("generator.json", [MANIFEST]),
                                              ("generator.safetensors", [MANIFEST, "generator.json"])])
def test_a_device_in_place_of_a_file_is_not_read(store: Watched, path: str, before: list[str]) -> None:
    listed_as(store, path, size=0)
    target = store.local_path(f"{VERSION}/{path}")
    target.unlink()
    target.symlink_to("/dev/zero")
    refused(store, rf"{path}: is empty; take another copy", before)


@pytest.mark.parametrize(("options", "why"), [
    ({"width": 2**40}, r"options\.width: 1099511627776 is more than networks have; 65536 works"),
    ({"shape": [1, 8, 2**40]}, r"options\.shape: 1099511627776 is more"),
    ({"width": 2**16}, r"generator\.safetensors: has [\d,]+ bytes, and the network of generator\.json has [\d,]+ at "
                       r"least"),
])
def test_no_large_network_is_built_for_weights_that_are_not_there(
    store: Watched, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], why: str
) -> None:
    spec = json.loads(store.read(f"{VERSION}/generator.json"))
    spec["options"] |= options
    put(store, {"generator.json": json.dumps(spec).encode()})
    monkeypatch.setattr(bundle_network, "built", None)
    refused(store, why, [MANIFEST, "generator.json"])


# --- ONNX models of families that are not installed -----------------------------------------------------------


@pytest.fixture
def foreign(store: Watched) -> Watched:
    """A version whose family is not installed here."""
    put(store, {"generator.json": store.read(f"{VERSION}/generator.json").replace(b"dcgan_generator", b"theirs")})
    return store


def test_its_model_makes_the_same_images(foreign: Watched, tmp_path: Path, published: dict[str, bytes]) -> None:
    original = Store(tmp_path / "original")
    for path, data in published.items():
        original.write(f"{VERSION}/{path}", data)
    ours, theirs = read_generator(original, VERSION), read_generator(foreign, VERSION)
    assert foreign.read_paths == [MANIFEST, "generator.json", "generator.onnx"]
    assert isinstance(theirs.network, OnnxNetwork)
    assert (theirs.dtype, theirs.classes, theirs.uri) == (torch.float32, 10, foreign.uri(VERSION))
    for asked in ({"label": 3}, {"truncation": 0.5}, {}):
        images = [one.sample(70, seed=2, **asked).astype(int) for one in (ours, theirs)]
        assert np.abs(images[0] - images[1]).max() <= 1
    other = theirs.at(torch.float64)
    np.testing.assert_array_equal(other.sample(9, seed=1), theirs.sample(9, seed=1))
    z = {"z": torch.zeros(2, 8), "label": torch.tensor([1, 2])}
    np.testing.assert_array_equal(to_uint8(theirs.network(**z).numpy()),
                                  theirs.images_of({name: values.numpy() for name, values in z.items()}))
    with pytest.raises(ConfigError, match=r"runs as ONNX, which holds no weights to average"):
        averaged([theirs, theirs])


def test_without_a_model_the_family_is_asked_for(foreign: Watched) -> None:
    rewrite(foreign, [file for file in manifest_of(foreign)["files"] if file["path"] != "generator.onnx"])
    with pytest.raises(ConfigError, match=r"network family 'theirs'; .*; install the package that registers it$"):
        load_generator(foreign.uri(VERSION))


def test_a_model_that_is_larger_than_its_weights_explain_is_not_read(foreign: Watched) -> None:
    grown(foreign, "generator.onnx", 2**40)
    listed_as(foreign, "generator.onnx", size=2**40)
    refused(foreign, r"generator\.onnx: has 1,099,511,627,776 bytes, and [\d,]+ are the most",
            [MANIFEST, "generator.json"])
    grown(foreign, "generator.safetensors", 2**40)
    listed_as(foreign, "generator.safetensors", size=2**50)
    refused(foreign, r"generator\.safetensors: is damaged: ", [MANIFEST, "generator.json"])
    assert most_bytes(2**50) < 2**31


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "../../../../etc/passwd")
    tensor.data_location = TensorProto.EXTERNAL


def outside_and_silent(model: onnx.ModelProto) -> None:
    outside(model)
    model.graph.initializer[0].data_location = TensorProto.DEFAULT


def outside_within(model: onnx.ModelProto) -> None:
    inner = numpy_helper.from_array(np.zeros(3, np.float32), "inner")
    inner.data_location = TensorProto.EXTERNAL
    branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value=inner)], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["label"], ["x"], then_branch=branch, else_branch=branch))


def other_operators(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("EPContext", [], ["x"], domain="com.microsoft"))


def other_set(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("mine.so", 1))


def own_functions(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("", "mine", [], [], [], []))


@pytest.mark.parametrize(("spoil", "why"), [
    (outside, r"keeps '.*' in another file, which is never read"),
    (outside_and_silent, "in another file"),
    (outside_within, "keeps 'inner' in another file"),
    (other_operators, r"operators that are not ONNX's own \(com\.microsoft\)"),
    (other_set, r"not ONNX's own \(mine\.so\)"),
    (own_functions, r"not ONNX's own \(functions\)"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_model_that_reaches_beyond_its_file_is_refused(
    foreign: Watched, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[onnx.ModelProto], None], why: str
) -> None:
    model = onnx.load_model_from_string(foreign.read(f"{VERSION}/generator.onnx"))
    spoil(model)
    put(foreign, {"generator.onnx": model.SerializeToString()})
    monkeypatch.setattr("onnxruntime.InferenceSession", None)
    refused(foreign, rf"generator\.onnx: .*{why}", [MANIFEST, "generator.json", "generator.onnx"])


def renamed(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["w" if name == "z" else name for name in node.input]
    model.graph.input[0].name = "w"


def undefined(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "nowhere"


@pytest.mark.parametrize(("spoil", "why"), [(renamed, "takes w, label and makes images, not z, label and images"),
                                            (undefined, "cannot be run: ")])
def test_a_model_of_another_kind_is_refused(
    foreign: Watched, spoil: Callable[[onnx.ModelProto], None], why: str
) -> None:
    model = onnx.load_model_from_string(foreign.read(f"{VERSION}/generator.onnx"))
    spoil(model)
    put(foreign, {"generator.onnx": model.SerializeToString()})
    refused(foreign, rf"generator\.onnx: {why}", [MANIFEST, "generator.json", "generator.onnx"])


def test_what_is_no_model_is_refused() -> None:
    for data in (b"", b"\x80\x04 pickle", save({"w": torch.zeros(3)})):
        with pytest.raises(DamagedFile, match=r"here: (not an ONNX model|cannot be run|takes)"):
            OnnxNetwork(data, ("z",), "here")
    with pytest.raises(DamagedFile, match="here: not an ONNX model; take another copy"):
        refuse_unsafe(b"\xff" * 9, "here")
