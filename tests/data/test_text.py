from __future__ import annotations

import pickle
import unicodedata
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from gan_core.config import validate
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.data.sources.text import TextFile, TextLines
from gan_core.errors import ConfigError, DataError


def every(source: Source) -> dict[str, list[Example | Bad]]:
    return {split: list(source.examples(split)) for split in SPLITS}


def good(source: Source, split: str = "train") -> list[Example]:
    found = list(source.examples(split))
    assert not [example for example in found if isinstance(example, Bad)]
    return [example for example in found if isinstance(example, Example)]


def spelled(source: Source, example: Example) -> str:
    vocabulary = source.facts()["vocabulary"]
    assert example.tokens is not None
    return "".join(vocabulary[token] for token in example.tokens if token)


def test_the_names_of_a_zip_are_read_a_line_each_with_their_language(real_data: Path) -> None:
    names = TextLines(url=str(real_data / "names_by_language" / "names.zip"))
    assert names.splits() == {"train": 16040, "validation": 2005, "test": 2005}
    facts = names.facts()
    assert facts["class_names"][:3] == ["Arabic", "Chinese", "Czech"]
    assert len(facts["class_names"]) == 18
    assert facts["vocabulary"][:2] == ["<pad>", " "]
    assert facts["blank_lines"] == 0
    found = every(names)
    whole = [example for part in found.values() for example in part if isinstance(example, Example)]
    assert all(example.tokens.shape == (20,) and example.tokens.dtype == np.int32 for example in whole)
    ours = sorted((facts["class_names"][example.label], spelled(names, example)) for example in whole)
    with zipfile.ZipFile(real_data / "names_by_language" / "names.zip") as archive:
        theirs = [(Path(name).stem, line) for name in archive.namelist()
                  for line in archive.read(name).decode().split("\n") if line.strip()]
    assert ours == sorted(theirs)
    assert len(ours) == 20_050


def test_a_line_that_comes_twice_falls_into_one_split(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"word{n % 50}" for n in range(1000)))
    source = TextLines(url=str(tmp_path))
    lines = {split: {spelled(source, example) for example in good(source, split)} for split in SPLITS}
    shared = lines["train"] & lines["test"] | lines["train"] & lines["validation"] | lines["test"] & lines["validation"]
    assert len(shared) <= 2  # one at each edge between shares


def test_the_same_examples_come_from_a_folder_a_zip_memory_and_in_parts(real_data: Path, tmp_path: Path) -> None:
    url = real_data / "names_by_language" / "names.zip"
    with zipfile.ZipFile(url) as archive:
        archive.extractall(tmp_path)
        files = fsspec.filesystem("memory")
        for name in archive.namelist():
            files.pipe_file(f"/test_text/{name}", archive.read(name))
    first = [example.tokens.tobytes() for example in TextLines(url=str(url)).part("train", 0, 500)]
    for other in (f"zip://*::{url}", str(tmp_path), "memory://test_text"):
        assert [example.tokens.tobytes() for example in TextLines(url=other).part("train", 0, 500)] == first
    again = pickle.loads(pickle.dumps(TextLines(url=str(url))))
    parts = [*again.part("train", 0, 100), *again.part("train", 100, 500)]
    assert [example.tokens.tobytes() for example in parts] == first
    files.rm("/test_text", recursive=True)


def test_files_that_name_splits_are_splits_and_no_classes(tmp_path: Path) -> None:
    for name, text in {"train": "ab\nba\n", "valid": "aa\n\n", "test": "bb"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    source = TextLines(url=str(tmp_path))
    assert source.splits() == {"train": 2, "validation": 1, "test": 1}
    assert source.facts() == {"vocabulary": ["<pad>", "a", "b"], "blank_lines": 1}
    assert good(source)[0].label is None


def test_folders_below_the_splits_are_classes(tmp_path: Path) -> None:
    for name in ("train/pos/1", "train/pos/2", "train/neg/1", "test/pos/1", "test/neg/1"):
        file = tmp_path / "reviews" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("good\n" if "pos" in name else "bad\n")
    (tmp_path / "README.md").write_text("no text of the set")
    source = TextLines(url=str(tmp_path))
    assert source.splits() == {"train": 3, "validation": 0, "test": 2}
    assert [(spelled(source, example), example.label) for example in good(source)] == [
        ("bad", 0), ("good", 1), ("good", 1)]


def test_a_line_that_is_too_long_is_bad_or_cut(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab\n" * 8 + "abab\n")
    options = {"url": str(tmp_path), "length": 3, "deal": {"validation": 0, "test": 0}}
    found = list(TextLines.model_validate(options).examples("train"))
    assert found[8] == Bad("a.txt:9", "has 4 characters, more than the 3 of an example; set length: 4, or long: cut")
    assert sum(isinstance(example, Example) for example in found) == 8
    cut = TextLines.model_validate({**options, "long": "cut"})
    assert spelled(cut, good(cut)[8]) == "aba"


def test_the_length_is_that_of_the_longest_line_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab\n" + "a" * 30 + "\n" + "b\n" * 18)
    assert {example.tokens.shape for example in good(TextLines(url=str(tmp_path)))} == {(30,)}
    (tmp_path / "b.txt").write_text("a" * 300 + "\n")
    long = list(TextLines(url=str(tmp_path), label="none", deal={"validation": 0, "test": 0}).examples("train"))
    assert {len(example.tokens) for example in long if isinstance(example, Example)} == {64}
    assert [bad.where for bad in long if isinstance(bad, Bad)] == ["b.txt:1"]


def test_marks_and_line_ends_of_other_systems_are_no_characters(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo\rthrée\n".encode())
    source = TextLines(url=str(tmp_path), deal={"validation": 0, "test": 0})
    assert [spelled(source, example) for example in good(source)] == ["one", "two", "thrée"]
    assert "\ufeff" not in source.facts()["vocabulary"]


def test_text_of_another_encoding_is_refused_with_its_line_and_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("eins\r\nzwölf\r\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a.txt: line 2, byte 3: 0xf6 is not utf-8; set encoding: latin-1"):
        TextLines(url=str(tmp_path)).splits()
    source = TextLines(url=str(tmp_path), encoding="latin-1", deal={"validation": 0, "test": 0})
    assert [spelled(source, example) for example in good(source)] == ["eins", "zwölf"]
    (tmp_path / "a.txt").write_bytes("eins".encode("utf-16"))
    with pytest.raises(DataError, match="it begins as utf-16 does: set encoding: utf-16"):
        TextLines(url=str(tmp_path)).splits()


def test_a_normal_form_makes_one_character_of_two(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(unicodedata.normalize("NFD", "é\né\n"))
    options = {"url": str(tmp_path), "deal": {"validation": 0, "test": 0}}
    assert good(TextLines.model_validate(options))[0].tokens.shape == (2,)
    assert good(TextLines.model_validate({**options, "normalise": "NFC"}))[0].tokens.shape == (1,)


def test_an_encoding_that_is_none_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'utf8000' is no text encoding; utf-8 works"):
        validate(TextLines, {"url": str(tmp_path), "encoding": "utf8000"}, "x")
    with pytest.raises(ConfigError, match="'base64' is no text encoding"):
        validate(TextLines, {"url": str(tmp_path), "encoding": "base64"}, "x")


def test_nothing_to_read_is_said_with_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"holds no file that ends in .txt; set suffix:"):
        TextLines(url=str(tmp_path)).splits()
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(DataError, match="holds nothing that TextLines reads"):
        TextLines(url=str(tmp_path)).splits()


def test_a_file_damaged_in_its_archive_is_named(real_data: Path, tmp_path: Path) -> None:
    data = bytearray((real_data / "names_by_language" / "names.zip").read_bytes())
    data[1000:1100] = bytes(100)
    (tmp_path / "names.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"names/Arabic.txt: is damaged in its archive"):
        TextLines(url=str(tmp_path / "names.zip")).splits()
    (tmp_path / "cut.zip").write_bytes(data[:5000])
    with pytest.raises(DataError, match=r"cut.zip: is not a whole archive"):
        TextLines(url=str(tmp_path / "cut.zip")).splits()


def test_windows_of_a_play_come_from_three_stretches_that_do_not_touch(real_data: Path) -> None:
    url = real_data / "tinyshakespeare" / "input.txt"
    text = url.read_text()
    source = TextFile(url=str(url), length=100, stride=50)
    sizes = source.splits()
    assert sum(sizes.values()) == pytest.approx(len(text) / 50, abs=6)
    assert source.facts()["vocabulary"] == ["<pad>", *sorted(set(text))]
    first = list(source.part("train", 0, 3))
    assert [spelled(source, example) for example in first] == [text[0:100], text[50:150], text[100:200]]
    ends = {}
    for split in SPLITS:
        begin, end = source.part(split, 0, 1), source.part(split, sizes[split] - 1, sizes[split])
        ends[split] = [text.index(spelled(source, example)) for example in (*begin, *end)]
    assert ends["train"][1] + 100 <= ends["validation"][0]
    assert ends["validation"][1] + 100 <= ends["test"][0]


def test_files_that_name_splits_keep_them_whole(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text("abcd" * 25 + ("é" if name == "test" else ""))
    source = TextFile(url=str(tmp_path), length=10)
    assert source.splits() == {"train": 10, "validation": 10, "test": 10}
    dealt = TextFile(url=str(tmp_path), length=10, deal={"validation": 0.5, "test": 0})
    assert dealt.splits() == {"train": 5, "validation": 15, "test": 10}


def test_a_character_that_only_a_held_out_text_has_is_in_the_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab" * 49 + "éa")
    source = TextFile(url=str(tmp_path), length=5)
    assert source.facts()["vocabulary"] == ["<pad>", "a", "b", "é"]
    assert "".join(spelled(source, example) for example in good(source, "test")) == ("ab" * 49 + "éa")[90:]


def test_a_text_too_short_for_a_window_is_refused_with_a_length_that_works(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab" * 20)
    with pytest.raises(DataError, match="holds 40 characters, too few for one training window of length=64; length: 2"):
        TextFile(url=str(tmp_path)).splits()
    assert TextFile(url=str(tmp_path), length=2).splits() == {"train": 16, "validation": 2, "test": 2}


def test_the_fingerprint_changes_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab\n")
    before = TextLines(url=str(tmp_path)).fingerprint()
    (tmp_path / "a.txt").write_text("ab\nc\n")
    assert TextLines(url=str(tmp_path)).fingerprint() != before
