"""Tables for docs/benchmarks.md, from what a run has shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin -->\n", "<!-- benchmarks: end -->\n"


def with_tables(page: str, suites: list[dict[str, Any]], plots: dict[str, list[str]]) -> str:
    """The text of the page, with what the suites have shown in place of what stood there.

    Args:
        page: The text.
        suites: What each has shown.
        plots: The names of pictures, in the folder beside the page, by suite.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    table = "\n".join([*_lines(suites, plots), ""])
    return f"{before}{BEGIN}{table}{END}{after}"


def _lines(suites: list[dict[str, Any]], plots: dict[str, list[str]]) -> Iterator[str]:
    yield from figures(suites)
    for suite in suites:
        yield ""
        yield f"### {suite['title']}"
        yield ""
        yield _made_on(suite)
        for plot in plots.get(suite["name"], []):
            yield ""
            yield f"![{suite['title']}](benchmarks/{plot})"
        for comparison in suite["comparisons"]:
            yield ""
            yield from _comparison(comparison)


def _made_on(suite: dict[str, Any]) -> str:
    machine = suite["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    form = "the short form" if suite["is_short"] else "the full form"
    return (
        f"One run of {form}, {suite['on']}: {machine['processors']} processors, "
        f"{machine['system']}, {machine['python']}, {versions}; load before it "
        f"{machine['load_before']}."
    )


def figures(suites: Iterable[dict[str, Any]]) -> Iterator[str]:
    """What was to be reached, and how near it came."""
    yield "| what | beside | to reach | measured | 95 % interval | |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for suite in suites:
        for comparison in suite["comparisons"]:
            for figure in comparison["figures"]:
                yield _figure(comparison["title"], figure)


def _figure(title: str, figure: dict[str, Any]) -> str:
    goal, ratio = figure["goal"], figure["ratio"]
    is_most = goal["at_most"] is not None
    bound = f"at most {goal['at_most']:.4g} x" if is_most else f"at least {goal['at_least']:.4g} x"
    if figure["is_reached"]:
        verdict = "reached"
    elif goal["held_to"] is not None:
        verdict = f"not yet; held to {goal['held_to']:.4g} x"
    else:
        verdict = "missed" if figure["is_missed"] else "missed, within the noise"
    return (
        f"| {title}: {goal['name']} | {goal['base']} | {bound} | {ratio['median']:.3f} x "
        f"| {ratio['low']:.3f} to {ratio['high']:.3f} | {verdict} |"
    )


def _comparison(comparison: dict[str, Any]) -> Iterator[str]:
    per = comparison["per"]
    unit = f"{_unit(comparison)} each" if per > 1 else _unit(comparison)
    scale = {"µs": 1e6, "ms": 1e3, "s": 1.0}[_unit(comparison)]
    base = comparison["entries"][0]["name"]
    yield f"**{comparison['title']}**, {comparison['place']}, {comparison['rounds']} rounds"
    yield ""
    yield f"| | median, {unit} | p10 to p90 | beside {base} | 95 % interval |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for entry in comparison["entries"]:
        seconds, ratio = entry["seconds"], entry["ratio"]
        cells = [
            entry["name"],
            _number(seconds["median"] * scale),
            f"{_number(seconds['p10'] * scale)} to {_number(seconds['p90'] * scale)}",
            "" if ratio is None else f"{ratio['median']:.3f} x",
            "" if ratio is None else f"{ratio['low']:.3f} to {ratio['high']:.3f}",
        ]
        yield f"| {' | '.join(cells)} |"
    for name, text in comparison["facts"].items():
        yield ""
        yield f"{name}: {text}."
    if comparison["absent"]:
        yield ""
        yield f"Not there: {', '.join(comparison['absent'])}."


def _unit(comparison: dict[str, Any]) -> str:
    longest = max(entry["seconds"]["median"] for entry in comparison["entries"])
    return "s" if longest >= 1 else "ms" if longest >= 1e-3 else "µs"


def _number(value: float) -> str:
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
