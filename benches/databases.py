"""Measures the gate on databases beside their own dump programs; a part of benches/peers.

Every server is started for the measurement on a free port of the loopback interface, below the scratch directory, filled with
data of its own, and stopped. Durability is off: what is measured reads.
"""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

PASSWORD = "a password that only this measurement uses"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_user(name, command):
    """Returns the command as another user runs it, if this one is root: database servers refuse to run as root."""
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", *command] if os.geteuid() == 0 else command


def owned(path, name):
    """Makes a directory that belongs to the user of a server."""
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        user = pwd.getpwnam(name)
        os.chown(path, user.pw_uid, user.pw_gid)


def quiet(command, **more):
    """Runs a command that must succeed and says nothing."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout.decode(errors='replace')[-2000:]}")


class Postgres:
    """A PostgreSQL server of the newest version that Debian installed, filled by pgbench."""

    kind, dump, packages = "postgres", "pg_dump", [("pg_dump", "postgresql-client"), ("pgbench", "postgresql")]

    def __init__(self, place, rows):
        versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
        self.programs = max(versions, key=lambda path: int(path.parts[4])).parent
        self.user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        self.port, self.data = free_port(), place / "postgres"
        owned(self.data, self.user)
        initdb = [self.programs / "initdb", "-D", self.data, "-A", "trust", "-U", "bench", "--no-sync"]
        quiet(as_user(self.user, initdb), cwd="/")
        settings = ["fsync=off", "shared_buffers=256MB", "max_wal_size=4GB", "autovacuum=off", f"port={self.port}",
                    "listen_addresses=127.0.0.1", f"unix_socket_directories={self.data}"]
        start = [self.programs / "postgres", "-D", self.data, *(part for one in settings for part in ("-c", one))]
        self.server = subprocess.Popen([str(part) for part in as_user(self.user, start)], cwd="/",
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.env = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "bench", "PGDATABASE": "postgres"}
        wait_for(lambda: quiet([self.programs / "pg_isready"], env={**os.environ, **self.env}))
        scale = max(1, rows // 100_000)
        quiet([self.programs / "pgbench", "--initialize", "--quiet", "--scale", scale], env={**os.environ, **self.env})
        self.url = f"postgres://bench@127.0.0.1:{self.port}/postgres"
        self.name = f"PostgreSQL {self.programs.parts[4]}, pgbench at scale {scale}"

    def to_nowhere(self):
        return [self.programs / "pg_dump", "--format=custom", "--compress=0", "--no-sync", "--file=/dev/null"]

    def to_stdout(self):
        return f"{self.programs / 'pg_dump'} --format=custom --compress=0"

    def compressed(self, path):
        return [self.programs / "pg_dump", "--format=custom", f"--file={path}"]

    def stop(self):
        self.server.terminate()
        self.server.wait()


class Mariadb:
    """A MariaDB server, filled with the columns of pgbench's accounts."""

    kind, dump, packages = "mariadb", "mariadb-dump", [("mariadbd", "mariadb-server"), ("mariadb-dump", "mariadb-client")]

    def __init__(self, place, rows):
        self.user = "mysql" if os.geteuid() == 0 else getpass.getuser()
        self.port, self.data = free_port(), place / "mariadb"
        owned(self.data, self.user)
        options = ["--no-defaults", f"--datadir={self.data}"]
        install = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
        quiet(as_user(self.user, install), cwd="/")
        start = [shutil.which("mariadbd"), *options, f"--port={self.port}", "--bind-address=127.0.0.1",
                 f"--socket={self.data}/socket", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=512M"]
        self.server = subprocess.Popen(as_user(self.user, start), cwd="/", stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.env = {"MYSQL_PWD": PASSWORD}
        root = ["mariadb", "--no-defaults", f"--socket={self.data}/socket", "--user=root"]
        wait_for(lambda: quiet([*root, "--execute=SELECT 1"]))
        quiet([*root, "--execute", f"""
            CREATE DATABASE bench; USE bench; CREATE USER bench@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
            GRANT ALL ON *.* TO bench@'127.0.0.1';
            CREATE TABLE accounts (aid INT PRIMARY KEY, bid INT, abalance INT, filler CHAR(84)) ENGINE=InnoDB;
            INSERT INTO accounts SELECT seq, seq DIV 100000, 0, MD5(seq) FROM seq_1_to_{rows}"""])
        self.connection = ["--no-defaults", "--host=127.0.0.1", f"--port={self.port}", "--user=bench"]
        self.options = ["--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob"]
        self.url = f"mysql://bench@127.0.0.1:{self.port}/bench"
        self.name = f"MariaDB, {rows:,} rows"

    def to_nowhere(self):
        return ["mariadb-dump", *self.connection, *self.options, "--result-file=/dev/null", "bench"]

    def to_stdout(self):
        return " ".join(["mariadb-dump", *self.connection, *self.options, "bench"])

    def compressed(self, path):
        return ["bash", "-c", f"set -o pipefail; {self.to_stdout()} | gzip > {path}"]

    def stop(self):
        self.server.terminate()
        self.server.wait()


def wait_for(attempt):
    """Tries until it works; a server that never comes up shows in the last error."""
    for _ in range(300):
        try:
            return attempt()
        except RuntimeError as error:
            last = error
            time.sleep(0.1)
    raise last


def measure(bench, server, place, holdpoint, restic, runs):
    """Measures all ways of one server, each on an empty store and again; returns {way: ([first], [again])}."""
    results = {}

    def timed(way, which, result):
        results.setdefault(way, ([], []))[which].append(result)
        print(f"  {way:<28} {'again' if which else 'first':<6} {result[0]:7.2f} s  {result[1]:7.2f} s CPU", flush=True)

    for _ in range(runs):
        work = place / "work"
        work.mkdir()
        nowhere, compressed = f"{server.dump} to nowhere", f"{server.dump}, compressed file"
        for which in (0, 1):
            timed(nowhere, which, bench.run(server.to_nowhere(), server.env))
            timed(compressed, which, bench.run(server.compressed(work / "compressed"), server.env))
        if restic:
            env = {**server.env, "RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": str(work / "restic")}
            bench.run([restic.program, "init"], env)
            pipe = f"set -o pipefail; {server.to_stdout()} | {restic.program} backup --stdin --cache-dir {work / 'cache'}"
            for which in (0, 1):
                timed(f"{server.dump} to {restic.name}", which, bench.run(["bash", "-c", pipe], env))
        if holdpoint:
            config = work / "holdpoint.toml"
            config.write_text(f'[[source]]\nname = "bench"\nkind = "{server.kind}"\nurl = "{server.url}"\n'
                              + ('globals = false\n' if server.kind == "postgres" else ''))
            for which in (0, 1):
                gate = [holdpoint.program, "gate", "--application", "bench", "--environment", "bench", "--first", "--no-progress",
                        "--store", work / "store", "--config", config, "--timeout", "2h", "--release", f"1.0.{which}",
                        "--commit", "0" * 40]
                timed("holdpoint gate, read back", which,
                      bench.run(gate, {**server.env, "HOLDPOINT_PASSWORD": PASSWORD}, cwd=work))
        shutil.rmtree(work)
    return results
