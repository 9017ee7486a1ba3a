"""The values of secrets: from the environment, or from files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lorchestra.errors import ConfigError
from lorchestra.masking import Secret, secrets_in
from lorchestra.paths import shown_path

_MOST_BYTES = 1 << 20


def read_secrets(secrets: Iterable[Secret], root: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The values of secrets by name; those of variables that are not set are left out.

    Args:
        secrets: Which.
        root: The project folder.
        env: The environment.

    Raises:
        ConfigError: A file cannot be read, or is no text.
    """
    values = {}
    for secret in secrets:
        if secret.file is not None:
            values[secret.name] = _content(root / os.path.expanduser(secret.file))
        elif secret.name in env:
            values[secret.name] = env[secret.name]
    return values


def secrets_around(
    begin: Mapping[str, Any], known: Iterable[Secret], env: Mapping[str, str]
) -> tuple[Secret, ...]:
    """The secrets that a run inside another has from that, for when it is gone on with by itself.

    Args:
        begin: The first record of the run.
        known: The secrets of its own pipeline.
        env: The environment.

    Returns:
        Those whose values are still to be had. A run by itself has none.
    """
    names = {secret.name for secret in known}
    if begin.get("parent") is None:
        return ()
    recorded = (each for each in secrets_in(begin.get("secrets")) if each.name not in names)
    return tuple(secret for secret in recorded if known_values([secret], Path(), env))


def known_values(secrets: Iterable[Secret], root: Path, env: Mapping[str, str]) -> dict[str, str]:
    """As `read_secrets`, without those whose files cannot be read: for what only shows things."""
    values: dict[str, str] = {}
    for secret in secrets:
        with contextlib.suppress(ConfigError):
            values.update(read_secrets([secret], root, env))
    return values


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigError(shown_path(path), "a secret has at most 1 MiB")
        text = content.decode()
    except OSError as error:
        reason = f"the secret cannot be read: {error.strerror or error}"
        raise ConfigError(shown_path(path), reason) from None
    except UnicodeDecodeError:
        raise ConfigError(shown_path(path), "the secret is not valid UTF-8 text") from None
    if "\0" in text:
        raise ConfigError(shown_path(path), "the secret has a NUL byte")
    return text.removesuffix("\n").removesuffix("\r")
