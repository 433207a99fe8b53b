"""Pools and jobs as aligned text, so that a scenario is read like a table.

    site  NAME CLASS nodes×cpu,GiB[,cards] speed price(CNY per core-hour) [key=value …]
    queue NAME [weight=…] [quota=cpu,GiB] [cohort=…] [parent=…] [borrow=cpu,GiB] [lend=…] [spent=s]
    money ACCOUNT CNY
    job   NUMBER tasks×cpu,GiB[,cards] [key=value …]
    live  JOB site/node slots×cpu,GiB end_s [queue=…] [allocation=…] [priority=…] [ran=s]
          [preemptible=1] [checkpoint=s] [stopping=1]

All times are seconds after NOW; a job's times are given with the unit s in the key's value.
A site's `links=there:ms:Mbit/s:CNY per GiB,…`, `labels=` and a job's `require=key:value,…`,
a job's `data=GiB@site+site,…` (datasets d0, d1, …).
"""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from fenglin.model.hours import CORE_HOUR, hours_price
from fenglin.model.job import AcceleratorNeed, DataNeed, Topology
from fenglin.model.site import Flavor, Link, Node, Price, Queue, Site
from fenglin.model.states import ComputeClass, SiteState
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.snapshot import Shape

NOW_MS = 1_700_000_000_000
GIB = 2**30


def amounts(text):
    """Return (count, Resources) of `3×1,2` (count 1 when left out); cards are the third."""
    count, _, vector = text.rpartition("×")
    cpu, gib, *cards = (float(part) for part in vector.split(","))
    need = Resources(int(cpu * 1_000), int(gib * GIB), 0, int(sum(cards) * 1_000))
    return int(count or 1), need


def _site(name, compute_class, nodes, speed, price, options):
    count, capacity = amounts(nodes)
    flavor = Flavor(
        "std",
        ComputeClass(compute_class),
        capacity,
        speed_milli=int(float(speed) * 1_000),
        accelerator=options.get("accelerator", ""),
        price=Price(core_hour_micro=int(float(price) * 1_000_000)),
        power_watts=int(options.get("power", 0)),
        labels=_pairs(options.get("flavor_labels", "")),
    )
    size = int(options.get("block_size", 0))
    down = set(options.get("down", "").split(","))
    return Site(
        name,
        options.get("provider", f"provider-{name}"),
        "mock",
        flavors=(flavor,),
        nodes=tuple(
            Node(f"n{i}", "std", up=f"n{i}" not in down, block=f"b{i // size}" if size else "")
            for i in range(count)
        ),
        region=options.get("region", ""),
        labels=_pairs(options.get("labels", "")),
        carbon_g_kwh=int(options.get("carbon", 0)),
        pue_milli=int(float(options.get("pue", 1)) * 1_000),
        links=_links(options.get("links", "")),
        licences=_licences(options.get("licences", "")),
        state=SiteState(options.get("state", "active")),
        state_reason=options.get("why", ""),
    )


def _pairs(text):
    return tuple(sorted(tuple(part.split(":")) for part in text.split(",") if part))


def _links(text):
    found = []
    for there, latency, speed, egress in (part.split(":") for part in text.split(",") if part):
        price_micro = int(float(egress) * 1_000_000)
        found.append(Link(there, int(float(latency) * 1_000), int(speed), price_micro))
    return tuple(found)


def _data(text):
    parts = (part.split("@") for part in text.split(",") if part)
    return tuple(
        DataNeed(f"d{i}", int(float(gib) * GIB), tuple(sites.split("+")) if sites else ())
        for i, (gib, sites) in enumerate(parts)
    )


def _licences(text):
    pairs = (part.split(":") for part in text.split(",") if part)
    return tuple(sorted((name, int(count)) for name, count in pairs))


def _time(options, key):
    return NOW_MS + int(float(options[key]) * 1_000) if key in options else 0


def _span(options, key):
    return int(float(options.get(key, 0)) * 1_000)


def _job(number, tasks, options):
    count, need = amounts(tasks)
    wants_class = options.get("class")
    shape = Shape(
        need,
        nodes=int(options.get("nodes", 1)),
        accelerator=AcceleratorNeed(model=options["model"]) if "model" in options else None,
        licences=_licences(options.get("licences", "")),
        compute_class=ComputeClass(wants_class) if wants_class else None,
        sites=tuple(filter(None, options.get("sites", "").split(","))),
        regions=tuple(filter(None, options.get("regions", "").split(","))),
        require=_pairs(options.get("require", "")),
        topology=Topology(options.get("topology", "any")),
        near=options.get("near", ""),
        latency_ms=int(options.get("latency", 0)),
        data=_data(options.get("data", "")),
    )
    return JobRow(
        int(number),
        shape,
        count,
        queue=options.get("queue", "default"),
        account=options.get("account", "default"),
        priority=int(options.get("priority", 0)),
        submitted_ms=NOW_MS - 100_000 + _span(options, "submitted"),
        not_before_ms=_time(options, "not_before"),
        deadline_ms=_time(options, "deadline"),
        blocked=int(options.get("blocked", 0)),
        concurrency=int(options.get("concurrency", 0)),
        tasks=int(options.get("of", count)),
        estimate_ms=_span(options, "estimate"),
        learned_ms=_span(options, "learned"),
        timeout_ms=_span(options, "timeout"),
    )


def _queue(name, options):
    limits = {
        key: amounts(options[key])[1] for key in ("quota", "borrow", "lend") if key in options
    }
    return Queue(
        name,
        int(options.get("weight", 1_000)),
        cohort=options.get("cohort", ""),
        parent=options.get("parent", ""),
        **limits,
    )


def _live(job, place, held, end, options):
    site, node = place.split("/")
    slots, need = amounts(held)
    return ShareRow(
        int(job),
        site,
        node,
        slots,
        NOW_MS + int(float(end) * 1_000),
        need,
        queue=options.get("queue", "default"),
        nodes=int(options.get("nodes", 1)),
        licences=_licences(options.get("licences", "")),
        allocation=int(options.get("allocation", 0)),
        priority=int(options.get("priority", 0)),
        started_ms=NOW_MS - _span(options, "ran") if "ran" in options else 0,
        preemptible="preemptible" in options,
        checkpoint_ms=_span(options, "checkpoint"),
        stopping="stopping" in options,
    )


def read_pool(text):
    """Return the snapshot that the text describes."""
    sites, queues, jobs, shares, spent_ms = [], [], [], [], {}
    accounts = {"default": 10**15}
    for line in filter(str.strip, text.splitlines()):
        words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        kind, *plain = (word for word in words if "=" not in word)
        if kind == "site":
            sites.append(_site(*plain, options))
        elif kind == "queue":
            queues.append(_queue(plain[0], options))
            spent_ms[plain[0]] = _span(options, "spent")
        elif kind == "money":
            accounts[plain[0]] = int(float(plain[1]) * 1_000_000)
        elif kind == "job":
            jobs.append(_job(*plain, options))
        elif kind == "live":
            shares.append(_live(*plain, options))
        else:
            raise AssertionError(line)
    return build(
        index=7,
        now_ms=NOW_MS,
        sites=sites,
        queues=queues,
        accounts=accounts,
        jobs=jobs,
        shares=shares,
        spent_ms=spent_ms,
    )


def write_starts(plan):
    """Return the starts as lines `job site node:slots,… tasks`."""
    return [
        f"{start.job} {start.site} "
        + ",".join(f"{share.node}:{share.slots}" for share in start.shares)
        + f" {start.tasks}"
        for start in plan.starts
    ]


def write_reasons(plan):
    """Return {job: reason or None} as plain text."""
    return {
        job: str(reason) if reason else None
        for job, reason in zip(plan.order, plan.reasons, strict=True)
    }


@pytest.fixture(scope="session")
def pool():
    """Give the reader of scenarios."""
    return read_pool


@pytest.fixture(scope="session")
def starts():
    """Give the writer of starts."""
    return write_starts


@pytest.fixture(scope="session")
def why():
    """Give the writer of reasons."""
    return write_reasons


@pytest.fixture(scope="session")
def now_ms():
    """Give the time of all scenarios."""
    return NOW_MS


@pytest.fixture(scope="session")
def in_hours():
    """Give who makes a pool in which everything is paid for in core-hours."""
    return paid_in_hours


def paid_in_hours(snapshot):
    """Return the pool with a tariff in core-hours on each flavor, which all jobs use."""
    sites = tuple(
        replace(
            site,
            flavors=tuple(
                replace(one, tariffs=(("hours", hours_price(one.price, CORE_HOUR)),))
                for one in site.flavors
            ),
        )
        for site in snapshot.sites
    )
    shapes = tuple(replace(shape, tariff="hours") for shape in snapshot.shapes)
    return dataclasses.replace(snapshot, sites=sites, shapes=shapes)
