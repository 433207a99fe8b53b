"""Files and folders of the submitter's machine that foreign documents bring along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.intake.things import HERE

if TYPE_CHECKING:
    from fenglin.intake.dialects.branch import Branch

ELSEWHERE = "not here; reach it where the job runs, or name a copy on your machine"
_FROM_HERE = "a relative path counts from the folder of this file"


def bring(branch: Branch, key: str, source: str, target: str) -> None:
    """Bring a file or folder to the working directory, or note why it is lost.

    Args:
        branch: Takes the note.
        key: The key that says so.
        source: Path on the submitter's machine.
        target: Where it goes; empty for the same relative path.
    """
    if "://" in source or source.startswith("git@"):
        branch.lost(key, ELSEWHERE)
        return
    parts = target.removeprefix("./").rstrip("/")
    if target.startswith(("/", "~")) or ".." in parts.split("/"):
        branch.lost(key, f"{target[:60]} is not in the working directory")
        return
    entry: dict[str, object] = {"source": source.rstrip("/") or source}
    if target:
        entry["target"] = parts if parts not in ("", HERE) else HERE
    listed = branch.draft.data.get("files", [])
    branch.put(("files",), [*listed, entry] if isinstance(listed, list) else [entry], key)
    if not source.startswith(("/", "~")):
        branch.approximated(key, _FROM_HERE)
