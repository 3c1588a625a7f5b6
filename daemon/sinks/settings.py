"""The settings of all sinks that records go to beside the file and Kafka."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from daemon.sinks.http.settings import HttpSettings
from daemon.sinks.network.settings import HttpAccess, NetworkSettings
from daemon.sinks.opensearch.settings import OpenSearchSettings
from daemon.sinks.syslog.settings import SyslogSettings


class SinkSettings(BaseModel):
    """Where records go besides; any number of each kind, each with a name of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http: tuple[HttpSettings, ...] = ()
    opensearch: tuple[OpenSearchSettings, ...] = ()
    syslog: tuple[SyslogSettings, ...] = ()

    @property
    def every(self) -> tuple[NetworkSettings, ...]:
        """List them all."""
        return (*self.http, *self.opensearch, *self.syslog)

    @property
    def dead_letters(self) -> tuple[Path, ...]:
        """List the files that records go to which nobody takes."""
        return tuple(one.dead_letter for one in self.every if isinstance(one, HttpAccess) and one.dead_letter)

    @model_validator(mode="after")
    def _told_apart(self) -> "SinkSettings":
        for kind in ("http", "opensearch", "syslog"):
            names = [one.name for one in getattr(self, kind)]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ValueError(f"two of sinks.{kind} are named {twice!r}; the mark of a sink is kept under its name")
        if len(set(self.dead_letters)) < len(self.dead_letters):
            raise ValueError("two sinks have one dead_letter; give each a file of its own")
        return self
