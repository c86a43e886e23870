"""A cluster for notebooks and tests."""

from __future__ import annotations

import io
import os
import pathlib
import signal
import time
from typing import Any

import pytest

import madrpc
from madrpc._cluster import command


def test_it_ends_with_its_block(authority: None, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.js"
    script.write_text("madrpc.register('double', (n) => { console.log('doubles', n); return n * 2; });")
    with madrpc.Cluster(script, nodes=2) as cluster:
        with cluster.connect(timeout=10) as client:
            assert client.call("double", 21) == 42
        process = cluster._process.pid
        seen = ""
        until = time.monotonic() + 20
        while "doubles 21" not in seen and time.monotonic() < until:
            seen += capfd.readouterr().err
        assert "doubles 21" in seen
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    # Python warns of those that are left open.
    assert all(pipe is None or pipe.closed for pipe in (cluster._process.stdin, cluster._process.stderr))


def test_its_log_is_read_where_stderr_is_closed(authority: None, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.js"
    script.write_text("madrpc.register('say', (n) => { console.log('says', n); return n; });")
    with madrpc.Cluster(script) as cluster:
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr("sys.stderr", closed)
        for n in (1, 2):
            cluster.connect().call("say", n)
        until = time.monotonic() + 20
        while not any("says 2" in line for line in list(cluster._last)):
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.parametrize("forks", [False, True])
def test_it_ends_with_a_program_that_is_killed(program: Any, monkeypatch: pytest.MonkeyPatch, forks: bool) -> None:
    monkeypatch.setenv("SCRIPT", str(pathlib.Path(__file__).with_name("script.js")))
    process = program.start(f"""
        cluster = madrpc.Cluster(os.environ["SCRIPT"], log=False)
        child = os.fork() if {forks} else 0
        if {forks} and child == 0: time.sleep(60)
        print(cluster._process.pid, child)
        time.sleep(60)
    """)
    assert process.stdout is not None
    dev, child = map(int, process.stdout.readline().split())
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        until = time.monotonic() + 20
        while is_there(dev):
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)


def is_there(process: int) -> bool:
    """One that has ended has none, even if nobody has asked how."""
    try:
        return pathlib.Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_a_script_that_is_none(authority: None, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.js"
    script.write_text("madrpc.register('f', (n) => ;")
    with pytest.raises(RuntimeError, match=r"(?s)the cluster did not start:.*script\.js"):
        madrpc.Cluster(script)


def test_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MADRPC_COMMAND", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="there is no command madrpc"):
        command()


def test_a_command_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADRPC_COMMAND", "/bin/false")
    with pytest.raises(RuntimeError, match="the cluster did not start:\nit said nothing, and ended with 1"):
        madrpc.Cluster("script.js")
