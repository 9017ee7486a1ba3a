"""From `secrets` to the variables that hold them."""

from __future__ import annotations

from collections.abc import Iterable

from lorchestra.config import Config
from lorchestra.errors import ConfigError
from lorchestra.loader import values
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import MapNode, Node, node_of
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.masking import Secret
from lorchestra.paths import shown_path
from lorchestra.wording import quoted

SECRET_KEYS = ("file",)


def read_secrets(fields: Fields) -> tuple[Secret, ...]:
    """Read the secrets of a pipeline: names of variables, or `NAME: {file: path}`."""
    node = fields.read("secrets", values.listing)
    return () if node is None else _secrets(node.items, fields.problems)


def secrets_of(config: Config) -> tuple[Secret, ...]:
    """Read the secrets of a project, which are those of all its pipelines.

    Args:
        config: Its settings.

    Raises:
        ConfigError: Something is wrong with them.
    """
    if config.secrets is None or config.source is None:
        return ()
    problems = Problems(config.source)
    node = problems.check(values.listing, node_of(config.secrets), "secrets")
    secrets = () if node is None else _secrets(node.items, problems)
    if found := problems.in_order():
        wrong = "; ".join(problem.message for problem in found)
        raise ConfigError(shown_path(config.source), wrong)
    return secrets


def _secrets(items: Iterable[Node], problems: Problems) -> tuple[Secret, ...]:
    found = [_secret(item, problems) for item in items]
    return tuple(secret for secret in found if secret is not None)


def _secret(item: Node, problems: Problems) -> Secret | None:
    if not isinstance(item, MapNode):
        name = problems.check(_name, item, "a secret")
        return None if name is None else Secret(name)
    if len(item.entries) != 1:
        problems.add(item, "a secret must be NAME or NAME: {file: path}")
        return None
    ((name, (key, value)),) = item.entries.items()
    if problems.check(_name, key, "a secret") is None:
        return None
    node = problems.check(values.mapping, value, f"secret {quoted(name)}")
    if node is None:
        return None
    fields = Fields(node, SECRET_KEYS, problems)
    file = fields.need("file", _filled_text, "a secret")
    return None if file is None else Secret(name, file)


def _name(node: Node, what: str) -> str:
    name = _filled_text(node, what)
    if "=" in name:
        raise Mistake(node, f"{what} must be the name of an environment variable")
    return name


def _filled_text(node: Node, what: str) -> str:
    values.text(node, what)
    return values.filled(node, what)
