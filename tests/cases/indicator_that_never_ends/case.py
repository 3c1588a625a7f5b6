"""A regular expression in an indicator cannot run for ever, whatever it repeats."""

import json
import subprocess

from tests.cases.scene import AGENT, CONFIG, ENVIRONMENT, STATE, WORK, end, report

pattern = ".{0,500}" * 6 + "!"
indicator = {
    "type": "indicator", "spec_version": "2.1", "id": "indicator--00000000-0000-4000-8000-000000000001",
    "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z", "valid_from": "2020-01-01T00:00:00Z",
    "pattern_type": "stix", "pattern": f"[file:name MATCHES '{pattern}']",
}  # fmt: skip
bundle = {"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [indicator]}
(WORK / "feed.json").write_text(json.dumps(bundle))
(WORK / "report.json").write_bytes(report("h0", ["/usr/local/bin/" + "a" * 240, "/usr/local/bin/" + "a" * 490]))
try:
    subprocess.run(
        [AGENT, "analyze", WORK / "report.json", "--intel", WORK / "feed.json", "--config", CONFIG,
         "--state-dir", STATE], env=ENVIRONMENT, timeout=30, stdout=subprocess.DEVNULL,
    )  # fmt: skip
except subprocess.TimeoutExpired:
    end("one indicator and two findings take more than 30 s")
end(None)
