"""HTTP, by clients of others: JSON-RPC 2.0 and Server-Sent Events."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import httpx
import jsonrpcclient as rpc
import pytest
from httpx_sse import connect_sse

SCRIPT = """
madrpc.register("add", ([a, b]) => a + b);
madrpc.register("fail", () => { throw new RangeError("out of range"); });
madrpc.register("count", function* (n) { for (let i = 1; i <= n; i++) yield { i }; return "counted"; });
madrpc.register("breaks", function* () { yield 1; throw new RangeError("no more"); });
"""


@pytest.fixture(scope="module")
def http(authority: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    script = pathlib.Path(tmp_path_factory.mktemp("http"), "script.js")
    script.write_text(SCRIPT)
    command = [os.environ.get("MADRPC_COMMAND", "madrpc"), "node", "-s", str(script)]
    flags = ["-b", "127.0.0.1:0", "--shards", "1", "--http", "0"]
    with subprocess.Popen(command + flags, stderr=subprocess.PIPE, text=True) as node:
        assert node.stderr
        said = ""
        for line in node.stderr:
            said += line
            if "ready" in line:
                break
        assert "HTTP at " in said, said
        address = said.split("HTTP at ")[1].split()[0]
        with httpx.Client(base_url=f"http://{address}", timeout=60) as client:
            yield client
        node.terminate()


def test_json_rpc(http: httpx.Client) -> None:
    def ask(*requests: object) -> object:
        body = requests[0] if len(requests) == 1 else list(requests)
        return rpc.parse(http.post("/", json=body).json())

    sum_of = ask(rpc.request("add", (1, 2), id=7))
    assert sum_of == rpc.Ok(3, 7)
    unknown = ask(rpc.request("nothing", {"a": 1}))
    assert isinstance(unknown, rpc.Error)
    assert unknown.code == -32601
    thrown = ask(rpc.request("fail"))
    assert isinstance(thrown, rpc.Error)
    assert (thrown.code, thrown.data["kind"], thrown.data["name"]) == (-32003, "JavaScript", "RangeError")
    batch = ask(*(rpc.request("add", (number, 1), id=number) for number in range(100)))
    assert isinstance(batch, Iterator | list | tuple | map)
    assert list(batch) == [rpc.Ok(number + 1, number) for number in range(100)]
    answer = http.post("/", json=rpc.notification("add", (1, 2)))
    assert (answer.status_code, answer.text) == (204, "")
    broken = rpc.parse(http.post("/", content="{").json())
    assert isinstance(broken, rpc.Error)
    assert (broken.code, broken.id) == (-32700, None)


def test_events(http: httpx.Client) -> None:
    with connect_sse(http, "POST", "/call/count", content="1000") as source:
        *items, last = source.iter_sse()
    assert [(item.event, item.id, item.json()) for item in items] == [
        ("message", str(number), {"i": number}) for number in range(1, 1001)
    ]
    assert last.event == "result"
    told = last.json()
    assert told["result"] == "counted"
    assert told["bill"]["cpu_us"] > 0
    with connect_sse(http, "POST", "/call/breaks") as source:
        item, last = source.iter_sse()
    assert (item.data, last.event) == ("1", "error")
    assert json.loads(last.data)["error"]["name"] == "RangeError"
    answer = http.post("/call/fail", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (500, "JavaScript")
