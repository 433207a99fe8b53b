"""The command line. This file imports nothing, so that help and version answer at once."""

from __future__ import annotations


def main(args: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        args: Words after `fenglin`; None for those of this process.
    """
    import os  # noqa: PLC0415 - the interpreter has loaded it already
    import sys  # noqa: PLC0415 - see above

    words = sys.argv[1:] if args is None else args
    completing = "_FENGLIN_COMPLETE" in os.environ  # a shell asks what may follow
    if not completing and words in ([], ["--help"], ["-h"], ["help"]):
        # Typer alone takes most of the time that help may take: print the same text without it.
        from fenglin.cli.commands import root_help  # noqa: PLC0415 - only for help

        sys.stdout.write(root_help())
        return 0
    if words == ["--version"]:
        from fenglin import __version__  # noqa: PLC0415 - only here

        sys.stdout.write(f"fenglin {__version__}\n")
        return 0
    from fenglin.cli.app import run  # noqa: PLC0415 - slow

    return run(words)


__all__ = ["main"]
