"""From `hooks`, of a pipeline or the configuration, to what is done when a run begins and ends."""

from __future__ import annotations

import re
from collections.abc import Collection

from lorchestra.binding import mistake_in_hook
from lorchestra.config import Config
from lorchestra.errors import ConfigError, ReferenceSyntaxError
from lorchestra.loader import values
from lorchestra.loader.actions import read_command
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode, node_of
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.model import Command, Hook, Hooks, Shell, Webhook
from lorchestra.paths import shown_path
from lorchestra.references import parse, shell_mistake
from lorchestra.wording import quoted

HOOKS_KEYS = ("on_start", "on_success", "on_failure", "on_finish")
HOOK_KEYS = ("run", "command", "url", "headers", "timeout")
ADDRESS = r"^(https?://|@|\$\{)\S+$"
HEADER = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"

_ACTIONS = ("run", "command", "url")


def read_hooks(fields: Fields, params: Collection[str]) -> Hooks:
    """Read the hooks of a pipeline.

    Args:
        fields: The keys of the pipeline.
        params: The names of its parameters.
    """
    node = fields.read("hooks", values.mapping)
    return Hooks() if node is None else _hooks(node, fields.problems, params)


def hooks_of(config: Config) -> Hooks:
    """Read the hooks of a project, which are those of all its pipelines.

    Args:
        config: Its settings.

    Raises:
        ConfigError: Something is wrong with them.
    """
    if config.hooks is None or config.source is None:
        return Hooks()
    problems = Problems(config.source)
    node = problems.check(values.mapping, node_of(config.hooks), "hooks")
    hooks = Hooks() if node is None else _hooks(node, problems, ())
    if found := problems.in_order():
        wrong = "; ".join(problem.message for problem in found)
        raise ConfigError(shown_path(config.source), f"hooks: {wrong}")
    return hooks


def _hooks(node: MapNode, problems: Problems, params: Collection[str]) -> Hooks:
    fields = Fields(node, HOOKS_KEYS, problems)
    read = {}
    for moment in HOOKS_KEYS:
        listed = fields.read(moment, values.listing)
        found = [_hook(item, problems, params) for item in (listed.items if listed else ())]
        read[moment] = tuple(hook for hook in found if hook is not None)
    return Hooks(**read)


def _hook(node: Node, problems: Problems, params: Collection[str]) -> Hook | None:
    if not isinstance(node, MapNode):
        line = problems.check(values.filled, node, "a hook")
        _check(node, problems, params, in_shell=True)
        return None if line is None else Hook(Shell(line))
    fields = Fields(node, HOOK_KEYS, problems)
    given = [name for name in node.entries if name in _ACTIONS]
    if len(given) > 1:
        problems.add(node, f"a hook has one of run, command or url, not {' and '.join(given)}")
    elif not given:
        problems.add(node, "a hook needs one of run, command or url")
    if "headers" in fields and "url" not in fields:
        problems.add(fields.key("headers"), "headers may only stand beside url")
    for name in ("run", "command", "url", "headers"):
        if entry := node.entries.get(name):
            _check(entry.value, problems, params, in_shell=name == "run")
    line, command = fields.read("run", values.filled), read_command(fields)
    url, headers = fields.read("url", _address), _headers(fields)
    timeout_s = fields.read("timeout", values.duration)
    action: Shell | Command | Webhook | None = command
    if line is not None:
        action = Shell(line)
    elif url is not None:
        action = Webhook(url, headers)
    if action is None:
        return None
    return Hook(action) if timeout_s is None else Hook(action, timeout_s)


def _address(node: Node, what: str) -> str:
    url = values.text(node, what)
    if not re.search(ADDRESS, url) or url.endswith("\n"):
        raise Mistake(node, f"{what} must be an http:// or https:// address, not {quoted(url)}")
    return url


def _headers(fields: Fields) -> dict[str, str]:
    node = fields.read("headers", values.mapping)
    headers = {}
    for name, (key, value) in node.entries.items() if node else ():
        if not re.search(HEADER, name) or name.endswith("\n"):
            fields.problems.add(key, f"{quoted(name)} in headers cannot be the name of a header")
        headers[name] = fields.problems.check(values.written, value, f"{name} in headers") or ""
    return headers


def _check(node: Node, problems: Problems, params: Collection[str], *, in_shell: bool) -> None:
    """Note what is wrong with the references in the values of a hook."""
    match node:
        case MapNode():
            for _, value in node.entries.values():
                _check(value, problems, params, in_shell=False)
        case ListNode():
            for item in node.items:
                _check(item, problems, params, in_shell=False)
        case ScalarNode(kind="text"):
            try:
                references = parse(node.text).references
            except ReferenceSyntaxError as error:
                problems.add(node, str(error))
                return
            if references and in_shell and (mistake := shell_mistake(node.text)):
                problems.add(node, mistake)
            for reference in references:
                if mistake := mistake_in_hook(reference, params):
                    problems.add(node, mistake)
