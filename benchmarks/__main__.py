"""Run the benchmarks, and say how near each figure came to what is to be reached.

python -m benchmarks [--short] [--check] [--write] [-o FILE] [SUITE...]
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

import benchmarks.suites
from benchmarks.bench import Bench
from benchmarks.machine import machine
from benchmarks.places import places
from benchmarks.tables import PAGE, figures, with_tables

# Helpers of suites.
OUTSIDE = {"locking_kinds"}
RESULTS = PAGE.parent / "benchmarks" / "results.json"


def main() -> int:
    """Run what was asked for; 1 when `--check` finds a figure missed by more than the noise."""
    names = sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.suites.__path__)
        if module.name not in OUTSIDE
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(names)}")
    parser.add_argument("--short", action="store_true", help="a glance: few rounds, few jobs")
    parser.add_argument("--check", action="store_true", help="fail when a figure is missed")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"keep the results of these suites, and make {PAGE.name} and its plots anew",
    )
    parser.add_argument("-o", type=Path, metavar="FILE", help="write the results as JSON")
    options = parser.parse_args()
    if unknown := set(options.suites) - set(names):
        parser.error(f"no suite {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    suites = run(options.suites or names, is_short=options.short)
    print("\n".join(figures(suites)))
    if options.o:
        options.o.write_bytes(orjson.dumps(suites, option=orjson.OPT_INDENT_2))
    if options.write:
        publish(suites)
    missed = [
        figure
        for suite in suites
        for comparison in suite["comparisons"]
        for figure in comparison["figures"]
        if figure["is_missed"]
    ]
    return 1 if options.check and missed else 0


def run(names: list[str], *, is_short: bool) -> list[dict[str, Any]]:
    """Run some suites; gives what they have shown, as JSON holds it."""
    suites = []
    with places() as found:
        bench = Bench(found, is_short, _say)
        for name in names:
            suite = importlib.import_module(f"benchmarks.suites.{name}")
            made_on = machine()
            comparisons = [comparison.as_dict() for comparison in suite.run(bench)]
            suites.append(
                {
                    "name": name,
                    "title": (suite.__doc__ or name).partition("\n")[0].rstrip("."),
                    "on": datetime.now(UTC).date().isoformat(),
                    "is_short": is_short,
                    "machine": made_on,
                    "comparisons": comparisons,
                }
            )
    _say("")
    return suites


def publish(suites: list[dict[str, Any]]) -> None:
    """Keep the results, beside those of other suites, and make the page and its plots of all."""
    from benchmarks.plots import draw

    kept = orjson.loads(RESULTS.read_bytes()) if RESULTS.exists() else []
    by_name = {suite["name"]: suite for suite in [*kept, *suites]}
    everything = [by_name[name] for name in sorted(by_name)]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(everything, option=orjson.OPT_INDENT_2) + b"\n")
    plots = draw(everything, RESULTS.parent)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(page, everything, plots), encoding="utf-8")


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
