"""Signals, forks, and the end of the program."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest


@pytest.mark.parametrize(
    "wait",
    [
        'c.call("sleep", 25_000)',
        'list(c.map("sleep", [25_000]))',
        'list(c.map("sleep", [25_000] * 3, ordered=False, concurrency=1))',
        'asyncio.run(wait())',
        'for _ in c.stream("slowly", n=2, ms=20_000): pass',
        'for _ in c.stream("endless"): pass',
        'asyncio.run(take())',
    ],
)
def test_ctrl_c_ends_the_wait(program: Any, wait: str) -> None:
    process = program.start(f"""
        import asyncio
        async def wait():
            return await (await madrpc.aio.connect({program.address!r})).call("sleep", 25_000)
        async def take():
            async for _ in (await madrpc.aio.connect({program.address!r})).stream("slowly", n=2, ms=20_000): pass
        c.call("echo", 1)
        print("waits")
        try:
            {wait}
        except KeyboardInterrupt:
            print("interrupted", c.call("echo", 1))
    """)
    assert process.stdout.readline() == "waits\n"
    time.sleep(0.3)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("interrupted 1\n", "", 0)
    assert time.monotonic() - begun < 15


def test_threads_that_wait_sleep(program: Any) -> None:
    text = """
        def wakes():
            statuses = [open(f"/proc/self/task/{thread.native_id}/status").read() for thread in threads]
            return sum(int(status.split("\\nvoluntary_ctxt_switches:")[1].split()[0]) for status in statuses)
        def wait():
            # It is lost at the end.
            try: c.call("sleep", 25_000)
            except madrpc.Error: pass
        c.call("echo", 1)
        threads = [threading.Thread(target=wait, daemon=True) for _ in range(20)]
        for thread in threads: thread.start()
        time.sleep(1)
        before = wakes()
        time.sleep(1)
        woken = wakes() - before
        print("asleep" if woken < 20 else woken)
    """
    assert program.run(text) == (0, "asleep\n", "")


def test_a_handler_that_raises_nothing_does_not_end_it(program: Any) -> None:
    text = """
        import signal
        signal.signal(signal.SIGALRM, lambda *_: print("tick"))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        print(c.call("sleep", 400))
    """
    assert program.run(text) == (0, "tick\n400\n", "")


@pytest.mark.parametrize("used_before", [True, False])
def test_a_fork_calls_by_itself(program: Any, used_before: bool) -> None:
    text = f"""
        if {used_before}: assert c.call("echo", 1) == 1
        held = c.map("echo", range(5000))
        assert next(held) == 0
        items = c.stream("count", 5000)
        assert next(items) == 0
        # What waits in the executor is the parent's.
        e = madrpc.Executor(c, concurrency=1)
        waiting = [e.submit("sleep", 100) for _ in range(5)]
        child = os.fork()
        if child == 0:
            assert c.call("echo", 2) == 2
            assert list(c.map("echo", range(1000))) == list(range(1000))
            assert e.submit("echo", 8).result() == 8
            e.shutdown()
            with madrpc.Executor(c) as e: assert e.submit("echo", 3).result() == 3
            for begun in (held, items):
                try: list(begun); print("not refused")
                except RuntimeError as error: print(error)
            items.close()
            assert list(c.stream("count", 1000)) == list(range(1000))
            grandchild = os.fork()
            if grandchild == 0:
                assert c.call("echo", 4) == 4
                sys.exit(5)
            assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 5
            assert c.call("echo", 2) == 2
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert c.call("echo", 1) == 1
        assert list(held) == list(items) == list(range(1, 5000))
        print("parent", [future.result() for future in waiting])
    """
    refused = "it was begun in another process, before a fork: begin it anew\n"
    assert program.run(text) == (0, refused * 2 + "parent [100, 100, 100, 100, 100]\n", "")


def test_multiprocessing_by_fork(program: Any) -> None:
    text = """
        import multiprocessing
        c.call("echo", 0)
        def square(n): return c.call("echo", n) ** 2
        with multiprocessing.get_context("fork").Pool(2) as pool: print(sum(pool.map(square, range(50))))
    """
    assert program.run(text) == (0, "40425\n", "")


@pytest.mark.parametrize(
    "under_way",
    [
        'threading.Thread(target=c.call, args=("sleep", 25_000), daemon=True).start()',
        'threading.Thread(target=lambda: list(c.map("sleep", [25_000] * 600)), daemon=True).start()',
        'threading.Thread(target=lambda: list(c.map("echo", iter(int, 1))), daemon=True).start()',
        'm = c.map("sleep", [0] + [25_000] * 600, ordered=False); next(m)',
        'threading.Thread(target=lambda: list(c.stream("endless")), daemon=True).start()',
        'threading.Thread(target=lambda: list(c.stream("slowly", n=1, ms=25_000)), daemon=True).start()',
        's = c.stream("endless"); next(s)',
        'e = madrpc.Executor(c); f = e.submit("sleep", 25_000)',
        'import asyncio\nasync def go():\n    a = await madrpc.aio.connect(c._sessions.address)\n'
        '    asyncio.create_task(a.call("sleep", 25_000))\n    await asyncio.sleep(.1)\nasyncio.run(go())',
        'cluster = madrpc.Cluster(os.environ["SCRIPT"]); threading.Thread(target=cluster.connect().call, '
        'args=("sleep", 25_000), daemon=True).start()',
    ],
    ids=["call", "map", "endless map", "map held", "endless stream", "stream", "stream held", "executor", "asyncio", "cluster"],
)
@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise LookupError"], ids=["end", "exit", "raise"])
def test_the_program_ends_with_calls_under_way(
    program: Any, monkeypatch: pytest.MonkeyPatch, under_way: str, end: str
) -> None:
    monkeypatch.setenv("SCRIPT", __file__.replace("test_process.py", "script.js"))
    begun = time.monotonic()
    code, _, err = program.run(f'c.call("echo", 1)\n{under_way}\ntime.sleep(0.3)\n{end}')
    assert code == {"": 0, "sys.exit(3)": 3, "raise LookupError": 1}[end], err
    assert "Fatal" not in err and "panicked" not in err, err
    assert time.monotonic() - begun < 20
