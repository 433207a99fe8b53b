"""The options of sbatch, and how a list of words is cut into options and values."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from fenglin.intake.dialects.sbatch.lines import Word, looks_like_option, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.intake.dialects.notes import Draft
    from fenglin.intake.report import Place

# name, short form or -, and = for a value, ? for one that only stands behind "=", - for none.
_TABLE = """
account A = ; acctg-freq - = ; array a = ; batch - = ; bb - = ; bbf - = ; begin b = ;
chdir D = ; cluster-constraint - = ; clusters M = ; comment - = ; constraint C = ; container - = ;
container-id - = ; container-image - = ; container-mounts - = ; container-name - = ;
container-workdir - = ; container-mount-home - - ; container-writable - - ; contiguous - - ;
core-spec S = ; cores-per-socket - = ; cpu-freq - = ; cpus-per-gpu - = ; cpus-per-task c = ;
deadline - = ; delay-boot - = ; dependency d = ; distribution m = ; error e = ; exclude x = ;
exclusive - ? ; export - = ; export-file - = ; extra - = ; extra-node-info B = ;
get-user-env - ? ; gid - = ; gpu-bind - = ; gpu-freq - = ; gpus G = ; gpus-per-node - = ;
gpus-per-socket - = ; gpus-per-task - = ; gres - = ; gres-flags - = ; help h - ; hint - = ;
hold H - ; ignore-pbs - - ; input i = ; job-name J = ; kill-on-invalid-dep - = ; licenses L = ;
mail-type - = ; mail-user - = ; mcs-label - = ; mem - = ; mem-bind - = ; mem-per-cpu - = ;
mem-per-gpu - = ; mincpus - = ; network - = ; nice - ? ; no-kill k ? ; no-requeue - - ;
nodefile F = ; nodelist w = ; nodes N = ; ntasks n = ; ntasks-per-core - = ; ntasks-per-gpu - = ;
ntasks-per-node - = ; ntasks-per-socket - = ; ntasks-per-tres - = ;
oom-kill-step - ? ; open-mode - = ; output o = ;
overcommit O - ; oversubscribe s - ; parsable - - ; partition p = ; power - = ; prefer - = ;
priority - = ; profile - = ; propagate - ? ; qos q = ; quiet Q - ; reboot - - ; requeue - - ;
reservation - = ; resv-ports - ? ; segment - = ; share - - ; signal - = ;
sockets-per-node - = ; spread-job - - ; stepmgr - - ; switches - = ; tasks-per-node - = ;
test-only - - ; thread-spec - = ; threads-per-core - = ; time t = ; time-min - = ; tmp - = ;
tres-bind - = ; tres-per-task - = ; uid - = ; usage - - ; use-min-nodes - - ; verbose v - ;
version V - ; wait W - ; wait-all-nodes - = ; wckey - = ; workdir - = ; wrap - = ; x11 - ?
"""
TAKES: dict[str, str] = {}
SHORT: dict[str, str] = {}
for _name, _letter, _takes in (entry.split() for entry in _TABLE.split(";")):
    TAKES[_name] = _takes
    if _letter != "-":
        SHORT[_letter] = _name
_TEXTS_LIST = """
account comment constraint error job-name licenses mail-type mail-user output partition qos
reservation wckey
"""
# Options of which sbatch takes an empty value; templates leave such behind.
_TEXTS = frozenset(_TEXTS_LIST.split())
# Older spellings of the same.
SYNONYMS = {"tasks-per-node": "ntasks-per-node", "share": "oversubscribe", "workdir": "chdir"}


class Given(NamedTuple):
    """One option as it was given.

    Attributes:
        name: Its full name; of an option that sbatch does not know, as written.
        value: Empty when it has none.
        place: Where it stands.
        known: Whether sbatch has such an option.
    """

    name: str
    value: str
    place: Place
    known: bool = True

    @property
    def field(self) -> str:
        """Return how notes call it."""
        return f"--{self.name}"


def parse(words: Sequence[Word], draft: Draft) -> list[Given]:
    """Return the options that the words say, in order."""
    found: list[Given] = []
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word.text == "--":
            continue
        if word.text.startswith("--"):
            _long(word, left, found, draft)
        elif looks_like_option(word.text):
            _short(word, left, found, draft)
        else:
            hint = "a directive is `#SBATCH --option=value`; put blanks in quotes"
            draft.problem(word.place, "", f"{shown(word)} is no option", hint)
    return found


def _long(word: Word, left: list[Word], found: list[Given], draft: Draft) -> None:
    """Take `--name`, `--name=value` or `--name value`; unambiguous beginnings of names count."""
    name, equals, value = word.text[2:].partition("=")
    names = [name] if name in TAKES else [one for one in TAKES if name and one.startswith(name)]
    if len(names) > 1:
        hint = "one of " + ", ".join(f"--{one}" for one in names[:8])
        draft.problem(word.place, word.text[:64], "the option is ambiguous", hint)
        return
    if not names:
        _unknown(word, name, left, found, draft)
        return
    full = SYNONYMS.get(names[0], names[0])
    takes = TAKES[names[0]]
    if equals and takes == "-":
        draft.problem(word.place, f"--{full}", "the option takes no value", f"write --{full}")
    elif not equals and takes == "=":
        _valued(full, word, left, found, draft)
    elif takes == "=" and not value and full in _TEXTS:
        draft.ignored(word.place, f"--{full}", "it has no value")
    elif takes == "=" and not value:
        draft.problem(word.place, f"--{full}", "the value is empty", "remove it, or say a value")
    else:
        found.append(Given(full, value, word.place))


def _valued(name: str, word: Word, left: list[Word], found: list[Given], draft: Draft) -> None:
    """Take the next word as the value; sbatch would take another option for it, and we do not."""
    if left and not looks_like_option(left[-1].text) and left[-1].text != "--":
        found.append(Given(name, left.pop().text, word.place))
        return
    what = "the value is missing"
    if left:
        what = f"no value, but {shown(left[-1])}, which looks like an option"
    draft.problem(word.place, f"--{name}", what, f"write --{name}=VALUE")


def _unknown(word: Word, name: str, left: list[Word], found: list[Given], draft: Draft) -> None:
    """Refuse what is perhaps a slip; keep what may be the option of a site's own plugin."""
    near = get_close_matches(name[:64], TAKES, n=1, cutoff=0.8)
    if near:
        what = "sbatch has no such option"
        draft.problem(word.place, word.text[:64], what, f"did you mean --{near[0]}?")
        return
    if left and left[-1].place.line == word.place.line and not looks_like_option(left[-1].text):
        left.pop()
    found.append(Given(name[:64], "", word.place, known=False))


def _short(word: Word, left: list[Word], found: list[Given], draft: Draft) -> None:
    """Take `-H`, `-HQ`, `-n4` or `-n 4`."""
    rest = word.text[1:]
    while rest:
        letter, rest = rest[0], rest[1:]
        name = SHORT.get(letter)
        if name is None:
            what = f"sbatch has no option -{letter}" if letter.isprintable() else "no option"
            draft.problem(word.place, word.text[:32], what)
            return
        if TAKES[name] == "=":
            if rest:
                found.append(Given(name, rest, word.place))
            else:
                _valued(name, word, left, found, draft)
            return
        found.append(Given(name, "", word.place))
