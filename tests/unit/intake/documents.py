"""Strategies for job documents, good and bad, shared by the property tests."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,12}", fullmatch=True)
# All of YAML's printable characters that may stand raw in a quoted text, and some that bite.
TEXTS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("岭é\u00a0☃\U0001f5fb"),
    max_size=20,
)
COUNTS = st.integers(1, 10_000_000)
SIZES = st.sampled_from(["32MiB", "4GiB", "1.5GB", "1000000000", "2 TiB"]) | st.integers(
    2**20, 2**50
)
DURATIONS = st.sampled_from(["90s", "2h30m", "1d", "01:30:00", "2-00:00:00", "1500ms"]) | (
    st.integers(1, 10**7) | st.floats(0.001, 10**6).map(lambda x: round(x, 3))
)
DEADLINES = st.sampled_from(["2h", "2033-05-18T03:33:20Z", "2033-05-18T11:33:20.125+08:00", 7_201])
BEGINNINGS = st.sampled_from(["1h", "2020-01-01 00:00:00z", 0.5, 3_600])
CORES = st.sampled_from([0.1, 1, 2.5, "500m", "0.25"]) | st.integers(1, 1_000)
IDS = st.integers(1, 10**9).map(lambda n: f"j{n}")


def _mapping(required: dict[str, object], optional: dict[str, object]) -> st.SearchStrategy:
    return st.fixed_dictionaries(required, optional=optional)


CAPABILITY = _mapping(
    {},
    {
        "model": st.sampled_from(["A100-80", "rtx 4090", "Own Card"]),
        "count": st.sampled_from([1, 8, 0.5, "2", "250m"]),
        "memory": st.sampled_from([">=24GB", "80GiB", "≥ 1 TiB"]),
        "fp16": st.sampled_from([">=100", 312.5, 1]),
        "fp64": st.sampled_from(["9.7", 0.001]),
    },
)
RESOURCES = _mapping(
    {},
    {
        "cpu": CORES,
        "memory": SIZES | st.just(0),
        "disk": SIZES,
        "accelerators": st.sampled_from([0, 2, 0.5, "A100-80:2", "H20"]) | CAPABILITY,
        "licences": st.dictionaries(NAMES, st.integers(1, 100), max_size=3),
    },
)
UPLOADED = _mapping(
    {
        "target": NAMES,
        "sha256": st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
        "size": st.integers(0, 2**40),
    },
    {"executable": st.booleans()},
)
BROUGHT = _mapping({"artifacts_of": IDS, "target": NAMES}, {})
RETRIES = st.integers(0, 100) | _mapping(
    {"limit": st.integers(0, 100)},
    {
        "exit_codes": st.lists(st.integers(1, 255), max_size=4),
        "reasons": st.lists(st.sampled_from(["site_lost", "exit_code", "signal"]), max_size=3),
    },
)
PARENT = IDS | _mapping(
    {"job": IDS},
    {"condition": st.sampled_from(["ok", "any", "fail"]), "per_task": st.booleans()},
)
DATASET = _mapping(
    {"name": NAMES, "size": SIZES, "sites": st.lists(NAMES, min_size=1, max_size=3)}, {}
)
OPTIONAL: dict[str, st.SearchStrategy] = {
    "queue": NAMES,
    "account": NAMES,
    "priority": st.integers(-1_000, 1_000),
    "tasks": COUNTS | st.fixed_dictionaries({"count": COUNTS}),
    "concurrency": COUNTS,
    "resources": RESOURCES,
    "nodes": st.integers(1, 100_000),
    "env": st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).filter(
            lambda name: not name.startswith("FENGLIN_")
        ),
        TEXTS | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False),
        max_size=4,
    ),
    "secrets": st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True),
        min_size=1,
        max_size=4,
    ),
    "image": st.sampled_from(["debian:12", "nvcr.io/nvidia/pytorch@sha256:0a", "/i/a.sif"]),
    "setup": TEXTS.filter(str.strip),
    "workdir": st.sampled_from(["/", "/data/run 1", "/岭"]),
    "files": st.lists(UPLOADED | BROUGHT, max_size=3, unique_by=lambda file: file["target"]),
    "artifacts": st.lists(st.sampled_from(["out/*.png", "a", "./b/", "**/x"]), max_size=3),
    "retries": RETRIES,
    "estimate": DURATIONS,
    "timeout": DURATIONS,
    "deadline": DEADLINES,
    "not_before": BEGINNINGS,
    "after": st.lists(
        PARENT, max_size=3, unique_by=lambda p: p["job"] if isinstance(p, dict) else p
    ),
    "overlap": st.sampled_from(["never", "allow"]),
    "class": st.sampled_from(["general", "ai", "super"]),
    "sites": st.lists(NAMES, min_size=1, max_size=3),
    "regions": st.lists(NAMES, min_size=1, max_size=3),
    "require": st.dictionaries(NAMES.filter(lambda n: n[-1].isalnum()), NAMES, max_size=3),
    "topology": st.sampled_from(["any", "block"]),
    "near": NAMES,
    "data": st.lists(DATASET, max_size=3, unique_by=lambda need: need["name"]),
    "preemptible": st.just(value=True),
    "mode": st.sampled_from(["shared", "exclusive", "urgent", "spot"]),
    "labels": st.dictionaries(NAMES.filter(lambda n: n[-1].isalnum()), NAMES, max_size=3),
}
PAYLOADS = st.lists(NAMES, min_size=1, max_size=3).map(lambda c: {"command": c}) | NAMES.map(
    lambda s: {"script": s}
)
# Mostly right; lists of random parts may still contradict each other, which is wanted.
DOCUMENTS = st.builds(
    lambda head, payload, rest: {**head, **payload, **rest},
    st.fixed_dictionaries({"name": NAMES}),
    PAYLOADS,
    st.fixed_dictionaries({}, optional=OPTIONAL),
).flatmap(
    # Each of these says something only beside another.
    lambda document: st.fixed_dictionaries(
        {},
        optional={
            key: DURATIONS
            for key, other in (("latency", "near"), ("checkpoint", "preemptible"))
            if other in document
        },
    ).map(lambda more: {**document, **more})
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "j1", "1GiB", "..", "\0", "\ud800", "no", "1e999", "10m", 0, -0.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [*OPTIONAL, "latency", "checkpoint", "name", "command", "script", "nmae", "a:b"]
)
SPOILED = st.builds(lambda document, key, junk: {**document, key: junk}, DOCUMENTS, KEYS, JUNK)
