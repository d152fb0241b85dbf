"""One mistake each on top of the good ports of `seats` and `parcels`, as people make them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from parcels import DICT, Wrapped
from parcels import PORTS as PARCELS
from parcels import Module as ParcelModule
from ray.rllib.core.columns import Columns
from seats import (
    AtTheLeftForAWhile,
    Counter,
    LeftLeaves,
    LegalAtTheLeft,
    LegalCounter,
    LegalModule,
    Module,
    RightLeaves,
    self_play,
    shared,
    task,
)


class MaskOfTheOtherSeat(Counter):
    def _shown(self) -> dict[str, Any]:
        shown = super()._shown()
        return {name: {**seen, "action_mask": self.seats[_other(name)].left} for name, seen in shown.items()}


class PricesOfTheOtherSeat(Counter):
    def _shown(self) -> dict[str, Any]:
        shown = super()._shown()
        return {name: {**seen, "prices": self.seats[_other(name)].prices} for name, seen in shown.items()}


class RewardOfBothSeats(Counter):
    def step(self, actions: dict[str, Any]) -> Any:
        shown, rewards, *rest = super().step(actions)
        return shown, dict.fromkeys(rewards, sum(rewards.values())), *rest


class TheTimeLimitTerminates(Counter):
    def step(self, actions: dict[str, Any]) -> Any:
        shown, rewards, _, truncateds, infos = super().step(actions)
        return shown, rewards, truncateds, {"__all__": False}, infos


class NoLastReward(LeftLeaves):
    def step(self, actions: dict[str, Any]) -> Any:
        shown, rewards, terminateds, *rest = super().step(actions)
        return shown, {n: paid for n, paid in rewards.items() if not terminateds.get(n)}, terminateds, *rest


class PaysThoseWhoLeft(RightLeaves):
    def step(self, actions: dict[str, Any]) -> Any:
        shown, rewards, *rest = super().step(actions)
        return shown, {"right": 0.0, **rewards}, *rest


class InvertedInTheEnvironment(LegalCounter):
    def _shown(self) -> dict[str, Any]:
        return {name: {**seen, "legal": 1 - seen["legal"]} for name, seen in super()._shown().items()}


class InvertedInTheModule(LegalModule):
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return super()._forward({Columns.OBS: {**obs, "legal": 1 - obs["legal"]}})


class ScaledForThePolicy(Module):
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return super()._forward({Columns.OBS: {**obs, "prices": obs["prices"] * 1.01}})


class ValuesWithoutTheWeight(ParcelModule):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        weight, rest = batch[Columns.OBS]["observations"]
        return self.network((torch.zeros_like(weight), rest))[1]


class PopsInside(ParcelModule):
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = super()._forward(batch)
        batch[Columns.OBS]["observations"].pop("kind")
        return out


class LabelInverted(Wrapped):
    def _shown(self, observation: Any) -> Any:
        parcel = observation["parcel"]
        return super()._shown({**observation, "parcel": {**parcel, "label": 255 - parcel["label"]}})


class MaskOfTheStateBefore(Wrapped):
    before: Any = None

    def _shown(self, observation: Any) -> Any:
        shown = super()._shown(observation)["hand"]
        mask, self.before = self.before, shown["action_mask"]
        return {"hand": {**shown, "action_mask": shown["action_mask"] if mask is None else mask}}


def _other(name: str) -> str:
    return "left" if name == "right" else "right"


def _legal(env: type[Counter] = LegalCounter, module: type[Module] = LegalModule) -> Any:
    return task(
        "legal", env, LegalAtTheLeft, mask="obs:legal", rllib_module=module, other_modules={"right": LegalModule}
    )


def _wrapped(env: type[Wrapped] = Wrapped, module: type[ParcelModule] = ParcelModule) -> Any:
    return dataclasses.replace(PARCELS["wrapped-dict"], multi_agent_env=lambda: env(DICT), rllib_module=module)


# Port with the mistake, and the code that is named first.
MISTAKES = {
    "mask of the other seat": (task("a", MaskOfTheOtherSeat), "PAR031"),
    "prices of the other seat": (task("b", PricesOfTheOtherSeat), "PAR030"),
    "reward of both seats": (task("c", RewardOfBothSeats, rllib_config=shared), "PAR032"),
    "the time limit terminates": (task("d", TheTimeLimitTerminates, rllib_config=self_play), "PAR033"),
    "no last reward": (task("e", NoLastReward, AtTheLeftForAWhile, rllib_config=shared), "PAR041"),
    "pays those who left": (task("f", PaysThoseWhoLeft, rllib_config=shared), "PAR045"),
    "scaled, shared policy": (task("g", rllib_module=ScaledForThePolicy, rllib_config=shared), "PAR101"),
    "scaled, self-play": (task("h", rllib_module=ScaledForThePolicy, rllib_config=self_play), "PAR101"),
    "inverted in the environment": (_legal(InvertedInTheEnvironment), "PAR031"),
    "inverted in the module": (_legal(module=InvertedInTheModule), "PAR201"),
    "values without the weight": (
        dataclasses.replace(PARCELS["tuple-brought"], rllib_module=ValuesWithoutTheWeight),
        "PAR102",
    ),
    "pops inside": (_wrapped(module=PopsInside), "PAR103"),
    "label inverted": (_wrapped(LabelInverted), "PAR030"),
    "mask of the state before": (_wrapped(MaskOfTheStateBefore), "PAR031"),
}
