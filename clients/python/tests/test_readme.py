"""The lines of the READMEs, letter by letter: the project's, and the package's."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import madrpc

OURS = pathlib.Path(__file__).parents[1] / "README.md"
README = pathlib.Path(__file__).parents[3] / "README.md"


def section(name: str) -> str:
    text = README.read_text()
    start = text.index(f"\n## {name}\n")
    return text[start : text.find("\n## ", start + 1)]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def said(lines: str) -> list[str]:
    """What each print says is beside it."""
    return re.findall(r"print\(.*\) +# (.*)$", lines, re.M)


def test_the_lines_do_what_they_say(tmp_path: pathlib.Path, authority: None) -> None:
    script = blocks(section("A first script"), "js")[0]
    (tmp_path / "hello.js").write_text(script)
    (lines,) = blocks(section("Python"), "python")
    assert "# " in lines
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == said(lines)
    assert os.listdir(tmp_path) == ["hello.js"]


def test_the_lines_of_the_package_do_what_they_say(tmp_path: pathlib.Path, authority: None) -> None:
    text = OURS.read_text()
    (script,) = blocks(text, "js")
    (tmp_path / "hello.js").write_text(script)
    lines = "".join(blocks(text, "python"))
    with madrpc.Cluster(tmp_path / "hello.js", log=False) as cluster:
        assert cluster.connect().call("norm", [3, 4]) == 5
        lines = lines.replace("127.0.0.1:8080", cluster.address)
        done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    printed = [line for line in done.stdout.splitlines() if " " in line]
    assert [line for line in printed if not line[0].isdigit() or line == "1 4"] == said(lines)
    assert len(said(lines)) == 4
