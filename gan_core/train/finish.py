"""The finished run: averaged and raw weights, how a bundle builds the generator, and the curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from gan_core.config import Experiment
from gan_core.errors import CheckpointError
from gan_core.manifest import Parent, artefact
from gan_core.recipes.recipe import Recipe
from gan_core.train.checkpoint import RunPlace
from gan_core.train.state import TrainState
from gan_core.train.switches import Switches


def write_run(
    experiment: Experiment, recipe: Recipe, state: TrainState, switches: Switches, place: RunPlace, attempt: int,
    parents: tuple[Parent, ...], seen: Mapping[str, Any],
) -> None:
    """Writes it from the last state, or from the best checkpoint when `train.best_by` is set; manifest last.

    seen: facts about what was measured on the way.
    """
    saved = state.snapshot() if state.best is None else _best(state, place)
    names, spec = recipe.published()
    with artefact(place.store, place.prefix, kind="run", key=place.key, parents=parents) as draft:
        published = {name: saved["averages"].get(name, saved["networks"][name]) for name in names}
        alone = published[names[0]] if len(names) == 1 else _joined(published)
        save_file(_plain(alone), draft.path / "generator.safetensors")
        save_file(_plain(_joined(saved["networks"])), draft.path / "networks.safetensors")
        (draft.path / "generator.json").write_text(spec.model_dump_json(indent=1) + "\n")
        (draft.path / "metrics.jsonl").write_bytes(place.curves())
        draft.facts.update(
            position=state.position, weights_of=saved["position"], attempts=attempt, worlds=state.worlds,
            rollbacks=state.rollbacks, ended=state.ended, best=state.best, **seen, **switches.facts,
        )


def _best(state: TrainState, place: RunPlace) -> dict[str, Any]:
    assert state.best is not None
    position = int(state.best["position"])
    name = place.name_at(position)
    saved = place.load(name) if name else None
    if saved is None:
        raise CheckpointError(f"{place.store.uri(place.prefix)}: the best checkpoint, of {position} images, is gone; "
                              "remove the checkpoints after it and start again, or leave train.best_by out")
    return saved


def _joined(networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of several networks, by network and name."""
    return {f"{name}.{key}": tensor for name, weights in networks.items() for key, tensor in weights.items()}


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in weights.items()}
