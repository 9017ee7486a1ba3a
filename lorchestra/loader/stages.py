"""From the list of stages to stages with their jobs, each of which is used once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from lorchestra.errors import LoopError
from lorchestra.fanout import unfold_stage
from lorchestra.loader import values
from lorchestra.loader.actions import PipelineLibrary, inner_pipeline
from lorchestra.loader.fields import Fields
from lorchestra.loader.jobs import read_id, read_job
from lorchestra.loader.loops import (
    ANYTHING,
    LOOP_KEYS,
    Inside,
    inside,
    read_loop,
    refuse_loops_inside,
)
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Place, Problems
from lorchestra.model import Job, Loop, Stage, SubPipeline
from lorchestra.references import Scope
from lorchestra.wording import quoted

STAGE_KEYS = (
    *("name", "jobs", "max_workers", "stop_on_failure", "description"),
    *("loop", *LOOP_KEYS),
)
STAGE_LOOP_KEYS = (*LOOP_KEYS, "jobs")

T = TypeVar("T")


class JobLibrary(PipelineLibrary, Protocol):
    """Where the jobs and pipelines are found that the pipeline's own file does not define."""

    def ids(self) -> Collection[str]:
        """The ids of all jobs there."""

    def job(self, name: str) -> Job | None:
        """The job with one of these ids; None if it is mistaken, which has been noted."""


class StageReader:
    """Reads the stages of one pipeline file.

    Args:
        source: The file.
        problems: Where its mistakes are noted.
        defined: The jobs that the file defines under `jobs`; None for a mistaken one.
        library: Where the other jobs are found.

    Attributes:
        stage_of: In which stage each job is, by number; also the jobs that are mistaken.
        loops: What references to the item there are in each job that is in a loop.
    """

    def __init__(
        self,
        source: Path,
        problems: Problems,
        defined: Mapping[str, Job | None],
        library: JobLibrary,
    ) -> None:
        self._source = source
        self._problems = problems
        self._defined = defined
        self._library = library
        self._stage_lines: dict[str, int] = {}
        self._job_lines: dict[str, int] = {}
        self._undefined: list[ScalarNode] = []
        self._stages = 0
        self._last_id = ""
        self.stage_of: dict[str, int] = {}
        self.loops: dict[str, Inside] = {}

    def read(self, node: ListNode) -> tuple[Stage, ...]:
        """The stages, without those that are mistaken."""
        if not node.items:
            self._problems.add(node, "a pipeline needs at least one stage")
        stages = _without_none(map(self._stage, node.items))
        self._tell_undefined()
        return stages

    def _stage(self, item: Node) -> Stage | None:
        node = self._problems.check(values.mapping, item, "a stage")
        if node is None:
            return None
        self._stages += 1
        fields = Fields(node, STAGE_KEYS, self._problems)
        name = fields.need("name", values.label, "a stage")
        if name is not None:
            self._is_first(self._stage_lines, name, node.entries["name"].value, "stage")
        fields.read("description", values.text)
        max_workers = fields.read("max_workers", values.workers)
        stop_on_failure = fields.read("stop_on_failure", values.flag)
        jobs, loop = self._repeated(fields)
        return self._unfolded(Stage(name or "", jobs, max_workers, stop_on_failure, loop), node)

    def _repeated(self, fields: Fields) -> tuple[tuple[Job, ...], Loop | None]:
        """The jobs of a stage, and the loop that it is."""
        self._last_id = ""
        if "loop" not in fields:
            jobs = self._jobs(fields, "a stage")
            if "over" in fields:
                return jobs, self._loop(fields, "a stage", jobs)
            self._refuse(fields, LOOP_KEYS, "may only stand beside over")
            return jobs, None
        self._refuse(fields, LOOP_KEYS, "stands in the loop, not beside it")
        node = fields.read("loop", values.mapping)
        if node is None:
            return (), None
        owner, loop_fields = "the loop of a stage", Fields(node, STAGE_LOOP_KEYS, fields.problems)
        if "jobs" in fields and "jobs" in loop_fields:
            self._refuse(fields, ("jobs",), "stands in the loop already")
        is_beside = "jobs" in fields and "jobs" not in loop_fields
        jobs = self._jobs(fields if is_beside else loop_fields, owner)
        return jobs, self._loop(loop_fields, owner, jobs)

    def _loop(self, fields: Fields, owner: str, jobs: tuple[Job, ...]) -> Loop | None:
        loop = read_loop(fields, self._last_id, owner)
        refuse_loops_inside(jobs, fields.node, self._problems)
        for name, stage in self.stage_of.items():
            if stage == self._stages:
                self.loops[name] = Inside(("item",))
        return loop

    def _refuse(self, fields: Fields, names: Iterable[str], wrong: str) -> None:
        for name in names:
            if name in fields:
                self._problems.add(fields.key(name), f"{name} {wrong}")

    def _unfolded(self, stage: Stage, place: Place) -> Stage:
        """The stage with jobs in place of those of its loops whose items are written out."""
        try:
            unfolded = unfold_stage(stage, Scope(), ())
        except LoopError as error:
            self._problems.add(place, str(error))
            return stage
        for job in unfolded.jobs:
            is_made = job.item is not None
            if is_made and self._is_first(self._job_lines, job.id, place, "job"):
                self.stage_of[job.id] = self._stages
        return unfolded

    def _jobs(self, fields: Fields, owner: str) -> tuple[Job, ...]:
        node = fields.need("jobs", values.listing, owner)
        if node is None:
            return ()
        if not node.items:
            self._problems.add(node, f"{owner} needs at least one job")
        return _without_none(map(self._job, node.items))

    def _job(self, item: Node) -> Job | None:
        self._last_id = ""
        job = self._read_job(item)
        if job is None and _may_be_repeated(item):
            self.loops[self._last_id] = ANYTHING
        elif job is not None and job.loop is not None:
            self.loops[job.id] = inside(job.loop)
        return job

    def _read_job(self, item: Node) -> Job | None:
        match item:
            case MapNode():
                return self._inline_job(item)
            case ScalarNode(kind="text"):
                return self._named_job(item)
        wrong = f"a job must be the id of one or a mapping, not {described(item)}"
        self._problems.add(item, wrong)
        return None

    def _inline_job(self, node: MapNode) -> Job | None:
        name = None
        if entry := node.entries.get("id"):
            name = self._new_id(entry.value)
        else:
            self._problems.add(node, "a job in a stage needs 'id'")
        return read_job(node, name, self._problems, self._source, self._library, id_key="id")

    def _named_job(self, node: ScalarNode) -> Job | None:
        name = self._new_id(node)
        if name is None:
            return None
        if name in self._defined:
            return self._defined[name]
        if name in self._library.ids():
            return self._library.job(name)
        if self._library.has_pipeline(name):
            pipeline = inner_pipeline(name, node, self._problems, self._library)
            action = None if pipeline is None else SubPipeline(name, pipeline)
            return None if action is None else Job(name, action, source=self._source)
        self._undefined.append(node)
        return None

    def _new_id(self, node: Node) -> str | None:
        """The job id; None, and a mistake, if it is none or has been used already."""
        name = self._problems.check(read_id, node, "id")
        if name is None or not self._is_first(self._job_lines, name, node, "job"):
            return None
        self.stage_of[name] = self._stages
        self._last_id = name
        return name

    def _is_first(self, lines: dict[str, int], name: str, place: Place, what: str) -> bool:
        if first := lines.get(name):
            self._problems.add(place, f"duplicate {what} {quoted(name)} (first in line {first})")
            return False
        lines[name] = place.line
        return True

    def _tell_undefined(self) -> None:
        if not self._undefined:
            return
        known = {*self._defined, *self._job_lines, *self._library.ids()}
        known -= {node.text for node in self._undefined}
        for node in self._undefined:
            guess = self._problems.guess(node.text, known)
            where = "neither under jobs nor in the jobs folder"
            self._problems.add(node, f"job {quoted(node.text)} is not defined, {where}{guess}")


def _may_be_repeated(node: Node) -> bool:
    """Whether a mistaken job may have a loop: one that is defined elsewhere may."""
    return not isinstance(node, MapNode) or not {"loop", "matrix"}.isdisjoint(node.entries)


def _without_none(found: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(value for value in found if value is not None)
