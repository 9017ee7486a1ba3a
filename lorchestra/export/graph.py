"""A pipeline as a graph: its stages in their order, its jobs, and whose output a job takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lorchestra.binding import all_outer_references
from lorchestra.model import Job, Pipeline, Stage, SubPipeline
from lorchestra.references import job_named

_MERMAID = {
    '"': "#quot;",
    "<": "#lt;",
    ">": "#gt;",
    "#": "#35;",
    "\n": " ",
    "\r": " ",
    "&": "#amp;",
}
_MOST = 60  # characters of a label


class Node(NamedTuple):
    """One job as written: a name that every format has, what is shown, and how it is drawn."""

    name: str
    label: str
    kind: str  # `job`, `loop` or `pipeline`


class Graph(NamedTuple):
    """What is drawn.

    Attributes:
        title: The pipeline's id.
        stages: The name and the jobs of each stage, in their order.
        edges: From each job whose output another takes to that.
    """

    title: str
    stages: tuple[tuple[str, tuple[Node, ...]], ...]
    edges: tuple[tuple[str, str], ...]


def graph_of(pipeline: Pipeline) -> Graph:
    """The graph of a pipeline as it is written: a loop is one node."""
    names = {job.id: f"j{number}" for number, job in enumerate(pipeline.jobs)}
    stages = tuple(
        (stage.name, tuple(_node(job, stage, names[job.id]) for job in stage.jobs))
        for stage in pipeline.stages
    )
    return Graph(pipeline.id, stages, tuple(dict.fromkeys(_edges(pipeline, names))))


def mermaid(graph: Graph) -> str:
    """The graph for Mermaid (mermaid.js.org), as GitHub and GitLab show it in a page."""
    shapes = {"job": ('["', '"]'), "loop": ('[["', '"]]'), "pipeline": ('[/"', '"/]')}
    lines = ["flowchart LR"]
    for number, (name, nodes) in enumerate(graph.stages):
        lines.append(f'    subgraph s{number} ["{_escaped(name)}"]')
        for node in nodes:
            left, right = shapes[node.kind]
            lines.append(f"        {node.name}{left}{_escaped(node.label)}{right}")
        lines.append("    end")
    lines += [f"    s{number} --> s{number + 1}" for number in range(len(graph.stages) - 1)]
    lines += [f"    {one} -.-> {two}" for one, two in graph.edges]
    return "\n".join([*lines, ""])


def dot(graph: Graph) -> str:
    """The graph for Graphviz (graphviz.org)."""
    shapes = {"job": "box", "loop": "box3d", "pipeline": "folder"}
    lines = [
        f"digraph {_quoted(graph.title)} {{",
        "    rankdir=LR; compound=true; node [shape=box];",
    ]
    for number, (name, nodes) in enumerate(graph.stages):
        lines += [f"    subgraph cluster_{number} {{", f"        label={_quoted(name)};"]
        lines += [
            f"        {node.name} [label={_quoted(node.label)}, shape={shapes[node.kind]}];"
            for node in nodes
        ]
        lines.append("    }")
    for number, ((_, before), (_, after)) in enumerate(
        zip(graph.stages, graph.stages[1:], strict=False)
    ):
        ends = f"ltail=cluster_{number}, lhead=cluster_{number + 1}"
        lines.append(f"    {before[0].name} -> {after[0].name} [{ends}];")
    lines += [f"    {one} -> {two} [style=dotted, constraint=false];" for one, two in graph.edges]
    return "\n".join([*lines, "}", ""])


def _node(job: Job, stage: Stage, name: str) -> Node:
    is_loop = job.loop is not None or stage.loop is not None
    if isinstance(job.action, SubPipeline):
        inner = (
            f"{job.id} ({job.action.pipeline.id})" if job.action.pipeline.id != job.id else job.id
        )
        return Node(name, inner, "loop" if is_loop else "pipeline")
    return Node(name, job.id, "loop" if is_loop else "job")


def _edges(pipeline: Pipeline, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    groups = {
        name: made for stage in pipeline.stages for name, made in stage.groups.items() if made
    }
    job_ids = names.keys() | groups.keys()
    for stage in pipeline.stages:
        for job, reference in all_outer_references(stage):
            found = job_named(reference, job_ids) if reference.root == "run" else None
            for job_id in groups.get(found[0], (found[0],)) if found else ():
                yield names[job_id], names[job.id]


def _escaped(text: str) -> str:
    return "".join(_MERMAID.get(character, character) for character in _cut(text))


def _quoted(text: str) -> str:
    return '"' + _cut(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
