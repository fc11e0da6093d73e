"""Measures the gate on a bucket beside restic, at several round-trip times; a part of benches/peers.

The server is Ceph's gateway with its store in memory (`scripts/ceph-rgw`), new for each run; `benches/latency.rs` plays the network
between. Both tools get the same server, the same data, and the cache of their own that they have by default.
"""

import json
import random
import shutil
import statistics
import subprocess
import time
from pathlib import Path

PASSWORD = "a password that only this measurement uses"
ROUND_TRIPS = (0, 20, 100)
KEYS = ("AKtest", "SKtest")
MIB = 1 << 20
# The rows: key, name, and the target for holdpoint as a share of restic's time, at 20 ms.
ROWS = [
    ("first", "first", 0.60),
    ("gate", "first, everything read back", None),
    ("unchanged", "unchanged", 0.25),
]


class Filter:
    """A program that prints one line when it is ready and runs until its standard input ends."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.line = self.process.stdout.readline().decode().strip()
        if not self.line:
            raise RuntimeError(f"{command[0]} did not start")

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def latency_program(root):
    """Builds the network that is far away, and returns the program."""
    command = ["cargo", "build", "--bench", "latency", "--message-format", "json", "--quiet"]
    built = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout.splitlines()
    artifacts = (json.loads(line) for line in built)
    return next(a["executable"] for a in artifacts if a.get("target", {}).get("name") == "latency" and a.get("executable"))


def make_data(scratch, quick):
    """Writes the data, reads it once, and returns the trees by their names."""
    generator = random.Random(3)
    large, small = scratch / "large", scratch / "small"
    large.mkdir()
    for number in range(2 if quick else 16):
        with open(large / f"{number:02}", "wb") as file:
            for _ in range(60):
                if number % 2:
                    file.write(generator.randbytes(MIB))
                else:
                    file.write(generator.randbytes(MIB // 2).hex().encode())
    for number in range(1000 if quick else 50_000):
        folder = small / f"{number // 1000:02}" / f"{number // 100 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_bytes(generator.randbytes(generator.randrange(100, 1500)) * 2)
    reading = ["tar", "--create", "--file=-", "--", str(large), str(small)]
    subprocess.run(reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return {"one gigabyte, half of it compressible" if not quick else "a few files": large,
            "50,000 small files" if not quick else "1,000 small files": small}


def environment(place, port):
    return {"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1], "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}", "AWS_EC2_METADATA_DISABLED": "true",
            "XDG_CACHE_HOME": str(place / "cache"), "HOLDPOINT_PASSWORD": PASSWORD, "RESTIC_PASSWORD": PASSWORD}


def run_restic(bench, program, place, port, tree, record):
    def call(*arguments):
        repository = f"s3:http://127.0.0.1:{port}/bench/{place.name}"
        return bench.run([program, "-r", repository, *arguments], environment(place, port))

    call("init")
    first = call("backup", tree)
    record("first", first)
    record("unchanged", call("backup", tree))
    check = call("check", "--read-data")
    record("gate", (first[0] + check[0], first[1] + check[1], max(first[2], check[2])))


def run_holdpoint(bench, program, place, port, tree, record):
    def gate(number):
        command = [program, "gate", "--application", "bench", "--environment", "bench", "--store",
                   f"s3://bench/{place.name}", "--first", "--release", f"1.0.{number}", "--commit", f"{number:040x}",
                   "--timeout", "2h", "--no-progress", tree]
        result = bench.run(command, environment(place, port), cwd=place)
        # What measured nothing must not look fast.
        manifest = json.loads((place / "holdpoint-manifest.json").read_text())
        if manifest["state"] != "passed" or manifest["release"]["to"]["version"] != f"1.0.{number}":
            raise RuntimeError("the gate left no manifest that passed")
        return result

    first = gate(1)
    record("first", first)
    record("gate", first)
    record("unchanged", gate(2))


def measure(bench, root, holdpoint, restic, runs, round_trips, quick):
    """Returns (round trip, data, row, tool) -> [(wall seconds, processor seconds, peak bytes)]."""
    latency = latency_program(root)
    trees = make_data(bench.scratch, quick)
    results = {}
    for run in range(runs):
        for round_trip in round_trips:
            folder = bench.scratch / "gateway"
            folder.mkdir()
            gateway = Filter([root / "scripts/ceph-rgw", folder])
            network = Filter([latency, gateway.line.removeprefix("http://"), round_trip])
            try:
                # The bucket, which restic makes.
                place = bench.scratch / "bucket"
                bench.run([restic, "-r", f"s3:{gateway.line}/bench/none", "init"], environment(place, network.line))
                for number, (data, tree) in enumerate(trees.items()):
                    for tool, program, how in (("holdpoint", holdpoint, run_holdpoint), ("restic 0.18", restic, run_restic)):
                        place = bench.scratch / f"{tool.split()[0]}-{number}"
                        place.mkdir()

                        def record(row, result, data=data, tool=tool):
                            results.setdefault((round_trip, data, row, tool), []).append(result)
                            bench.record(f"{row} {round_trip} ms", tool, result)

                        how(bench, program, place, network.line, tree, record)
                        shutil.rmtree(place)
            finally:
                network.stop()
                gateway.stop()
            shutil.rmtree(folder)
    return trees, results


def tables(trees, results, round_trips, table):
    """Returns the tables as Markdown."""
    def median(key, which=0):
        runs = results.get(key)
        return statistics.median(run[which] for run in runs) if runs else None

    parts = []
    for data in trees:
        rows = []
        for round_trip in round_trips:
            for row, title, target in ROWS:
                ours, theirs = (median((round_trip, data, row, tool)) for tool in ("holdpoint", "restic 0.18"))
                memory = median((round_trip, data, row, "holdpoint"), 2) / MIB
                goal = f"≤ {target:.2f}" if target and round_trip == 20 else ""
                rows.append([f"{round_trip} ms", title, f"{ours:.2f}", f"{theirs:.2f}", f"**{ours / theirs:.2f}**", goal,
                             f"{memory:.0f}"])
        head = ["round trip", "seconds, wall", "holdpoint", "restic 0.18", "ratio", "target", "holdpoint's memory, MiB"]
        parts += ["", f"**{data}**", "", table(head, rows)]
    return "\n".join(parts)
