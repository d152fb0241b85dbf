"""How long the report of a large study takes to make and to open in Chromium.

    python benchmarks/report_scale.py [--trials 100] [--points 1000] [--out FOLDER]

Writes a synthetic study of two frameworks with every evaluation's episodes, as a run stores them, and prints seconds of the
wall clock and of this process, the page's size, and what the browser says of loading and drawing it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def study(folder: Path, trials: int, points: int) -> Path:
    from report_studies import EPISODES, write_study

    from parity.results import study as files

    seeds = trials // 2
    write_study(folder, {"sb3": [0.9] * seeds, "rllib": [0.88] * seeds})
    rng = np.random.default_rng(0)
    for framework in ("sb3", "rllib"):
        for seed in range(seeds):
            path = files.trial_folder(folder, "tiles", framework, seed) / files.CURVE_FILE
            steps = np.linspace(0, 65_536, points).round().astype(int)
            columns: dict[str, object] = {
                "steps": steps,
                # No two trainings take the same time: a study with two that do is refused.
                "wall_s": steps / rng.uniform(490, 510),
                "train_s": steps / rng.uniform(590, 610),
                "length_mean": 4.0,
            }
            for prefix in ("", "sampled_"):
                mean = 0.31 + 0.35 * (1 - np.exp(-5 * steps / 65_536)) + rng.normal(0, 0.01, points)
                episodes = mean[:, None] + rng.normal(0, 0.2, (points, EPISODES))
                columns[f"{prefix}return_mean"] = episodes.mean(axis=1)
                columns[f"{prefix}return_std"] = episodes.std(axis=1, ddof=1)
                columns[f"{prefix}returns"] = list(episodes)
            pd.DataFrame(columns).to_parquet(path, index=False)
    return folder


def made(folder: Path) -> None:
    from parity.report import write_report
    from parity.results.study import load_study
    from parity.verdict.judge import judge

    for name in ("read", "judge", "report"):
        wall, own = time.perf_counter(), time.process_time()
        if name == "read":
            record = load_study(folder)
        elif name == "judge":
            summary = judge(record)
        else:
            write_report(record, summary)
        print(f"{name}: {time.perf_counter() - wall:.2f} s, {time.process_time() - own:.2f} s of this process")
    print(f"report.html: {(folder / 'report.html').stat().st_size / 1e6:.2f} MB")


def opened(folder: Path) -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        begin = time.perf_counter()
        driver.get((folder / "report.html").as_uri())
        lines = driver.execute_script("return document.querySelectorAll('.charts .js-line').length")
        wall = time.perf_counter() - begin
        metrics = {
            each["name"]: each["value"] for each in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        }
        assert lines, "a study of which nothing is drawn says nothing"
        print(f"opened and drawn, {lines} lines: {wall:.2f} s, {metrics['TaskDuration']:.2f} s of the page's thread")
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = study(options.out or Path(temporary) / "large", options.trials, options.points)
        made(folder)
        opened(folder)


if __name__ == "__main__":
    main()
