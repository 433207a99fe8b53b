"""What an agent remembers: who it is, whose it is, and the highest epoch seen."""

import pytest

from fenglin.agent.state import State
from fenglin.errors import ConflictError, InputError, StaleEpochError


def test_it_stays_the_same_agent(tmp_path):
    first = State(tmp_path).memory.agent
    assert len(first) == 16
    assert State(tmp_path).memory.agent == first


def test_a_lower_epoch_is_refused_for_ever(tmp_path):
    state = State(tmp_path)
    state.check("h", "far", 3)
    state.check("h", "far", 5)
    for same in (state, State(tmp_path)):
        with pytest.raises(StaleEpochError):
            same.check("h", "far", 4)
        same.check("h", "far", 5)


@pytest.mark.parametrize(("hub", "site"), [("other", "far"), ("h", "near")])
def test_a_folder_belongs_to_one_site_of_one_hub(tmp_path, hub, site):
    State(tmp_path).check("h", "far", 1)
    with pytest.raises(ConflictError, match="belongs to site far of hub h"):
        State(tmp_path).check(hub, site, 9)


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"agent": 1}'])
def test_a_memory_that_cannot_be_read_is_not_made_anew(tmp_path, text):
    (tmp_path / "agent.json").write_text(text)
    with pytest.raises(InputError):
        State(tmp_path)
    assert (tmp_path / "agent.json").read_text() == text
