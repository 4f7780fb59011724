import os
import subprocess
import sys

from benchmarks import proc

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


def burn(seconds):
    return [sys.executable, "-c", BURN.format(seconds=seconds)]


def test_the_cpu_of_a_child_that_has_ended_is_not_lost():
    parent = "import subprocess, sys\nsubprocess.run(sys.argv[1:])\nprint('ended', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", parent, *burn(0.3)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ended\n"
        assert 0.28 < proc.cpu([process.pid])[proc.OTHERS] < 0.8
        process.stdin.close()


def test_children_are_of_the_group_that_their_command_or_else_their_parent_tells():
    shell = 'bash -c "read; :" uvicorn & bash -c "bash -c \\"read; :\\"; :" celery worker & echo on; read; :'
    with subprocess.Popen(
        ["bash", "-c", f"exec 3<&0; {shell}".replace("read;", "read <&3;")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.readline()
        while len(proc.tree([process.pid])) < 4:
            assert process.poll() is None
        while sorted(proc.tree([process.pid]).values()) != ["supervisor", "web", "worker", "worker"]:
            assert process.poll() is None
        process.stdin.close()


def test_resident_memory_is_that_of_every_process_of_the_tree():
    memory = proc.memory([os.getpid()])[proc.OTHERS]
    assert memory.processes >= 1
    assert 0 < memory.shared_out <= memory.resident
