"""Runs local language models; imports nothing else of this project.

Importing this package silences the runtimes below it, before any of them is loaded. ONNX Runtime from 1.29 on uploads
usage data from Linux as well, with an identifier that it keeps on disk; it decides once for the life of the process,
and `disable_telemetry_events()` comes after the first event. The hub client of
transformers asks the network for files that are here.
"""

import os

QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

os.environ.update(QUIET)
