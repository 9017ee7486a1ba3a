"""A run as JUnit XML, which CI services show as tests: a suite for each stage, a case for each job.

The shape is the one that Jenkins' xunit plugin describes (junit-10.xsd), which the others read too.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable

from lorchestra.masking import Mask
from lorchestra.report.logs import log_tail
from lorchestra.report.summary import error_of, job_duration_s, run_duration_s
from runstore import Job, RunView

# XML 1.0 has no way to write these, not even as references.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FAILURES = frozenset({"failed", "timed_out"})
_ERRORS = frozenset({"crashed", "interrupted"})
_NOT_RUN = frozenset({"cancelled", "skipped", "planned", "running"})


def junit_xml(view: RunView, mask: Mask | None = None) -> bytes:
    """The document, in UTF-8.

    Args:
        view: The run.
        mask: What takes secrets out of the ends of logs; None: there are none.

    A job that failed or timed out is a failure, with the end of its log; one that crashed or was
    interrupted is an error; one that did not run, has not ended, or may fail is skipped.
    """
    suites = ET.Element("testsuites", name=_xml(view.pipeline or view.id))
    _count(suites, view.jobs.values(), run_duration_s(view) or 0.0)
    stages: dict[str, list[Job]] = {}
    for job in view.jobs.values():
        stages.setdefault(job.stage or "", []).append(job)
    for name, jobs in stages.items():
        suite = ET.SubElement(suites, "testsuite", name=_xml(name or "no stage"))
        if view.started is not None:
            suite.set("timestamp", view.started[:19])
        _count(suite, jobs, sum(job_duration_s(job) or 0.0 for job in jobs))
        for job in jobs:
            suite.append(_case(view, job, mask))
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _count(element: ET.Element, jobs: Iterable[Job], seconds: float) -> None:
    kinds = Counter(map(_kind, jobs))
    element.set("tests", str(kinds.total()))
    element.set("failures", str(kinds["failure"]))
    element.set("errors", str(kinds["error"]))
    element.set("skipped", str(kinds["skipped"]))
    element.set("time", f"{seconds:.3f}")


def _case(view: RunView, job: Job, mask: Mask | None) -> ET.Element:
    name = f"{view.pipeline or 'run'}.{job.stage}" if job.stage else view.pipeline or "run"
    seconds = f"{job_duration_s(job) or 0.0:.3f}"
    case = ET.Element("testcase", name=_xml(job.id), classname=_xml(name), time=seconds)
    kind = _kind(job)
    if kind == "skipped":
        ET.SubElement(case, kind, message=_xml(_why_skipped(job)))
    elif kind is not None:
        message = ET.SubElement(case, kind, message=_xml(error_of(job)), type=job.status)
        path = view.log_path(job.id)
        message.text = _xml("\n".join(log_tail(path, mask=mask))) if path else ""
    return case


def _kind(job: Job) -> str | None:
    """What a reader takes it for; None: it passed."""
    if job.status in _NOT_RUN or (job.attempts and job.attempts[-1].end.get("allowed") is True):
        return "skipped"
    if job.status in _FAILURES:
        return "failure"
    return "error" if job.status in _ERRORS else None


def _why_skipped(job: Job) -> str:
    if job.status in _NOT_RUN:
        return job.reason or job.status
    return error_of(job)


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
