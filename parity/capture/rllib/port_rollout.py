"""A port's rollout while its numbers are collected: RLlib's objects and what they gave, by module."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import tree
from ray.rllib.core.columns import Columns

from parity.capture.module_capture import ModuleCapture
from parity.capture.raised import part
from parity.capture.rllib.env_contract import EnvContractReader
from parity.capture.rllib.recording import Recording
from parity.capture.rllib.repetition import FirstCalls
from parity.capture.rllib.sequences import is_recurrent, unrolled
from parity.frameworks.rllib.arrays import array, stack, take
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env_tap import EnvReader
from parity.frameworks.rllib.mapping import modules_of
from parity.frameworks.rllib.module import same_entries, same_tensors
from parity.results.capture import Capture, Context


@dataclasses.dataclass
class PortRollout:
    """A port opened for its numbers; SB3's side works on the same objects."""

    port: Port
    capture: Capture  # what is collected
    # runner, learner: RLlib's, as the port's configuration makes them
    runner: Any = None
    learner: Any = None
    # the environment's side of the rollout, one of each sub-environment
    recordings: list[Recording] = dataclasses.field(default_factory=list)
    # id of RLlib's episode -> sub-environment and number of its episode
    episode_places: dict[Any, tuple[int, int]] = dataclasses.field(default_factory=dict)
    # the same -> agent -> its number in it; of the old API stack
    agents_by_index: dict[int, dict[Any, int]] = dataclasses.field(default_factory=dict)
    # module id -> the learner's columns, tensors: what ``forward_train`` and the loss get
    batches: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    # the same with the observations as the connectors made them; a module's ``compute_values`` may take them apart
    seen: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    # the observations of those rows; of a recurrent module `seen` has the rows' numbers in their place
    entries: dict[str, Any] = dataclasses.field(default_factory=dict)
    # of a recurrent module its sequences, with the observations as the connectors made them
    padded: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    modules: list[str] = dataclasses.field(default_factory=list)  # ids of the modules that are compared and have rows
    copies: dict[str, Any] = dataclasses.field(default_factory=dict)  # the modules as they were before the update
    # module id -> the observations that followed the last row of each chunk, columns of arrays
    after: dict[str, Any] = dataclasses.field(default_factory=dict)
    # module id -> the rows that the learner's connectors append for bootstrapping, one behind each chunk, nested tensors
    appended: dict[str, Any] = dataclasses.field(default_factory=dict)
    # module id -> observations of the decisions behind connectors that change their entries, arrays by path
    connected: dict[str, Any] = dataclasses.field(default_factory=dict)
    first_calls: FirstCalls = dataclasses.field(default_factory=FirstCalls)  # of the first sub-environment

    @property
    def context(self) -> Context:
        return self.capture.context

    def of(self, module_id: str) -> ModuleCapture:
        """Where a module's numbers go."""
        return ModuleCapture(self.capture, module_id)

    def part(self, name: str) -> contextlib.AbstractContextManager[None]:
        """See `parity.capture.raised.part`."""
        return part(self.context, name)

    def read(self, index: int, env: Any) -> list[EnvReader]:
        """What reads a sub-environment of the rollout."""
        self.recordings.append(Recording(index, env, self.port.mask_key))
        contract = EnvContractReader(self.capture.contract.env_contract, env, f"sub-environment {index}")
        readers = [contract, self.recordings[-1]]
        return [self.first_calls, *readers] if index == 0 else readers

    def place_episode(self, *, episode: Any, env_index: int, **_: Any) -> None:
        """RLlib's callback ``on_episode_start``: the episode began with its sub-environment's latest reset."""
        self.episode_places[episode.id_] = (env_index, len(self.recordings[env_index].seeds) - 1)

    def module(self, module_id: str) -> Any:
        """The learner's module."""
        return self.learner.module[module_id].unwrapped()

    def shown(self, module_id: str) -> Any:
        """What the environment showed a module, behind the connectors: arrays ``[N, …]``, nested; None where it is not known.

        Where the learner has no batch of it, what its agents saw, if connectors leave the module their observation space.
        """
        space = self.module(module_id).observation_space
        # A module may have taken its observations apart in the learner's batch.
        if module_id in self.seen and same_entries(self.entries[module_id], space):
            rows = self.of(module_id).decisions(len(self.seen[module_id][Columns.ACTIONS]))
            return tree.map_structure(array, take(self.entries[module_id], rows))
        agents = {
            agent
            for agent, (observed, _) in self.port.agents.items()
            if module_id in modules_of(self.port.config, agent) and same_tensors(observed, space)
        }
        observations = [seen for each in self.recordings for agent, seen in each.shown() if agent in agents]
        return tree.map_structure(array, stack(observations)) if observations else None

    def as_rows(self, module_id: str, of: Any = None) -> Any:
        """The learner's module, or ``of``, as it takes the rows of `seen`: a recurrent one by their numbers."""
        module = self.module(module_id) if of is None else of
        if not is_recurrent(module):
            return module
        return unrolled(module, self.padded[module_id])

    def compared(self) -> list[str]:
        """Ids of the trained modules whose actions MaskablePPO has; the learning agent's in any case."""
        return [
            m
            for m, facts in self.context.modules.items()
            if facts.trained and (facts.choices is not None or m == self.port.learning_module)
        ]

    def frozen(self) -> list[str]:
        """Ids of the modules that the configuration does not train."""
        return [m for m, facts in self.context.modules.items() if not facts.trained]
