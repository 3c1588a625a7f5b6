"""The whole daemon in the test's process, with a real notification socket and a clock that can be moved."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from daemon.checkpoints import Checkpoints
from daemon.compose import open_shard
from daemon.ledger import Ledger
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.service import Service
from daemon.settings import AnalysisSettings, MetricsSettings, OutputSettings, Settings
from daemon.shard import Shard
from daemon.sources.directory.settings import WatchSettings
from daemon.worker import Worker
from pipeline.analysis.question import Analyst
from tests.pipeline.sessions import resources

SCANS = Path(__file__).parents[1] / "data" / "scans"
PATIENCE_S = 30.0  # nothing here takes this long unless it hangs


class House:
    """Attributes:
    haste: how much faster than time the clock runs: waiting between attempts costs nothing then.
    said: datagrams that the service manager got.
    """

    def __init__(
        self,
        base: Path,
        *,
        roots: tuple[str, ...] = ("in",),
        haste: float = 1.0,
        analyst: Analyst | None = None,
        **watch: Any,
    ) -> None:
        self.analyst = analyst
        base.mkdir(exist_ok=True)
        self.base = base
        self.root = base / roots[0]
        self.root.mkdir(exist_ok=True)
        self.output = base / "out.ndjson"
        self.state = base / "state"
        self.wall = 1_800_000_000.0
        self.ahead = 0.0
        self.haste = haste
        self.said: list[str] = []
        self.settings = Settings(
            state_dir=self.state,
            output=OutputSettings(path=self.output),
            analysis=AnalysisSettings(batch_size=64),
            metrics=MetricsSettings(path=base / "metrics.prom", every_s=0.01, listen=str(base / "metrics.sock")),
            watch=WatchSettings(
                **{
                    "roots": tuple(str(base / root) for root in roots),
                    "full_sweep_s": 0.2,
                    "settle_s": 0.05,
                    "rotate_wait_s": 0.1,
                    **watch,
                }
            ),
        )
        self.ledger: Ledger
        self.shard: Shard
        self.worker: Worker
        self.service: Service

    def clock(self) -> float:
        return time.monotonic() * self.haste + self.ahead

    def feed(self, name: str, to: str | None = None) -> Path:
        path = self.root / (to or name)
        shutil.copyfile(SCANS / name, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
        return path

    def run(self, script: Callable[["House"], Awaitable[None]]) -> None:
        """Run the daemon beside a script, then stop it as systemd does."""
        asyncio.run(self._run(script))

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}; said {self.said[-3:]}"
            assert not self._daemon.done(), "the daemon has ended"
            await asyncio.sleep(0.005)
            self._listen()

    async def quiet(self) -> None:
        """Wait until everything that was fed is delivered."""

        def done() -> bool:
            return not self.ledger.waiting().findings and not any(self.ledger.outbox.backlog().values())

        swept = self.said.count("WATCHDOG=1")
        await self.until(lambda: done() and self.said.count("WATCHDOG=1") > swept + 1, "quiet")

    def findings(self) -> list[dict[str, Any]]:
        return [one for one in self.documents() if one["schema"].startswith("sysscan.enriched")]

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_bytes().splitlines()]

    def statuses(self) -> list[str]:
        return [text.removeprefix("STATUS=") for text in self.said if text.startswith("STATUS=")]

    async def _run(self, script: Callable[["House"], Awaitable[None]]) -> None:
        address = self.base / "notify"
        address.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as self._manager,
            Ledger.open(self.state, clock=lambda: self.wall) as self.ledger,
        ):
            self._manager.setblocking(False)
            self._manager.bind(str(address))
            checkpoints = Checkpoints(self.state / "checkpoints.db")
            on = resources(analyst=self.analyst)
            self.shard = open_shard(self.settings, self.ledger, on, checkpoints, clock=self.clock)
            self.worker = self.shard.worker
            notifier = Notifier({"NOTIFY_SOCKET": str(address)})
            self.service = Service([self.shard], self.settings.metrics, notifier, Metrics(), self.clock)
            self._daemon = asyncio.ensure_future(self.service.run())
            try:
                await script(self)
                if not self._daemon.done():
                    os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.wait_for(self._daemon, PATIENCE_S)
            finally:
                self._daemon.cancel()
                self._listen()
                checkpoints.close()

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said.append(self._manager.recv(4096).decode())
