"""Plots for docs/benchmarks.md, from what the suites have shown. The same data, the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_IN = 8.0
_OURS = "lorchestra"


def draw(suites: list[dict[str, Any]], folder: Path) -> dict[str, list[str]]:
    """Draw what there are plots for; gives the names of the files by suite.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "lorchestra", "font.size": 9, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot as plt

    plots: dict[str, list[str]] = {}
    for suite in suites:
        for name, height_in, paint in _plots_of(suite):
            figure, axes = plt.subplots(figsize=(_WIDTH_IN, height_in), layout="constrained")
            paint(axes)
            figure.savefig(folder / name, metadata={"Date": None})
            plt.close(figure)
            plots.setdefault(suite["name"], []).append(name)
    return plots


Paint = Callable[["Axes"], object]


def _plots_of(suite: dict[str, Any]) -> Iterator[tuple[str, float, Paint]]:
    comparisons = suite["comparisons"]
    if suite["name"] == "locking":
        for workers, processes in ((4, 1), (2, 4)):
            chosen = [
                each
                for each in comparisons
                if (each["at"]["workers"], each["at"]["processes"]) == (workers, processes)
            ]
            if len(chosen) > 1:
                name = "locking-threads.svg" if processes == 1 else "locking-processes.svg"
                yield name, 4.2, _overheads(chosen)
    if suite["name"] == "runner" and comparisons:
        yield "runner.svg", 3.4, _costs(comparisons[0])
    if suite["name"] == "growth":
        for number, comparison in enumerate(comparisons):
            yield f"growth-{number + 1}.svg", 2.6, _growth(comparison)


def _overheads(comparisons: list[dict[str, Any]]) -> Paint:
    """What each lock adds to a run, in %, by the length of its jobs."""

    def paint(axes: Axes) -> None:
        lengths = [each["at"]["seconds"] * 1000 for each in comparisons]
        for name in [entry["name"] for entry in comparisons[0]["entries"][1:]]:
            ratios = [_ratio(each, name) for each in comparisons]
            middle = [_percent(ratio["median"]) for ratio in ratios]
            below = [_percent(r["median"]) - _percent(r["low"]) for r in ratios]
            above = [_percent(r["high"]) - _percent(r["median"]) for r in ratios]
            is_guard = "guard" in name
            axes.errorbar(
                lengths,
                middle,
                yerr=[below, above],
                label=name,
                marker="o",
                markersize=4,
                capsize=2,
                linewidth=2.4 if is_guard else 1.0,
                color="black" if is_guard else None,
            )
        axes.axhline(2, linestyle="--", color="grey", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=2)
        axes.set_xlabel("length of a job, ms")
        axes.set_ylabel("overhead against no lock, % (dashed: 2 %)")
        axes.set_title(f"What a lock costs: {_how(comparisons[0])}")
        axes.legend(fontsize=7, ncols=2)

    return paint


def _how(comparison: dict[str, Any]) -> str:
    return str(comparison["title"]).partition(" ms in ")[2]


def _ratio(comparison: dict[str, Any], name: str) -> dict[str, float]:
    (ratio,) = (each["ratio"] for each in comparison["entries"] if each["name"] == name)
    return dict(ratio)


def _percent(ratio: float) -> float:
    return (ratio - 1) * 100


def _costs(comparison: dict[str, Any]) -> Paint:
    """What a job costs each runner, the cheapest at the top."""

    def paint(axes: Axes) -> None:
        entries = sorted(comparison["entries"], key=lambda each: -each["seconds"]["median"])
        names = [entry["name"] for entry in entries]
        costs = [entry["seconds"]["median"] * 1000 for entry in entries]
        colors = ["black" if name == _OURS else "tab:gray" for name in names]
        bars = axes.barh(names, costs, color=colors)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=7)
        axes.set_xscale("log")
        axes.set_xlim(right=max(costs) * 1.6)  # room for the last number
        axes.set_xlabel("ms a job, the whole program divided by its jobs")
        axes.set_title(comparison["title"])
        axes.grid(axis="y", visible=False)

    return paint


def _growth(comparison: dict[str, Any]) -> Paint:
    def paint(axes: Axes) -> None:
        sizes = [int(entry["name"].replace(",", "")) for entry in comparison["entries"]]
        seconds = [entry["seconds"]["median"] for entry in comparison["entries"]]
        axes.loglog(sizes, seconds, marker="o", color="black")
        axes.set_xlabel(comparison["title"])
        axes.set_ylabel("s")

    return paint
