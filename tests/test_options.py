"""What operators set once, in the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main

DIGITS = "configs/digits.yaml"


@pytest.fixture
def settings(capsys: pytest.CaptureFixture[str]) -> Any:
    """The settings that `gan config show` prints with these words, and what it says of them."""

    def shown(*words: str) -> tuple[dict[str, Any], list[str]]:
        with pytest.raises(SystemExit):
            main(["config", "show", DIGITS, "--no-cost", "--json", *words])
        printed = capsys.readouterr()
        return json.loads(printed.out)["train"], printed.err.splitlines()

    return shown


def test_settings_of_the_environment_come_before_the_command_lines(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_SET", "train.batch=64\ntrain.images=1280 'train.workers={min: 1, max: 2}'")
    train, said = settings("--set", "train.batch=32")
    assert (train["batch"], train["images"], train["workers"]) == (32, 1280, {"min": 1, "max": 2})
    assert said == ["train.batch=64  (from GAN_SET)", "train.images=1280  (from GAN_SET)",
                    "train.workers={min: 1, max: 2}  (from GAN_SET)"]
    assert settings()[0]["batch"] == 64


def test_the_profile_of_the_environment_holds_unless_another_is_named(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_PROFILE", "ci")
    train, said = settings()
    assert (train["workers"], said) == (1, ["train.workers=1  (from the profile)"])
    assert settings("--profile", "local")[0]["workers"] == 2


def test_quotes_that_do_not_close_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
                                              ) -> None:
    monkeypatch.setenv("GAN_SET", '"seed=1')
    with pytest.raises(SystemExit) as ended:
        main(["plan", DIGITS])
    assert ended.value.code == 2
    assert "No closing quotation" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_the_store_of_the_environment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "store"))
    with pytest.raises(SystemExit):
        main(["plan", DIGITS, "--json"])
    stage, *_ = json.loads(capsys.readouterr().out)["stages"]
    assert stage["uri"].startswith(f"file://{tmp_path}/store/shards/")


@pytest.mark.parametrize("name", ["GAN_STORE", "GAN_SET", "GAN_PROFILE"])
def test_help_names_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert f"[env var: {name}]" in capsys.readouterr().out
