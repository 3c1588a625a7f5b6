"""The one settings object: defaults, then a TOML file, the environment, and flags, in rising order."""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from daemon.sinks.kafka.settings import TOPIC, KafkaSettings
from daemon.sinks.settings import SinkSettings
from daemon.sources.directory.settings import WatchSettings
from pipeline.engine.address import parse_address
from pipeline.engine.identity import DEFAULT_THREADS
from pipeline.engine.reading import read_regular
from pipeline.engine.runtimes import Runtime
from pipeline.errors import ConfigError
from pipeline.finding import Level
from pipeline.report.limits import Limits
from pipeline.unreadable import why_unreadable

CONFIG_FILE = Path("/etc/sysscan-agent/config.toml")
KNOWLEDGE_DIR = Path("/etc/sysscan-agent/knowledge.d")
SERVICE_STATE = Path("/var/lib/sysscan-agent")
LEDGER_NAME = "ledger.db"  # in a state directory; here for those who only look whether there is one
_PREFIX = "SYSSCAN_"
_SECRET = re.compile(
    "password|secret|token|api_key"
)  # settings where somebody may write the secret instead of its file


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _no_dash(path: Path | None) -> Path | None:
    """Refuse ``-``: elsewhere it is a standard stream, and here it would be a file of that name."""
    if path is not None and str(path) == "-":
        raise ValueError("- is no file; name one")
    return path


NamedPath = Annotated[Path, AfterValidator(_no_dash)]


class OutputSettings(_Section):
    """The NDJSON file that enriched findings go to."""

    enabled: bool = True
    path: NamedPath | None = None  # default: findings.ndjson in the state directory
    rotate_bytes: int = Field(default=256 << 20, ge=1 << 16)  # a day of hourly full scans of one host
    keep_segments: int = Field(default=8, ge=1)
    emit: Literal["all", "changes"] = "all"
    mapping: Literal["plain", "ecs"] = "plain"
    min_level: Level = "info"


class AnalysisSettings(_Section):
    """How findings are worked on."""

    batch_size: int = Field(default=512, ge=1, le=4096)  # one checkpointed run of the graph: about 13 ms of overhead


class ModelSettings(_Section):
    """The local language model."""

    enabled: bool = True
    path: Path | None = None  # none: the incumbent of the registry, at first the one that comes with the program
    registry: NamedPath | None = None  # default: models in the state directory
    keep: int = Field(default=3, ge=1, le=1000)  # models to go back to
    runtime: Runtime = "onnx"
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU where what is installed can use it
    threads: int = Field(default=DEFAULT_THREADS, ge=1, le=256)
    shipped: bool = True  # use the answers that a model brings along
    endpoint: str | None = (
        None  # of a model that another program on this machine runs: http://127.0.0.1:8080, unix:/PATH
    )
    endpoint_model: str | None = None  # its name there; none: the only one
    endpoint_timeout_s: float = Field(default=120.0, gt=0, le=3600)  # 250 tokens of a model of 8 B on few cores
    # best: what somebody wrote for findings like it, and the model's words where nobody did or it raises the level.
    texts: Literal["best", "model"] = "best"

    @model_validator(mode="after")
    def _one_place(self) -> "ModelSettings":
        """Refuse what is no address of this machine alone, and what has no effect beside it."""
        if self.endpoint is None:
            if useless := sorted(self.model_fields_set & {"endpoint_model", "endpoint_timeout_s"}):
                raise ValueError(f"{useless[0]} has no effect without endpoint")
            return self
        parse_address(self.endpoint)
        if useless := sorted(self.model_fields_set & {"path", "runtime", "device", "threads", "shipped"}):
            raise ValueError(f"{useless[0]} has no effect beside endpoint; leave one of them out")
        return self


class ReviewSettings(_Section):
    """What is kept of findings for whoever reviews them."""

    retain_days: int = Field(default=90, ge=1, le=3650)
    retain_bytes: int = Field(default=256 << 20, ge=0)  # 70,000 findings; 0 keeps none
    sign_key: Path | None = None  # none: an export of the log is not signed


class LogSettings(_Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"  # auto: text on a terminal, JSON otherwise


def _on_loopback(listen: str) -> str:
    """Refuse an address that others could reach: the page has no password."""
    host, _, port = listen.rpartition(":")
    try:
        good = ip_address(host.removeprefix("[").removesuffix("]")).is_loopback and (":" in host) == (host[:1] == "[")
    except ValueError:
        good = False
    if not good or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{listen!r} is not an address of this machine alone, such as 127.0.0.1:9475")
    return listen


def _on_this_machine(listen: str) -> str:
    """Refuse what is neither the whole path of a UNIX socket nor an address of loopback: there is no password."""
    return listen if listen.startswith("/") else _on_loopback(listen)


class MetricsSettings(_Section):
    """A Prometheus textfile for node_exporter's textfile collector, and an endpoint on this machine."""

    path: NamedPath | None = None  # none: not written
    every_s: float = Field(default=15.0, gt=0)  # the usual scrape interval
    listen: Annotated[str, AfterValidator(_on_this_machine)] | None = None  # none: nothing is served


class FleetSettings(_Section):
    """The view over a fleet, which is a program of its own (`sysscan-agent-fleet`); it reads `kafka.scans_topic`."""

    posture_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.posture"
    alerts_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.alerts"
    group: Annotated[str, Field(pattern=TOPIC)] = "sysscan-agent-fleet"
    listen: Annotated[str, AfterValidator(_on_loopback)] = "127.0.0.1:9475"
    silent_after_h: float = Field(default=26.0, gt=0)  # a daily scan, with two hours for whatever held it up
    forget_after_days: float = Field(default=30.0, gt=0)  # hosts that are gone for good
    scope_h: float = Field(default=26.0, ge=0)  # of two scopes of a host both count while both are scanned daily
    window_h: float = Field(default=24.0, gt=0, le=168)  # rows keep news for a week
    alert_max_age_h: float = Field(default=24.0, gt=0)  # what is older was told before, or is no news
    stalled_after_s: float = Field(default=300.0, ge=10)  # without progress for this long the program ends


class Settings(_Section):
    """Everything that can be set. Paths are absolute once resolved."""

    given_state_dir: NamedPath | None = Field(default=None, alias="state_dir")
    host: str | None = Field(default=None, min_length=1)
    knowledge_dirs: tuple[Path, ...] = ()
    policy_files: tuple[Path, ...] = ()
    intel_files: tuple[Path, ...] = ()
    watch: WatchSettings = WatchSettings()
    limits: Limits = Limits()
    output: OutputSettings = OutputSettings()
    kafka: KafkaSettings = KafkaSettings()
    sinks: SinkSettings = SinkSettings()
    fleet: FleetSettings = FleetSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    model: ModelSettings = ModelSettings()
    review: ReviewSettings = ReviewSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()

    @property
    def state_dir(self) -> Path:
        """Say where state is kept.

        Raises:
            ConfigError: if nobody said so and there is no home directory.
        """
        if self.given_state_dir is None:
            raise ConfigError("there is no home directory to keep state in; give --state-dir or set SYSSCAN_STATE_DIR")
        return self.given_state_dir

    @property
    def output_path(self) -> Path:
        """Say where enriched findings go."""
        return self.output.path or self.state_dir / "findings.ndjson"

    @property
    def models_dir(self) -> Path:
        """Say where the registry of models is."""
        return self.model.registry or self.state_dir / "models"


def load_settings(
    environment: Mapping[str, str], flags: Mapping[str, Any], config: Path | None = None, user_id: int | None = None
) -> Settings:
    """Read settings from all their places.

    Args:
        flags: by the names of the fields, sections as nested mappings; None means not given.
        config: a file that must exist; without it the default one is read where it exists.

    Raises:
        ConfigError: names the place and the reason, and the nearest known name where one is unknown.
    """
    default = default_state_dir(environment, user_id)
    values: dict[str, Any] = {} if default is None else {"state_dir": str(default)}
    if _is_there(KNOWLEDGE_DIR, stat.S_ISDIR):
        values["knowledge_dirs"] = [str(KNOWLEDGE_DIR)]
    path = config or (CONFIG_FILE if _is_there(CONFIG_FILE, lambda mode: True) else None)
    places = [
        (str(path), _read_toml(path) if path is not None else {}),
        ("the environment", _read_environment(environment)),
        ("a flag", flags),
    ]
    for _, content in places:
        _merge(values, content)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        whence = next((where for where, content in reversed(places) if _has(content, first["loc"])), "the defaults")
        told = isinstance(first["input"], str | int | float) and not _SECRET.search(name)
        given = f"it is {first['input']!r}, " if told else ""
        if first["type"] == "model_type":
            first["msg"] = "must be a table of settings"
        reason = (
            first["msg"]
            .removeprefix("Value error, ")
            .replace("Input should be", "must be")
            .replace("String should", "must")
            .replace("a valid tuple", "a list")
        )
        raise ConfigError(f"setting {name}: {reason} ({given}from {whence})") from error
    if settings.output.path is not None and settings.output.path in settings.sinks.dead_letters:
        raise ConfigError("setting sinks: a dead_letter is output.path; give it a file of its own")
    for directory in settings.knowledge_dirs:
        if not _is_there(directory, stat.S_ISDIR):  # a misspelt one would be the same as none at all
            raise ConfigError(f"setting knowledge_dirs: {directory}: no such directory; check the name")
    return settings


def default_state_dir(environment: Mapping[str, str], user_id: int | None = None) -> Path | None:
    """Say where state is kept when nobody says otherwise; None for a user who has no home."""
    if user_id is None and hasattr(os, "geteuid"):  # not every system has numbers for its users
        user_id = os.geteuid()
    if user_id == 0:
        return SERVICE_STATE
    service = environment.get("STATE_DIRECTORY")  # set by systemd
    if service:
        return Path(service.split(":")[0])
    base = environment.get("XDG_STATE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "sysscan-agent"
    try:
        home = Path.home()
    except RuntimeError:  # a user number without an entry in /etc/passwd, as in containers
        return None
    return home / ".local" / "state" / "sysscan-agent" if home.is_absolute() else None


def _is_there(path: Path, kind: Callable[[int], bool]) -> bool:
    """Say whether there is something of this kind.

    Raises:
        ConfigError: if that cannot be seen: what an operator set must not lose its effect in silence.
    """
    try:
        return kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"{path}: cannot be looked at: {error.strerror}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(read_regular(path).decode("utf-8-sig"))  # a mark in front is no content
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {why_unreadable(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not TOML: nested too deeply") from error
    _check_names(content, Settings, str(path))
    return content


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(_PREFIX):
            continue
        where = f"environment variable {variable}"
        parts = variable.removeprefix(_PREFIX).lower().split("__")
        nested: Any = _typed(parts, text, where)
        for part in reversed(parts):
            nested = {part: nested}
        _check_names(nested, Settings, where)
        _merge(values, nested)
    return values


def _typed(parts: Sequence[str], text: str, where: str) -> Any:
    """Split what is a list or a table in the settings; the rest is left to validation."""
    if not text:
        raise ConfigError(f"{where}: is empty; unset it, or give it a value")
    kind: Any = Settings
    for part in parts:
        section = _section(kind)
        field = _fields(section).get(part) if section is not None else None
        kind = field.annotation if field is not None else None
    if _tables(kind) is not None:
        raise ConfigError(f"{where}: is a list of tables, which only a settings file can hold")
    if get_origin(kind) is tuple:
        separator = "," if parts[0] == "kafka" else os.pathsep  # HOST:PORT has the separator of paths in it
        return [item for item in text.split(separator) if item]
    if get_origin(kind) is dict:
        pairs = [item.split("=", 1) for item in text.split(",") if item]
        if any(len(pair) != 2 for pair in pairs):
            raise ConfigError(f"{where}: {text!r} is not a list of NAME=VALUE, separated by commas")
        return dict(pairs)
    return text


def _check_names(content: Mapping[str, Any], model: type[BaseModel], where: str, prefix: str = "") -> None:
    for name, value in content.items():
        field = _fields(model).get(name)
        if field is None:
            near = difflib.get_close_matches(name, sorted(_fields(model)), n=1, cutoff=0.0)
            hint = f"; did you mean {prefix}{near[0]}?" if near else ""
            raise ConfigError(f"{where}: no such setting: {prefix}{name}{hint}")
        section = _section(field.annotation)
        if section is not None and isinstance(value, Mapping):
            _check_names(value, section, where, f"{prefix}{name}.")
        tables = _tables(field.annotation)
        if tables is not None and isinstance(value, list):
            for table in value:
                if isinstance(table, Mapping):
                    _check_names(table, tables, where, f"{prefix}{name}.")


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Give the fields of a section by the names that they have in files and variables."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _section(kind: Any) -> type[BaseModel] | None:
    """Return the type of a field if it is a section, which has settings of its own."""
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _tables(kind: Any) -> type[BaseModel] | None:
    """Return the type of the tables that a field is a list of, if it is one."""
    return _section(get_args(kind)[0]) if get_origin(kind) is tuple else None


def _has(content: Any, loc: Sequence[int | str]) -> bool:
    """Say whether a value stands at this place, or at the place of the list that holds it."""
    for part in loc:
        if not isinstance(content, Mapping):
            return True
        if content.get(str(part)) is None:
            return False
        content = content[str(part)]
    return True


def _merge(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    for name, value in source.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = dict(value) if isinstance(value, Mapping) else value
