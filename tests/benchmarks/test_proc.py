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
        assert proc.cpu([process.pid])[proc.OTHERS] > 0.28
        process.stdin.close()


def test_children_are_of_the_group_that_their_command_or_else_their_parent_tells():
    # Each argument is a process that starts the next one and waits until its input is closed.
    nest = (
        "import subprocess, sys\nrest = sys.argv[2:]\n"
        "child = subprocess.Popen([sys.executable, '-c', *rest]) if rest else print('all on', flush=True)\n"
        "sys.stdin.read()\nchild and child.wait()"
    )
    command = [sys.executable, "-c", nest, "celery worker", nest, "anything"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "all on\n"
        assert sorted(proc.tree([process.pid, os.getpid()]).values()).count("worker") == 2
        assert proc.tree([os.getpid()])[os.getpid()] == proc.OTHERS
        process.stdin.close()


def test_resident_memory_is_that_of_every_process_of_the_tree():
    memory = proc.memory([os.getpid()])[proc.OTHERS]
    assert memory.processes >= 1
    assert 0 < memory.shared_out <= memory.resident
