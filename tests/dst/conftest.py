"""What the simulated days have come to, in one line for each size."""


def pytest_terminal_summary(terminalreporter):
    """Sum up the seeds of this run."""
    found = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == "dst"
    ]
    if not found:
        return
    terminalreporter.section("simulated hubs")
    for size in sorted({one["size"] for one in found}):
        same = [one for one in found if one["size"] == size]
        names = [name for name in same[0] if name != "size"]
        figures = " ".join(f"{name}={sum(one[name] for one in same)}" for name in names)
        terminalreporter.line(f"{size}: {figures}")
