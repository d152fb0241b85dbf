"""What ports of the old API stack bring of their own: a masked ``TorchModelV2`` that knows nothing of parity."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2


class OwnModel(TorchModelV2, torch.nn.Module):
    """Masked logits and a value from what RLlib's preprocessors give: ``obs`` by entry, numbers as one-hot vectors."""

    hides_mask = False

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str) -> None:
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        torch.nn.Module.__init__(self)
        size = obs_space.original_space["state"].shape[0]
        self.pi, self.vf = torch.nn.Linear(size, num_outputs), torch.nn.Linear(size, 1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        observations = input_dict["obs"]
        self._value = self.vf(observations["state"]).squeeze(-1)
        logits = self.pi(observations["state"])
        if not self.hides_mask:
            logits = logits + torch.clamp(torch.log(observations["action_mask"]), min=-1e10)
        return logits, state

    def value_function(self) -> torch.Tensor:
        return self._value
