# ruff: noqa: PTH100, PTH103, PTH104, PTH111, PTH112, PTH118, PTH120, PTH123
"""The first program on a host: puts the rest in place and becomes the agent.

It is read from standard input by a fixed command line, so that nothing of a job or of the
configuration ever stands in one. It keeps to Python 3.6, to be able to say that a Python is too
old. What it reads: one line of JSON (`root`, `library`, and what `agent.Agent` takes), then, only
when it asks by `need`, one line with a size and that many bytes, a JSON object of names and texts.
"""

import json
import os
import sys

MARK = "fenglin-agent 1"


def say(word: str, **more: str) -> None:
    """Write one line for the hub; what a login shell printed before it is skipped there."""
    sys.stdout.write(f"{MARK} {json.dumps(dict(more, say=word))}\n")
    sys.stdout.flush()


def place(library: str) -> None:
    """Write the files below a new folder and give it its name when it is whole."""
    say("need")
    files = json.loads(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())).decode())
    draft = f"{library}.{os.getpid()}.{os.getppid()}"
    for name, text in files.items():
        path = os.path.join(draft, name)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    try:
        os.rename(draft, library)
    except OSError:
        if not os.path.isdir(library):
            raise


def boot() -> int:
    """Check the machine, place the files if they are missing, and run the agent."""
    config = json.loads(sys.stdin.buffer.readline().decode())
    if sys.version_info < (3, 9) or not hasattr(os, "pidfd_open"):
        say("refuse", what=f"Python {sys.version.split()[0]}")
        return 1
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        say("refuse", what=f"Linux {os.uname().release}")
        return 1
    config["root"] = os.path.abspath(os.path.expanduser(config["root"]))
    library = os.path.join(config["root"], "lib", config["library"])
    try:
        os.makedirs(config["root"], 0o700, exist_ok=True)
        if not os.path.isdir(library):
            place(library)
        sys.path.insert(0, library)
        module = "host." + config.get("agent", "agent")
        agent = __import__(module, fromlist=["Agent"]).Agent(config)
    except OSError as error:
        say("refuse", what=f"{error.filename}: {error.strerror}")
        return 1
    say("ready", place=agent.place, python=sys.version.split()[0])
    agent.run()
    return 0


if __name__ == "__main__":
    sys.exit(boot())
