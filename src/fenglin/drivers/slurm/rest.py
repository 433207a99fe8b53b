"""Slurm by slurmrestd: the same calls as `commands`, over HTTP or a unix socket.

Versions are told apart by what the server lists at `/openapi/v3`. Up to v0.0.38 numbers are plain
and a state is a word; from v0.0.40 on a number is an object that says whether it is set, and a
state a list. A batch script cannot be signalled politely this way: elements look for a stop by
themselves, see `element`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from fenglin.drivers.slurm.commands import LOOK_DEADLINE_S, SUBMIT_DEADLINE_S, Limits
from fenglin.drivers.slurm.parse import (
    LIVE_STATES,
    Ended,
    PartNode,
    elements,
    is_usable,
    read_cards,
)
from fenglin.errors import DriverError
from fenglin.remote.answers import whole

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from fenglin.drivers.slurm.settings import Rest

VERSIONS = ("v0.0.42", "v0.0.41", "v0.0.40", "v0.0.38", "v0.0.37", "v0.0.36")
PLAIN = frozenset({"v0.0.36", "v0.0.37", "v0.0.38"})
# Slurm's errors 2017 (invalid job id) and 2021 (already done): there is nothing to end.
GONE = frozenset({2017, 2021})
PATHS = "/usr/local/bin:/usr/bin:/bin"
UNIX = "unix://"
# A node with any of these takes no jobs, whatever else it is.
FLAGS_DOWN = frozenset({"DRAIN", "NOT_RESPONDING", "FAIL", "DOWN", "MAINTENANCE", "INVALID_REG"})
_WORDS = {
    "job-name": "name", "comment": "comment", "partition": "partition", "qos": "qos",
    "constraint": "constraints", "account": "account", "reservation": "reservation",
    "array": "array", "output": "standard_output", "chdir": "current_working_directory",
    "open-mode": "open_mode", "licenses": "licenses", "exclude": "excluded_nodes",
}  # fmt: skip
_NUMBERS = {
    "cpus-per-task": "cpus_per_task",
    "ntasks": "tasks",
    "ntasks-per-node": "tasks_per_node",
}


class RestSlurm:
    """One cluster, asked through its slurmrestd; a `Cluster`."""

    def __init__(self, rest: Rest, conf: str, where: str) -> None:
        """Take where it is; nothing is opened yet.

        Args:
            rest: Settings.
            conf: Value of SLURM_CONF for jobs; empty for the nodes' default.
            where: Name of the site, for errors.
        """
        self._rest = rest
        self._where = where
        self._version = ""
        self._tells_licences = False
        self._environment = {"PATH": PATHS, **({"SLURM_CONF": conf} if conf else {})}
        way = rest.url.removeprefix(UNIX) if rest.url.startswith(UNIX) else None
        self._client = httpx.AsyncClient(
            base_url="http://localhost" if way else rest.url,
            transport=httpx.AsyncHTTPTransport(uds=way),
            follow_redirects=False,
            trust_env=False,
        )

    async def settle(self, lock: str) -> None:
        """Do nothing: a request is answered, or counts as unclear."""

    async def submit(self, options: Sequence[str], script: str, hold: int, lock: str) -> int:
        """Submit a batch script; return the id of the job.

        Raises:
            DriverError: refused, or unclear whether it was accepted.
        """
        del hold, lock
        version = await self._spoken()
        job = self._job(options, plain=version in PLAIN)
        body = {"script": script, "job": job}
        data = await self._call("POST", "job/submit", SUBMIT_DEADLINE_S, body)
        number = data.get("job_id")
        if isinstance(number, int) and number > 0:
            return number
        raise self._error(f"no job id: {_said(data)}", effect_unknown=True)

    async def queue(self, prefix: str, name: str = "") -> dict[str, dict[int, set[int]]]:
        """Return the live jobs of ours; see `commands.Slurm.queue`.

        Raises:
            DriverError: the listing is not complete.
        """
        found: dict[str, dict[int, set[int]]] = {}
        data = await self._call("GET", "jobs", LOOK_DEADLINE_S)
        try:
            for job in data["jobs"]:
                own = str(job["name"])
                if not own.startswith(prefix) or (name and own != name) or not _state(job).live:
                    continue
                array = _number(job.get("array_job_id")) or int(job["job_id"])
                found.setdefault(own, {}).setdefault(array, set()).update(_elements(job))
        except (KeyError, TypeError, ValueError) as error:
            raise self._error(f"an answer that is not understood: {error!r}") from error
        return found

    async def states(self, array: int) -> tuple[dict[int, Ended], Ended | None]:
        """Return what Slurm still knows of an array's elements.

        Raises:
            DriverError: it could not be asked.
        """
        known: dict[int, Ended] = {}
        data = await self._call("GET", f"job/{array}", LOOK_DEADLINE_S, gone=True)
        for job in data.get("jobs", ()):
            if array not in (_number(job.get("array_job_id")), job.get("job_id")):
                continue
            known.update(dict.fromkeys(_elements(job), _state(job)))
        return known, None

    async def nodes(self) -> tuple[PartNode, ...]:
        """Return the nodes of all partitions.

        Raises:
            DriverError: they could not be listed.
        """
        nodes = await self._call("GET", "nodes", LOOK_DEADLINE_S)
        parts = await self._call("GET", "partitions", LOOK_DEADLINE_S)
        up = {str(part["name"]) for part in parts["partitions"] if "UP" in _partition_state(part)}
        found = []
        for node in nodes["nodes"]:
            states = [word.upper() for word in _list(node["state"])]
            flags = {*states, *(str(flag).upper() for flag in node.get("state_flags") or ())}
            usable = is_usable(states[0]) and not flags & FLAGS_DOWN
            said = f"{'+'.join(sorted(flags)).lower()} {node.get('reason') or ''}".strip()
            found += [
                PartNode(
                    str(node["name"]),
                    str(name),
                    usable and name in up,
                    read_cards(str(node.get("gres") or "")),
                    tuple(_list(node.get("active_features"))),
                    "" if usable and name in up else said[:200],
                )
                for name in node["partitions"]
            ]
        return tuple(found)

    async def licences(self) -> dict[str, int]:
        """Return the licences that jobs may hold: name → how many there are.

        None where the version that is spoken does not tell.

        Raises:
            DriverError: they could not be listed.
        """
        await self._spoken()
        if not self._tells_licences:
            return {}
        data = await self._call("GET", "licenses", LOOK_DEADLINE_S)
        return {
            str(one["LicenseName"]): max(0, _number(one["Total"]) - _number(one.get("Reserved")))
            for one in data.get("licenses") or ()
        }

    async def limits(self) -> Limits:
        """Return what the cluster allows, which slurmrestd does not tell: as configured."""
        return Limits("", self._rest.array_size)

    async def energy(self, names: Mapping[int, str]) -> dict[int, int]:
        """Return nothing: the accounting is asked by commands alone."""
        del names
        return {}

    async def signal(self, array: int) -> None:
        """Do nothing: elements find the stop in the shared folder."""

    async def drop(self, array: int, elements: Collection[int]) -> None:
        """Do nothing: they pass over what is unwanted when it is their turn."""

    async def cancel(self, array: int) -> None:
        """End a job as Slurm does; none there is no error.

        Raises:
            DriverError: it could not be asked, or refused.
        """
        await self._call("DELETE", f"job/{array}", LOOK_DEADLINE_S, gone=True)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    # --- inside ------------------------------------------------------------------------------

    def _job(self, options: Sequence[str], *, plain: bool) -> dict[str, Any]:
        """Return the description of a job that `sbatch` would make of these options."""
        job: dict[str, Any] = {"requeue": False}
        for option in options:
            name, _, value = option.removeprefix("--").partition("=")
            if name in _WORDS:
                job[_WORDS[name]] = value
            elif name in _NUMBERS:
                job[_NUMBERS[name]] = int(value)
            elif name == "nodes":
                job["nodes"] = int(value) if plain else value
            elif name in ("mem", "time"):
                number = int(value.rstrip("M"))
                key = "memory_per_node" if name == "mem" else "time_limit"
                job[key] = number if plain else {"number": number, "set": True}
            elif name == "gres":
                job["gres" if plain else "tres_per_node"] = f"gres{':' if plain else '/'}{value}"
        pairs = self._environment
        job["environment"] = pairs if plain else [f"{k}={v}" for k, v in pairs.items()]
        return job

    async def _spoken(self) -> str:
        """Return the newest version that both sides speak.

        Raises:
            DriverError: there is none, or the server cannot be asked.
        """
        if not self._version:
            data = await self._request("GET", "/openapi/v3", LOOK_DEADLINE_S, None)
            offered = {path.split("/")[2] for path in data.get("paths", ()) if path.count("/") > 2}
            known = [version for version in VERSIONS if version in offered]
            if not known:
                raise self._error(f"slurmrestd offers none of {', '.join(VERSIONS)}")
            self._version = known[0]
            told = {path.rstrip("/") for path in data["paths"]}
            self._tells_licences = f"/slurm/{self._version}/licenses" in told
        return self._version

    async def _call(
        self, method: str, path: str, deadline_s: float, body: object = None, *, gone: bool = False
    ) -> dict[str, Any]:
        """Ask; with `gone` an answer that there is no such job is an empty one."""
        version = await self._spoken()
        slash = "/" if version not in PLAIN and path.endswith("s") else ""
        data = await self._request(method, f"/slurm/{version}/{path}{slash}", deadline_s, body)
        errors = data.get("errors") or []
        if gone and any(_number(one.get("error_number")) in GONE for one in errors):
            return {}
        if errors:
            raise self._error(_said(data))
        return data

    async def _request(
        self, method: str, path: str, deadline_s: float, body: object
    ) -> dict[str, Any]:
        headers = {}
        try:
            if self._rest.token_file:
                token = Path(self._rest.token_file).read_text("ascii").strip()  # noqa: ASYNC240
                headers = {
                    "X-SLURM-USER-NAME": self._rest.user,
                    "X-SLURM-USER-TOKEN": token.removeprefix("SLURM_JWT="),
                }
            async with self._client.stream(
                method, path, headers=headers, json=body, timeout=deadline_s
            ) as answer:
                told = await whole(
                    answer.aiter_bytes(), self._where, effect_unknown=method != "GET"
                )
        except (httpx.ConnectError, OSError) as error:
            raise self._error(f"slurmrestd cannot be reached: {error}") from error
        except httpx.HTTPError as error:
            unknown = method != "GET"
            what = f"slurmrestd gave no answer: {error!r}"
            raise self._error(what, effect_unknown=unknown) from error
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise self._error("slurmrestd does not let us in: has the token expired?")
        try:
            data = json.loads(told)
        except (ValueError, RecursionError) as error:
            what = f"slurmrestd answered {answer.status_code} without JSON"
            raise self._error(what, effect_unknown=method != "GET") from error
        if not isinstance(data, dict):
            raise self._error("slurmrestd answered something else than was asked")
        return data

    def _error(self, what: str, *, effect_unknown: bool = False) -> DriverError:
        return DriverError(
            what[:400],
            where=self._where,
            hint="docs/how-to/add-a-slurm-cluster.md tells what the usual answers mean",
            effect_unknown=effect_unknown,
        )


def _said(data: dict[str, Any]) -> str:
    """Return what slurmrestd says is wrong."""
    errors = data.get("errors") or []
    said = [str(one.get("description") or one.get("error") or one) for one in errors]
    return "slurmrestd: " + ("; ".join(said) or "no reason given")


def _list(value: object) -> list[str]:
    """Return a list, of one word or of a text with commas too."""
    if isinstance(value, list):
        return [str(one) for one in value]
    return [word for word in str(value or "").split(",") if word]


def _number(value: object) -> int:
    """Return a number in either form; 0 when it is not set."""
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") else 0
    return value if isinstance(value, int) else 0


def _partition_state(part: dict[str, Any]) -> list[str]:
    inner = part.get("partition")
    state = inner.get("state") if isinstance(inner, dict) else part.get("state")
    return [word.upper() for word in _list(state)]


def _elements(job: dict[str, Any]) -> frozenset[int]:
    """Return the elements of an array that a record stands for."""
    text = str(job.get("array_task_string") or "")
    return elements(text) if text else frozenset((_number(job.get("array_task_id")),))


def _state(job: dict[str, Any]) -> Ended:
    """Return how a record stands; of several states one that lives counts."""
    states = _list(job["job_state"])
    live = [state for state in states if state in LIVE_STATES]
    return Ended((live or states)[0], ran=bool(job.get("nodes")))
