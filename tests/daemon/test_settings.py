"""Settings from a file, the environment and flags."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daemon import settings as module
from daemon.settings import Settings, default_state_dir, load_settings
from daemon.sinks.settings import SinkSettings
from pipeline.errors import ConfigError
from pipeline.report.limits import Limits

ROOT = Path(__file__).parents[2]
USER = 1000


@pytest.fixture(autouse=True)
def no_files_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "CONFIG_FILE", tmp_path / "absent" / "config.toml")
    monkeypatch.setattr(module, "KNOWLEDGE_DIR", tmp_path / "absent" / "knowledge.d")


Values = dict[str, Any]


def load(environment: Values | None = None, flags: Values | None = None, config: Path | None = None) -> Settings:
    return load_settings({"HOME": "/home/u", **(environment or {})}, flags or {}, config, user_id=USER)


def toml(directory: Path, text: str) -> Path:
    path = directory / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(environment: Values | None = None, flags: Values | None = None, config: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environment, flags, config)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    file = toml(tmp_path, '[output]\nmin_level = "low"\n')
    environment = {"SYSSCAN_OUTPUT__MIN_LEVEL": "medium"}
    flags = {"output": {"min_level": "high"}}
    seen = [
        load().output.min_level,
        load(config=file).output.min_level,
        load(environment, config=file).output.min_level,
        load(environment, flags, file).output.min_level,
    ]
    assert seen == ["info", "low", "medium", "high"]


def test_sections_are_merged_and_not_replaced(tmp_path: Path) -> None:
    file = toml(tmp_path, "[output]\nkeep_segments = 3\n")
    found = load({"SYSSCAN_OUTPUT__EMIT": "changes"}, {"output": {"path": "/x.ndjson"}}, file).output
    assert (found.keep_segments, found.emit, found.path) == (3, "changes", Path("/x.ndjson"))


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load({"SYSSCAN_HOST": "web-01"}, {"host": None}).host == "web-01"


def test_the_default_file_is_read_where_it_exists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "CONFIG_FILE", toml(tmp_path, 'host = "from-file"\n'))
    assert load().host == "from-file"


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    message = refusal(config=tmp_path / "nowhere.toml")
    assert message == f"{tmp_path}/nowhere.toml: cannot be read: No such file or directory; check the name"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hots = 'x'\n", "no such setting: hots; did you mean host?"),
        ("[outptu]\npath = '/x'\n", "no such setting: outptu; did you mean output?"),
        ("[output]\nrotate_byte = 1\n", "no such setting: output.rotate_byte; did you mean output.rotate_bytes?"),
        ("[watch]\nroot = ['/x']\n", "no such setting: watch.root; did you mean watch.roots?"),
        ("host = \n", "not TOML: Invalid value (at line 1, column 8)"),
        ("host = 'x'\nhost = 'y'\n", "not TOML: Cannot overwrite a value (at line 2, column 11)"),
        (b"host = '\xff'\n", "not TOML"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name_and_nearest_setting(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = refusal(config=path)
    assert message.startswith(f"{path}: ")
    assert said in message


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SYSSCAN_WATHC__ROOTS", "watch"),
        ("SYSSCAN_STATEDIR", "state_dir"),
        ("SYSSCAN_OUTPUT__ROTATE", "output.rotate_bytes"),
        ("SYSSCAN_WATCH__SWEEP", "watch.full_sweep_s"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str, near: str) -> None:
    message = refusal({name: "x"})
    assert message.startswith(f"environment variable {name}: ")
    assert f"did you mean {near}?" in message


def test_variables_of_others_are_none_of_our_business() -> None:
    load({"SYSSCANNER_X": "1", "SYS_SCAN_X": "1", "XSYSSCAN_HOST": "1"})


def test_lists_in_the_environment_are_separated_like_paths(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    found = load(
        {
            "SYSSCAN_WATCH__ROOTS": f"/a{os.pathsep}/b c",
            "SYSSCAN_WATCH__NAMES": "*.json",
            "SYSSCAN_POLICY_FILES": f"/p{os.pathsep}/q{os.pathsep}",
            "SYSSCAN_KNOWLEDGE_DIRS": str(tmp_path / "k"),
        }
    )
    assert found.watch.roots == ("/a", "/b c")
    assert found.watch.names == ("*.json",)
    assert found.policy_files == (Path("/p"), Path("/q"))
    assert found.knowledge_dirs == (tmp_path / "k",)


def test_a_table_in_the_environment_is_a_list_of_pairs() -> None:
    assert load({"SYSSCAN_WATCH__BIND": "/in/a=web-01,/in/b=db=02"}).watch.bind == {"/in/a": "web-01", "/in/b": "db=02"}
    assert "NAME=VALUE" in refusal({"SYSSCAN_WATCH__BIND": "/in/a"})


@pytest.mark.parametrize("name", ["SYSSCAN_STATE_DIR", "SYSSCAN_WATCH__ROOTS", "SYSSCAN_WATCH__BIND"])
def test_an_empty_variable_is_a_mistake_and_not_a_value(name: str) -> None:
    assert refusal({name: ""}) == f"environment variable {name}: is empty; unset it, or give it a value"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SYSSCAN_OUTPUT__ROTATE_BYTES": "much"}, "setting output.rotate_bytes: "),
        ({"SYSSCAN_OUTPUT__ROTATE_BYTES": "10"}, "setting output.rotate_bytes: "),
        ({"SYSSCAN_OUTPUT__EMIT": "some"}, "setting output.emit: "),
        ({"SYSSCAN_OUTPUT__MIN_LEVEL": "severe"}, "setting output.min_level: "),
        ({"SYSSCAN_ANALYSIS__BATCH_SIZE": "0"}, "setting analysis.batch_size: "),
        ({"SYSSCAN_LOG__LEVEL": "loud"}, "setting log.level: "),
        ({"SYSSCAN_METRICS__EVERY_S": "-1"}, "setting metrics.every_s: "),
        ({"SYSSCAN_WATCH__POLL_S": "soon"}, "setting watch.poll_s: "),
        ({"SYSSCAN_WATCH__FULL_SWEEP_S": "0"}, "setting watch.full_sweep_s: "),
        ({"SYSSCAN_WATCH": "/reports"}, "setting watch: must be a table of settings "),
        ({"SYSSCAN_LIMITS__MAX_BYTES": "32"}, "setting limits.max_bytes: must be greater than or equal to 65536 "),
        ({"SYSSCAN_LIMITS__MAX_DEPTH": "250"}, "setting limits.max_depth: must be less than or equal to 200 "),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_was_given(environment: dict[str, str], said: str) -> None:
    message = refusal(environment)
    assert message.startswith(said)
    assert repr(next(iter(environment.values()))) in message


def test_a_knowledge_directory_that_is_not_there_is_refused() -> None:
    """A misspelt one would otherwise be the same as none."""
    assert refusal(flags={"knowledge_dirs": [Path("/nowhere/knowledge.d")]}) == (
        "setting knowledge_dirs: /nowhere/knowledge.d: no such directory; check the name"
    )


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().host = "other"


@pytest.mark.parametrize(
    ("environment", "user", "expected"),
    [
        ({}, 0, "/var/lib/sysscan-agent"),
        ({"XDG_STATE_HOME": "/x"}, 0, "/var/lib/sysscan-agent"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, USER, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x"}, USER, "/x/sysscan-agent"),
        ({"XDG_STATE_HOME": "relative"}, USER, str(Path.home() / ".local/state/sysscan-agent")),
        ({}, USER, str(Path.home() / ".local/state/sysscan-agent")),
    ],
)
def test_state_is_kept_where_the_user_may_write(environment: dict[str, str], user: int, expected: str) -> None:
    assert default_state_dir(environment, user) == Path(expected)


def test_without_a_home_only_what_needs_state_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert default_state_dir({}, USER) is None
    settings = load_settings({}, {}, user_id=USER)
    assert settings.given_state_dir is None
    with pytest.raises(ConfigError, match="give --state-dir"):
        _ = settings.state_dir
    assert load_settings({"SYSSCAN_STATE_DIR": "/x"}, {}, user_id=USER).state_dir == Path("/x")


@pytest.mark.parametrize("name", ["SYSSCAN_STATE_DIR", "SYSSCAN_OUTPUT__PATH", "SYSSCAN_METRICS__PATH"])
def test_a_dash_is_no_file(name: str) -> None:
    with pytest.raises(ConfigError, match="- is no file"):
        load_settings({name: "-"}, {}, user_id=0)


def test_the_output_stands_in_the_state_directory_unless_it_is_set() -> None:
    assert load({"SYSSCAN_STATE_DIR": "/s"}).output_path == Path("/s/findings.ndjson")
    assert load({"SYSSCAN_STATE_DIR": "/s"}, {"output": {"path": "/o.ndjson"}}).output_path == Path("/o.ndjson")


@given(
    name=st.from_regex(r"\A[A-Z][A-Z_]{0,20}\Z"),
    text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
)
def test_no_variable_ends_in_anything_but_settings_or_one_line(name: str, text: str) -> None:
    try:
        load_settings({f"SYSSCAN_{name}": text}, {}, user_id=USER)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> dict[str, FieldInfo]:
    """Give all settings by their full names."""
    found: dict[str, FieldInfo] = {}
    for name, field in module._fields(model).items():
        section = module._section(field.annotation)
        section = section or module._tables(field.annotation)
        found |= {f"{prefix}{name}": field} if section is None else fields(section, f"{prefix}{name}.")
    return found


def names(content: dict[str, Any], prefix: str = "") -> list[str]:
    """Name everything that a file sets; tables of a list as one."""
    found: list[str] = []
    for name, value in content.items():
        tables = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for table in tables:
            is_table = isinstance(table, dict) and name != "bind"
            found += names(table, f"{prefix}{name}.") if is_table else [f"{prefix}{name}"]
    return found


def test_the_example_file_is_valid_and_shows_every_setting(tmp_path: Path) -> None:
    text = (ROOT / "config" / "config.toml").read_text(encoding="utf-8")
    load(config=ROOT / "config" / "config.toml")
    # Uncommented: a comment of ours has a space after its `#`, a setting that is left at its default has none.
    shown = "\n".join(line.removeprefix("#") if line[1:2] != " " else line for line in text.splitlines())
    (tmp_path / "knowledge.d").mkdir()
    shown = shown.replace("/etc/sysscan-agent/knowledge.d", str(tmp_path / "knowledge.d"))
    content = tomllib.loads(shown)
    named = sorted(names(content))
    # Ways to say who sends exclude one another; each kind of sink shows one of them, and names the others.
    unshown = {f"sinks.http.{name}" for name in ("username", "password_file")}
    unshown |= {f"sinks.opensearch.{name}" for name in ("token_file", "api_key_file")}
    assert named == sorted(fields().keys() - unshown)
    assert all(name.rpartition(".")[2] in text for name in unshown)
    # An endpoint takes the place of a directory and all that goes with one; together they are refused.
    with pytest.raises(ConfigError, match="has no effect beside endpoint"):
        load(config=toml(tmp_path, shown))
    shown = re.sub(r"^endpoint.*\n", "", shown, flags=re.M)
    defaults = load().model_dump(mode="json", by_alias=True)
    examples = {  # of Kafka, and of signing
        "sign_key",
        "brokers",
        "tls",
        "ca_file",
        "cert_file",
        "key_file",
        "sasl",
        "username",
        "password_file",
        "instance_id",
    }
    examples |= {"max_parser_memory", "max_parser_s"}  # whose defaults follow from another setting
    own = ("state_dir", "host", "knowledge_dirs", "policy_files", "intel_files")
    for section, values in load(config=toml(tmp_path, shown)).model_dump(mode="json", by_alias=True).items():
        if section not in (*own, "sinks"):
            kept = {
                name: value
                for name, value in values.items()
                if name not in {"roots", "bind", "path", "registry", *examples}
                and (section, name) != ("metrics", "listen")
            }
            assert {name: defaults[section][name] for name in kept} == kept, section


def test_the_example_of_a_sink_shows_its_defaults() -> None:
    text = (ROOT / "config" / "config.toml").read_text(encoding="utf-8")
    shown = tomllib.loads("\n".join(line.removeprefix("#") for line in text.splitlines() if line[1:2] != " "))
    examples = {"max_bytes"}  # whose default follows from another setting
    for kind, (table,) in shown["sinks"].items():
        for name, field in fields(SinkSettings, "").items():
            of, _, setting = name.partition(".")
            if of == kind and setting in table.keys() - examples and field.default is not None:
                value = tuple(table[setting]) if isinstance(table[setting], list) else table[setting]
                assert field.is_required() or value == field.default, name


def test_the_bounds_of_the_parser_follow_from_that_of_a_report() -> None:
    shown = tomllib.loads((ROOT / "config" / "config.toml").read_text(encoding="utf-8").replace("\n#max", "\nmax"))
    limits = shown["limits"]
    assert limits["max_parser_memory"] == Limits().parser_memory_bytes
    assert limits["max_parser_s"] == Limits().parser_s
    larger = Limits(max_bytes=1 << 30)
    assert larger.parser_memory_bytes == (128 << 20) + (12 << 30)
    assert Limits(max_parser_memory=1 << 30, max_parser_s=7).parser_s == 7


def test_the_handbook_explains_every_setting_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| ?(.*?) ?\| ", text, re.M))
    assert sorted(rows) == sorted(fields())
    elsewhere = {"state_dir", "knowledge_dirs"}  # where it depends on the machine
    for name in rows.keys() - elsewhere:
        default = fields()[name].get_default(call_default_factory=True)
        if default in ((), {}) or fields()[name].is_required():
            assert rows[name] == "", name
        elif default is not None:  # otherwise there is none, or the cell says what takes its place
            assert documented(rows[name]) == default, name


def documented(cell: str) -> object:
    """Read a default as the handbook writes it."""
    cell = cell.strip("`")
    if cell in ("true", "false"):
        return cell == "true"
    if number := re.fullmatch(r"([0-9.]+)(?: ([KMG])iB)?", cell):
        return float(number[1]) * {None: 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[number[2]]
    return tuple(cell.split()) if " " in cell else cell


def test_the_handbook_gives_the_bounds_of_every_limit() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, field in Limits.model_fields.items():
        (row,) = re.findall(rf"^\| `limits.{name}` \|.*$", text, re.M)
        (most,) = [bound.le for bound in field.metadata if isinstance(bound, Le)]
        least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), 0)
        assert amount(most) in row, name
        assert least in (0, 1) or amount(least) in row, name


def amount(value: Any) -> str:
    units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
    return next((f"{value // size} {unit}" for size, unit in units if value % size == 0), str(value))
