"""What `doctor` says of the sinks that send over a network."""

import stat
from collections.abc import Callable, Iterator
from functools import partial

from daemon.settings import Settings
from daemon.sinks.http.probe import probe_http
from daemon.sinks.network.secrets import secret_path
from daemon.sinks.network.settings import NetworkSettings
from daemon.sinks.opensearch.probe import probe_opensearch
from daemon.sinks.syslog.probe import probe_syslog
from pipeline.checks import Check
from pipeline.errors import SinkError

_SECRETS = ("password_file", "token_file", "secret_file", "api_key_file")
_ADVICE = "the daemon runs, and records wait in its ledger until it is mended"


def check_sinks(settings: Settings) -> list[Check]:
    """Ask each as the daemon would, and write nothing to it."""
    sinks = settings.sinks
    asked: list[tuple[str, NetworkSettings, Callable[[], str]]] = [
        *((f"http:{one.name}", one, partial(probe_http, one)) for one in sinks.http),
        *((f"opensearch:{one.name}", one, partial(probe_opensearch, one)) for one in sinks.opensearch),
        *((f"syslog:{one.name}", one, partial(probe_syslog, one)) for one in sinks.syslog),
    ]
    return [check for name, one, probe in asked for check in (_answer(name, probe), *_readable(name, one))]


def _answer(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check("sink", "ok", f"{name}: {probe()}")
    except SinkError as error:
        return Check("sink", "problem", str(error), _ADVICE)


def _readable(name: str, settings: NetworkSettings) -> Iterator[Check]:
    """Warn of a secret that everybody on this machine can read."""
    for setting in _SECRETS:
        place = getattr(settings, setting, None)
        if place is None:
            continue
        try:
            path = secret_path(place)
            mode = path.stat().st_mode
        except (OSError, SinkError):  # the probe has said so
            continue
        if mode & stat.S_IROTH:
            yield Check("sink", "warning", f"{name}: {setting} can be read by everybody", f"chmod o-r {path}")
