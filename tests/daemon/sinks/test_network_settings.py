"""What is refused of the settings of these sinks, in a line that says where and what to do, and holds no secret."""

from pathlib import Path

import pytest

from daemon.compose import open_lanes
from daemon.settings import Settings, load_settings
from pipeline.errors import ConfigError
from tests.pipeline.sessions import resources

HTTP = '[[sinks.http]]\nname = "siem"\nurl = "https://siem.example.org/hook"\n'
SEARCH = '[[sinks.opensearch]]\nname = "search"\nurl = "https://search.example.org:9200"\n'
SYSLOG = '[[sinks.syslog]]\nname = "log"\naddress = "tls://log.example.org"\n'


def load(directory: Path, text: str, **environment: str) -> Settings:
    path = directory / "config.toml"
    path.write_text(f'state_dir = "{directory}"\n{text}', encoding="utf-8")
    return load_settings({"HOME": str(directory), **environment}, {}, path)


def test_there_may_be_any_number_of_each_kind(tmp_path: Path) -> None:
    text = HTTP + HTTP.replace("siem", "other") + SEARCH + SYSLOG + SYSLOG.replace('"log"', '"log-2"')
    sinks = load(tmp_path, text).sinks
    assert [one.name for one in sinks.every] == ["siem", "other", "search", "log", "log-2"]
    assert load(tmp_path, "").sinks.every == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HTTP + HTTP, "sinks: two of sinks.http are named 'siem'"),
        (HTTP + "urll = 1", "no such setting: sinks.http.urll; did you mean sinks.http.url?"),
        (HTTP.replace("https", "ftp"), "sinks.http.0: url must begin with https:// or http://"),
        (HTTP.replace("https", "http"), "an http address sends findings readable; use https, or set plaintext = true"),
        (HTTP.replace("https", "http") + 'plaintext = true\ntoken_file = "/t"', "would be sent readable; use https"),
        (HTTP + "plaintext = true", "plaintext has no effect on an https address"),
        (HTTP + 'username = "me"', "username and password_file belong together"),
        (HTTP + 'cert_file = "/c.pem"', "cert_file and key_file belong together"),
        (HTTP + 'username = "me"\npassword_file = "/p"\ntoken_file = "/t"', "two ways to say who sends"),
        (HTTP + "kinds = []", "kinds is empty"),
        (HTTP + 'dead_letter = "here"', "dead_letter must be an absolute path"),
        (SYSLOG + "plaintext = true", "plaintext has an effect with udp:// and tcp:// alone"),
        (HTTP + 'min_level = "severe"', "sinks.http.0.min_level: must be"),
        (HTTP.replace("/hook", "/hook#here"), "must not have a fragment"),
        (HTTP.replace("siem.example.org", ":0"), "url names no host, or port 0"),
        (HTTP.replace("siem.example.org", "siem.example.org:70000"), "url is no address"),
        (HTTP.replace('"siem"', '"Siem 1"'), "sinks.http.0.name"),
        (HTTP.replace("name", "#name"), "sinks.http.0.name: Field required"),
        (SEARCH + 'index = "Sys"', "index must be lower-case"),
        (SEARCH + 'api_key_file = "/k"\ntoken_file = "/t"', "leave all but one out"),
        (SEARCH.replace("9200", "9200/?x=1"), "url must have no query"),
        (SYSLOG.replace("tls://", "tcp://"), "udp and tcp send findings readable; use tls://, or set plaintext = true"),
        (SYSLOG.replace("tls://log.example.org", "log.example.org"), "address must be tls://HOST:PORT"),
        (SYSLOG.replace("example.org", "example.org:99999"), "no port from 1 to 65535"),
        (SYSLOG.replace("tls://log.example.org", "unix:/dev/log") + "max_bytes = 100000", "65000 at most"),
        (SYSLOG.replace("tls://log.example.org", "unix:/dev/log") + 'ca_file = "/c"', "an effect with tls:// alone"),
        (SYSLOG + 'facility = "local9"', "sinks.syslog.0.facility: must be"),
        (
            HTTP + 'dead_letter = "/d"\n' + SEARCH + 'dead_letter = "/d"',
            "two sinks have one dead_letter; give each a file of its own",
        ),
        ('sinks.http = "https://x"', "sinks.http: must be a list"),
    ],
)
def test_a_mistake_is_named_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value) and "config.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dead_letters_are_no_output(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^setting sinks: a dead_letter is output\.path; give it a file of its own$"):
        load(tmp_path, HTTP + 'dead_letter = "/d"\n[output]\npath = "/d"')


@pytest.mark.parametrize(
    "text",
    [
        HTTP.replace("https://", "https://me:hunter2@"),
        HTTP.replace("/hook", "/hook?key=hunter2 x"),
        HTTP + 'token_file = "hunter2"',
        HTTP + 'secret_file = "hunter2"',
        HTTP + 'username = "me"\npassword_file = "hunter2"',
        SEARCH + 'api_key_file = "hunter2"',
    ],
)
def test_a_secret_that_somebody_wrote_there_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("variable", ["SYSSCAN_SINKS__HTTP", "SYSSCAN_SINKS__SYSLOG"])
def test_the_environment_cannot_hold_them_and_says_so(tmp_path: Path, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"variable {variable}: is a list of tables, which only a settings file can"):
        load(tmp_path, "", **{variable: "x"})


def test_workers_of_a_topic_refuse_what_would_have_no_effect(tmp_path: Path) -> None:
    settings = load(tmp_path, HTTP + '[kafka]\nconsume = true\nbrokers = ["localhost:9092"]')
    with pytest.raises(ConfigError, match=r"sinks has no effect where kafka\.consume is set"):
        open_lanes(settings, resources())


@pytest.mark.parametrize(
    ("address", "place", "most"),
    [
        ("tls://log.example.org", "tls://log.example.org:6514", 8192),
        ("tcp://127.0.0.1:1514", "tcp://127.0.0.1:1514", 8192),
        ("udp://[::1]", "udp://[::1]:514", 2048),
        ("unix:/dev/log", "unix:/dev/log", 8192),
    ],
)
def test_an_address_has_the_port_and_the_bound_of_its_transport(
    tmp_path: Path, address: str, place: str, most: int
) -> None:
    (one,) = load(tmp_path, SYSLOG.replace("tls://log.example.org", address)).sinks.syslog
    assert (one.receiver.place, one.most) == (place, most)
