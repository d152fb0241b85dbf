"""A Ray of one core for the tests that need it; a real browser, and a last line that says when there was none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from captures import Collected

TESTS = Path(__file__).parent

_NO_BROWSER = pytest.StashKey[str]()
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _missing_browser() -> str | None:
    if not any(map(shutil.which, _BROWSERS)):
        return "there is no Chromium on the PATH"
    if not shutil.which("chromedriver"):
        return "there is no chromedriver on the PATH"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return None


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium, a selenium WebDriver that logs requests and the console; skips where there is none."""
    if missing := _missing_browser():
        request.config.stash[_NO_BROWSER] = missing
        pytest.skip(missing)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, _BROWSERS)))
    profile: Path = tmp_path_factory.mktemp("profile")
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


# Needs neither Ray nor training: `make test-quick`.
QUICK = (
    "gate/", "report/", "verdict/", "translate/test_translate.py", "translate/test_refusals.py", "bisect/test_search.py",
    "ladder/test_capture_file.py", "ladder/test_findings.py", "ladder/test_lockstep_rung.py",
    "probes/test_closed_form.py", "probes/test_probe_judge.py", "envs/test_tiles.py", "test_masks.py", "test_tasks.py",
    "test_suites.py", "test_task_table.py", "test_words.py", "test_imports.py", "test_plan_command.py", "test_repeatable.py",
    "test_evaluation.py", "test_errors.py", "bench/test_advice.py",
    "bench/test_bench_command.py", "bench/test_bench_table.py", "bench/test_variations.py",
)  # fmt: skip
# Minutes long: begun first, so that no process is still busy with one when the others have ended.
LONGEST = (
    "study/test_run.py", "study/test_interruption.py", "ladder/test_ports.py", "study/test_throughput_bench.py",
    "frameworks/test_adapters.py", "ladder/test_full.py", "probes/test_solved.py", "bisect/test_bisections.py",
    "test_readme.py", "selftest/test_selftest.py", "envs/test_single_agent.py", "cli/test_outside_framework.py",
    "scaffold/test_init.py", "frameworks/test_lockstep.py",
)  # fmt: skip


# Minutes together, for claims that another fast test makes on another port, framework or size: run by `make test-slow`.
SLOW = (
    "test_a_good_port_is_accused_of_nothing[finished-configuration-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[large-returns-rllib-exact]",
    "test_rllib_exact_needs_no_explanation[finished-configuration]",
    "test_rllib_exact_needs_no_explanation[large-returns]",
    # The other framework's is fast.
    "test_parameters_and_metrics_are_the_same_but_for_the_last_bits[taxi-",
    "test_parameters_and_metrics_are_the_same_but_for_the_last_bits[invalid-",
    "test_parameters_and_metrics_are_the_same_but_for_the_last_bits[tiles-rllib",
    "test_parameters_and_metrics_are_the_same_but_for_the_last_bits[tiles-two-learners-rllib-exact]",
    "test_a_gradient_that_is_not_finite_undoes_the_replays[rllib-exact]",
    # The same finding is first in another broken port.
    "test_the_cause_of_a_broken_port_is_named_first[no-value-function-api]",
    "test_the_cause_of_a_broken_port_is_named_first[mask-multiplied]",
    "test_the_cause_of_a_broken_port_is_named_first[mask-inverted-in-environment]",
    "test_the_exact_learner_hides_no_broken_port[values-detached]",
    "test_the_exact_learner_hides_no_broken_port[gradient-nan]",
    # Evaluation and checkpoints are code that rllib-exact has from rllib, whose own tests are fast.
    "TestRllibExact::test_evaluation_does_not_change_training[GlobalMaze",
    "TestRllib::test_evaluation_does_not_change_training[GlobalMaze",  # what repeats it is common to all: SB3's is fast
    "TestRllib::test_evaluation_depends_on_its_seeds_alone[GlobalMaze",
    "TestRllibOldStack::test_evaluation_does_not_change_training[GlobalMaze",
    "TestRllibOldStack::test_evaluation_depends_on_its_seeds_alone[GlobalMaze",
    "TestRllibExact::test_evaluation_depends_on_its_seeds_alone",
    "TestRllibExact::test_an_eval_runner_plays_the_policy_as_it_stands",
    "TestRllibExact::test_a_checkpoint_restores_to_the_same_masked_actions",
    "TestRllibExact::test_a_mask_of_one_legal_action_is_always_obeyed[False]",
    "test_two_faults_of_a_finished_configuration",  # single faults are fast
    "test_two_rounds_are_measured_with_every_phase",  # what judges rounds is fast
    "test_a_framework_of_another_distribution_is_trained",  # an adapter that is missing or unknown is fast
    "test_a_port_that_raises_is_invalid_and_named",  # the bench; a study with such a port is fast
    "test_every_block_of_readme_and_documentation_runs",  # `parity check`, `init`, `plan` and `tasks` have tests of their own
    "test_a_changed_task_is_not_resumed",  # test_bad_input has what --resume refuses
    "test_modules_beside_the_task_file_are_there_in_every_process",  # the module that is illegal in a worker needs them too
    "test_an_environment_that_depends_on_worker_index_is_told_from",  # what is judged of it is fast
    "test_what_a_worker_raises_as_it_is_made_is_told",  # that one is told by its actions, as it is sampled
    "test_parameters_are_the_same_to_the_last_bit[taxi",
    "test_parameters_are_the_same_to_the_last_bit[tiles-time-limit-True-rllib]",
    "test_parameters_are_the_same_to_the_last_bit[tiles-two-learners-True-rllib-exact]",
    "test_whoever_changes_episodes_before_the_update_changes_the_update[exchanges-rllib-exact]",
    "test_ends_of_every_kind_are_the_same[False-",  # truncated ends in turn are fast
    "test_ends_of_every_kind_are_the_same[True-True-rllib]",
    "test_every_column_episode_and_random_number_is_the_same[taxi",
    "test_every_column_episode_and_random_number_is_the_same[tiles-two-learners-True-rllib]",
    "test_every_column_episode_and_random_number_is_the_same[tiles-time-limit-True-rllib-exact]",
    "test_what_is_wrong_only_through_algorithm_is_named[learners part]",
    "test_what_is_wrong_only_through_algorithm_is_named[shrinks weights]",
    "test_what_is_wrong_only_through_algorithm_is_named[anneals by itself]",
    "test_a_module_without_its_mask_in_training_fails_the_scaffolds_own_test",  # the scaffold's own test holding is fast
    "test_a_correct_implementation_solves_it[probe-cooperative",
    "test_a_correct_implementation_solves_it[probe-time-limit",
    "test_a_correct_implementation_solves_it[probe-lambda",
    "test_the_ladder_holds[probe-cooperative",
    "test_the_ladder_holds_where_an_action_has_several_parts[task1",
    "test_a_good_port_is_accused_of_nothing[pass-through-connectors-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[separate-encoders-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[other-bounds-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[extra-columns-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[minus-infinity-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[global-generators-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[no-time-limit-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[other-agent-leaves-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[shared-module-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[one-agent-rllib-exact]",
    "test_rllib_exact_needs_no_explanation[pass-through-connectors]",
    "test_rllib_exact_needs_no_explanation[separate-encoders]",
    "test_rllib_exact_needs_no_explanation[other-bounds]",
    "test_rllib_exact_needs_no_explanation[extra-columns]",
    "test_rllib_exact_needs_no_explanation[minus-infinity]",
    "test_rllib_exact_needs_no_explanation[global-generators]",
    "test_rllib_exact_needs_no_explanation[no-time-limit]",
    "test_rllib_exact_needs_no_explanation[other-agent-leaves]",
    "test_rllib_exact_needs_no_explanation[shared-module]",
    "test_rllib_exact_needs_no_explanation[one-agent]",
    "test_nothing_breaks_in_a_good_port_and_in_a_finished_configuration_of_it[as_configuration]",
    *(
        f"test_a_wrong_network_under_other_names_is_named[{mistake}"
        for mistake in (
            "relu",
            "half blind",
            "policy half blind",
            "scaled input",
            "input normalised",
            "dropout",
            "no layer norm",
            "no residual",
            "value from the policy's tower",
            "outputs in another order",
            "logits halved",
            "no activation-order 1",
            "no activation-around 400",
        )
    ),
    "test_the_right_network_under_other_names_is_compared[of 1e-3]",
    "test_the_right_network_under_other_names_is_compared[order 1]",
    *(
        f"test_a_port_of_an_environment_that_shows_observations_and_mask_is_compared_and_holds[{case}]"
        for case in (
            "NumberedAisle-bare",
            "NumberedAisle-brought",
            "Beside-bare",
            "Beside-brought",
            "Nested-bare",
            "Shelves-brought",
        )
    ),
    "test_a_port_of_several_agents_is_compared_and_holds[two-policies",
    "test_a_port_of_several_agents_is_compared_and_holds[shared-bare",
    "test_a_port_of_several_agents_is_compared_and_holds[shared-by-its-own",
    "test_a_port_of_several_agents_is_compared_and_holds[shared-in-turns",
    "test_a_port_of_several_agents_is_compared_and_holds[self-play]",
    "test_a_port_of_several_agents_is_compared_and_holds[self-play-in-turns",
    "test_a_port_of_several_agents_is_compared_and_holds[right-leaves]",
    "test_a_port_of_several_agents_is_compared_and_holds[right-leaves-shared",
    "test_a_port_of_several_agents_is_compared_and_holds[left-leaves-shared",
    "test_ids_within_a_box_of_loose_bounds_accuse_nobody[bare]",
    "test_the_evaluator_plays_the_learning_agent_by_the_learning_module[left-leaves]",
    "test_the_evaluator_plays_the_learning_agent_by_the_learning_module[right-comes-later]",
    "test_what_a_callback_changes_is_named_with_the_callback[given1",  # other callbacks of the same kind
    "test_what_a_callback_changes_is_named_with_the_callback[given2",
    "test_what_a_callback_changes_is_named_with_the_callback[given4",
    "test_a_callback_that_logs_or_counts_is_accused_of_nothing[Counts",
    "test_a_port_of_another_layout_is_compared_and_holds[tuple-by-method",
    "test_a_port_of_another_layout_is_compared_and_holds[dict-by-info",
    "test_a_port_of_another_layout_is_compared_and_holds[dict-under-another-key",
    "test_a_port_of_another_layout_is_compared_and_holds[number-by-method",
    "test_a_port_of_another_layout_is_compared_and_holds[image-by-method",
    "test_a_port_of_another_layout_is_compared_and_holds[wrapped-dict-bare",
    "test_a_port_of_another_layout_is_compared_and_holds[wrapped-tuple",
    "test_a_port_of_another_layout_is_compared_and_holds[wrapped-number",
    "test_a_port_of_several_agents_is_compared_and_holds[numbered",
    "test_a_port_of_several_agents_is_compared_and_holds[crowd",
    "test_a_port_of_several_agents_is_compared_and_holds[right-comes-later",
    "test_masks_may_stand_where_the_module_looks_for_them[shared",
    "test_masks_may_stand_where_the_module_looks_for_them[finished",
    "test_a_good_recurrent_port_is_accused_of_nothing_and_its_network_is_compared_with_none[Gru-20",
    "test_a_good_recurrent_port_is_accused_of_nothing_and_its_network_is_compared_with_none[SharesFeatures",
    "test_a_mistake_in_a_recurrent_port_is_named[UnmaskedInTraining",
    "test_a_mistake_in_a_recurrent_port_is_named[BackwardsInTraining",
    "test_a_mistake_in_a_recurrent_port_is_named[NeverTrainsItsMemory",
    "test_a_mistake_in_such_a_layout_is_named_first[prices of the other seat",
    "test_a_mistake_in_such_a_layout_is_named_first[reward of both seats",
    "test_a_mistake_in_such_a_layout_is_named_first[the time limit",
    "test_a_mistake_in_such_a_layout_is_named_first[no last reward",
    "test_a_mistake_in_such_a_layout_is_named_first[pays those",
    "test_a_mistake_in_such_a_layout_is_named_first[scaled, shared",
    "test_a_mistake_in_such_a_layout_is_named_first[inverted in the environment",
    "test_a_mistake_in_such_a_layout_is_named_first[values without",
    "test_a_mistake_in_such_a_layout_is_named_first[pops inside",
    "test_a_mistake_in_such_a_layout_is_named_first[label inverted",
    "test_a_mistake_in_such_a_layout_is_named_first[mask of the state",
    "test_run_names_a_level_that_rises_late",  # the trial's own part is fast
    # The other case of the same claim is fast: another environment, framework, page, command or part.
    "test_a_module_that_is_illegal_only_while_sampling_is_told_as_that[strict_in_a_worker",
    "test_what_is_wrong_only_through_algorithm_is_named[another loss in a process",
    "test_a_port_that_flattens_and_puts_together_in_another_order",
    "test_an_adapter_whose_framework_is_missing_is_one_sentence[check",
    "test_a_framework_whose_package_is_missing_is_one_sentence[sb3_contrib-sb3",
    "test_axe_finds_nothing_to_object_to[light",
    "test_a_resumed_trial_has_the_parameters_of_an_uninterrupted_one[rllib]",
    "test_a_checkpoint_goes_on_from_one_path_to_the_other[rllib]",
    "TestRllibExact::test_training_moves_the_weights_and_repeats",
    "TestRllibExact::test_initial_weights_follow_the_seed_and_are_those_of_sb3",
    "TestRllibExact::test_evaluation_does_not_change_training",
    "test_the_example_is_compared_and_holds[rllib-exact-its own module]",
    "test_rllib_ends_with_the_same_parameters[rllib]",
    "test_without_an_extra_a_command_says_in_a_sentence_which[bisect",
    "test_a_good_port_is_accused_of_nothing[two-learning-agents-rllib-exact]",
    "test_a_good_port_is_accused_of_nothing[multi-discrete-rllib-exact]",
    "test_the_ladder_holds[probe-one-action-rllib-exact]",
    "test_what_a_callback_changes_is_named_with_the_callback[given3",
    "test_a_killed_study_is_finished_by_resume",  # a trial that goes on from its snapshot is fast
    "test_a_trial_does_not_import_pytorchs_compiler",  # a matter of start-up time, in no result
    "test_half_the_image_lost_is_named_in_another_order_too",  # a mistake beside the order is named in small networks
    "test_a_mistake_beside_the_order_is_named[relu",
    # The same sentence is fast for the other framework, the other command, the other adapter.
    "test_a_framework_whose_package_is_missing_is_one_sentence[ray-rllib",
    "test_a_mask_of_the_wrong_length_is_one_sentence_for_every_command[bisect]",
    "TestRllibExact::test_a_network_that_cannot_be_used_is_one_sentence",
    "TestRllibExact::test_an_observation_space_without_tensors_is_one_sentence",
    "TestRllibExact::test_training_goes_on_after_a_checkpoint",  # as evaluation and checkpoints above
    "TestRllibExact::test_actions_of_several_parts_are_masked_part_by_part[multibinary]",  # MultiDiscrete is fast
    "test_a_small_mistake_beside_the_kink_is_found[Decaying]",  # the other small mistake is fast
    "test_a_correct_implementation_solves_it[probe-mask-sb3]",  # two harder probes of masks are fast
    "test_a_correct_implementation_solves_it[probe-mask-rllib]",
    "test_a_good_recurrent_port_is_accused_of_nothing_and_its_network_is_compared_with_none[Attends",  # a GRU and an LSTM are
    "test_the_exact_learner_hides_no_broken_port[mask-omitted-in-training]",  # three other broken ports are fast
    "test_a_good_port_is_accused_of_nothing[other-hyperparameters-rllib-exact]",  # a translated entry of RL-Zoo is fast
    "test_rllib_exact_needs_no_explanation[other-hyperparameters]",
    "test_the_example_is_compared_and_holds[rllib-its own module]",
    "test_the_example_is_compared_and_holds[rllib-several sub-actions]",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {}
    for item in items:
        name = item.path.relative_to(TESTS).as_posix()
        order[item] = LONGEST.index(name) if name in LONGEST else len(LONGEST)
        # With the name of its class, where it has one.
        if item.nodeid.partition("::")[2].startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if name.startswith(QUICK) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.quick)
    items.sort(key=order.__getitem__)


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """The captured numbers of a port of the selftest, by its name and the framework's; shared, so not to be changed."""
    from captures import shared_captures

    folder = tmp_path_factory.getbasetemp()
    # Under xdist each worker has a folder of its own in that of the run.
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "captures"
    folder.mkdir(exist_ok=True)
    return shared_captures(folder)


@pytest.fixture(scope="module")
def ray_started() -> Iterator[None]:
    """For an `Algorithm`, which would otherwise start a Ray of its own with all that it brings."""
    import ray
    from ray._raylet import AuthenticationTokenLoader

    # An Algorithm in an earlier test of this process may have started one, with a token that this process remembers.
    ray.shutdown()
    AuthenticationTokenLoader.instance().reset_cache()
    before = dict(os.environ)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # As `parity run`: RLlib walks through sets of agents, so that an env runner's order of draws depends on it.
    os.environ.setdefault("PYTHONHASHSEED", "0")
    # Env runners of a port look for what its task file imports where `parity run` says that it lies.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=128 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """The outermost of all: what it writes stands below pytest's own summary, as the run's last line."""
    result = yield
    missing = session.config.stash.get(_NO_BROWSER, None)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if missing and reporter is not None:
        reporter.write_line(f"The report was not tested in a browser: {missing}.", yellow=True)
    return result
