"""A kernel in a cage has no network, few cores and little memory, and else is what it was."""

import os
import subprocess
import sys

import pytest
from test_runner import kernels, outputs, write

from dreamgym_nb import cli
from dreamgym_nb.course import cage
from dreamgym_nb.course.cage import Cage
from dreamgym_nb.course.runner import LessonFailed, run_notebook
from dreamgym_nb.errors import UserError

linux = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores"
)

# Nothing listens at these addresses: what matters is which error says so. 192.0.2.1 is kept free
# for documentation (RFC 5737) and would time out.
REACH = """
import socket, subprocess, sys
def tried(what):
    try:
        what()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "reached"
reach = lambda: socket.socket().connect(("192.0.2.1", 80))
look = lambda: socket.getaddrinfo("example.org", 80)
print(tried(reach))
print(tried(look))
child = "import socket; socket.socket().connect(('192.0.2.1', 80))"
done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
print(done.stderr.strip().splitlines()[-1])
a, b = socket.socketpair()
a.sendall(b"hello")
print(b.recv(5).decode())
"""


@pytest.fixture
def no_namespaces(monkeypatch):
    """A system that does not let us make network namespaces."""
    monkeypatch.setattr(cage, "has_namespaces", lambda: False)


def test_with_refusing_sockets_nothing_is_reached_by_the_kernel_and_its_children(
    tmp_path, no_namespaces
):
    run = run_notebook(write(tmp_path, REACH), "smoke", out_dir=tmp_path, cage=Cage(offline=True))
    said = outputs(run.executed)[-1].splitlines()
    assert said[0] == "OSError: The network is cut off here: no connection to 192.0.2.1."
    assert said[1] == "gaierror: The network is cut off here: example.org is not looked up."
    assert said[2] == said[0], "the Python that the kernel starts is cut off, too"
    assert said[3] == "hello", "processes of one machine still talk"


@pytest.mark.skipif(
    not cage.has_namespaces(), reason="this system lets no user make a network namespace"
)
def test_in_a_namespace_there_is_no_network_at_all(tmp_path):
    interfaces = "print(*open('/proc/net/dev').read().split(), sep='\\n')"
    path = write(tmp_path, REACH, interfaces)
    run = run_notebook(path, "smoke", out_dir=tmp_path, cage=Cage(offline=True))
    said = outputs(run.executed)[-2].splitlines()
    assert "unreachable" in said[0] and said[1].startswith("gaierror") and "unreach" in said[2]
    assert said[3] == "hello"
    names = [word for word in outputs(run.executed)[-1].split() if word.endswith(":")]
    assert names == ["lo:"], "nothing but the loop"
    assert kernels() == []


@linux
def test_one_core_is_all_that_the_kernel_sees(tmp_path):
    code = "import os\nfrom dreamgym_nb import machine\n"
    code += "print(len(os.sched_getaffinity(0)), machine.available_cpus())"
    run = run_notebook(write(tmp_path, code), "smoke", out_dir=tmp_path, cage=Cage(cores=1))
    assert outputs(run.executed)[-1] == "1 1\n"


def test_too_much_memory_stops_the_notebook(tmp_path):
    hog = "import time\nblock = bytearray(b'x') * 400_000_000\ntime.sleep(60)"
    path = write(tmp_path, hog, "print('never')")
    said = r"code cell 2 of 3 \(`import time`\): it took more than its 300 MB of memory"
    with pytest.raises(LessonFailed, match=said):
        run_notebook(path, "smoke", out_dir=tmp_path / "out", cage=Cage(memory_mb=300))
    assert kernels() == []


def test_memory_is_counted_with_that_of_children(tmp_path):
    hog = "import subprocess, sys\n"
    hog += "child = \"import time; b = bytearray(b'x') * 400_000_000; time.sleep(60)\"\n"
    hog += "subprocess.run([sys.executable, '-c', child])"
    with pytest.raises(LessonFailed, match="more than its 300 MB"):
        run_notebook(write(tmp_path, hog), "smoke", out_dir=tmp_path, cage=Cage(memory_mb=300))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc on this system")
def test_a_short_peak_is_not_missed(tmp_path):
    blip = "block = bytearray(b'x') * 400_000_000\ndel block"
    run = run_notebook(write(tmp_path, blip), "smoke", out_dir=tmp_path)
    assert run.peak_mb > 400


def test_processor_time_is_counted_and_sleep_is_not(tmp_path):
    work = "import time\nend = time.process_time() + 1.5\nwhile time.process_time() < end: pass"
    idle = "time.sleep(1.5)"
    run = run_notebook(write(tmp_path, work, idle), "smoke", out_dir=tmp_path)
    assert run.cpu_minutes * 60 > 1.4
    assert run.minutes * 60 > 2.9


def test_an_open_cage_changes_nothing():
    assert Cage().open and Cage().command(["-m", "x"]) == [sys.executable, "-m", "x"]
    assert Cage().words() == ""
    assert not Cage(memory_mb=5).open
    assert Cage(memory_mb=2000).command(["-m", "x"]) == [sys.executable, "-m", "x"]


@pytest.mark.parametrize(
    ("what", "said"),
    [({"cores": 0}, "0 cores cannot compute"), ({"memory_mb": 0}, "0 MB hold nothing")],
)
def test_a_cage_in_which_nothing_runs_is_refused(what, said):
    with pytest.raises(UserError, match=said):
        Cage(**what)


@linux
def test_the_command_says_what_it_holds_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "print(SIZE)")
    arguments = ["run", str(path), "--size", "smoke", "--offline", "--cores", "1"]
    assert cli.main([*arguments, "--memory", "1850"]) == 0
    assert "1 core, 1,850 MB." in capsys.readouterr().out
    assert (tmp_path / "build" / "lessons.json").exists()
    assert cli.main([*arguments, "--memory", "-1"]) == 2


def test_without_unshare_there_are_no_namespaces(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert cage.has_namespaces.__wrapped__() is False


def test_refusing_leaves_this_machine_reachable():
    code = (
        "import socket, threading\n"
        "from dreamgym_nb.course.cage import refuse_network\n"
        "refuse_network()\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname())\n"
        "print('reached')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "reached\n"


@pytest.mark.skipif(not cage.has_namespaces(), reason="no network namespace may be made here")
def test_a_namespace_reaches_itself_and_nothing_else():
    code = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname())\n"
        "print('reached')\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    command = Cage(offline=True).command(["-c", code])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "reached\nNetwork is unreachable\n"
