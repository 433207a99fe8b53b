"""The cloud drivers: sites whose nodes are bought when they get work and given back when idle.

All nodes that a flavor may have are nodes of the site from the beginning, so that the planner
places jobs on them as on any others. A node becomes an instance when `start` first names it
(`market`); the attempt waits, RUNNING with nothing started, until SSH reaches it (`keeper`), and
then runs by the ssh driver over just its instances (`groups`).

Nothing is bought twice: a purchase is written down with its number before the provider is asked
(`purchases`), the number makes the request's token and is a tag of the instance, and what is
unclear is looked up by its tags (`stock`). Nothing is left behind: what carries our tags and is
in no record, or is done with, is given back. What it all cost is told hour by hour (`costs`).

A provider is four calls (`provider`): EC2 (`amazon`) and OpenStack (`nova`).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from fenglin.drivers.cloud.amazon import Ec2
from fenglin.drivers.cloud.nova import OpenStack
from fenglin.drivers.cloud.settings import read_ec2, read_openstack
from fenglin.drivers.cloud.site import CAPABILITIES, CloudDriver
from fenglin.errors import InputError
from fenglin.ports.discovery import driver_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.ports.driver import DriverContext

__all__ = ["ec2", "openstack"]


@driver_kind("Instances of EC2, bought when needed.", CAPABILITIES)
def ec2(context: DriverContext, settings: Mapping[str, object]) -> CloudDriver:
    """Return the driver of a region of EC2, or of a cloud with its API.

    Raises:
        InputError: a setting is unknown, missing or wrong, or the `ec2` extra is not installed.
    """
    _need(context, "boto3", "ec2")
    common, own = read_ec2(context, settings)
    return CloudDriver("ec2", context, common, Ec2(own, context.hub, context.site))


@driver_kind("Servers of OpenStack, bought when needed.", CAPABILITIES)
def openstack(context: DriverContext, settings: Mapping[str, object]) -> CloudDriver:
    """Return the driver of a region of an OpenStack cloud.

    Raises:
        InputError: a setting is unknown, missing or wrong, or the `openstack` extra is not
            installed.
    """
    _need(context, "openstack", "openstack")
    common, own = read_openstack(context, settings)
    provider = OpenStack(own, context.hub, context.site)
    return CloudDriver("openstack", context, common, provider)


def _need(context: DriverContext, package: str, extra: str) -> None:
    for name in (package, "asyncssh"):
        if find_spec(name) is None:
            raise InputError(
                f"the {extra} driver needs the package {name}",
                where=f"site.{context.site}",
                hint=f"pip install 'fenglin[{extra}]'",
            )
