"""A shortage of descriptors for a moment, while modules are listed, leaves no finding without its analysis."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.cases.scene import AGENT, emitted, end, give_up, publish, start

if not shutil.which("strace"):
    give_up("needs strace")
first = Path(shutil.which(AGENT) or AGENT).read_bytes().splitlines()[0]
python = first.decode().strip().removeprefix("#!")
asked = subprocess.run(
    [python, "-c", "import pipeline.features as f; print(f.__path__[0])"], capture_output=True, text=True, cwd="/"
)
finding = {
    "id": "/proc/sys/kernel/kptr_restrict", "title": "/proc/sys/kernel/kptr_restrict", "severity": "low",
    "description": "Kernel pointer addresses restricted", "base_severity_score": "30",
    "metadata": {"current": "0", "desired": "1", "status": "mismatch"},
}  # fmt: skip
results = [{"scanner": "kernel_params", "findings": [finding]}]
publish("a.json", json.dumps({"meta": {"hostname": "h0"}, "results": results}).encode())
code = start(
    "strace", "-f", "-qq", "-o", "/dev/null", "-P", asked.stdout.strip(), "-e", "trace=openat",
    "-e", "inject=openat:error=EMFILE:when=2", more=["--once"],
).wait(90)  # fmt: skip
bad = [line for line in emitted() if (line["analysis"] or {}).get("fallback_reason") == "internal_error"]
end(f"{len(bad)} of {len(emitted())} findings were delivered as internal_error, exit code {code}" if bad else None)
