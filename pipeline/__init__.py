"""What a finding goes through: pure functions from report, policy and knowledge to an enriched finding."""

import os

from pipeline.airgap.environment import seal

# Here, because it must come before anything of ours can import LangGraph.
seal(os.environ)
