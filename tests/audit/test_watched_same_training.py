"""A training that is watched is the same training, whatever becomes of the watcher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from audit.late_faults import Cards
from audit.watched_scripts import Broken, Tiles, tiles_config
from sb3_contrib import MaskablePPO

import parity
from parity.audit import numbers
from parity.audit.diary import TrainingStopped
from parity.frameworks.rllib.fast import accelerated
from parity.results.watch import WATCH_FILE, read_events

pytestmark = pytest.mark.usefixtures("ray_started")


def trained(config: Any, iterations: int = 3) -> tuple[dict[str, torch.Tensor], Any]:
    algorithm = config.build_algo()
    try:
        for _ in range(iterations):
            algorithm.train()
        learner = algorithm.learner_group._learner
        state = learner.module["selector"].state_dict()
        return {name: each.clone() for name, each in state.items()}, learner
    finally:
        algorithm.stop()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("path", [lambda config: config, accelerated], ids=["rllib", "fast"])
def test_rllib_ends_with_the_same_parameters(path: Callable[[Any], Any], tmp_path: Path) -> None:
    unwatched, _ = trained(path(tiles_config()))
    watched, learner = trained(parity.watch(path(tiles_config()), folder=tmp_path))
    assert same(unwatched, watched)
    assert getattr(learner, "left", []) == []  # what is looked at stays on the fast path
    assert [each.event for each in read_events(tmp_path / WATCH_FILE)] == ["start"]
    assert list(tmp_path.glob("events.out.tfevents.*.parity"))


def test_sb3_ends_with_the_same_parameters(tmp_path: Path) -> None:
    models = []
    for callback in (None, parity.WatchCallback(tmp_path)):
        models.append(MaskablePPO("MultiInputPolicy", Cards(), n_steps=64, batch_size=32, n_epochs=2, seed=0))
        models[-1].learn(256, callback=callback)
    assert same(models[0].policy.state_dict(), models[1].policy.state_dict())
    assert [each.event for each in read_events(tmp_path / WATCH_FILE)] == ["start"]
    assert "parity/explained_variance" in models[1].logger.name_to_value
    models[1].save(tmp_path / "model.zip")  # nothing is left in it that cannot be stored


def raises(*_: Any) -> None:
    raise ZeroDivisionError("a watcher with a mistake")


def test_a_watcher_that_raises_steps_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unwatched, _ = trained(tiles_config(), 2)
    monkeypatch.setattr(numbers, "add_returns", raises)
    watched, _ = trained(parity.watch(tiles_config(), folder=tmp_path), 2)
    assert same(unwatched, watched)
    _, aside = read_events(tmp_path / WATCH_FILE)
    assert aside.code == "PAR930" and "a watcher with a mistake" in aside.message


class AsksInVain(Tiles):
    def action_masks(self) -> Any:
        raise ZeroDivisionError("masks of an environment with a mistake")


def test_an_environment_that_raises_when_it_is_asked_ends_its_watching_alone(tmp_path: Path) -> None:
    trained(parity.watch(tiles_config(env=AsksInVain), folder=tmp_path), 2)
    _, aside = read_events(tmp_path / WATCH_FILE)
    assert aside.code == "PAR930" and "env runner 0" in aside.message and "with a mistake" in aside.message


def test_training_stops_at_an_error_where_that_is_asked_for(tmp_path: Path) -> None:
    config = parity.watch(tiles_config(Broken), folder=tmp_path, on_error="stop")
    with pytest.raises(TrainingStopped, match="PAR003"):
        trained(config)
    assert read_events(tmp_path / WATCH_FILE)[-1].iteration == 1


def test_callbacks_and_learner_of_the_user_are_kept() -> None:
    config = tiles_config()
    watched = parity.watch(parity.watch(config))
    assert issubclass(watched.learner_class, config.learner_class)
    assert len(watched.callbacks_class) == 1 and config.callbacks_class is not watched.callbacks_class


class NoZeros(Broken):
    """As it was before zeros were returned: training stops with a KeyError."""

    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        out = super()._forward(batch, **kwargs)
        return {"action_dist_inputs": out["action_dist_inputs"]}


def test_a_key_error_comes_with_its_cause() -> None:
    with pytest.raises(KeyError) as raised:
        trained(parity.watch(tiles_config(NoZeros)))
    assert "class NoZeros(TorchRLModule, ValueFunctionAPI)" in "".join(raised.value.__notes__)
