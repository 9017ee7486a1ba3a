"""Limits in pipeline and job files."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorchestra.errors import ConfigError, PipelineSyntaxError
from lorchestra.loader import load_pipeline
from lorchestra.model import Pipeline
from lorchestra.quota import Quota, Rate


def load(root: Path, limits: str, needs: str = "", **files: str) -> Pipeline:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_yaml", ".yaml").replace("_toml", ".toml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    lines = [
        *([f"limits: {limits}"] if limits else []),
        "stages:",
        "  - name: s",
        "    jobs:",
        "      - named" if "jobs__named_yaml" in files else "      - {id: other, run: x}",
        "      - id: a",
        "        run: x",
        *([f"        limits: {needs}"] if needs else []),
    ]
    (root / "p.yaml").write_text("\n".join(lines))
    return load_pipeline(root / "p.yaml", root)


def problems(root: Path, limits: str, needs: str = "", **files: str) -> list[str]:
    with pytest.raises(PipelineSyntaxError) as caught:
        load(root, limits, needs, **files)
    return [
        f"{Path(each.path).name}:{each.line}:{each.column}: {each.message}"
        for each in caught.value.problems
    ]


def test_a_number_is_a_capacity_and_a_mapping_says_more(tmp_path: Path) -> None:
    found = load(tmp_path, "{a: 2, b: {rate: 60/min}, c: {capacity: 3, rate: 5/s}}").limits
    assert found == (
        Quota("a", 2),
        Quota("b", None, Rate(60, "min")),
        Quota("c", 3, Rate(5, "s")),
    )


@pytest.mark.parametrize(
    ("needs", "found"),
    [("{a: 2, b: 1}", {"a": 2, "b": 1}), ("[a, b]", {"a": 1, "b": 1}), ("[]", {})],
)
def test_a_job_names_limits_with_or_without_units(
    tmp_path: Path, needs: str, found: dict[str, int]
) -> None:
    assert load(tmp_path, "{a: 2, b: 2}", needs).jobs[1].limits == found


def test_limits_are_no_part_of_what_a_job_or_a_pipeline_is(tmp_path: Path) -> None:
    with_limits, without = load(tmp_path, "{a: 2}", "[a]"), load(tmp_path, "")
    assert with_limits.jobs[1].sha256() == without.jobs[1].sha256()
    assert with_limits.sha256() == without.sha256()


def test_the_limits_of_the_configuration_hold_too(tmp_path: Path) -> None:
    toml = "[limits.a]\ncapacity = 3\n[limits.b]\ncapacity = 4"
    pipeline = load(tmp_path, "{a: 2}", "[a, b]", lorchestra_toml=toml)
    assert pipeline.limits == (
        Quota("a", 2),
        Quota("a", 3, scope="host"),
        Quota("b", 4, scope="host"),
    )


def test_the_configuration_is_read_only_for_jobs_that_need_limits(tmp_path: Path) -> None:
    assert load(tmp_path, "{a: 2}", lorchestra_toml="limits = 3").limits == (Quota("a", 2),)
    with pytest.raises(ConfigError, match="limits must be a table"):
        load(tmp_path, "{a: 2}", "[a]", lorchestra_toml="limits = 3")


def test_a_job_file_may_name_limits(tmp_path: Path) -> None:
    named = "run: x\nlimits: [a]"
    assert load(tmp_path, "{a: 2}", jobs__named_yaml=named).jobs[0].limits == {"a": 1}
    assert problems(tmp_path, "{b: 2}", jobs__named_yaml=named) == [
        (
            "named.yaml:2:10: limit 'a' is not defined, neither under limits of the pipeline nor "
            "in the configuration"
        )
    ]


UNDEFINED = "is not defined, neither under limits of the pipeline nor in the configuration"


@pytest.mark.parametrize(
    ("needs", "mistakes"),
    [
        ("[bigqeury]", [f"7:18: limit 'bigqeury' {UNDEFINED} (did you mean bigquery?)"]),
        ("{x: 1}", [f"7:18: limit 'x' {UNDEFINED}"]),
        ("{bigquery: 3}", [("7:18: 3 units are more than there ever are of limit bigquery: 2 at "
                           "once in this run")]),
        ("{bigquery: 0}", ["7:28: limit 'bigquery' must be a whole number of at least 1, not 0"]),
        ("{bigquery: many}", [
            "7:28: limit 'bigquery' must be a whole number of at least 1, not 'many'"
        ]),
        ("bigquery", [
            "7:17: limits must be a mapping from names to units, or a list of names, not 'bigquery'"
        ]),
        ("[1]", ["7:18: a limit must be text in quotes, not 1"]),
        ("[bigquery, bigquery]", [
            "7:28: limit 'bigquery' is named twice; write {bigquery: 2} for two"
        ]),
        ("[b/q]", [
            ("7:18: the name of limit 'b/q' must be 1 to 64 letters, digits, _, . and -, and begin "
            "with a letter or a digit")
        ]),
    ],
)  # fmt: skip
def test_mistakes_in_what_a_job_needs(tmp_path: Path, needs: str, mistakes: list[str]) -> None:
    found = problems(tmp_path, "{bigquery: 2}", needs)
    # The first line is that of `limits`.
    assert found == [f"p.yaml:{int(each[0]) + 1}{each[1:]}" for each in mistakes]


@pytest.mark.parametrize(
    ("limits", "mistake"),
    [
        ("3", "1:9: limits must be a mapping, not 3"),
        ("{a: 0}", "1:13: limit a must be a whole number of at least 1, not 0"),
        ("{a: 60/min}", "1:13: limit a must be a whole number of at least 1, not '60/min'"),
        ("{a: {}}", "1:13: limit a needs a capacity, a rate, or both"),
        ("{a: {rate: 60}}", "1:20: rate must be such as 60/min, 5/s, 100/h or 1000/day, not 60"),
        (
            "{a: {rate: 0/s}}",
            "1:20: rate must be such as 60/min, 5/s, 100/h or 1000/day, not '0/s'",
        ),
        ("{a: {capcity: 1, rate: 1/s}}", "1:14: unknown key 'capcity' (did you mean capacity?)"),
        ("{a: {capacity: 1, scope: host}}", "1:27: unknown key 'scope'"),
        (
            "{a b: 1}",
            (
                "1:10: the name of limit 'a b' must be 1 to 64 letters, digits, _, . and -, "
                "and begin with a letter or a digit"
            ),
        ),
    ],
)
def test_mistakes_in_what_a_pipeline_allows(tmp_path: Path, limits: str, mistake: str) -> None:
    assert problems(tmp_path, limits) == [f"p.yaml:{mistake}"]


def test_more_than_the_configuration_has_is_a_mistake_too(tmp_path: Path) -> None:
    toml = "[limits.a]\ncapacity = 2"
    assert problems(tmp_path, "", "{a: 3}", lorchestra_toml=toml) == [
        "p.yaml:7:18: 3 units are more than there ever are of limit a: 2 at once on this machine"
    ]
