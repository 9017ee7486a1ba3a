"""From files to pipelines and jobs, with the mistakes of all files told at once."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

from lorchestra.loader.actions import InnerPipelineError
from lorchestra.loader.files import job_files, name_of, read_source
from lorchestra.loader.finding import find_inner_pipeline, near_pipelines
from lorchestra.loader.jobs import read_job_file
from lorchestra.loader.nodes import MapNode
from lorchestra.loader.pipelines import read_pipeline
from lorchestra.loader.problems import Report
from lorchestra.loader.yamlfile import read_yaml
from lorchestra.model import Job, Pipeline
from lorchestra.paths import absolute, shown_path
from lorchestra.wording import did_you_mean, quoted

MOST_LEVELS = 20

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
    return report.settle(_PipelineFiles(root).read(path, name_of(path), report))


def load_job_files(root: Path) -> dict[str, Job]:
    """Read all job files of a project, in order of the job ids.

    Args:
        root: The project folder.

    Raises:
        PipelineSyntaxError: Something is wrong; it lists every mistake of every file.
        UnreadableFileError: A file or a folder cannot be read.
    """
    report = Report()
    library = JobFiles(absolute(root), report, _PipelineFiles(absolute(root)))
    jobs = {name: library.job(name) for name in sorted(library.ids())}
    return report.settle({name: job for name, job in jobs.items() if job})


class _PipelineFiles:
    """The pipelines that contain each other; each file is read once.

    Args:
        root: The project folder of all of them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, Pipeline | None] = {}
        self._open: dict[Path, str] = {}  # those that are being read, each inside the one before

    def read(self, path: Path, name: str, report: Report) -> Pipeline | None:
        """Read a file, and those of the pipelines that are jobs of it; None: it says nothing."""
        if path in self._known:
            return self._known[path]
        problems = report.of(path)
        self._open[path] = name
        document = read_yaml(read_source(path), problems)
        pipeline = None
        if document is not None:
            library = JobFiles(self.root, report, self)
            pipeline = read_pipeline(document, path, self.root, problems, library)
        del self._open[path]
        self._known[path] = pipeline
        return pipeline

    def inner(self, name: str, report: Report) -> Pipeline | None:
        """Read the pipeline that is a job of the one that is being read.

        Raises:
            InnerPipelineError: There is no such pipeline, or it is inside itself.
        """
        path = find_inner_pipeline(name, self.root)
        if path is None:
            guesses = did_you_mean(near_pipelines(name, self.root))
            raise InnerPipelineError(f"there is no pipeline {quoted(name)}{guesses}")
        if path in self._open:
            names = list(self._open.values())
            chain = [*names[list(self._open).index(path) :], name]
            raise InnerPipelineError(
                f"pipeline {quoted(name)} is inside itself: {' -> '.join(chain)}"
            )
        if len(self._open) >= MOST_LEVELS:
            raise InnerPipelineError(f"pipelines are inside each other at most {MOST_LEVELS} deep")
        return self.read(path, name, report.of_inner())


class JobFiles:
    """The jobs that have a file of their own; the folder is listed once, when first needed.

    Args:
        root: The project folder.
        report: Where the mistakes of the job files are noted.
        pipelines: Where pipelines are found that are jobs.
    """

    def __init__(self, root: Path, report: Report, pipelines: _PipelineFiles) -> None:
        self._root = root
        self._report = report
        self._pipelines = pipelines

    def has_pipeline(self, name: str) -> bool:
        """Whether there is a pipeline of this name, or at this path."""
        return find_inner_pipeline(name, self._root) is not None

    def pipeline(self, name: str) -> Pipeline | None:
        """Read the pipeline of this name, or at this path; None if it says nothing.

        Raises:
            InnerPipelineError: There is none, or it is inside itself.
        """
        return self._pipelines.inner(name, self._report)

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
        return None if document is None else read_job_file(document, path, problems, self)
