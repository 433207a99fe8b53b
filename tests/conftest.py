"""What the whole suite says at its end, and what all of its properties have in common."""

from hypothesis import settings

# A busy machine makes no property untrue: how long an example takes is no test of it.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")


def pytest_terminal_summary(terminalreporter):
    """Show how fast hubs took over, and what the kill campaigns did, each and all."""
    told = [
        pair
        for report in terminalreporter.stats.get("passed", [])
        for pair in getattr(report, "user_properties", [])
    ]
    for line in (value for name, value in told if name == "takeover"):
        terminalreporter.line(line)
    figures = [value for name, value in told if name == "kill"]
    if not figures:
        return
    terminalreporter.section("kill campaigns")
    for one in figures:
        terminalreporter.line(" ".join(f"{name}={value}" for name, value in one.items()))
    points = [one.pop("point") for one in figures]
    totals = {name: sum(one[name] for one in figures) for name in figures[0]}
    terminalreporter.line(
        f"all: points={len(points)} " + " ".join(f"{name}={n}" for name, n in totals.items())
    )
