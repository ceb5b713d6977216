from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gan_core.errors import ConfigError
from gan_core.registry import FAMILIES, RECIPE_OPTIONS, RECIPES, SOURCES, Registry

GROUP = "gan_pipelines.tests"


def registry(**builtin: str) -> Registry:
    return Registry("fruit", GROUP, builtin)


def install(folder: Path, name: str, target: str) -> None:
    """What pip leaves behind of a package with one entry point."""
    info = folder / "fruit_stand-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fruit-stand\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {target}\n")


def test_an_unknown_name_suggests_the_nearest_and_lists_the_known() -> None:
    fruit = registry(apple="a:A", pear="p:P")
    with pytest.raises(ConfigError, match=r"^unknown fruit 'aple'; did you mean 'apple'\? known: apple, pear$"):
        fruit.get("aple")


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"^unknown fruit 'xyz'; known: apple$"):
        registry(apple="a:A").get("xyz")


def test_what_is_registered_is_found_until_it_is_taken_out() -> None:
    fruit = registry(apple="a:A")

    @fruit.register("pear")
    class Pear: ...

    assert fruit.get("pear") is Pear
    assert list(fruit) == ["apple", "pear"]
    assert fruit.module_of("pear") == __name__
    fruit.unregister("pear")
    assert "pear" not in fruit
    assert list(fruit) == ["apple"]


def test_a_name_is_registered_once() -> None:
    fruit = registry(apple="a:A")
    fruit.register("pear")(int)
    for taken in ("apple", "pear"):
        with pytest.raises(ConfigError, match=rf"fruit '{taken}' is registered twice: .*str.*; rename one of them"):
            fruit.register(taken)(str)
    assert fruit.get("pear") is int


def test_a_plug_in_is_imported_only_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_fruit.py").write_text("class Fig: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    fruit = registry(fig="lazy_fruit:Fig")
    assert "fig" in fruit
    assert fruit.module_of("fig") == "lazy_fruit"
    assert "lazy_fruit" not in sys.modules
    assert fruit.get("fig").__name__ == "Fig"
    assert fruit.get("fig") is sys.modules["lazy_fruit"].Fig


def test_an_installed_package_adds_its_plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fruit_stand.py").write_text("class Kiwi: ...\n")
    install(tmp_path, "kiwi", "fruit_stand:Kiwi")
    monkeypatch.syspath_prepend(tmp_path)
    fruit = registry(apple="a:A")
    assert list(fruit) == ["apple", "kiwi"]
    assert fruit.get("kiwi").__module__ == "fruit_stand"


def test_an_installed_plug_in_may_not_take_a_built_in_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "apple", "fruit_stand:Apple")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"'apple' is registered twice: a:A and fruit_stand:Apple"):
        list(registry(apple="a:A"))


@pytest.mark.parametrize("target", ["nowhere:Kiwi", "fruit_stand:Melon"])
def test_an_installed_plug_in_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    (tmp_path / "fruit_stand.py").write_text("class Kiwi: ...\n")
    install(tmp_path, "kiwi", target)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"^fruit 'kiwi': {target} cannot be imported: .*; install what it needs"):
        registry().get("kiwi")


def test_what_is_adapted_is_adapted_once_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "peeler.py").write_text("def peel(name, fruit): return [name, fruit]\n")
    monkeypatch.syspath_prepend(tmp_path)
    fruit = Registry("fruit", GROUP, {}, adapt="peeler:peel")
    fruit.register("pear")(int)
    assert fruit.get("pear") == ["pear", int]
    assert fruit.get("pear") is fruit.get("pear")
    assert fruit.module_of("pear") == "builtins"
    fruit.unregister("pear")
    fruit.register("pear")(str)
    assert fruit.get("pear") == ["pear", str]


@pytest.mark.parametrize("built_in", [SOURCES, RECIPES, RECIPE_OPTIONS, FAMILIES], ids=lambda r: r.kind)
def test_everything_built_in_can_be_imported(built_in: Registry) -> None:
    assert list(built_in)
    for name in built_in:
        assert built_in.get(name).__module__ == built_in.module_of(name)
