"""A real server with a real model that was never trained on our prompts: llama.cpp's, with SmolLM2 of 135 M."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.address import parse_address
from pipeline.engine.endpoint import Endpoint, open_endpoint
from pipeline.engine.generator import Grammar
from tests.pipeline.sessions import SCANS

PYTHON = os.environ.get("ENDPOINT_PYTHON")
SCAN = SCANS / "micro-sockets.json"
PATIENT_S = 600.0  # nothing takes as long but on a machine that is very busy


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    assert PYTHON is not None
    program = Path(__file__).with_name("llama_server.py")
    with subprocess.Popen(
        [PYTHON, str(program), "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def analyze(address: str, state: Path) -> tuple[list[dict[str, Any]], str]:
    environment = {
        **os.environ,
        "SYSSCAN_MODEL__ENDPOINT": address,
        "SYSSCAN_MODEL__ENDPOINT_TIMEOUT_S": str(PATIENT_S),
        "SYSSCAN_STATE_DIR": str(state),
    }
    script = "from daemon.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "analyze", str(SCAN)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line["analysis"] for line in lines if "analysis" in line], done.stderr


def test_it_holds_to_a_schema_and_says_the_same_twice(server: str) -> None:
    generator = open_endpoint(Endpoint(parse_address(server), "", PATIENT_S).start())
    rule = {"type": "string", "pattern": r"^[A-Z][a-z ]*\.$", "minLength": 5, "maxLength": 40}
    schema = Grammar.of(
        {
            "type": "object",
            "properties": {"level": {"enum": ["low", "high"]}, "text": rule, "action": {"enum": ["a.b", None]}},
            "required": ["level", "text", "action"],
            "additionalProperties": False,
        }
    )
    asked = ("Is an open port a risk?", "Is a port that is closed one?", "Is an open port a risk?")
    first, _, again = (generator.generate(prompt, schema, 64) for prompt in asked)
    assert first == again
    said = json.loads(first)
    assert list(said) == ["level", "text", "action"]
    assert said["level"] in ("low", "high") and said["action"] in ("a.b", None)
    assert generator.num_computed > 20


def test_a_report_is_analysed_with_it_and_without_it_when_it_has_gone(server: str, tmp_path: Path) -> None:
    """What it says may be refused or have no end, being a small model that nobody taught; it is asked all the same."""
    said, told = analyze(server, tmp_path)
    reasons = {one["fallback_reason"] for one in said}
    assert reasons <= {None, "rejected", "model_failed"}, told
    assert "model_failed" not in reasons or "the answer is not complete after 256 tokens" in told
    assert all((one["model"] or "SmolLM2").startswith("SmolLM2") for one in said)
    gone, told = analyze("http://127.0.0.1:1", tmp_path / "other")
    assert {(one["origin"], one["fallback_reason"]) for one in gone} == {("rules", "no_model")}
    assert "does the server run?" in told
