"""Send one webhook: a program of its own, so that it can be stopped as any process.

It reads `{"url", "headers", "timeout_s", "body"}` as JSON on its standard input, and prints why it
failed. The address and the headers, which may hold secrets, are in no list of processes.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

SCHEMES = ("http://", "https://")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow no redirect: a POST would become a GET, and headers would go to another host."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


def post(url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> str | None:
    """Send a body of JSON; gives why that failed, None if it did not."""
    if not url.lower().startswith(SCHEMES):
        return "a webhook is an http:// or https:// address"
    given = {"Content-Type": "application/json", "User-Agent": "lorchestra", **headers}
    try:
        request = urllib.request.Request(url, body, given, method="POST")  # noqa: S310 - see above
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def main() -> int:
    """Send what the input describes; gives the exit code."""
    task = json.loads(sys.stdin.buffer.read())
    body = json.dumps(task["body"]).encode()
    reason = post(task["url"], task["headers"], body, task["timeout_s"])
    if reason is not None:
        print(reason)  # noqa: T201 - for whoever has started it
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
