"""`lorchestra doctor`: whether this machine and this project are fit for runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lorchestra.cli.options import json_option, store_option, store_path, working_folder
from lorchestra.cli.printing import show, show_json
from lorchestra.config import find_root, load_config
from lorchestra.errors import EXIT_STORE
from lorchestra.health import Finding, check_up
from lorchestra.paths import absolute
from lorchestra.report.text import counted, printable

_WIDTH = 11


@click.command("doctor", context_settings={"help_option_names": ["-h", "--help"]})
@store_option
@json_option
def command(store: Path | None, as_json: bool) -> None:
    """Check whether this machine and this project are fit for runs, and say what to do.

    It looks at Python, settings, pipelines, the store and its file system (kind, room, how long a
    sync takes), locks against another process, and the clock. What has to be tried is tried in a
    temporary folder beside the store; the store itself is not touched.

    Exit code 0: there is no problem; 3: there is one.
    """
    config = load_config(find_root(working_folder()))
    findings = []
    for finding in check_up(config, absolute(store_path(store, config.root))):
        findings.append(finding)
        if not as_json:
            show(_text(finding))
    problems = sum(finding.level == "problem" for finding in findings)
    notes = sum(finding.level == "note" for finding in findings)
    if as_json:
        show_json({"ok": not problems, "findings": [asdict(finding) for finding in findings]})
    else:
        show(f"\n{counted(problems, 'problem')}, {counted(notes, 'note')}")
    if problems:
        raise click.exceptions.Exit(EXIT_STORE)


def _text(finding: Finding) -> str:
    line = f"{finding.level:7}  {finding.about.ljust(_WIDTH)}  {printable(finding.text)}"
    if not finding.advice:
        return line
    return f"{line}\n{' ' * (9 + _WIDTH)}  {printable(finding.advice)}"
