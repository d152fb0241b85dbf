"""The report in a real browser, opened from disk. Skipped, and said so in the run's last line, where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from report_studies import change_trial, conclude

from parity.results import study as files

WIDE, NARROW = (1400, 1000), (390, 844)


def open_report(driver: Any, folder: Path, size: tuple[int, int] = WIDE, scheme: str = "light") -> list[str]:
    """Opens the report of a study from disk. Returns what the page asked for, as URLs."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get("about:blank")
    driver.get_log("performance"), driver.get_log("browser")
    driver.get((folder / "report.html").as_uri())
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def visibility(driver: Any) -> list[dict[str, bool]]:
    """For each plot of curves: which legend key is visible."""
    return driver.execute_script(
        "return [...document.querySelectorAll('.charts .plot')].map(plot => "
        "Object.fromEntries(plot.data.map(trace => [trace.meta, trace.visible])))"
    )


def drawn(driver: Any) -> list[int]:
    """Lines with points that each plot of curves shows."""
    return driver.execute_script(
        "const shown = plot => [...plot.querySelectorAll('.points')].filter(points => points.childElementCount).length; "
        "return [...document.querySelectorAll('.charts .plot')].map(shown)"
    )


def test_it_opens_from_disk_without_network_or_console_errors(chromium: Any, good_study: Path) -> None:
    requests = open_report(chromium, good_study)
    assert requests[0].startswith("file:")
    assert [url for url in requests[1:] if not url.startswith(("data:", "blob:"))] == []
    assert chromium.get_log("browser") == []
    assert len(chromium.find_elements("css selector", ".plot .main-svg")) >= 3


def test_the_verdict_is_what_one_sees_first(chromium: Any, good_study: Path) -> None:
    open_report(chromium, good_study)
    verdict = chromium.find_element("css selector", "h1")
    assert verdict.is_displayed() and verdict.text == "EQUIVALENT" and verdict.rect["y"] < 120
    sentence = chromium.find_element("css selector", ".sentence")
    assert sentence.is_displayed() and "rllib learns tiles" in sentence.text


def test_a_seed_is_switched_off_and_on_by_its_legend_entry_in_both_charts(chromium: Any, good_study: Path) -> None:
    open_report(chromium, good_study)
    before, lines = visibility(chromium), drawn(chromium)
    assert len(before) == 2 and all(all(plot.values()) and len(plot) == 12 for plot in before) and lines == [12, 12]
    entry = chromium.find_element("css selector", 'button[data-key="rllib/3"]')
    entry.click()
    assert visibility(chromium) == [{**plot, "rllib/3": False} for plot in before]
    assert drawn(chromium) == [11, 11] and entry.get_attribute("aria-pressed") == "false"
    entry.click()
    assert visibility(chromium) == before and drawn(chromium) == lines


def test_a_framework_is_switched_off_as_a_whole(chromium: Any, good_study: Path) -> None:
    open_report(chromium, good_study)
    chromium.find_element("css selector", 'button[data-framework="sb3"]').click()
    assert all(visible is key.startswith("rllib") for plot in visibility(chromium) for key, visible in plot.items())


def test_hovering_a_curve_shows_its_values(chromium: Any, good_study: Path) -> None:
    open_report(chromium, good_study)
    chromium.execute_script("document.querySelector('.charts').scrollIntoView()")
    # The point that is farthest from any other, so that it is clear which one the mouse is over.
    x, y, seed, index, value = chromium.execute_script("""
        const plot = document.querySelector('.plot[data-figure="steps"]'), axes = plot._fullLayout;
        const box = plot.getBoundingClientRect(), points = [];
        plot.data.filter(trace => trace.hoverinfo !== 'skip').forEach(trace => trace.x.forEach((x, i) => points.push({
          x: box.left + axes.xaxis._offset + axes.xaxis.d2p(x), y: box.top + axes.yaxis._offset + axes.yaxis.d2p(trace.y[i]),
          key: trace.meta, index: i, value: trace.y[i]})));
        const room = p => Math.min(...points.filter(q => q !== p).map(q => Math.hypot(p.x - q.x, p.y - q.y)));
        const p = points.filter(p => !p.key.endsWith('mean')).sort((p, q) => room(q) - room(p))[0];
        return [p.x, p.y, p.key, p.index, p.value];
    """)
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.support.ui import WebDriverWait

    action = ActionBuilder(chromium)
    action.pointer_action.move_to_location(round(x), round(y))
    action.perform()
    label = WebDriverWait(chromium, 10).until(
        lambda driver: driver.find_element("css selector", '.plot[data-figure="steps"] .hoverlayer .hovertext').text
    )
    framework, number = seed.split("/")
    stored = files.load_trial(good_study, "tiles", framework, int(number)).curve
    assert stored is not None and stored["return_mean"].iloc[index] == pytest.approx(value)
    assert f"{framework} seed {number}" in label and f"step {stored['steps'].iloc[index]:,}" in label
    assert f"return {value:.4g}" in label and "100 episodes" in label


def test_the_sampled_policy_is_a_second_view_that_keeps_what_was_switched_off(chromium: Any, good_study: Path) -> None:
    open_report(chromium, good_study)
    chromium.find_element("css selector", 'button[data-key="sb3/0"]').click()
    chromium.find_element("css selector", 'input[value="sampled"]').click()
    shown = chromium.execute_script(
        "return document.querySelector('.plot[data-figure=\"train_s\"]').data.find(trace => trace.meta === 'sb3/1').y"
    )
    curve = files.load_trial(good_study, "tiles", "sb3", 1).curve
    assert curve is not None and shown == pytest.approx(list(curve["sampled_return_mean"]))
    assert [plot["sb3/0"] for plot in visibility(chromium)] == [False, False]


def test_a_phone_scrolls_down_and_never_sideways(chromium: Any, good_study: Path, small_study: Path) -> None:
    change_trial(files.trial_folder(small_study, "tiles", "rllib", 1), status="crashed", reason="x" * 400)
    conclude(small_study)
    for study in (good_study, small_study):
        open_report(chromium, study, NARROW)
        width, scrolled, room = chromium.execute_script(
            "const page = document.documentElement; return [innerWidth, page.scrollWidth, page.clientWidth]"
        )
        assert width == 390 and scrolled == room
        for plot in chromium.find_elements("css selector", ".plot"):
            assert 250 < plot.rect["width"] <= 390


def test_hostile_text_runs_nowhere(chromium: Any, small_study: Path) -> None:
    reason = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
    change_trial(files.trial_folder(small_study, "tiles", "rllib", 1), status="crashed", reason=reason)
    conclude(small_study)
    open_report(chromium, small_study)
    assert chromium.execute_script("return window.hacked === undefined")
    assert chromium.get_log("browser") == []
    assert reason in chromium.find_element("css selector", ".missing").text


def test_the_page_itself_forbids_requests_and_foreign_scripts(chromium: Any, good_study: Path) -> None:
    """The other tests see that nothing is fetched; this one that nothing could be, so that their log is not just empty."""
    open_report(chromium, good_study)
    chromium.execute_script(
        "const image = new Image(); image.src = 'http://127.0.0.1:9/x.png'; document.body.append(image);"
        "const script = document.createElement('script'); script.textContent = 'window.ran = 1'; document.body.append(script);"
    )
    assert chromium.execute_script("return window.ran === undefined")
    messages = " ".join(entry["message"] for entry in chromium.get_log("browser"))
    assert messages.count("Content Security Policy") == 2


def test_it_follows_the_systems_colour_scheme(chromium: Any, good_study: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        open_report(chromium, good_study, scheme=scheme)
        colours[scheme] = chromium.execute_script(
            "return [getComputedStyle(document.body).backgroundColor, document.querySelector('.plot').layout.font.color]"
        )
    assert colours["light"] == ["rgb(255, 255, 255)", "#1c2126"] and colours["dark"] == ["rgb(21, 24, 28)", "#e3e6ea"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_object_to(chromium: Any, good_study: Path, scheme: str) -> None:
    from axe_core_python.selenium import Axe

    for size in (WIDE, NARROW):
        open_report(chromium, good_study, size, scheme)
        chromium.execute_script("document.querySelectorAll('details').forEach(details => details.open = true)")
        results = Axe().run(chromium)
        objections = [(v["id"], [node["target"] for node in v["nodes"]][:5]) for v in results["violations"]]
        assert not objections
        assert len(results["passes"]) > 20


def test_the_keyboard_reaches_every_answer_and_every_switch(chromium: Any, good_study: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    open_report(chromium, good_study)
    reached: list[str] = []
    for _ in range(60):
        ActionChains(chromium).send_keys(Keys.TAB).perform()
        reached.append(
            chromium.execute_script(
                "const at = document.activeElement; return at.getAttribute('href') || at.dataset.key || at.tagName"
            )
        )
    assert reached[0] == "#report" and "#masks-tiles" in reached and "rllib/3" in reached
    entry = chromium.find_element("css selector", 'button[data-key="rllib/3"]')
    chromium.execute_script("arguments[0].focus()", entry)
    ActionChains(chromium).send_keys(Keys.SPACE).perform()
    assert [plot["rllib/3"] for plot in visibility(chromium)] == [False, False]


def test_paper_is_white_whatever_the_screen_is(chromium: Any, good_study: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    open_report(chromium, good_study, scheme="dark")
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    colours = (
        "return [getComputedStyle(document.body).backgroundColor, document.querySelector('.plot').layout.font.color]"
    )
    try:  # The page hears of paper by an event, which comes a moment later.
        WebDriverWait(chromium, 20).until(
            lambda driver: driver.execute_script(colours) == ["rgb(255, 255, 255)", "#1c2126"]
        )
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_a_browser_these_are_skipped_and_the_last_line_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider", "-k", "verdict"]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": str(tmp_path)})
    assert run.returncode == 0, run.stdout
    assert run.stdout.splitlines()[-1] == "The report was not tested in a browser: there is no Chromium on the PATH."
