"""Two network namespaces without names, each with one TUN device; the kernel removes them with the last process."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from hwnas.errors import RunError, reason

Made = TypeVar("Made")

EDGE_ADDRESS, CLOUD_ADDRESS = "10.77.0.1", "10.77.0.2"
MTU = 1500
CONGESTION_CONTROLS = ("cubic", "reno")
"""The kernel's usual one, whatever this machine has been set to; where it is not allowed within namespaces, the one
whose slow start is the same."""
SYSCTL = Path("/proc/sys/net")
TUN = "/dev/net/tun"
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFADDR, SIOCSIFDSTADDR = 0x8916, 0x8918
SIOCSIFFLAGS, SIOCSIFMTU, SIOCSIFTXQLEN = 0x8914, 0x8922, 0x8943
IFF_UP, IFF_RUNNING = 0x1, 0x40
QUEUE_PACKETS = 10_000
"""Packets that wait for the emulator; its own queue is what the link's is."""
NEEDED = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}


def check_namespaces() -> None:
    """Refuse to impose a link where this process cannot make network namespaces and TUN devices.

    Raises:
        RunError: it cannot, and why.
    """
    if sys.platform != "linux":
        raise refused(f"this system is {sys.platform}")
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    capabilities = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    if missing := [name for bit, name in NEEDED.items() if not capabilities >> bit & 1]:
        raise refused(f"this process lacks {' and '.join(missing)}")
    try:
        os.close(os.open(TUN, os.O_RDWR))
    except OSError as error:
        raise refused(f"`{TUN}` cannot be opened ({reason(error)})") from error


def refused(why: str) -> RunError:
    """Return the error of a link that cannot be imposed here."""
    return RunError(
        f"no link can be imposed: {why}",
        where="this machine",
        allowed=f"A link is imposed by network namespaces and `{TUN}`, on Linux, by root",
        do="Run it as root, in a container with `--cap-add=SYS_ADMIN --cap-add=NET_ADMIN --device=/dev/net/tun`, or "
        "plan without measuring",
    )


def call_libc(name: str, *arguments: int) -> None:
    """Call a function of the C library that returns 0.

    Raises:
        OSError: it returns something else.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def new_namespace(address: str, peer: str, *, keeps_window: bool = False) -> tuple[int, int]:
    """Move this process, which has one thread, into a new network namespace with a TUN device between two addresses.

    Args:
        address: of this end.
        peer: of the other one.
        keeps_window: whether connections keep their windows while they rest.

    Returns:
        File descriptors of the namespace and of the device.
    """
    call_libc("unshare", CLONE_NEWNET)
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    # else a connection begins with what an earlier one learned, and the device carries messages of its own
    (SYSCTL / "ipv4/tcp_no_metrics_save").write_text("1", encoding="utf-8")
    (SYSCTL / "ipv4/tcp_slow_start_after_idle").write_text("0" if keeps_window else "1", encoding="utf-8")
    with suppress(OSError):
        (SYSCTL / "ipv6/conf/default/disable_ipv6").write_text("1", encoding="utf-8")
    (SYSCTL / "ipv4/tcp_congestion_control").write_text(congestion_control(), encoding="utf-8")
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"link", IFF_TUN | IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _configure(control, SIOCSIFADDR, b"link", _inet(address))
        _configure(control, SIOCSIFDSTADDR, b"link", _inet(peer))
        _configure(control, SIOCSIFMTU, b"link", struct.pack("i", MTU))
        _configure(control, SIOCSIFTXQLEN, b"link", struct.pack("i", QUEUE_PACKETS))
        for name in (b"lo", b"link"):
            _configure(control, SIOCSIFFLAGS, name, struct.pack("H", IFF_UP | IFF_RUNNING))
    return namespace, device


def congestion_control() -> str:
    """Return the name of the algorithm that connections over an imposed link use."""
    allowed = (SYSCTL / "ipv4/tcp_allowed_congestion_control").read_text(encoding="utf-8").split()
    return next((one for one in CONGESTION_CONTROLS if one in allowed), allowed[0])


def _configure(control: socket.socket, request: int, device: bytes, content: bytes) -> None:
    fcntl.ioctl(control, request, struct.pack("16s24s", device, content))


def _inet(text: str) -> bytes:
    return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(text))


def inside(namespace: str, make: Callable[[], Made]) -> Made:
    """Return what a function makes on a thread within a network namespace; sockets stay in it, wherever they are used.

    Args:
        namespace: path of the namespace.
        make: makes it.
    """

    def entered() -> Made:
        enter(namespace)
        return make()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(entered).result()


def enter(namespace: str) -> None:
    """Move this thread into a network namespace."""
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        call_libc("setns", descriptor, CLONE_NEWNET)
    finally:
        os.close(descriptor)
