"""Whatever stands in a file, it is a pipeline or a list of mistakes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorchestra.errors import PipelineSyntaxError
from lorchestra.loader import load_pipeline, yamlfile

VALID = """\
pipeline_id: pipeline.ingest
description: "Ingest \\u00e9very account"
stop_on_failure: true
stages:
  - name: ingest
    max_workers: 4
    jobs: [acct1, &x {id: acct2, run: python -m ingest, env: {PORT: 8080}}]
  - name: report
    description: |
      Two
      lines
    jobs:
      - {id: report, call: "a.b:C.d", with: {rows: 3.5, of: [a, null, 'b', *y]}}
jobs:
  acct1: {command: [python, -m, ingest, --account, 1], cwd: &y work}
"""
PIECES = [
    *("\n", "  ", "\t", ": ", "- ", "? ", "[", "]", "{", "}", ",", "'", '"', "|", ">", "#", "\\"),
    *(
        "&x ",
        "*x",
        "*y",
        "!t ",
        "!!str ",
        "---",
        "...",
        "<<: ",
        "~",
        "%",
        "@",
        "\r",
        "\0",
        "\ufeff",
    ),
    *("null", "true", "-1", ".inf", "1e999", "9" * 25, "\\u0000", "\\ud800", "é", "😀", "\u2028"),
    *("jobs:", "stages:", "run: x", "id: ", "acct1", "with: ", "env: ", "call: "),
]

fuzz = settings(
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "p.yaml"


@pytest.fixture(autouse=True, params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(yamlfile, "_PARSER", yaml.SafeLoader)


def check(file: Path, data: bytes) -> None:
    """A pipeline that has a digest, or mistakes that have a place and can be printed."""
    file.write_bytes(data)
    with suppress(PipelineSyntaxError):
        load_pipeline(file, file.parent).sha256()
        return
    with pytest.raises(PipelineSyntaxError) as caught:
        load_pipeline(file, file.parent)
    problems = caught.value.problems
    places = [(problem.line, problem.column) for problem in problems]
    assert places == sorted(places)
    assert min(places) >= (1, 1)
    assert len(str(caught.value).encode().splitlines()) == len(problems) > 0


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The valid pipeline with some stretches replaced by pieces that mean something in YAML."""
    text = VALID
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([0, 0, 1, 2, 10, 60]))
        text = text[:start] + draw(st.sampled_from(PIECES)) + text[start + length :]
    return text


def test_the_valid_pipeline_is_valid(file: Path) -> None:
    file.write_text(VALID.replace("*y", "y"), encoding="utf-8")
    assert [job.id for job in load_pipeline(file, file.parent).jobs] == ["acct1", "acct2", "report"]


@fuzz
@given(text=mutated())
def test_a_damaged_pipeline(file: Path, text: str) -> None:
    check(file, text.encode())


@fuzz
@given(text=st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_random_text(file: Path, text: str) -> None:
    check(file, text.encode(errors="surrogatepass"))


@fuzz
@given(data=st.binary())
def test_random_bytes(file: Path, data: bytes) -> None:
    check(file, data)
