"""Ask a hub whatever its OpenAPI document lets one ask, and judge each answer by that document.

A program of its own, which `test_openapi.py` starts: the generator changes Hypothesis in the
process that it is in, and other tests rely on Hypothesis as it is. Usage: asker.py FILE, with
FILE as `test_openapi.Asked` writes it. One line of JSON comes out for each route, in their order.
"""

import itertools
import json
import sys
import traceback
from collections import Counter
from pathlib import Path

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)
from schemathesis.specs.openapi import checks

# All of the generator's checks but for the one that what is right by form must be taken: whether
# an account exists, or a month has ended, no schema can say. `tests/unit/api` holds what must be.
# `test_reach.py` holds who is let in.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.allow_header_conformance,
    checks.unsupported_method,
]
SETTINGS = hypothesis.settings(
    # The same requests in each run: a failure is the hub's, never the day's.
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MODES = [HypothesisTestMode.EXAMPLES, HypothesisTestMode.COVERAGE, HypothesisTestMode.FUZZING]
# A long poll that is asked for its longest time, 60 s, answers within this.
ANSWER_WITHIN_S = 120


@schemathesis.serializer("application/toml", "application/octet-stream")
def as_it_is(_context, value):
    """Send a body as it was made."""
    return value if isinstance(value, bytes) else str(value).encode()


def told(api, line, route, url, tokens):
    """Return what came of one route: how often each status for whom, and what was wrong."""
    method, _, path = route.partition(" ")
    # The operator asks everything, somebody else every second time.
    others = itertools.cycle([also for who in tokens if who != "operator" for also in ((), (who,))])
    statuses = Counter()

    def ask(case):
        for who in ("operator", *next(others)):
            given = {"Authorization": f"Bearer {tokens[who]}"} if tokens[who] else {}
            answer = case.call(url, line, given, timeout=ANSWER_WITHIN_S)
            statuses[f"{who} {answer.status_code}"] += 1
            case.validate_response(answer, checks=CHECKS)

    trouble = ""
    try:
        create_test(
            operation=api[path][method],
            test_func=ask,
            config=HypothesisTestConfig(
                project=api.config, modes=MODES, settings=SETTINGS, apply_ci_profile=False
            ),
        )()
    except BaseExceptionGroup as failed:  # what the checks found
        trouble = "\n".join(str(one) for one in (failed, *failed.exceptions))
    except Exception as failed:  # noqa: BLE001 - whatever it is, the route's test tells it
        trouble = "".join(traceback.format_exception(failed))
    return {"route": route, "statuses": statuses, "trouble": trouble}


def main():
    """Ask all routes of the file."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    api = schemathesis.openapi.from_dict(asked["document"])
    with requests.Session() as line:
        for route in asked["routes"]:
            print(json.dumps(told(api, line, route, asked["url"], asked["tokens"])), flush=True)


if __name__ == "__main__":
    main()
