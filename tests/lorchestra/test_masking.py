"""Secrets: what is shown and recorded has `***` in their place."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.errors import ConfigError
from lorchestra.masking import Mask, Secret, secrets_in
from lorchestra.plan import Options
from lorchestra.progress.failures import Failures
from lorchestra.report import log_tail
from lorchestra.runner import run_pipeline
from lorchestra.secretvalues import read_secrets
from lorchestra.wording import cut
from tests.lorchestra.running import Ran, Runner, call, command, module, shell

secret_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=12)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("token=hunter2!", "token=***!"),
        ("hunter2hunter2", "******"),
        ("hunter", "hunter"),
        ('{"a": "say \\"hi\\""}', '{"a": "***"}'),
        (f"echo {shlex.quote('it' + chr(39) + 's me')}", "echo '***'"),
        ("first line\nsecond line", "***"),
        ("before second line after", "before *** after"),
        ("abc", "abc"),
        ("", ""),
    ],
)
def test_secrets_are_masked_in_text(text: str, masked: str) -> None:
    mask = Mask(["hunter2", 'say "hi"', "it's me", "first line\nsecond line", "abc", ""])
    assert mask.text(text) == masked


def test_of_two_secrets_the_longer_one_is_masked_whole() -> None:
    assert Mask(["pass", "password"]).text("password pass") == "*** ***"


def test_in_a_value_texts_keys_and_numbers_that_are_secrets_are_masked() -> None:
    data = {"hunter2": ["x hunter2", 1234567, -1234567, 12345678, True, None, {"y": ("hunter2",)}]}
    masked = {"***": ["x ***", "***", "***", 12345678, True, None, {"y": ("***",)}]}
    assert Mask(["hunter2", "1234567"]).data(data) == masked
    assert Mask().data(data) is data


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("not 'github_pat_QQ...'", "not '***...'"),
        ("not 'Bearer github...' but 'githu...'", "not 'Bearer ***...' but '***...'"),
        ("github_pat_QQ", "github_pat_QQ"),
        ("git...", "git..."),
        ("wait... github_pat_QQQQ...", "wait... ***..."),
    ],
)
def test_in_a_message_what_was_cut_is_masked(text: str, masked: str) -> None:
    assert Mask(["github_pat_QQQQ"]).message(text) == masked


@given(secret_texts, st.integers(1, 30), st.text(max_size=30))
def test_no_message_that_quotes_and_cuts_shows_more_than_three_of_a_secret(
    secret: str, at_most: int, before: str
) -> None:
    shown = Mask([secret]).message(cut(before + secret, len(before) + max(3, at_most)))
    left = shown.removeprefix(before[: len(shown)])
    assert not any(secret[:size] in left for size in range(4, len(secret))) or secret in before


@given(st.lists(secret_texts, max_size=3), st.text(max_size=30), st.data())
def test_pieces_of_any_size_are_masked_as_the_whole(
    secrets: list[str], text: str, data: st.DataObject
) -> None:
    parts = [text, *secrets, text, *secrets]
    content = "".join(data.draw(st.permutations(parts))).encode(errors="replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    mask = Mask(secrets)
    assert b"".join(mask.stream(pieces)) == mask.content(content)


@given(secret_texts.filter(lambda text: len(text.strip()) >= 4))
def test_no_secret_is_left(secret: str) -> None:
    if secret not in "***":
        assert secret not in Mask([secret]).text(f"<{secret}>{secret}{secret!r}").replace("***", "")


def test_what_begins_in_the_middle_of_a_secret_shows_no_end_of_it() -> None:
    mask = Mask(["hunter2hunter3"])
    assert mask.tail(b"ter2hunter3 and hunter2hunter3.") == b"*** and ***."
    assert mask.tail(b"nothing") == b"nothing"


def test_the_tail_of_a_log_has_none(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * 100_000 + "\n" + "a hunter2 b\n")
    assert log_tail(str(tmp_path / "log"), 1, Mask(["hunter2"])) == ["a *** b"]
    (tmp_path / "long").write_text("hunter2" * 20_000)
    (line,) = log_tail(str(tmp_path / "long"), 1, Mask(["hunter2"]))
    assert set(line) <= {"*", "."}


def test_values_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("line 1\nline 2\n")
    secrets = [Secret("SET"), Secret("UNSET"), Secret("KEY", "key")]
    values = read_secrets(secrets, tmp_path, {"SET": "1", "KEY": "other"})
    assert values == {"SET": "1", "KEY": "line 1\nline 2"}


@pytest.mark.parametrize("content", [None, b"\xff", b"a\0b", b"x" * 2_000_000])
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match="secret"):
        read_secrets([Secret("KEY", "key")], tmp_path, {})


def test_what_a_record_says_of_secrets_is_read_again() -> None:
    secrets = [Secret("A"), Secret("B", "/x")]
    assert secrets_in([secret.definition() for secret in secrets]) == secrets
    assert secrets_in([1, {"A": 1}, {"A": {"file": 2}}, {}, {"A": {}, "B": {}}]) == []
    assert secrets_in(None) == []


def test_nothing_recorded_has_a_secret_but_the_log_is_as_the_job_wrote_it(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    (run.root / "key").write_text("swordfish\n")
    name = module(run.root, "def f(key):\n    raise ValueError(key)")
    pipeline = run.pipeline(
        shell("shown", "echo ${env.TOKEN} $KEY ${payload.x}; exit 1"),
        command("started", "/no/${env.TOKEN}"),
        call("raised", f"{name}:f", {"key": "@env.KEY"}),
        secrets=(Secret("TOKEN"), Secret("KEY", "key")),
    )
    failures = Failures(Mask(["hunter2", "swordfish"]))
    options = Options(params={"x": "it is hunter2"})
    result = run_pipeline(pipeline, run.store, options, handlers=[failures])
    ran = Ran(result, run.store)
    assert ran.log("shown") == b"hunter2 swordfish it is hunter2\n"
    assert ran.view.begin["params"] == {"x": "it is ***"}
    assert ran.view.begin["secrets"] == ["TOKEN", {"KEY": {"file": str(run.root / "key")}}]
    assert "'/no/***'" in (ran.attempt("started").error or "")
    assert ran.attempt("raised").error == "ValueError: ***"
    shown = "\n".join(failures.lines("more"))
    assert "*** *** it is ***" in shown
    for text in (shown, *(path.read_text() for path in Path(ran.view.path).rglob("*.jsonl"))):
        assert "hunter2" not in text
        assert "swordfish" not in text
