"""Settings of the directory source."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Period = Annotated[float, Field(ge=0.05, le=86_400)]  # shorter would be no rest at all

DEFAULT_NAMES = ("*.json", "*.ndjson", "*.jsonl", "*.sarif")


class WatchSettings(BaseModel):
    """How directories are watched.

    Attributes:
        roots: directories (read with everything below them) or single files.
        names: shell patterns; each also stands for its rotated forms (`.1`, `-20261104`) and those with `.gz`.
        bind: directory to host name: every report below it is that host's, whatever it says of itself.
        watch: ``auto`` uses inotify and falls back to polling, ``poll`` is for file systems without events (NFS).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    roots: tuple[str, ...] = ()
    names: tuple[str, ...] = DEFAULT_NAMES
    bind: dict[str, str] = Field(default_factory=dict)
    watch: Literal["auto", "poll"] = "auto"
    full_sweep_s: Period = 10.0  # what events miss is found after this time at the latest
    poll_s: Period = 1.0  # between full sweeps where there are no events
    debounce_s: Seconds = 0.02  # a writer's burst of events becomes one sweep
    settle_s: Seconds = 1.0  # a document that is not JSON is refused only when it has stood still for this long
    incomplete_after_s: Seconds = 60.0  # the slowest scanner that still writes has paused less than this
    stream_idle_s: Seconds = 30.0  # a burst of NDJSON that stops growing for this long is closed
    rotate_wait_s: Seconds = 5.0  # a writer reopens its file well within this time after a rotation
    forget_after_s: Seconds = 3600.0  # a file that is gone may come back (remount, move) within this time
    chunk_bytes: Annotated[int, Field(ge=4096)] = 1 << 20  # one transaction; about 50 ms of parsing
    max_open_files: Annotated[int, Field(ge=8)] = 256  # of descriptors held; a quarter of the usual limit of 1,024
