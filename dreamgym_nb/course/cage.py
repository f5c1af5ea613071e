"""Run a kernel as on a poor machine: without a network, on few cores, within little memory.

Binder gives one processor and 2 GB; a classroom may have no Wi-Fi. A `Cage` says what a kernel
may have, and the runner starts it so. The network is cut in one of two ways. Where the system
lets us (`unshare` of Linux), the kernel gets a network namespace without interfaces but its own
loopback, as a machine without Wi-Fi has it: nothing in it reaches anything else, whatever it is
written in. Elsewhere Python's sockets refuse each address
that is not of this machine, in the kernel and in every Python that it starts.

Memory is watched, not limited by the system: a limit on addresses (`ulimit -v`) would count what
torch reserves and never touches. The runner adds up the resident memory of the kernel and its
children and stops them when it is too much.

`python -m dreamgym_nb.course.cage [--cores N] [--loopback | --refuse] -- ARGUMENTS` is what is
started: it shuts the door behind itself and becomes `python ARGUMENTS`.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "--")
"""What starts a command in a network namespace of its own."""

BINDER_MB = 1850.0
"""What a kernel may take on a machine of 2 GB: JupyterLab's server itself takes about 130 MB."""


@dataclass(frozen=True)
class Cage:
    """What a kernel may have.

    Attributes:
        offline: Whether its network is cut.
        cores: On how many processors it may run, None for all.
        memory_mb: How much resident memory (10^6 bytes) it and its children may take, None for
            all.
    """

    offline: bool = False
    cores: int | None = None
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        """Refuse what nothing can run in.

        Raises:
            UserError: If a number is not positive, or this system cannot bind a process to cores.
        """
        if self.cores is not None and self.cores < 1:
            raise UserError(f"{self.cores} cores cannot compute anything: give at least 1.")
        if self.cores is not None and not hasattr(os, "sched_setaffinity"):
            raise UserError("This system cannot bind a process to cores: leave --cores out.")
        if self.memory_mb is not None and self.memory_mb <= 0:
            raise UserError(f"{self.memory_mb:g} MB hold nothing: give a larger number.")

    @property
    def open(self) -> bool:
        """Whether it holds nothing back."""
        return self == Cage()

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command that runs this Python with `arguments` inside the cage."""
        if not self.offline and self.cores is None:
            return [sys.executable, *arguments]
        inner = [sys.executable, "-m", __name__]
        if self.cores is not None:
            inner += ["--cores", str(self.cores)]
        if not self.offline:
            return [*inner, "--", *arguments]
        if has_namespaces():
            return [*NAMESPACE, *inner, "--loopback", "--", *arguments]
        return [*inner, "--refuse", "--", *arguments]

    def words(self) -> str:
        """What it holds back, for a report; empty if nothing."""
        told = []
        if self.offline:
            how = "a network namespace of its own" if has_namespaces() else "sockets that refuse"
            told.append(f"offline ({how})")
        if self.cores is not None:
            told.append("1 core" if self.cores == 1 else f"{self.cores} cores")
        if self.memory_mb is not None:
            told.append(f"{self.memory_mb:,.0f} MB")
        return ", ".join(told)


@functools.cache
def has_namespaces() -> bool:
    """Tell whether this system lets us start a process in a network namespace of its own."""
    if shutil.which(NAMESPACE[0]) is None:
        return False
    tried = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", "pass"], capture_output=True, check=False
    )
    return tried.returncode == 0


def refuse_network() -> None:
    """Make Python's sockets refuse each address that is not of this machine.

    Raises:
        OSError: Not here, but from then on where a socket is to connect elsewhere or a name is to
            be looked up.
    """
    import socket

    def of_this_machine(host: object) -> bool:
        name = host.decode() if isinstance(host, bytes) else host
        return name in (None, "", "localhost", "::1", "0.0.0.0", "::") or str(name).startswith(
            "127."
        )

    def guard(plain):
        def guarded(self, address, *rest):
            if self.family in (socket.AF_INET, socket.AF_INET6) and not of_this_machine(address[0]):
                raise OSError(f"The network is cut off here: no connection to {address[0]}.")
            return plain(self, address, *rest)

        return guarded

    plain_lookup = socket.getaddrinfo

    def lookup(host, *rest, **named):
        if not of_this_machine(host):
            raise socket.gaierror(f"The network is cut off here: {host} is not looked up.")
        return plain_lookup(host, *rest, **named)

    socket.socket.connect = guard(socket.socket.connect)
    socket.socket.connect_ex = guard(socket.socket.connect_ex)
    socket.getaddrinfo = lookup


def raise_loopback() -> None:
    """Switch on the loopback interface of a new network namespace, where it begins switched off.

    Raises:
        OSError: This process may not.
    """
    import fcntl
    import socket
    import struct

    set_flags, up, running = 0x8914, 0x1, 0x40  # SIOCSIFFLAGS, IFF_UP, IFF_RUNNING of <linux/if.h>
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, set_flags, struct.pack("16sH22x", b"lo", up | running))


def main(arguments: Sequence[str] | None = None) -> None:
    """Give up cores and network as asked, then become `python ARGUMENTS`."""
    parser = argparse.ArgumentParser(prog="cage", description=main.__doc__)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--loopback", action="store_true")
    parser.add_argument("--refuse", action="store_true")
    parser.add_argument("rest", nargs="+", metavar="ARGUMENTS")
    options = parser.parse_args(arguments)
    if options.cores is not None:
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, mine[: options.cores])
    if options.loopback:
        raise_loopback()
    if options.refuse:
        _refuse_in_children()
    os.execv(sys.executable, [sys.executable, *options.rest])


def _refuse_in_children() -> None:
    """Let each Python that is started from here begin with `refuse_network`."""
    here = Path(__file__).resolve().parent
    path = [str(here / "cut_off"), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in path if p)


if __name__ == "__main__":
    main()
