"""Measures prunes: the same repository, which holdpoint wrote and both programs know, pruned by each of them."""

import random
import shutil
import subprocess

MIB = 1 << 20
# Releases that are stored, and that stay.
RELEASES, KEPT = 8, 2
# The rows: key, name, target as a share of restic's time, and what may stay useless.
PRUNES = [
    ("prune", f"{RELEASES - KEPT} of {RELEASES} releases go, 5 % may stay useless", 0.60, "5%"),
    ("prune-all", "the same, nothing may stay useless", 0.60, "0%"),
]


def age(data, round_number):
    """Changes one file in eight, and writes a large one anew, of which a half stays as it was."""
    files = sorted(path for path in data.rglob("*") if path.is_file() and not path.is_symlink())
    generator = random.Random(round_number)
    for path in generator.sample(files, len(files) // 8):
        with open(path, "a", encoding="ascii") as file:
            file.write(f"round {round_number}\n")
    with open(data / "large", "wb") as file:
        for part in range(64):
            file.write(random.Random(part if part % 2 else 1000 * round_number + part).randbytes(MIB))


def size(place):
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and path.parent.name != "locks")


def measure(bench, holdpoint, restic, scratch, data, runs):
    """Returns how many bytes the repository had before, and by workload and tool how many it has afterwards."""
    house = scratch / "house"
    holdpoint.start(house)
    # A pass that could still be used would be kept.
    config = house / "prune.toml"
    config.write_text('[gate]\npass_valid_for = "1ms"\n[retention]\nkeep_targets = 1\nfloor = { releases = 1, age = "0s" }\n')
    for number in range(RELEASES):
        age(data, number)
        holdpoint.gate("--config", config, data)
    place, left = scratch / "place", {}
    before = size(holdpoint.repository())
    for _ in range(runs):
        for key, _, _, unused in PRUNES:
            for tool, prune in ((holdpoint, prune_by_holdpoint), (restic, prune_by_restic)):
                shutil.copytree(house, place, symlinks=True)
                subprocess.run(["sync"], check=True)
                tool.place = place
                holdpoint.place = place
                repository = holdpoint.repository()
                bench.record(key, tool.name, prune(bench, tool, repository, unused))
                # Whoever pruned: what stays is whole.
                holdpoint.check()
                left[key, tool.name] = size(repository)
                if before - left[key, tool.name] < before / 10:
                    raise RuntimeError(f"{tool.name} removed next to nothing")
                shutil.rmtree(place)
    shutil.rmtree(house)
    return before, left


def prune_by_holdpoint(_bench, holdpoint, _repository, unused):
    return holdpoint.call(
        "prune", "--config", holdpoint.place / "prune.toml", "--application", "bench", "--environment", "bench", "--store", holdpoint.place / "store", "--yes",
        "--keep-last", str(KEPT), "--max-unused", unused)


def prune_by_restic(bench, restic, repository, unused):
    command = [restic.program, "-r", repository, "--cache-dir", restic.place / "cache", "forget", "--prune",
               "--keep-last", str(KEPT), "--max-unused", unused]
    return bench.run(command, {"RESTIC_PASSWORD": restic.password})


def sizes(before, left, names, table):
    """Returns the table of what is left."""
    rows = [["before", *[f"{before / MIB:.0f}" for _ in names]]]
    rows += [[title, *[f"{left[key, name] / MIB:.1f}" for name in names]] for key, title, _, _ in PRUNES]
    return table(["size of the repository, MiB", *names], rows)
