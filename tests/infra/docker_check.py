"""What a Dockerfile of infra/docker must hold to, beyond what hadolint looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.infra.findings import Finding, is_pinned

DOCKERFILE = "docker/Dockerfile"
IMAGES = ("ray", "flow")  # the stages that are images; the others are built from
PYTHON = "3.11"
INDEXES = {"https://download.pytorch.org/whl/cpu", "https://pypi.org/simple"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|ACCESS_KEY", re.IGNORECASE)
NO_SECRET = {"RAY_AUTH_MODE"}


@dataclass
class Stage:
    """One FROM and what follows it: each instruction's word, and the rest of its line with the continuations."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str | None:
        """What the last instruction of this name says."""
        return next((rest for each, rest in reversed(self.instructions) if each == word), None)


def check(files: Mapping[str, str]) -> list[Finding]:
    """What is wrong with the Dockerfile: base images, users, secrets, health checks and where packages come from."""
    instructions = list(_instructions(files[DOCKERFILE]))
    defaults = dict(rest.split("=", 1) for word, rest in instructions if word == "ARG" and "=" in rest)
    stages = _stages(instructions)
    found = [*_bases(stages, defaults), *_installs(stages, defaults), *_secrets(instructions)]
    found += [problem for name in IMAGES for problem in _image(name, stages)]
    return [Finding(DOCKERFILE, where, problem) for where, problem in found]


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word, rest.strip()


def _stages(instructions: list[tuple[str, str]]) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    for word, rest in instructions:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name or base] = Stage(name or base, base)
        elif stages:
            next(reversed(stages.values())).instructions.append((word, rest))
    return stages


def _bases(stages: dict[str, Stage], defaults: dict[str, str]) -> Iterator[tuple[str, str]]:
    for stage in stages.values():
        if stage.base in stages:
            continue
        image = re.sub(r"\$\{?(\w+)\}?", lambda match: defaults.get(match[1], ""), stage.base)
        if not is_pinned(image):
            yield f"FROM {stage.base}", f"{image} may become another image; an exact version or a digest does not"
        if not image.startswith(f"python:{PYTHON}."):
            yield f"FROM {stage.base}", f"the versions of infra/constraints.txt are of Python {PYTHON}, not {image}'s"


def _installs(stages: dict[str, Stage], defaults: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, stage in stages.items():
        for word, rest in stage.instructions:
            if word == "RUN" and "pip" in rest and "PIP_CONSTRAINT=" not in _environment(stage, stages):
                yield f"{name}: RUN", "pip without infra/constraints.txt installs what was never tried together"
            if word == "ADD":
                yield f"{name}: ADD", "COPY takes files of the repository, and nothing else"
    if defaults.get("TORCH_INDEX") not in INDEXES:
        yield "ARG TORCH_INDEX", f"{defaults.get('TORCH_INDEX')} is not an index that everyone reaches"


def _environment(stage: Stage, stages: dict[str, Stage]) -> str:
    own = " ".join(rest for word, rest in stage.instructions if word == "ENV")
    return f"{own} {_environment(stages[stage.base], stages)}" if stage.base in stages else own


def _secrets(instructions: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for word, rest in instructions:
        names = re.findall(r"([A-Za-z_]\w*)=", rest) if word in ("ENV", "ARG") else []
        for name in {*names, *([rest] if word == "ARG" else [])} - NO_SECRET:
            if SECRET.search(name):
                yield f"{word} {name.partition('=')[0]}", "stays in the image; a secret is mounted instead"


def _image(name: str, stages: dict[str, Stage]) -> Iterator[tuple[str, str]]:
    if name not in stages:
        yield f"FROM … AS {name}", "there is no such stage"
        return
    stage = stages[name]
    user = stage.last("USER") or (stages[stage.base].last("USER") if stage.base in stages else None)
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user or ""):
        yield f"{name}: USER", f"{user} is not a number other than root's, which Kubernetes can check"
    if not (stage.last("HEALTHCHECK") or "").count("CMD ["):
        yield f"{name}: HEALTHCHECK", "without one a process that hangs looks well"
    if name == "ray" and "RAY_AUTH_MODE=token" not in _environment(stage, stages):
        yield f"{name}: ENV RAY_AUTH_MODE", "Ray runs what it is given; it has to ask for a token"
