"""A study on three Ray nodes of one machine: one dies in the middle; another study is stored in S3, in moto's server.

python benchmarks/cluster_campaign.py --moto /path/to/moto_server --out results/cluster
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from kill_campaign import ASKED, KINDS, TASK, Study, outcome
from pyarrow import fs
from ray.cluster_utils import Cluster

BUCKET = "studies"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextlib.contextmanager
def three_nodes() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        yield cluster
    finally:
        cluster.shutdown()


def trials_of(raylet: int) -> list[str]:
    """Trials that run on a node, by the process of its raylet."""
    found = []
    for process in psutil.Process(raylet).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[:1] and process.cmdline()[0].startswith(str(KINDS["trial"][1])):
                found.append(process.cmdline()[0])
    return found


def raylet_of(node: object) -> int:
    return node.all_processes["raylet"][0].process.pid  # type: ignore[attr-defined, no-any-return]


def a_node_dies(work: Path, cluster: Cluster, log: list[str]) -> bool:
    study = Study(work, *ASKED, "--name", "node", "--address", cluster.address, "--trial-cpus", "0.5")
    others = [node for node in cluster.worker_nodes]
    killed = study.waits_for(
        lambda: any("256 of" in line for line in study.lines) and any(trials_of(raylet_of(each)) for each in others)
    )
    busy = max(others, key=lambda node: len(trials_of(raylet_of(node))))
    where = {f"node {n}": trials_of(raylet_of(node)) for n, node in enumerate([cluster.head_node, *others])}
    log += [f"Trials when the node dies: {where}."]
    cluster.remove_node(busy, allow_graceful=False)
    code = study.end()
    log += ["```", *study.lines, "```", f"Exit code {code}."]
    return killed and code is not None


def on_an_object_store(work: Path, cluster: Cluster, moto: str, log: list[str]) -> bool:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([moto, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < end:
            time.sleep(0.2)
        os.environ |= CREDENTIALS
        place = f"endpoint_override=127.0.0.1:{port}&scheme=http"
        storage, _ = fs.FileSystem.from_uri(f"s3://{BUCKET}?{place}&allow_bucket_creation=true")
        storage.create_dir(BUCKET)
        study = Study(work, *ASKED, "--name", "s3", "--out", f"s3://{BUCKET}/all?{place}", "--address", cluster.address)
        study.waits_for(lambda: sum("done" in line for line in study.lines) >= 2)
        study.process.terminate()
        code = study.end()
        log += ["```", *study.lines, "```", f"Exit code {code} after SIGTERM."]
        resumed = Study(work, "--resume", f"s3://{BUCKET}/all/s3?{place}", "--address", cluster.address)
        code = resumed.end()
        log += ["```", *resumed.lines, "```", f"Exit code {code}."]
        fs.copy_files(f"s3://{BUCKET}/all/s3?{place}", str(work / "results" / "s3"))
        return code is not None
    finally:
        server.kill()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moto", help="moto_server, of moto[server]; left out, no study is stored in S3")
    parser.add_argument("--out", type=Path, default=Path("results/cluster"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="c") as folder:
        work = Path(folder)
        (work / "task.py").write_text(TASK)
        base = Study(work, *ASKED, "--name", "base")
        log = [f"# Three Ray nodes on one machine\n\nOn one, undisturbed: exit code {base.end()}."]
        expected = outcome(work / "results/base")
        with three_nodes() as cluster:
            log += ["\n## One dies in the middle\n"]
            results = {"node": a_node_dies(work, cluster, log)}
            if options.moto:
                log += ["\n## `--out s3://`, ended by SIGTERM and resumed\n"]
                results["s3"] = on_an_object_store(work, cluster, options.moto, log)
        same = {name: ended and outcome(work / "results" / name) == expected for name, ended in results.items()}
        log += [f"\nVerdict, curves, masks and parameters as on one machine: {same}."]
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "cluster.md").write_text("\n".join(log).replace(folder, "FOLDER") + "\n")
        (options.out / "cluster.json").write_text(json.dumps(same) + "\n")
        print("\n".join(log))


if __name__ == "__main__":
    main()
