"""Starts the agent's own `main`, with the wall clock standing still.

Reports without times get their ingest time, so two runs can only agree byte by byte if that is the same.
`launcher.py ARGS` runs `sysscan-agent ARGS`. `launcher.py --serve` imports once, then forks a daemon for each line of
JSON on standard input (the log's path, then the arguments) and answers with its pid: the same code in a process of its
own, without a second of imports each time. With `--held` in front of the arguments it stops before its first step.
"""

import ctypes
import json
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PINNED = 1_800_000_000.0


def agent(arguments: list[str]) -> None:
    sys.argv = ["sysscan-agent", *arguments]
    from daemon.cli.app import main

    main()


def serve() -> None:
    import daemon.cli.run  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        pid = os.fork()
        if not pid:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a test that fails leaves nobody behind
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with open(log, "ab") as file:  # noqa: PTH123
                os.dup2(file.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(2, 1)
            if arguments[0] == "--held":
                del arguments[0]
                os.kill(os.getpid(), signal.SIGSTOP)
            agent(arguments)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    time.time = lambda: PINNED
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        agent(sys.argv[1:])
