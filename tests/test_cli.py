"""What `gan` says to wrong input, and how it asks to be used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import main

DIGITS = "configs/digits.yaml"


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line that `gan` refuses with, having exited with 2."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.imges=5", f"{DIGITS}: train.imges: unknown key; did you mean 'images'?"),
        ("train.images=many", f"{DIGITS}: train.images: 'many': input should be a valid integer, "
                              "unable to parse string as an integer; 102400 works"),
        ("train.workers=3", f"{DIGITS}: train.workers=3 cannot share train.batch=128 evenly; train.workers=2 can"),
        ("data.source=digts", f"{DIGITS}: data.source: unknown source 'digts'; did you mean 'digits'?"),
        ("model.recipe=dcgn", f"{DIGITS}: model.recipe: unknown recipe 'dcgn'; did you mean 'dcgan'?"),
        ("publish.gate.coverage_pixel.at_least=1", f"{DIGITS}: publish.gate names 'coverage_pixel'"),
        ("train.images", "--set train.images: not of the form field=value"),
    ],
)
@pytest.mark.parametrize("command", ["run", "train", "evaluate", "plan"])
def test_a_wrong_setting_is_one_line_with_advice_and_exit_code_2(command, setting, said, tmp_path, capsys):
    assert refused(capsys, command, DIGITS, "--store", tmp_path, "--set", setting).startswith(f"gan: {said}")
    assert not list(tmp_path.iterdir())  # nothing was started


def test_a_missing_file_is_named_with_the_nearest_there_is(capsys):
    assert refused(capsys, "run", "configs/digit.yaml") == \
        "gan: configs/digit.yaml: no such file; did you mean configs/digits.yaml?"


def test_a_store_that_cannot_be_written_is_refused_before_anything_starts(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    line = refused(capsys, "run", DIGITS, "--store", tmp_path / "file" / "store")
    assert "cannot be written: Not a directory; name a directory of yours" in line


def test_a_store_of_an_unknown_kind_is_refused(capsys):
    assert "./store and s3://bucket/prefix work" in refused(capsys, "plan", DIGITS, "--store", "s4://bucket")


def test_an_unknown_stage_profile_and_model_are_refused(tmp_path, capsys):
    assert "known: prepare, train, evaluate, publish" in refused(capsys, "plan", DIGITS, "--remake", "trian")
    assert "in configs/profiles: ci, " in refused(capsys, "plan", DIGITS, "--profile", "claster")
    assert "unknown model 'digits'" in refused(capsys, "models", "show", "digits", "--store", tmp_path)


@pytest.mark.parametrize("command", [
    ["run", DIGITS], ["train", DIGITS], ["tune", DIGITS], ["evaluate", DIGITS], ["plan", DIGITS], ["doctor"],
    ["dataset", "prepare", DIGITS], ["generate", "digits", "--n", "5", "--out", "made"],
])
def test_every_command_that_takes_a_profile_takes_an_address(command, tmp_path, capsys):
    said = refused(capsys, *command, "--store", tmp_path, "--ray-address", "head")
    assert said.startswith("gan: --ray-address head: is neither")
    assert not list(tmp_path.iterdir())


def test_a_profile_sets_the_workers_and_set_goes_before_it(tmp_path, capsys):
    profile = tmp_path / "wide.yaml"
    profile.write_text("workers: 4\n")

    def workers(*words: str) -> int:
        main_ok(capsys, "config", "show", DIGITS, "--no-cost", "--profile", str(profile), "--json", *words)
        return int(json.loads(main_ok.printed)["train"]["workers"])

    assert workers() == 4
    assert workers("--set", "train.workers=1") == 1


def main_ok(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 0
    main_ok.printed = capsys.readouterr().out  # type: ignore[attr-defined]


def test_config_show_prints_yaml_that_loads_as_the_same_experiment(tmp_path, capsys):
    from gan_core.config import load_experiment

    main_ok(capsys, "config", "show", DIGITS, "--no-cost", "--set", "train.batch=64")
    shown = tmp_path / "shown.yaml"
    shown.write_text(main_ok.printed)  # type: ignore[attr-defined]
    assert load_experiment(shown) == load_experiment(DIGITS, ["train.batch=64"])


def test_config_schema_knows_the_options_of_source_and_recipe(capsys):
    main_ok(capsys, "config", "schema")
    schema = json.loads(main_ok.printed)  # type: ignore[attr-defined]
    assert "gamma" in json.dumps(schema["$defs"]["GradientAt"])
    assert schema["additionalProperties"] is False


def test_plan_prints_json_for_machines_and_a_table_for_people(tmp_path, capsys):
    main_ok(capsys, "plan", DIGITS, "--store", str(tmp_path), "--json")
    stages = json.loads(main_ok.printed)["stages"]  # type: ignore[attr-defined]
    assert [(stage["name"], stage["action"]) for stage in stages] == [
        ("prepare", "RUN"), ("train", "DEPENDS"), ("evaluate", "DEPENDS"), ("publish", "DEPENDS")
    ]
    with pytest.raises(SystemExit):
        main(["plan", DIGITS, "--store", str(tmp_path)])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "never run in this store" in printed.err


@pytest.mark.parametrize("command", [["run"], ["train"], ["evaluate"], ["plan"], ["sample"], ["explore"], ["compare"],
                                     ["doctor"], ["generate"], ["score"], ["config", "show"],
                                     ["config", "schema"], ["models", "list"], ["models", "show"],
                                     ["models", "verify"], ["runs", "list"], ["runs", "show"], ["runs", "logs"],
                                     ["runs", "cancel"], ["runs", "retry"], ["jobs", "list"], ["jobs", "attach"],
                                     ["jobs", "logs"], ["jobs", "stop"]])
def test_every_command_has_help_with_an_example(command, capsys):
    main_ok(capsys, *command, "--help")
    assert "Example: gan " in main_ok.printed  # type: ignore[attr-defined]


NOT_FOR_HELP = ("torch", "ray", "prefect", "numpy", "pyarrow", "fsspec", "s3fs", "yaml", "PIL", "asyncio",
                "rich.progress", "rich.live", "gan_core.config", "gan_core.store", "gan_core.manifest")


@pytest.mark.parametrize("command", [[], ["train"], ["compare"], ["doctor"], ["models"], ["runs"], ["jobs"],
                                     ["dataset", "prepare"]])
def test_help_imports_nothing_that_a_command_works_with(command):
    not_wanted = NOT_FOR_HELP if command else (*NOT_FOR_HELP, "pydantic")  # typer itself reads options with it
    program = (
        "import sys\n"
        "from pipelines.cli import main\n"
        f"try: main([*{command}, '--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(sorted(set({not_wanted}) & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_the_store_that_help_names_is_the_one_that_is_used():
    from gan_core.store import DEFAULT_STORE
    from pipelines import options

    assert options.DEFAULT_STORE == DEFAULT_STORE
