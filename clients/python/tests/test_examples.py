"""The examples in Python, on the cluster that each starts; but for the pictures, whose packages the tests do without."""

from __future__ import annotations

import json
import pathlib
import runpy
import sys
from typing import Any
from unittest.mock import MagicMock

import pytest

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"


def test_words_are_counted(
    authority: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (tmp_path / f"text-{number}").write_text("Freedom of speech\n\n" * 5000)
    (tmp_path / "other-name").symlink_to(tmp_path / "text-0")
    monkeypatch.setattr(sys, "argv", ["count.py", "--texts", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "word-count" / "count.py"), run_name="__main__")
    assert capsys.readouterr().out.split("\n")[:3] == [
        " 15000 freedom",
        " 15000 speech",
        " 30000 words of 5 letters or more, 2 different ones",
    ]


def test_the_best_is_found(
    authority: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(EXAMPLES / "hyperparameter-search" / "search.py"))["main"]
    monkeypatch.setitem(main.__globals__, "RATES", [0.0001, 0.1])
    monkeypatch.setitem(main.__globals__, "HIDDEN", [2, 16])
    monkeypatch.setitem(main.__globals__, "SEEDS", [1])
    monkeypatch.setattr(sys, "argv", ["search.py"])
    main()
    assert capsys.readouterr().out.startswith("best of 4: learning rate 0.1, 16 hidden units: ")


def test_the_notebook_shows_the_set(authority: None, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((EXAMPLES / "mandelbrot" / "mandelbrot.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    drawn = MagicMock()
    drawn.subplots.return_value = (MagicMock(), MagicMock())
    for module in ("matplotlib", "matplotlib.pyplot", "IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, module, drawn)
    drawn.pyplot = drawn
    monkeypatch.chdir(EXAMPLES / "mandelbrot")
    variables: dict[str, Any] = {}
    for cell in code:
        exec(cell.replace("360, 240", "90, 60"), variables)
    pixels = variables["pixels"]
    assert pixels.shape == (60, 90, 3)
    # The set is black, and nothing is left of the white that was there before.
    assert 400 < (pixels == 0).all(axis=2).sum() < 1500
    assert (pixels == 255).all(axis=2).sum() < 50
