"""The long-running process and its command line: moves bytes and keeps promises."""

import pipeline  # noqa: F401 - seals the environment, and must do so before a module of ours imports LangGraph
from pipeline.airgap.importing import allow_stand_ins

allow_stand_ins()  # the process is ours
