"""Masks that are left out, wrong, late or applied in the wrong place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns

from parity.selftest.good import MASK, SHELVES, SorterModule, SortingTogether
from parity.selftest.register import bug, planted, wrong
from parity.task import Task


@planted
class MasksInTheModule(SorterModule):
    """Bugs of how the module applies its mask."""

    @wrong("_forward_train", "the mask is left out when training", "PAR201", "PAR303")
    def mask_omitted_in_training(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch[Columns.OBS]))}

    @wrong("_forward_exploration", "the mask is left out when exploring", "PAR201", "PAR302")
    def mask_omitted_in_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch[Columns.OBS]))}

    @wrong("_forward_inference", "the mask is left out at inference, where evaluation and deployment play", "PAR201")
    def mask_omitted_in_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch[Columns.OBS]))}

    @wrong("masked", "logits are multiplied by the mask: illegal actions get logit 0", "PAR201")
    def mask_multiplied(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits * mask

    @wrong("masked", "probabilities are multiplied by the mask and given as logits", "PAR201", "PAR101")
    def mask_on_probabilities(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.softmax(logits, dim=-1) * mask

    @wrong("masked", "illegal actions get -10 only, and are played now and then", "PAR201")
    def mask_too_weak(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits + torch.clamp(torch.log(mask.float()), min=-10.0)

    @wrong("masked", "illegal actions get -30, which a decided policy outweighs", "PAR201")
    def mask_too_weak_later(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits - 30.0 * (1 - mask.float())

    @wrong("masked", "the module reads the mask the wrong way round", "PAR201")
    def mask_inverted_in_module(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits.masked_fill(mask == 1, -1e9)

    @wrong("masked", "~mask on int8 is -1 or -2, never False: everything is masked, which masks nothing", "PAR201")
    def mask_negated_as_integer(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where((~mask.to(torch.int8)).bool(), torch.full_like(logits, -1e9), logits)

    @wrong("masked", "the mask of the first row is used for the whole batch", "PAR201")
    def mask_of_the_first_row(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().masked(logits, mask[:1].expand_as(logits))

    @wrong("_forward_train", "masks move by one row in the batch when training", "PAR201", "PAR303")
    def mask_rows_shifted_in_training(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.pi(self.features(obs))
        return {Columns.ACTION_DIST_INPUTS: self.masked(logits, torch.roll(obs[MASK], 1, 0))}

    @wrong("masked", "one legal action is forbidden as well", "PAR101", "PAR203")
    def mask_forbids_too_much(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        several = mask.sum(dim=-1, keepdim=True) > 1
        mask = torch.where(several & (torch.arange(SHELVES) == mask.argmax(dim=-1, keepdim=True)), 0, mask)
        return super().masked(logits, mask)

    @wrong(
        "masked",
        "the module remembers the mask of its last call: each one is a step late",
        "PAR201",
        "PAR104",
        "PAR303",
    )
    def mask_of_the_last_call(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        before, self.kept = getattr(self, "kept", mask), mask
        return super().masked(logits, before if before.shape == mask.shape else mask)


@bug("-inf where the mask is 0, and a state in which nothing is legal", "PAR005", "PAR106")
def minus_infinity_with_an_empty_mask(good: Task) -> Task:
    class Module(SorterModule):
        def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return logits.masked_fill(mask == 0, -torch.inf)

    class Env(SortingTogether):
        def mask(self) -> np.ndarray:
            return super().mask() * np.int8(self.env.t != 2)

    return replace(good, rllib_module=Module, multi_agent_env=Env)


@planted
class MasksInTheEnvironment(SortingTogether):
    """Bugs of the mask that the environment shows."""

    @wrong("mask", "the environment asks for an action where none is legal", "PAR005")
    def empty_mask(self) -> np.ndarray:
        return super().mask() * np.int8(self.env.t != 2)

    @wrong("mask", "the environment shows the mask of the state before", "PAR031")
    def mask_of_the_state_before(self) -> np.ndarray:
        now = super().mask()
        before, self.kept = getattr(self, "kept", now), now
        return before

    @wrong("mask", "the environment's mask says what is forbidden", "PAR031")
    def mask_inverted_in_environment(self) -> np.ndarray:
        mask = super().mask()
        return mask if mask.all() else 1 - mask

    @wrong("mask", "the environment gives the learning agent another agent's mask: all ones", "PAR031")
    def mask_of_another_agent(self) -> np.ndarray:
        return np.ones(SHELVES, np.int8)

    @wrong("mask", "the mask's entries stand in another order than the actions", "PAR031")
    def mask_in_another_order(self) -> np.ndarray:
        return super().mask()[::-1].copy()

    @wrong(
        "mask",
        "the mask is one array that the environment goes on writing into, and the module sees the next one",
        "PAR019",
    )
    def mask_aliased(self) -> np.ndarray:
        if not hasattr(self, "kept"):
            self.kept = np.zeros(SHELVES, np.int8)
        self.kept[:] = super().mask()
        return self.kept


@bug("the mask is 0 for legal and -1e8 for illegal actions, to be added to logits", "PAR039")
def mask_to_be_added(good: Task) -> Task:
    class Env(SortingTogether):
        def entries(self) -> dict[str, Any]:
            return super().entries() | {MASK: spaces.Box(-1e8, 0.0, (SHELVES,), np.float32)}

        def mask(self) -> np.ndarray:
            return np.where(super().mask() > 0, 0.0, -1e8).astype(np.float32)

    class Module(SorterModule):
        def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return logits + mask

    return replace(good, rllib_module=Module, multi_agent_env=Env)
