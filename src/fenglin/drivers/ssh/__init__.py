"""The SSH driver: a site that is a group of hosts, each a node, with nothing of ours installed.

One connection per host is kept (`line`). Over it one agent per node (`remote` here, and
`fenglin.runner.host.agent` there) starts runners, reads journals and tells of news; it is copied
to the host when it is missing. Runners and tasks outlive agent, connection and hub. Files go
over SFTP by content address (`inputs`, `artifacts`).

An attempt over several hosts is one *part* per host (`parts`), each with its own runner; what
the hosts tell is joined into one observation (`joined`, `gangs`). On a host everything stands
below the setting `root`:

    lib/DIGEST/            this version's runner and agent
    blobs/SHA256           input files, shared by attempts; swept after two weeks without use
    uploads/               input files on their way
    sites/HUB/SITE/NODE/   `attempts`, `kept` (see `fenglin.runner`), `artifacts`, `poke`
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.drivers.ssh.site import SshDriver
    from fenglin.ports.driver import DriverContext

__all__ = ["driver"]


def driver(context: DriverContext, settings: Mapping[str, object]) -> SshDriver:
    """Return the driver of a group of hosts.

    Raises:
        InputError: a setting is unknown, missing or wrong, or the `ssh` extra is not installed.
    """
    where = f"site.{context.site}"
    if find_spec("asyncssh") is None:
        raise InputError(
            "the SSH driver needs the package asyncssh",
            where=where,
            hint="pip install 'fenglin[ssh]'",
        )
    # Loaded here: hubs without such a site neither have nor wait for asyncssh.
    from fenglin.drivers.ssh.settings import read_settings  # noqa: PLC0415
    from fenglin.drivers.ssh.site import SshDriver  # noqa: PLC0415

    return SshDriver(context, read_settings(settings, where))
