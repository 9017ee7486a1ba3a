"""From `secrets` to the variables that hold them."""

from __future__ import annotations

from lorchestra.loader import values
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import MapNode, Node
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.masking import Secret
from lorchestra.wording import quoted

SECRET_KEYS = ("file",)


def read_secrets(fields: Fields) -> tuple[Secret, ...]:
    """Read the secrets of a pipeline: names of variables, or `NAME: {file: path}`."""
    node = fields.read("secrets", values.listing)
    found = [_secret(item, fields.problems) for item in (node.items if node else ())]
    return tuple(secret for secret in found if secret is not None)


def _secret(item: Node, problems: Problems) -> Secret | None:
    if not isinstance(item, MapNode):
        name = problems.check(_name, item, "a secret")
        return None if name is None else Secret(name)
    if len(item.entries) != 1:
        problems.add(item, "a secret must be NAME or NAME: {file: path}")
        return None
    ((name, (key, value)),) = item.entries.items()
    problems.check(_name, key, "a secret")
    node = problems.check(values.mapping, value, f"secret {quoted(name)}")
    if node is None:
        return None
    fields = Fields(node, SECRET_KEYS, problems)
    file = fields.need("file", values.filled, "a secret")
    return None if file is None else Secret(name, file)


def _name(node: Node, what: str) -> str:
    name = values.filled(node, what)
    if "=" in name:
        raise Mistake(node, f"{what} must be the name of an environment variable")
    return name
