"""The mask adapter: four conventions, three kinds of action space, and what it must leave alone."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from parity.errors import CannotStart
from parity.task.masks import (
    MaskCounts,
    MaskedEnv,
    as_mask,
    choices,
    is_empty,
    is_legal,
    masked_envs,
    n_logits,
    plain_masks,
    vector_masks,
)
from parity.testing.toy_envs import Maze

CONVENTIONS = {
    "method": "method:action_masks",
    "obs": "obs:action_mask",
    "info": "info:action_mask",
    "other": "method:legal",
}


def play(env: MaskedEnv, steps: int = 40) -> list[Any]:
    """Masks, observations and rewards of seeded play by the first legal action."""
    seen = []
    observation, _ = env.reset(seed=7)
    for _ in range(steps):
        seen.append((env.action_masks().tolist(), {k: np.array(v).tolist() for k, v in observation.items()}))
        observation, reward, terminated, truncated, _ = env.step(int(np.flatnonzero(env.action_masks())[0]))
        seen.append(reward)
        if terminated or truncated:
            observation, _ = env.reset()
    return seen


def test_the_four_conventions_give_the_same_masks_and_observations() -> None:
    named = {"other": "method:legal"}
    seen = {name: play(MaskedEnv(Maze(name), named.get(name))) for name in CONVENTIONS}
    assert seen["method"] == seen["obs"] == seen["info"] == seen["other"]


@pytest.mark.parametrize("name", ["method", "obs", "info"])
def test_a_convention_is_found_without_being_named(name: str) -> None:
    assert MaskedEnv(Maze(name)).convention == CONVENTIONS[name]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_may_be_named(name: str) -> None:
    env = MaskedEnv(Maze(name), CONVENTIONS[name])
    env.reset(seed=0)
    assert env.action_masks().dtype == bool and env.action_masks().tolist() == env.unwrapped.mask.tolist()


def test_a_mask_method_is_found_below_wrappers() -> None:
    env = MaskedEnv(gymnasium.wrappers.TimeLimit(Maze(), 2))
    env.reset(seed=0)
    assert env.action_masks().tolist() == env.unwrapped.mask.tolist()


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_mask_is_the_one_of_the_state_just_returned(name: str) -> None:
    env = MaskedEnv(Maze(name), CONVENTIONS[name])
    env.reset(seed=3)
    for _ in range(20):
        assert env.action_masks().tolist() == env.unwrapped.mask.tolist()
        _, _, terminated, _, _ = env.step(int(np.flatnonzero(env.action_masks())[0]))
        if terminated:
            env.reset()


def test_the_mask_entry_leaves_the_space_and_the_observation_and_nothing_else_changes() -> None:
    inner = Maze("obs")
    env = MaskedEnv(inner)
    assert dict(env.observation_space.spaces) == {
        key: space for key, space in inner.observation_space.spaces.items() if key != "action_mask"
    }
    assert env.action_space is inner.action_space
    observation, _ = env.reset(seed=1)
    assert list(observation) == ["state", "last"]
    assert observation["state"].dtype == np.float32


def test_an_entry_called_action_mask_is_hidden_where_the_mask_comes_from_a_method() -> None:
    """RLlib's modules find the mask under that name: left in, the network would see it under SB3 alone."""
    inner = Maze("obs")
    inner.action_masks = lambda: inner.mask  # type: ignore[attr-defined]
    env = MaskedEnv(inner)
    assert env.convention == "method:action_masks"
    assert list(env.observation_space.spaces) == ["last", "state"]
    assert "action_mask" not in env.reset(seed=0)[0]


def test_a_mask_under_another_key_is_taken_out_by_that_key() -> None:
    class Renamed(gymnasium.ObservationWrapper):
        def __init__(self) -> None:
            super().__init__(Maze("obs"))
            parts = dict(self.env.observation_space.spaces)
            self.observation_space = spaces.Dict({"legal" if k == "action_mask" else k: v for k, v in parts.items()})

        def observation(self, observation: Any) -> Any:
            return {"legal" if k == "action_mask" else k: v for k, v in observation.items()}

    env = MaskedEnv(Renamed(), "obs:legal")
    observation, _ = env.reset(seed=0)
    assert "legal" not in observation and "legal" not in env.observation_space.spaces
    assert env.action_masks().tolist() == env.unwrapped.mask.tolist()


def test_the_adapter_keeps_its_own_copy_of_the_mask() -> None:
    env = MaskedEnv(Maze())
    env.reset(seed=0)
    before = env.action_masks().tolist()
    env.unwrapped.mask[:] = ~env.unwrapped.mask
    assert env.action_masks().tolist() == before


def test_info_may_leave_the_mask_out_when_the_episode_has_ended() -> None:
    class Forgetful(gymnasium.Wrapper):
        def step(self, action: Any) -> Any:
            observation, reward, terminated, truncated, info = self.env.step(action)
            return observation, reward, terminated, truncated, {} if terminated else info

    env = MaskedEnv(Forgetful(Maze("info")))
    assert len(play(env)) == 80


def test_info_may_not_leave_the_mask_out_before_the_end() -> None:
    class Never(gymnasium.Wrapper):
        def step(self, action: Any) -> Any:
            return *self.env.step(action)[:4], {}

    env = MaskedEnv(Never(Maze("info")))
    env.reset(seed=1)
    with pytest.raises(CannotStart, match='info has no "action_mask" at this step'):
        env.step(int(np.flatnonzero(env.action_masks())[0]))


DISCRETE, MULTI, BINARY = spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)


@pytest.mark.parametrize(("space", "sizes"), [(DISCRETE, [3]), (MULTI, [2, 3]), (BINARY, [2, 2])])
def test_a_mask_has_one_entry_per_option_of_each_sub_action(space: spaces.Space, sizes: list[int]) -> None:
    assert choices(space) == sizes and n_logits(space) == sum(sizes)


@pytest.mark.parametrize(
    ("space", "mask", "legal", "illegal"),
    [
        (DISCRETE, [0, 1, 1], [1, np.int64(2), np.array(1)], [0, 3, -1]),
        (MULTI, [0, 1, 1, 0, 1], [[1, 0], [1, 2], np.array([1, 2])], [[0, 0], [1, 1], [0, 1], [1, 3]]),
        # The mask of an entry is (off allowed, on allowed).
        (BINARY, [1, 1, 0, 1], [[0, 1], [1, 1]], [[0, 0], [1, 0]]),
    ],
)
def test_an_action_is_legal_where_every_sub_action_is_allowed(
    space: spaces.Space, mask: list[int], legal: list[Any], illegal: list[Any]
) -> None:
    allowed = np.array(mask, bool)
    assert all(is_legal(allowed, action, space) for action in legal)
    assert not any(is_legal(allowed, action, space) for action in illegal)


@pytest.mark.parametrize(
    ("space", "mask", "empty"),
    [
        (DISCRETE, [0, 0, 0], True),
        (DISCRETE, [0, 0, 1], False),
        (MULTI, [1, 1, 0, 0, 0], True),
        (MULTI, [0, 1, 0, 1, 0], False),
        (BINARY, [0, 0, 1, 1], True),
        (BINARY, [1, 0, 0, 1], False),
    ],
)
def test_a_mask_is_empty_where_some_sub_action_has_no_option(space: spaces.Space, mask: list[int], empty: bool) -> None:
    assert is_empty(np.array(mask, bool), space) is empty


def test_decisions_violations_and_empty_masks_are_counted_apart() -> None:
    counts = MaskCounts()
    counts.check(np.array([1, 0, 0], bool), 0, DISCRETE)
    counts.check(np.array([1, 0, 0], bool), 1, DISCRETE)
    counts.check(np.array([0, 0, 0], bool), 1, DISCRETE)
    assert counts == MaskCounts(decisions=3, violations=1, empty=1)
    assert counts + counts == MaskCounts(6, 2, 2)


def test_the_environment_counts_against_the_mask_of_the_state_that_was_acted_in() -> None:
    class Tolerant(Maze):
        def step(self, action: Any) -> Any:
            self.mask[:] = True
            return super().step(action)

    env = MaskedEnv(Tolerant())
    env.reset(seed=0)
    illegal = 0
    for k in range(30):
        action = k % 4
        illegal += not env.action_masks()[action]
        if env.step(action)[2]:
            env.reset()
    assert 0 < illegal < 30
    assert env.counts == MaskCounts(decisions=30, violations=illegal, empty=0)


@pytest.mark.parametrize(
    "raw",
    [
        [True, False, True],
        (1, 0, 1),
        np.array([[1, 0, 1]], np.int8),
        np.array([1.0, 0.0, 2.0]),
        np.array([1, 0, 1], np.int8),
        np.array([1, 0, 2], np.uint8),
        np.array([1, 9, 0, 9, 1], np.int8)[::2],
        np.array([True, False, True]),
    ],
)
def test_masks_of_any_shape_and_dtype_become_booleans(raw: Any) -> None:
    mask = as_mask(raw, DISCRETE, "env")
    assert mask.dtype == bool and mask.tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64])
def test_a_mask_that_was_read_does_not_change_with_the_array_that_it_was_read_from(dtype: type) -> None:
    raw = np.array([1, 0, 1], dtype)
    mask = as_mask(raw, DISCRETE, "env")
    raw[:] = 1 - raw.astype(int)
    assert mask.tolist() == [True, False, True]


def test_spaces_that_are_made_anew_at_every_step_are_told_apart() -> None:
    for _ in range(300):
        for n in (2, 3, 4):
            assert n_logits(spaces.Discrete(n)) == n and choices(spaces.MultiDiscrete([n, 2])) == [n, 2]


def test_a_list_of_masks_of_one_length_per_sub_action_is_concatenated() -> None:
    raw = [np.array([1, 0]), np.array([0, 1])]
    assert as_mask(raw, spaces.MultiDiscrete([2, 2]), "env").tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    "raw",
    [
        [np.array([1, 0]), np.array([0, 1, 1])],
        ([1, 0], [0, 1, 1]),
        {"move": np.array([1, 0]), "take": np.array([0, 1, 1])},
        np.array([[1, 0], [0, 1, 1]], dtype=object),
    ],
)
def test_masks_per_sub_action_that_make_no_array_are_one_sentence(raw: Any) -> None:
    """Concatenated here, they would hide that MaskablePPO itself stops at them."""
    with pytest.raises(CannotStart, match=r"a row for each sub-action, of 2 and 3 entries: .*np\.concatenate"):
        as_mask(raw, MULTI, "env")


@pytest.mark.parametrize(
    "raw", [[1, 0], np.ones(4), None, [], {"a": 1}, [[1, 0], "x"], [0, -1, 0], np.array([1, -1, 0], np.int8)]
)
def test_a_mask_that_does_not_fit_is_one_sentence(raw: Any) -> None:
    with pytest.raises(CannotStart, match=r"^The mask of Maze \(method\) ") as stopped:
        as_mask(raw, DISCRETE, "Maze (method)")
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("raw", [[0.0, -np.inf, 0.0], [0.0, -1e8, 0.0], [1.0, np.nan, 0.0]])
def test_an_additive_mask_is_refused_before_it_is_read_the_wrong_way_round(raw: list[float]) -> None:
    with pytest.raises(CannotStart, match="write 1 for legal and 0 for illegal"):
        as_mask(raw, DISCRETE, "Maze (method)")


def test_masks_in_two_places_are_compared_where_that_is_asked_for() -> None:
    class Stale(Maze):
        """The method is right; ``info`` shows the mask of the state before."""

        before = np.ones(4, dtype=bool)

        def _view(self) -> Any:
            observation, _ = super()._view()
            shown, self.before = self.before, self.mask.copy()
            return observation, {"action_mask": shown}

    stale, agreeing, unasked = MaskedEnv(Stale(), audit=True), MaskedEnv(Both(), audit=True), MaskedEnv(Stale())
    for env in (stale, agreeing, unasked):
        play(env)
    assert list(stale.contradictions) == ["info:action_mask"] and stale.contradictions["info:action_mask"] > 5
    assert agreeing.contradictions == {} == unasked.contradictions


class Both(Maze):
    """One mask in two places."""

    def _view(self) -> Any:
        observation, _ = super()._view()
        return observation, {"action_mask": self.mask.copy()}


def test_a_mask_of_the_wrong_length_names_environment_place_and_both_lengths() -> None:
    class Short(Maze):
        def _view(self) -> Any:
            observation, info = super()._view()
            self.mask = self.mask[:3]
            return observation, info

    env = MaskedEnv(Short())
    with pytest.raises(CannotStart) as stopped:
        env.reset(seed=0)
    assert str(stopped.value) == (
        "The mask of Short (method:action_masks) has 3 entries, the action space Discrete(4) needs 4: "
        "return one entry per action (sub-actions concatenated)."
    )


@pytest.mark.parametrize(
    "space", [spaces.Box(-1, 1, (2,)), spaces.Discrete(3, start=1), spaces.MultiDiscrete([2, 2], start=[1, 0])]
)
def test_an_action_space_that_cannot_be_masked_is_one_sentence(space: spaces.Space) -> None:
    with pytest.raises(CannotStart, match=r"^The action space"):
        n_logits(space)


@pytest.mark.parametrize("mask", ["method:legal", "obs:legal"])
def test_a_mask_that_is_not_where_the_task_says_is_one_sentence(mask: str) -> None:
    with pytest.raises(CannotStart, match=f'^Task\\(mask="{mask}"\\): .*legal'):
        MaskedEnv(Maze(), mask)


def test_an_environment_without_a_mask_is_one_sentence_that_says_where_it_was_sought() -> None:
    with pytest.raises(CannotStart, match=r"CartPoleEnv shows no action mask: looked for a method action_masks\(\)"):
        MaskedEnv(gymnasium.make("CartPole-v1"))


def test_one_environment_for_all_slots_is_refused() -> None:
    shared = Maze()
    with pytest.raises(CannotStart, match="returns the same Maze at every call"):
        masked_envs(lambda: shared, None, 2)
    assert len(masked_envs(Maze, None, 2)) == 2


# --- vectorised environments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", ["method", "obs", "info", "other"])
def test_the_masks_of_a_vectorised_environment_are_those_of_its_parts(convention: str) -> None:
    """Also at the steps at which sub-environments are reset by the vector environment."""
    mask = "method:legal" if convention == "other" else None
    env = gymnasium.vector.SyncVectorEnv([lambda: Maze(convention)] * 3)
    observations, infos = env.reset(seed=5)
    for _ in range(12):
        masks = vector_masks(env, observations, infos, mask)
        assert masks.dtype == bool and masks.shape == (3, 4)
        np.testing.assert_array_equal(masks, [part.unwrapped.mask for part in env.envs])
        observations, _, _, _, infos = env.step(masks.argmax(axis=1))


def test_the_masks_of_a_vec_env_come_through_its_wrappers() -> None:
    vec = pytest.importorskip("stable_baselines3.common.vec_env")
    inner = vec.DummyVecEnv([lambda: Maze("method")] * 2)
    env = vec.VecMonitor(inner)
    observations = env.reset()
    expected = [part.mask for part in inner.envs]
    np.testing.assert_array_equal(vector_masks(env, observations, env.reset_infos), expected)
    np.testing.assert_array_equal(
        vector_masks(env, observations, [{"legal": mask} for mask in expected], "info:legal"), expected
    )


def test_info_without_a_mask_allows_everything_where_another_has_one() -> None:
    env = gymnasium.vector.SyncVectorEnv([lambda: Maze("info")] * 2)
    infos = {"action_mask": np.array([[1, 0, 0, 1], [0, 0, 0, 0]]), "_action_mask": np.array([True, False])}
    np.testing.assert_array_equal(vector_masks(env, None, infos), [[1, 0, 0, 1], [1, 1, 1, 1]])


@pytest.mark.parametrize(("mask", "place"), [(None, "method:action_masks"), ("obs:legal", "obs:legal")])
def test_a_vectorised_environment_without_masks_is_a_sentence(mask: str | None, place: str) -> None:
    env = gymnasium.vector.SyncVectorEnv([lambda: Maze("none")] * 2)
    observations, infos = env.reset(seed=1)
    with pytest.raises(CannotStart, match=f'SyncVectorEnv shows no action mask as "{place}"'):
        vector_masks(env, observations, infos, mask)


def test_a_vectorised_environment_as_env_is_a_sentence() -> None:
    with pytest.raises(CannotStart, match="vectorised environment SyncVectorEnv: make a single one"):
        MaskedEnv(gymnasium.vector.SyncVectorEnv([Maze]))  # type: ignore[arg-type]


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(2)])
def test_many_decisions_are_counted_as_one_after_the_other(space: spaces.Space) -> None:
    generator = np.random.default_rng(0)
    masks = generator.random((200, n_logits(space))) < 0.5
    actions = generator.integers(-1, 4, (200, len(choices(space))))
    actions = actions if space.shape else actions[:, 0]
    one_by_one, together = MaskCounts(), MaskCounts()
    for mask, action in zip(masks, actions, strict=True):
        one_by_one.check(mask, action, space)
    together.check_rows(masks, actions, space)
    assert together == one_by_one and together.empty > 0 and 0 < together.violations < 200
    strange = MaskCounts()
    strange.check_rows(masks, np.zeros((200, 9)), space)  # of another number of sub-actions
    assert strange.violations + strange.empty == 200


def test_masks_side_by_side_are_read_as_one_by_one() -> None:
    space, rows = spaces.Discrete(3), np.array([[1, 0, 1], [0, 1, 0]])
    read = plain_masks(rows.astype(np.int8), space)
    assert read is not None and read.dtype == bool and np.array_equal(read, rows)
    for strange in (rows.astype(np.int8) * 2, rows.astype(np.int8) - 1, rows.astype(float), rows[:, :2], "a mask"):
        assert plain_masks(strange, space) is None
