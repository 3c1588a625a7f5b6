"""The agent, with a model that takes a fixed time for each scan and no processor: `benchmarks.kafka workers` runs it.

    python -m benchmarks.waiting_worker SECONDS run ...

Like the real model it has a process's worth of attention: the scans of all partitions of a worker wait for it one after
the other, and everything else goes on meanwhile. The rules then answer as they always do.
"""

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from daemon.cli.app import main
from daemon.worker import Worker


def slow_down(seconds: float) -> None:
    """Have each scan wait before its first batch."""
    model = ThreadPoolExecutor(1)
    asked: dict[tuple[int, int], Future[Any]] = {}
    run = Worker._run

    def wait_and_run(self: Worker, job: Any, batch: Any) -> None:
        answer = asked.get((id(self), job.scan.scan_no))
        if answer is None:
            answer = asked[id(self), job.scan.scan_no] = model.submit(time.sleep, seconds)
        if answer.done():
            run(self, job, batch)
        else:
            self.awaited.expect((answer,))

    Worker._run = wait_and_run  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down(float(sys.argv.pop(1)))
    main()
