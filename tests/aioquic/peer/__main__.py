"""Runs one scenario: python -m peer SCENARIO --server HOST:PORT --identity DIR --stranger DIR.

A scenario is a function of one of the modules here, named as `talk.values`. That it fails shows as a traceback and exit
code 1.
"""

import argparse
import importlib
from pathlib import Path

from .session import Target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", help="MODULE.FUNCTION")
    parser.add_argument("--server", required=True, metavar="HOST:PORT")
    parser.add_argument("--identity", required=True, type=Path, metavar="DIR")
    parser.add_argument("--stranger", required=True, type=Path, metavar="DIR", help="an identity of another authority")
    args = parser.parse_args()
    module, name = args.scenario.split(".")
    scenario = getattr(importlib.import_module(f".{module}", __package__), name)
    host, port = args.server.split(":")
    scenario(Target(host, int(port), args.identity, args.stranger))


main()
