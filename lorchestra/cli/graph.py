"""`lorchestra graph`: a pipeline as a picture of its stages and jobs."""

from __future__ import annotations

from pathlib import Path

import click

from lorchestra.cli import completing
from lorchestra.cli.options import working_folder
from lorchestra.cli.outfile import out_option, put
from lorchestra.loader import find_pipeline, load_pipeline


@click.command("graph", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", shell_complete=completing.pipelines)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["mermaid", "dot"]),
    default="mermaid",
    show_default=True,
    help="mermaid: for pages of GitHub and GitLab; dot: for Graphviz.",
)
@out_option
def command(name: str, kind: str, out: Path | None) -> None:
    """Draw the pipeline NAME: its stages in their order, its jobs, and who takes whose output.

    A loop is one node, with double sides; another pipeline is one node, too.
    """
    from lorchestra.export.graph import dot, graph_of, mermaid

    path, root = find_pipeline(name, working_folder())
    graph = graph_of(load_pipeline(path, root))
    put((mermaid if kind == "mermaid" else dot)(graph).encode(errors="backslashreplace"), out)
