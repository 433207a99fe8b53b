"""What the whole suite says at its end."""


def pytest_terminal_summary(terminalreporter):
    """Show what the kill campaigns did, one line for each and one for all."""
    figures = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == "kill"
    ]
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
