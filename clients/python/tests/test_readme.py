"""The lines of the project's README, letter by letter."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

README = pathlib.Path(__file__).parents[3] / "README.md"


def blocks(section: str, language: str) -> list[str]:
    text = README.read_text()
    start = text.index(f"\n## {section}\n")
    end = text.find("\n## ", start + 1)
    return re.findall(rf"^```{language}\n(.*?)^```", text[start:end], re.M | re.S)


def test_the_lines_do_what_they_say(tmp_path: pathlib.Path, authority: None) -> None:
    script = blocks("A first script", "js")[0]
    (tmp_path / "hello.js").write_text(script)
    (lines,) = blocks("Python", "python")
    assert "# " in lines
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    # What each print says is beside it.
    said = re.findall(r"print\(.*\) +# (.*)$", lines, re.M)
    assert done.stdout.splitlines() == said
    assert os.listdir(tmp_path) == ["hello.js"]
