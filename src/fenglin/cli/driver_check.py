"""The steps of `fenglin driver check`: each asks one thing of a site, and says what came."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import FenglinError, InputError, NotFoundError
from fenglin.intake.hubfile import read_hub_file
from fenglin.model.ids import attempt_key
from fenglin.ports.discovery import load_factory, site_settings
from fenglin.ports.driver import DriverContext, Presence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fenglin.model.site import Site
    from fenglin.ports.driver import Driver

HUB = "check"
INVENTORY_DEADLINE_S = 10.0
DEADLINE_S = 30.0


class Finding(Struct, frozen=True):
    """What one step has found.

    Attributes:
        check: The step.
        ok: Whether it went as the contract says.
        took_ms: How long it took.
        found: What came, or what is wrong and what to do.
    """

    check: str
    ok: bool
    took_ms: int
    found: str


def check_site(name: str, config: Path) -> list[Finding]:
    """Build a site's driver and ask it; later steps are left out when one fails.

    Raises:
        InputError: the configuration is wrong, or the driver refuses the site's settings.
        NotFoundError: it has no such site.
    """
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration: {error}", where=str(config)) from error
    parsed = read_hub_file(text, str(config))
    for site in parsed.sites:
        if site.name == name:
            return asyncio.run(_check(site, parsed.settings.get(name, {})))
    known = ", ".join(site.name for site in parsed.sites)
    raise NotFoundError(f"no site is named {name!r}", where=str(config), hint=f"known: {known}")


def build_site(name: str, text: str, source: str) -> None:
    """Check a configuration, and let the driver of one of its sites check that site's settings.

    The site is not asked.

    Raises:
        InputError: something is wrong; says where.
    """
    parsed = read_hub_file(text, source)
    site = next(site for site in parsed.sites if site.name == name)

    async def build() -> None:
        with TemporaryDirectory(prefix="fenglin-check-") as folder:
            driver = _driver(site, parsed.settings.get(name, {}), Path(folder))
            await driver.close()

    asyncio.run(build())


def _driver(site: Site, own: Mapping[str, object], folder: Path) -> Driver:
    """Build a site's driver as the hub does, for a hub of its own."""
    factory = load_factory(site.driver, f"site.{site.name}.driver")
    context = DriverContext(
        HUB, site.name, folder, wake=lambda: None, now_ms=lambda: time.time_ns() // 10**6
    )
    return factory(context, site_settings(site, own))


async def _check(site: Site, own: Mapping[str, object]) -> list[Finding]:
    """Ask one step after another."""
    with TemporaryDirectory(prefix="fenglin-check-") as folder:
        started_s = time.monotonic()
        driver = _driver(site, own, Path(folder))
        can = ", ".join(sorted(driver.capabilities)) or "nothing beyond the contract"
        findings = [Finding("settings", ok=True, took_ms=_since(started_s), found=f"can {can}")]
        steps: tuple[tuple[str, float, Callable[[], Awaitable[tuple[bool, str]]]], ...] = (
            ("inventory", INVENTORY_DEADLINE_S, partial(_inventory, driver, site)),
            ("listing", DEADLINE_S, partial(_listing, driver)),
            ("unknown key", DEADLINE_S, partial(_absent, driver)),
        )
        try:
            for check, deadline_s, step in steps:
                findings.append(await _asked(check, deadline_s, step))
                if not findings[-1].ok:
                    break
        finally:
            await driver.close()
    return findings


async def _asked(
    check: str, deadline_s: float, step: Callable[[], Awaitable[tuple[bool, str]]]
) -> Finding:
    """Return what a step found; every failure is a finding."""
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s):
            ok, found = await step()
    except TimeoutError:
        ok, found = False, f"no answer within {deadline_s:g} s"
    except FenglinError as error:
        ok, found = False, str(error)
    except Exception as error:  # noqa: BLE001 - a driver's fault is what we look for
        ok, found = False, f"the driver is at fault: {type(error).__name__}: {error}"
    return Finding(check, ok=ok, took_ms=_since(started_s), found=found)


async def _inventory(driver: Driver, site: Site) -> tuple[bool, str]:
    """Compare what the site holds with what is declared."""
    report = await driver.inventory()
    up = {node.name for node in report.nodes if node.up}
    missing = sorted({flavor.name for flavor in site.flavors} - {f.name for f in report.flavors})
    if missing:
        return False, f"the site has no flavor {', '.join(missing)}"
    if not up:
        return False, f"none of {len(report.nodes)} nodes is up"
    cards = sorted({flavor.accelerator for flavor in report.flavors if flavor.accelerator})
    parts = [f"{len(up)} of {len(report.nodes)} nodes up", f"{len(report.flavors)} flavors", *cards]
    return True, ", ".join(parts)


async def _listing(driver: Driver) -> tuple[bool, str]:
    """List the attempts of a hub that never was: there are none."""
    keys = await driver.keys()
    if keys:
        return False, f"{len(keys)} attempts of other hubs are listed as ours"
    return True, "complete, and none of ours"


async def _absent(driver: Driver) -> tuple[bool, str]:
    """Look up a key that never was."""
    (seen,) = await driver.observe({attempt_key(HUB, 1, 1): ""})
    return seen.presence is Presence.ABSENT, f"an attempt that never was is {seen.presence}"


def _since(started_s: float) -> int:
    return round(1_000 * (time.monotonic() - started_s))
