"""A cluster for notebooks and tests."""

from __future__ import annotations

import os
import pathlib
import time

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
