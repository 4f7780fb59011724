"""The embedded servers: what they promise, and what they survive."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config import bootstrap
from core import embedded, embedded_child, embedded_home
from tests.servers.stack import eventually


@pytest.fixture
def data_dir(tmp_path: Path):
    folder = tmp_path / "data"
    yield folder
    embedded_home.discard(folder)


@pytest.fixture
def started():
    """Starts servers of a home and stops them with the test."""
    children = []

    def start(server: embedded.Server) -> "subprocess.Popen[bytes]":
        child = server.start(subprocess.DEVNULL)
        children.append((server, child))
        server.wait(child)
        return child

    yield start
    for server, child in reversed(children):
        server.stop(child)


def ask(home: embedded_home.Home, query: str) -> object:
    with psycopg.connect(home.database_url) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def tell(home: embedded_home.Home, command: str) -> None:
    with psycopg.connect(home.database_url) as connection:
        connection.execute(command)


def test_the_database_is_durable_has_vectors_and_sorts_alike_everywhere(data_dir, started):
    home = embedded_home.find(data_dir)
    started(embedded.postgres(home))

    assert ask(home, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"
    assert ask(home, "SELECT datlocale FROM pg_database WHERE datname = current_database()") == "C.UTF-8"
    tell(home, "CREATE EXTENSION vector")
    assert ask(home, "SELECT '[1,2]'::vector <-> '[1,3]'::vector") == 1.0


def test_valkey_keeps_an_append_only_file_and_evicts_nothing(data_dir, started):
    home = embedded_home.find(data_dir)
    started(embedded.valkey(home))

    with redis.Redis.from_url(home.redis_url, decode_responses=True) as client:
        settings = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "save")

    assert settings == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
    }


def test_neither_server_listens_on_the_network(data_dir, started):
    home = embedded_home.find(data_dir)
    for server in (embedded.postgres(home), embedded.valkey(home)):
        process = psutil.Process(started(server).pid)
        assert process.net_connections(kind="inet") == []
        assert stat.S_IMODE(home.sockets.stat().st_mode) == 0o700


@pytest.mark.parametrize("make", [embedded.postgres, embedded.valkey])
def test_what_was_written_survives_kill_9(data_dir, started, make):
    home = embedded_home.find(data_dir)
    server = make(home)
    child = started(server)
    if server.name == "postgres":
        tell(home, "CREATE TABLE kept AS SELECT 42 AS answer")
    else:
        with redis.Redis.from_url(home.redis_url) as client:
            client.set("kept", 42)
            client.waitaof(1, 0, 5000)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()

    eventually(lambda: comes_up(server, started), server.name, seconds=10)

    if server.name == "postgres":
        assert ask(home, "SELECT answer FROM kept") == 42
    else:
        with redis.Redis.from_url(home.redis_url) as client:
            assert client.get("kept") == b"42"


def comes_up(server: embedded.Server, started) -> bool:
    try:
        started(server)
    except embedded_home.EmbeddedError:  # a backend of the killed one still lives
        return False
    return True


@pytest.mark.parametrize("make", [embedded.postgres, embedded.valkey])
def test_a_server_that_somebody_left_running_gives_way_to_a_new_one(data_dir, started, make):
    home = embedded_home.find(data_dir)
    server = make(home)
    server.prepare()
    who = {"user": home.user, "group": home.group} if home.user is not None else {}
    left = subprocess.Popen(server.argv, cwd=server.cwd, stdout=-3, stderr=-3, process_group=0, **who)
    try:
        server.wait(left)

        child = started(server)

        assert left.wait(5) == 0
        assert child.poll() is None
    finally:
        embedded_child.stop(left, seconds=0)


def test_a_lock_with_the_number_of_another_process_does_not_stop_the_database(data_dir, started):
    home = embedded_home.find(data_dir)
    server = embedded.postgres(home)
    server.stop(started(server))
    bystander = embedded_child.start(["sleep", "60"], user=home.user, group=home.group)
    try:
        lock = home.path / "postgres" / "postmaster.pid"
        lock.write_text(f"{bystander.pid}\n{home.path / 'postgres'}\n{int(time.time())}\n5432\n\n\n")

        started(server)

        assert bystander.poll() is None
    finally:
        embedded_child.stop(bystander)


def test_the_servers_die_with_the_process_that_started_them(data_dir):
    code = (
        "import sys, time; from pathlib import Path; from core import embedded, embedded_home\n"
        "home = embedded_home.find(Path(sys.argv[1]))\n"
        "children = [server.start(-3) for server in (embedded.postgres(home), embedded.valkey(home))]\n"
        "print(*(child.pid for child in children), flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, data_dir]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=bootstrap.BASE_DIR)
    numbers = [int(text) for text in parent.stdout.readline().split()]
    parent.kill()
    parent.communicate()

    eventually(lambda: not any(is_alive(number) for number in numbers), "the servers end", seconds=10)


def is_alive(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_emptied_data_directory_means_fresh_data(data_dir, started):
    home = embedded_home.find(data_dir)
    server = embedded.postgres(home)
    child = started(server)
    tell(home, "CREATE TABLE old ()")
    server.stop(child)
    embedded_home.discard(data_dir)

    fresh = embedded_home.find(data_dir)
    started(embedded.postgres(fresh))

    assert ask(fresh, "SELECT to_regclass('old')") is None


@pytest.mark.parametrize("name", ["with spaces and 'quotes'", "ü" * 40, "x" * 150], ids=["spaces", "letters", "long"])
def test_odd_and_long_paths_are_served_and_their_parents_left_as_they_were(tmp_path, name):
    parent = tmp_path / name
    parent.mkdir(mode=0o700)
    before = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in parent.parents}
    home = embedded_home.find(parent / "data")
    try:
        servers = [embedded.postgres(home), embedded.valkey(home)]
        with embedded.running(servers, subprocess.DEVNULL):
            assert all(server.ready() for server in servers)
        assert {folder: stat.S_IMODE(folder.stat().st_mode) for folder in parent.parents} == before
        assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    finally:
        embedded_home.discard(parent / "data")


def test_one_data_directory_serves_one_program_at_a_time(tmp_path):
    with (
        embedded_home.exclusive(tmp_path / "lock", "make up"),
        pytest.raises(embedded_home.InUseError, match=f"make up, process {os.getpid()}"),
        embedded_home.exclusive(tmp_path / "lock", "make shell"),
    ):
        pass
    with embedded_home.exclusive(tmp_path / "lock", "make shell"):
        pass
