"""What the jobs of the sample pipelines do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

RAN = Path(__file__).with_name("ran")


def new(limit: Any = None) -> dict[str, Any]:
    """The sessions that nobody has worked on; some of them only, if there is a limit."""
    sessions = [
        {"session_id": f"s{n}", "client": {"name": f"client {n}", "number": n}} for n in range(3)
    ]
    return {"items": sessions[: limit and int(limit)]}


def extract(
    kind: str, session_id: str, client: dict[str, Any], model: str | None
) -> dict[str, Any]:
    """Note that it was called, and give back what came."""
    with RAN.open("a") as file:
        file.write(f"{kind} {session_id} {client['name']} {model}\n")
    return {"session_id": session_id, "number": client["number"]}


def report(found: list[dict[str, Any]], asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Say how much was done of what was asked for."""
    return {"asked": len(asked), "numbers": [each["number"] for each in found]}
