"""Hub and token: from where, and to whom a token may go."""

import pytest

from fenglin.client import Settings, load_settings
from fenglin.errors import InputError


@pytest.fixture
def config(tmp_path):
    """Write the configuration file; return its path."""

    def write(text, mode=0o600):
        path = tmp_path / ".config" / "fenglin" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_defaults(tmp_path):
    assert load_settings({}, tmp_path) == Settings("http://127.0.0.1:8642", "")


def test_the_nearest_word_wins(tmp_path, config):
    config('hub = "http://file:1"')
    assert load_settings({}, tmp_path).hub == "http://file:1"
    environ = {"FENGLIN_HUB": "http://env:2"}
    assert load_settings(environ, tmp_path).hub == "http://env:2"
    assert load_settings(environ, tmp_path, "http://option:3").hub == "http://option:3"


def test_config_is_found_where_the_environment_says(tmp_path):
    other = tmp_path / "other.toml"
    other.write_text('hub = "http://other:4"')
    assert load_settings({"FENGLIN_CONFIG": str(other)}, tmp_path).hub == "http://other:4"


def test_token_of_the_environment_goes_before_files(tmp_path, config):
    config('token = "of-file"')
    assert load_settings({"FENGLIN_TOKEN": "of-env\n"}, tmp_path).token == "of-env"


@pytest.mark.parametrize(
    ("hub", "token"),
    [
        ("http://127.0.0.1:8642", "t"),
        ("http://localhost:1", "t"),
        ("unix:///run/hub.sock", "t"),
        ("http://[::1]:1", "t"),
        ("http://127.0.0.1.evil.example:8642", ""),
        ("https://hub.example", ""),
    ],
)
def test_token_file_serves_only_hubs_on_this_machine(tmp_path, hub, token):
    file = tmp_path / "admin.token"
    file.write_text("t\n")
    assert load_settings({"FENGLIN_TOKEN_FILE": str(file)}, tmp_path, hub).token == token


def test_token_of_the_config_goes_only_to_the_hub_of_the_config(tmp_path, config):
    config('hub = "https://ours"\ntoken = "secret"')
    assert load_settings({}, tmp_path).token == "secret"
    assert load_settings({}, tmp_path, "https://theirs").token == ""


def test_token_file_of_the_config_is_beside_it(tmp_path, config):
    path = config('token_file = "my.token"')
    file = path.with_name("my.token")
    file.write_text("beside\n")
    file.chmod(0o600)
    settings = load_settings({}, tmp_path)
    assert (settings.token, settings.warnings) == ("beside", ())


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o644, True), (0o620, True)])
def test_open_file_with_token_is_warned_about(tmp_path, config, mode, warns):
    path = config('token = "secret"', mode)
    warnings = load_settings({}, tmp_path).warnings
    assert bool(warnings) == warns
    assert all(str(path) in one and "secret" not in one for one in warnings)


def test_open_file_without_token_is_no_matter(tmp_path, config):
    config('hub = "http://file:1"', 0o644)
    assert load_settings({}, tmp_path).warnings == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hub = ", "cannot be read"),
        ('hbu = "x"', "'hbu' is not a setting"),
        ("hub = 3", "must be a text"),
    ],
)
def test_broken_config_is_refused_with_its_place(tmp_path, config, text, complaint):
    path = config(text)
    with pytest.raises(InputError, match=complaint) as caught:
        load_settings({}, tmp_path)
    assert caught.value.where == str(path)


def test_missing_files_are_told(tmp_path):
    gone = str(tmp_path / "gone")
    with pytest.raises(InputError, match="No such file"):
        load_settings({"FENGLIN_CONFIG": gone}, tmp_path)
    with pytest.raises(InputError, match="No such file"):
        load_settings({"FENGLIN_TOKEN_FILE": gone}, tmp_path)


def test_token_with_line_ends_cannot_split_a_header(tmp_path):
    with pytest.raises(InputError, match="token") as caught:
        load_settings({"FENGLIN_TOKEN": "a\r\nX-Evil: 1"}, tmp_path)
    assert "Evil" not in str(caught.value)


def test_token_is_in_no_repr():
    assert "s3cret" not in repr(Settings(token="s3cret"))
