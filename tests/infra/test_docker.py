"""The images' files: nothing is wrong with them, and a fault that is planted is found."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.infra.docker_check import DOCKERFILE, check
from tests.infra.findings import INFRA, files_of, pinned_versions, planted

ROOT = INFRA.parent
FAULTS = {
    "a floating tag": ("3.11.15-slim-trixie", "3.11-slim", "FROM python:${PYTHON}"),
    "no tag": ("FROM python:${PYTHON} AS runtime", "FROM python AS runtime", "FROM python"),
    "latest": ("FROM python:${PYTHON} AS runtime", "FROM python:latest AS runtime", "FROM python:latest"),
    "another Python": ("3.11.15-slim-trixie", "3.13.9-slim-trixie", "FROM python:${PYTHON}"),
    "root": ("USER 1000:1000", "USER 0:0", "ray: USER"),
    "a user by name": ("USER 1000:1000", "USER gan", "flow: USER"),
    "no user": ("USER 1000:1000\n", "", "ray: USER"),
    "no health check": ("HEALTHCHECK --interval=10s", "LABEL a=b #", "ray: HEALTHCHECK"),
    "a secret in the environment": ("ENV GAN_IMAGE=", "ENV RAY_AUTH_TOKEN=abc GAN_IMAGE=", "ENV RAY_AUTH_TOKEN"),
    "a secret as an argument": ("ARG GAN_IMAGE", "ARG AWS_SECRET_ACCESS_KEY\nARG GAN_IMAGE",
                                "ARG AWS_SECRET_ACCESS_KEY"),
    "no token": ("RAY_AUTH_MODE=token ", "", "ray: ENV RAY_AUTH_MODE"),
    "no constraints": (" PIP_CONSTRAINT=/build/constraints.txt", "", "ray-build: RUN"),
    "another index": ("https://download.pytorch.org/whl/cpu", "http://10.0.0.1/simple", "ARG TORCH_INDEX"),
    "an archive of somewhere": ("COPY configs configs", "ADD https://example.org/a.tar /gan", "flow: ADD"),
    "a misspelt stage": ("FROM runtime AS flow", "FROM runtime AS flwo", "FROM … AS flow"),
}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return files_of("docker")


@pytest.fixture(scope="module")
def asked() -> Any:
    """infra/docker/requirements.py as a module."""
    spec = importlib.util.spec_from_file_location("asked_requirements", INFRA / "docker" / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_is_wrong_with_the_dockerfile(files: dict[str, str]) -> None:
    assert check(files) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_dockerfile_is_found_where_it_is(files: dict[str, str], fault: str) -> None:
    right, wrong, where = FAULTS[fault]
    found = check(planted(files, DOCKERFILE, right, wrong))
    assert where in [finding.where for finding in found], found


@pytest.mark.parametrize(("right", "wrong"), [
    ("", ""), ("WORKDIR /gan", "WORKDRI /gan"), ("USER 1000", "RUN sudo true\nUSER 1000"),
])
def test_hadolint_finds_a_misspelt_instruction_and_nothing_in_the_real_file(
    files: dict[str, str], right: str, wrong: str
) -> None:
    text = planted(files, DOCKERFILE, right, wrong)[DOCKERFILE]
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "hadolint"
    answer = subprocess.run([hadolint, "--no-color", "-"], input=text, capture_output=True, text=True, check=False)
    assert (answer.returncode == 0) == (right == ""), answer.stdout + answer.stderr


def test_the_ray_image_has_all_but_prefect_and_the_flow_image_all_but_torch(asked: Any) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    names = {image: {line.partition(">")[0].partition("[")[0] for line in asked.requirements(image, pyproject)}
             for image in ("ray", "flow")}
    extras = tomllib.loads(pyproject)["project"]["optional-dependencies"]
    assert not {"torch", "prefect"} & names["ray"]
    assert "torch" not in names["flow"]
    assert {"ray", "s3fs", "numpy"} <= names["ray"] & names["flow"]
    assert "prefect" in names["flow"]
    assert {line.partition(">")[0] for line in extras["formats"]} <= names["ray"] - names["flow"]


def test_what_the_images_are_installed_with_is_pinned(asked: Any) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    pinned = {name.lower().replace("_", "-") for name in pinned_versions()} | {"torch"}
    for image in ("ray", "flow"):
        names = {line.partition(">")[0].partition("[")[0].lower() for line in asked.requirements(image, pyproject)}
        assert names <= pinned


def test_a_health_check_fails_where_nothing_answers() -> None:
    healthy = INFRA / "docker" / "healthy.py"
    asking = [sys.executable, healthy, "http://127.0.0.1:1/health"]
    answer = subprocess.run(asking, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "http://127.0.0.1:1/health" in answer.stderr
