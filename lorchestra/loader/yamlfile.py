"""From the bytes of a YAML file to nodes that know where they stand.

YAML as people expect it: of the plain scalars only `null`, `~` and nothing, `true` and `false`,
and numbers without a leading zero are more than text (the core schema of YAML 1.2, less numbers
like `0777`). So `no`, `on`, `22:22`, `2026-11-24` and `1_000` are text. Duplicate keys, keys that
are not text, merge keys, tags other than `!!str`, a second document, and aliases that contain
themselves are mistakes. An alias shares what its anchor names.

The parser's events are read one by one, not its tree: so what is too deep or too large is noticed
before it has cost memory, and aliases of aliases of aliases cost no more than they are long.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from lorchestra.loader.nodes import Node
from lorchestra.loader.problems import Problems
from lorchestra.loader.yamlbuild import NodeBuilder
from lorchestra.loader.yamlerror import YamlError, explained
from lorchestra.loader.yamltext import decoded

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(data: bytes, problems: Problems) -> Node | None:
    """Read the one document of a YAML file.

    Args:
        data: The bytes of the file.
        problems: Where every mistake is noted; after one the reading goes on where it can.

    Returns:
        The document, without what was mistaken in it; None if the file cannot be read to its end.
    """
    try:
        return NodeBuilder(problems).document(_events(decoded(data)))
    except YamlError as error:
        problems.add(error, error.message)
        return None


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_PARSER)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML's own parser lets the last two through, for an escape like "\UFFFFFFFF".
        raise explained(error, text) from None
