"""From files to pipelines and jobs, with the mistakes of all files told at once."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

from lorchestra.loader.files import job_files, read_source
from lorchestra.loader.jobs import read_job_file
from lorchestra.loader.nodes import MapNode
from lorchestra.loader.pipelines import read_pipeline
from lorchestra.loader.problems import Report
from lorchestra.loader.yamlfile import read_yaml
from lorchestra.model import Job, Pipeline
from lorchestra.paths import absolute, shown_path
from lorchestra.wording import quoted

_START = MapNode(1, 1)  # the place of a mistake that concerns the whole file


def load_pipeline(path: Path, root: Path) -> Pipeline:
    """Read a pipeline file, and the job files that it names.

    Args:
        path: The pipeline file.
        root: The project folder; job files are looked for in its folder `jobs`, and in no file
            before one is named.

    Raises:
        PipelineSyntaxError: Something is wrong; it lists every mistake of the pipeline file and
            then of each job file, in the order in which they stand there.
        ConfigError: Jobs need limits, and the project's configuration cannot be read.
        UnreadableFileError: One of the files cannot be read, or is larger than 16 MiB.
    """
    path, root = absolute(path), absolute(root)
    report = Report()
    problems = report.of(path)
    document = read_yaml(read_source(path), problems)
    if document is None:
        return report.settle(None)
    return report.settle(read_pipeline(document, path, root, problems, JobFiles(root, report)))


def load_job_files(root: Path) -> dict[str, Job]:
    """Read all job files of a project, in order of the job ids.

    Args:
        root: The project folder.

    Raises:
        PipelineSyntaxError: Something is wrong; it lists every mistake of every file.
        UnreadableFileError: A file or a folder cannot be read.
    """
    report = Report()
    library = JobFiles(absolute(root), report)
    jobs = {name: library.job(name) for name in sorted(library.ids())}
    return report.settle({name: job for name, job in jobs.items() if job})


class JobFiles:
    """The jobs that have a file of their own; the folder is listed once, when first needed.

    Args:
        root: The project folder.
        report: Where the mistakes of the job files are noted.
    """

    def __init__(self, root: Path, report: Report) -> None:
        self._root = root
        self._report = report

    def ids(self) -> Collection[str]:
        """The ids of all jobs that have a file."""
        return self._files.keys()

    def job(self, name: str) -> Job | None:
        """Read the file of one of these jobs; None if it is mistaken, which has been noted."""
        first, *others = self._files[name]
        for other in others:
            wrong = f"job {quoted(name)} has another file, {shown_path(first)}"
            self._report.of(other).add(_START, wrong)
        return None if others else self._read(first)

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        return job_files(self._root)

    def _read(self, path: Path) -> Job | None:
        problems = self._report.of(path)
        document = read_yaml(read_source(path), problems)
        return None if document is None else read_job_file(document, path, problems)
