"""The corpus, and what each file of it becomes; run as a program, it writes the goldens anew."""

from __future__ import annotations

from pathlib import Path

from fenglin.cli.convert import native_yaml
from fenglin.intake.dialects.registry import Reading, read_jobs

NOW_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z
HERE = Path(__file__).parent
CORPUS = sorted(path for path in (HERE / "corpus").rglob("*") if path.is_file())
_END_OF_VARIABLES = ': "${SLURM_CLUSTER_NAME'


def reading(path: Path) -> Reading:
    """Return what a file of the corpus is read as."""
    return read_jobs(path.read_bytes(), path.name, NOW_MS)


def golden(path: Path) -> Path:
    """Return where the golden of a file of the corpus is."""
    return HERE / "golden" / f"{path.parent.name}-{path.name}.txt"


def shown(read: Reading) -> str:
    """Return jobs and notes; of a script for sbatch only the variables that we set before it."""
    text = ""
    for job in read.jobs:
        data = dict(job.document.data)
        if read.dialect == "sbatch":
            data["script"] = str(data["script"]).partition(_END_OF_VARIABLES)[0]
        text += native_yaml(data)
        text += "".join(
            f"# {note.line}: {note.field}: {note.level}: {note.text}\n" for note in job.notes
        )
    return text


if __name__ == "__main__":
    for one in CORPUS:
        golden(one).parent.mkdir(exist_ok=True)
        golden(one).write_text(shown(reading(one)), encoding="utf-8")
