"""A program in a container, whose seccomp profile forbids io_uring, and which may lock no memory: it calls as anywhere else, and has
no cluster of its own."""

from __future__ import annotations

import errno
import pathlib
import subprocess
import sys

import madrpc

#: From now on the kernel refuses this program io_uring, and all that it starts: setup, enter and register, which have the same
#: numbers on all machines.
CONFINE = """
import ctypes, errno, resource, struct
_, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, most))
steps = [
    (0x20, 0, 0, 0),                            # load the number of the call
    (0x35, 0, 2, 425), (0x25, 1, 0, 427),       # from 425 to 427?
    (0x06, 0, 0, 0x0005_0000 | errno.EPERM),    # refused
    (0x06, 0, 0, 0x7FFF_0000),                  # allowed
]
filter = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(filter)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0          # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program) == 0          # PR_SET_SECCOMP
assert libc.syscall(425, 1, 0) == -1
print(errno.errorcode[ctypes.get_errno()])
"""

CALLS = """
import asyncio, madrpc, os, sys
address, script = sys.argv[1:]
with madrpc.connect(address, connections=3) as client:
    assert client.call("sleep", 50) == 50
    assert list(client.map("echo", range(5000))) == list(range(5000))
    with madrpc.Executor(client) as executor:
        assert executor.submit("add", a=1, b=2).result() == 3
    child = os.fork()
    if child == 0:
        assert client.call("echo", 1) == 1
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

async def main():
    async with await madrpc.aio.connect(address) as client:
        return [result async for result in client.map("echo", range(100), ordered=False)]

assert sorted(asyncio.run(main())) == list(range(100))
# Who serves is told of the locked memory first.
resource.setrlimit(resource.RLIMIT_MEMLOCK, (most, most))
try: madrpc.Cluster(script, log=False)
except RuntimeError as error: print(error)
"""


def test_who_only_calls_needs_no_io_uring(cluster: madrpc.Cluster) -> None:
    command = [sys.executable, "-c", CONFINE + CALLS, cluster.address, str(pathlib.Path(__file__).with_name("script.js"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    refused, *told = done.stdout.splitlines()
    assert refused == errno.errorcode[errno.EPERM]
    assert told[0] == "the cluster did not start:"
    assert "io_uring: the kernel refuses it" in told[1], told
