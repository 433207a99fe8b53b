"""The mock driver: a site that exists only in memory and misbehaves on request.

Time is the context's clock, so a test or the simulator moves it by hand; nothing sleeps. Tasks
take `task_ms` each, or what a `Behaviour` says. Faults are rules, taken in order:

    [site.NAME]
    driver = "mock"
    task_ms = 500
    faults = [
        { fault = "start_refused" },                         # once, any attempt
        { fault = "answer_lost", key = "h1-a7", times = 2 }, # keys that begin with h1-a7
    ]

A test adds them with `driver.inject(Rule(Fault.UNKNOWN, times=3))` and reads `driver.calls`.
"""

from fenglin.drivers.mock.script import Behaviour, Fault, Outcome, Rule
from fenglin.drivers.mock.site import MockDriver, driver

__all__ = ["Behaviour", "Fault", "MockDriver", "Outcome", "Rule", "driver"]
