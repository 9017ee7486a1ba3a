"""A value in a line for the shell is data: the program gets exactly it, wherever it stands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorchestra.references import (
    ReferenceFailedError,
    Scope,
    shell_line,
    shell_mistake,
    shellline,
    shown_line,
)

SHELLS = [name for name in ("sh", "bash", "dash") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not SHELLS, reason="needs a POSIX shell")

SHOW = "printf '<%s>' "
PLACES = {
    "nothing around it": SHOW + "${params.x}",
    "double quotes": SHOW + '"${params.x}"',
    "single quotes": SHOW + "'${params.x}'",
    "part of a word": SHOW + "a'b'\"c\"${params.x}",
    "a substitution": SHOW + '"$(printf %s. ${params.x})"',
    "a substitution in quotes in quotes": SHOW + '"$(printf %s. "${params.x}")"',
    "a case in a substitution": SHOW + '"$(case a in a) printf %s. ${params.x};; esac)"',
    "backquotes": SHOW + '"`printf %s. "${params.x}"`"',
    "after backquotes": "echo `echo a` > /dev/null; " + SHOW + "${params.x}",
    "a default": SHOW + "${UNSET:-${params.x}}",
    "a default in quotes": SHOW + '"${UNSET:-${params.x}}"',
    "an assignment": 'Y=${params.x}; printf "<%s>" "$Y"',
    "a subshell": f"(cd /; {SHOW}${{params.x}})",
    "a function": f"f() {{ {SHOW} ${{params.x}}; }}; f",
    "a case": f"case x in x) {SHOW}${{params.x}};; esac",
    "after a comment": f"# don't ${{params.x}} `\n{SHOW}${{params.x}}",
    "after a hash in a word": f"echo a#b'c' > /dev/null; {SHOW}${{params.x}}",
    "after arithmetic": f"echo $((1+(2)*3)) > /dev/null; {SHOW}${{params.x}}",
    "after an escaped quote": f"echo it\\'s > /dev/null; {SHOW}${{params.x}}",
    "after expansions": f"x=${{#PATH}}; y=${{PATH#a}}; {SHOW}${{params.x}}",
    "a here-document": "cat <<EOF\n<${params.x}>\nEOF",
    "after a here-document": f"cat > /dev/null <<-'E'\n\tdon't\n\tE\n{SHOW}${{params.x}}",
    "after two here-documents": f"cat <<A <<'B' > /dev/null\n'\nA\n\"\nB\n{SHOW}${{params.x}}",
}
HOSTILE = [
    *("", " ", "a  b", "'", '"', "\\", "`id`", "$(id)", "${HOME}", "$HOME", "*", "~", "#x", "-n"),
    *("a\nb", "; rm x", "&& id", "| id", "> x", "\t", "é ☃ 🎉", "%s", "!x", "\x1b[31m", "'\"'\"'"),
    *("\nEOF\nid", "$((1))", "${params.x}", "a\\", "\x7f", "ab\r"),
]


def said(line: str, value: str, folder: Path, shell: str) -> str:
    written, variables = shell_line(line, Scope(params={"x": value}))
    done = subprocess.run(
        [shell, "-c", written],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **variables},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    assert list(folder.iterdir()) == []
    return done.stdout.decode()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("place", PLACES)
def test_the_program_gets_exactly_the_value(place: str, shell: str, tmp_path: Path) -> None:
    for value in HOSTILE:
        expected = f"<{value}>"
        if "part" in place:
            expected = f"<abc{value}>"
        elif "." in PLACES[place].partition("%s")[2].partition("%s")[2][:1]:
            expected = f"<{value}.>"
        elif place == "a here-document":
            expected += "\n"
        assert said(PLACES[place], value, tmp_path, shell) == expected, (place, value)


@settings(max_examples=60)
@given(
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    place=st.sampled_from(["nothing around it", "double quotes", "single quotes", "an assignment"]),
)
def test_the_program_gets_exactly_any_value(
    value: str, place: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "empty"
    folder.mkdir(exist_ok=True)
    assert said(PLACES[place], value, folder, SHELLS[0]) == f"<{value}>"


@pytest.mark.parametrize("value", HOSTILE)
def test_where_quotes_are_read_wrongly_nothing_is_run_all_the_same(
    value: str, tmp_path: Path
) -> None:
    """The shell takes these lines for something else than our reader does."""
    for line in ("eval : '\"'; echo ${params.x} '\"'", "cat <<E\nE\\\n\nE\necho ${params.x}"):
        written, variables = shell_line(line, Scope(params={"x": f"{value}; touch pwned"}))
        subprocess.run(
            [SHELLS[0], "-c", written],
            env={"PATH": "/usr/bin:/bin", **variables},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert list(tmp_path.iterdir()) == []


def test_a_line_without_references_stays_as_it_is() -> None:
    line = "echo ${HOME} $${HOME} '$(x)' \\${HOME} <<'E'\n${x}\nE"
    assert shell_line(line, Scope()) == (line, {})


def test_a_value_used_twice_is_one_variable() -> None:
    line, variables = shell_line("echo ${params.x} ${params.x}", Scope(params={"x": 1}))
    assert line == 'echo "${lorchestra_value_1}" "${lorchestra_value_1}"'
    assert variables == {"lorchestra_value_1": "1"}


@pytest.mark.parametrize("line", ["echo $((1 + ${params.x}))", "((1 + ${params.x}))"])
def test_arithmetic_takes_whole_numbers_alone(line: str) -> None:
    assert shell_line(line, Scope(params={"x": -4}))[1] == {"lorchestra_value_1": "-4"}
    for value in ("a[$(id)]", "", "1+1", "08", 1.5):
        with pytest.raises(ReferenceFailedError, match="must be a whole number"):
            shell_line(line, Scope(params={"x": value}))


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("echo \\${params.x}", "a backslash stands before it"),
        ('echo "\\${params.x}"', "a backslash stands before it"),
        ("cat <<'EOF'\n${params.x}\nEOF", "here-document whose end is quoted"),
        ("cat <<${params.x}\na\nEOF", "the end of a here-document cannot be a value"),
        ("cat <<- EO${params.x}\na\nEOF", "the end of a here-document cannot be a value"),
        ("cat <<EOF\n\\${params.x}\nEOF", "a backslash stands before it"),
    ],
)
def test_where_no_value_can_stand(line: str, mistake: str) -> None:
    assert mistake in (shell_mistake(line) or "")
    with pytest.raises(ReferenceFailedError, match=mistake):
        shell_line(line, Scope(params={"x": "1"}))


def test_a_value_with_a_nul_byte_is_refused() -> None:
    with pytest.raises(ReferenceFailedError, match="NUL byte"):
        shell_line("echo ${params.x}", Scope(params={"x": "\0"}))


def test_for_people_the_values_stand_in_the_line() -> None:
    scope = Scope(params={"x": "a b", "y": "c"})
    line = 'echo ${params.x} "${params.x}" ${payload.y} ${env.HOME} ${run.a.b} $${params.x}'
    assert shown_line(line, scope) == "echo 'a b' \"a b\" c ${env.HOME} ${run.a.b} ${params.x}"


def test_cmd_gets_a_value_in_quotes_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shellline, "_IS_WINDOWS", True)
    assert shell_line("echo ${params.x}", Scope(params={"x": "a & b"})) == ('echo "a & b"', {})
    for value in ('a" & id', "%PATH%", "!x!", "a\nb"):
        with pytest.raises(ReferenceFailedError, match="cmd cannot be given"):
            shell_line("echo ${params.x}", Scope(params={"x": value}))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ('z="a*bc"; echo "${z#${params.x}}"', "bc"),
        ('z="a*bc"; echo ${z#${params.x}}', "bc"),
        ('z="a*bc"; echo "<${z##"${params.x}"}>"', "<bc>"),
        ('z="xa*"; echo "${z%${params.x}}" "${#z}"', "x 3"),
        ('echo "${z-#${params.x}}"', "#a*"),
        ('echo "${z:-${params.x}}"', "a*"),
    ],
)
def test_a_value_in_a_pattern_means_itself(line: str, printed: str, shell: str) -> None:
    text, variables = shell_line(line, Scope({"x": "a*"}))
    done = subprocess.run(
        [shell, "-c", text], env=variables, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{printed}\n", "")


def test_what_is_no_here_document_takes_a_value() -> None:
    assert shell_mistake("cat <<<${params.x}") is None
    assert shell_mistake("echo $((1<<${params.x}))") is None
    assert shell_mistake("cat <<E ${params.x}\na\nE") is None
