"""The pictures and the table of figures of README and documentation, made from real results.

    python benchmarks/pictures.py [report] [terminal] [figures]

``report``: the report of results/tiles, rebuilt from its data, as headless Chromium shows it. ``terminal``: ``parity check`` on
the reported port, run now. ``figures``: the table of docs/figures.md, from the JSON files under results/.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 860
REPORTED = "parity_envs.reported.port:task"
# The rest of the check's findings follow from these or are of the same kind: the picture says so.
SHOWN_FINDINGS = 1


def report() -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    from parity.report import write_html
    from parity.results.study import load_study
    from parity.results.summary import Summary

    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    options.binary_location = str(shutil.which("chromium"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(shutil.copytree(ROOT / "results" / "tiles", Path(temporary) / "tiles"))
        summary = Summary.model_validate_json((folder / "summary.json").read_text(encoding="utf-8"))
        write_html(load_study(folder), summary)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get((folder / "report.html").as_uri())
            shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        finally:
            driver.quit()
    (IMAGES / "report.png").write_bytes(base64.b64decode(shot["data"]))


def terminal() -> None:
    from rich.console import Console

    from parity.cli.ladder_table import print_findings, print_ladder
    from parity.results.check import CheckDocument

    command = [sys.executable, "-m", "parity", "check", "--task", REPORTED, "--frameworks", "rllib", "--json"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    document = CheckDocument.model_validate_json(outcome.stdout)
    console = Console(record=True, width=112, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115
    console.print(f"[bold]$ parity check --task {REPORTED} --frameworks rllib[/bold]")
    print_ladder(console, "rllib", document.ladder["rllib"])
    print_findings(console, document.findings[:SHOWN_FINDINGS])
    console.print(f"[dim]… and {len(document.findings) - SHOWN_FINDINGS} more findings[/dim]")
    svg = console.export_svg(title="parity check")
    # Terminals' fonts are the reader's own: nothing is fetched.
    kept = [line for line in svg.splitlines() if "cdnjs" not in line]
    (IMAGES / "check.svg").write_text("\n".join(kept) + "\n", encoding="utf-8")


def figures() -> None:
    """One row per claim that a script measured; a file that is not there has no row."""
    rows = [row for make in (_selftest, _aa, _bisect, _bench) for row in make()]
    page = ROOT / "docs" / "figures.md"
    head, _, _ = page.read_text(encoding="utf-8").partition("| claim |")
    table = "| claim | measured | command |\n|---|---|---|\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    page.write_text(head + table, encoding="utf-8")


Rows = list[tuple[str, str, str]]


def _stored(name: str) -> Any:
    path = ROOT / "results" / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _selftest() -> Rows:
    found = _stored("selftest/selftest.json")
    return [_caught("bugs planted in good ports", found, "parity selftest")] if found else []


def _caught(claim: str, found: dict[str, Any], command: str) -> tuple[str, str, str]:
    caught = f"{found['caught']} of {found['planted']} caught"
    return claim, f"{caught}, {found['false_alarms']} of {found['good_ports']} good ports accused", f"`{command}`"


def _aa() -> Rows:
    found = _stored("aa/aa.json")
    if not found:
        return []
    worst = max(row["rates"]["WORSE"] for row in found["rows"] if row["seeds_per_arm"] == 5)
    measured = f"called WORSE in at most {100 * worst:.1f} % of splits"
    return [("SB3 against SB3, five seeds an arm", measured, "`benchmarks/aa_study.sh`")]


def _bisect() -> Rows:
    found = _stored("bisect/planted.json")
    if not found:
        return []
    traced = f"{found['traced']} of {len(found['ports'])}"
    return [("ports with a known fault, traced to the part", traced, "`benchmarks/bisect_planted.py`")]


def _bench() -> Rows:
    of_framework: dict[str, list[str]] = {}
    for path in sorted((ROOT / "results/bench").glob("*/bench.json")):
        file = json.loads(path.read_text(encoding="utf-8"))
        for task, bench in (file["tasks"] or {file["task"]: file}).items():
            for pair, ratio in bench.get("ratio", {}).items():
                of_framework.setdefault(pair.split("/")[0], []).append(f"{ratio['estimate']:.2f} on {task}")
    claim = "environment steps per second of {} over SB3's"
    command = "`benchmarks/bench_tables.sh` ([speed.md](speed.md))"
    return [(claim.format(name), ", ".join(ratios), command) for name, ratios in of_framework.items()]


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    for wanted in sys.argv[1:] or ("report", "terminal", "figures"):
        {"report": report, "terminal": terminal, "figures": figures}[wanted]()
