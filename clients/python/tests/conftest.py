"""A cluster of real processes, over real sockets and mutual TLS, for all tests of a run."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

import madrpc

SCRIPT = pathlib.Path(__file__).with_name("script.js")


@pytest.fixture(scope="session", autouse=True)
def authority(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["MADRPC_TLS_DIR"] = str(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def cluster(authority: None) -> Iterator[madrpc.Cluster]:
    with madrpc.Cluster(SCRIPT, log=False) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: madrpc.Cluster) -> Iterator[madrpc.Client]:
    with cluster.connect() as client:
        yield client


class Program:
    """A Python program of its own."""

    def __init__(self, cluster: madrpc.Cluster) -> None:
        self.address = cluster.address

    def start(self, text: str) -> subprocess.Popen[str]:
        # A shell that has something in the background has it ignore SIGINT, and Python goes by that.
        head = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        head += f"import madrpc, os, sys, threading, time\nc = madrpc.connect({self.address!r})\n"
        return subprocess.Popen(
            [sys.executable, "-u", "-c", head + textwrap.dedent(text)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, text: str) -> tuple[int, str, str]:
        process = self.start(text)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err


@pytest.fixture
def program(cluster: madrpc.Cluster) -> Program:
    return Program(cluster)
