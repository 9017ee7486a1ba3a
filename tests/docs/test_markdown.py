"""What the harness makes of a page; without this a page that is read wrongly passes every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import Block, Page

TEXT = """\
before [one](a.md)

# The `first` part

| option | does |
| --- | --- |
| `-n`, `--limit N` | one \\| two |
| `--json` | three |

```sh no-run=set-up
# no heading, and [no](link)
```

````text title="a b.md"
```
inner
```
````

See [two](b.md#there) and `[no](link)`.

## Again, and again!
## Again, and again!
"""


@pytest.fixture
def page(tmp_path: Path) -> Page:
    path = tmp_path / "page.md"
    path.write_text(TEXT, encoding="utf-8")
    return Page(path)


def test_blocks_have_a_language_words_and_the_line_of_their_text(page: Page) -> None:
    first, second = page.blocks
    assert first == Block(11, "sh", {"no-run": "set-up"}, "# no heading, and [no](link)\n")
    assert second.words == {"title": "a b.md"}
    assert second.text == "```\ninner\n```\n"


def test_a_fence_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("a\n```sh\nb\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2 is never closed"):
        _ = Page(path).blocks


def test_an_indented_fence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("- a\n\n  ```sh\n  false\n  ```\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3 is indented"):
        _ = Page(path).blocks


def test_tables_give_their_cells_and_the_code_in_them(page: Page) -> None:
    section = page.section("The first part")
    assert section.rows() == [["`-n`, `--limit N`", "one | two"], ["`--json`", "three"]]
    assert section.column() == ["-n", "--limit N", "--json"]


def test_links_in_code_are_none(page: Page) -> None:
    assert page.links() == ["a.md", "b.md#there"]


def test_anchors_are_made_as_github_does(page: Page) -> None:
    assert page.anchors() == {"the-first-part", "again-and-again", "again-and-again-1"}


def test_a_section_that_is_not_there_is_an_error(page: Page) -> None:
    with pytest.raises(LookupError, match="no section 'second'"):
        page.section("second")
