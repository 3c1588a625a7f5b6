"""A model that another program on this machine runs: asked under a schema, within bounds, and never anybody else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engine import endpoint
from pipeline.engine.address import parse_address
from pipeline.engine.endpoint import Endpoint, EndpointGenerator, open_endpoint
from pipeline.engine.errors import (
    EngineError,
    ModelDamaged,
    ModelMissing,
    Refusal,
    RuntimeFault,
    Unfinished,
    Unsupported,
)
from pipeline.engine.generator import Grammar
from tests.pipeline.engine.model_server import FORMS, ModelServer, serving

COLOUR = Grammar.of(
    {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
)
PATIENT_S = 60.0  # nothing here takes as long
SHORT_S = 0.5  # what does not end is ended after it


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving() as one:
        yield one


def opened(server: ModelServer, model: str = "", timeout_s: float = PATIENT_S) -> EndpointGenerator:
    return open_endpoint(Endpoint(parse_address(server.address), model, timeout_s).start())


@pytest.mark.parametrize("form", FORMS)
def test_it_is_asked_under_the_schema_in_the_form_that_it_takes(form: str) -> None:
    with serving(form) as server:
        generator = opened(server)
        assert json.loads(generator.generate("Which?", COLOUR, 32)) == {"colour": "red"}
        last = server.asked[-1]
        assert (last["temperature"], last["seed"], last["max_tokens"], last["stream"]) == (0, 1, 32, False)
        assert last["messages"][-1] == {"role": "user", "content": "Which?"}
        assert json.loads(COLOUR.schema) in (
            last["response_format"].get("schema"),
            *last["response_format"].get("json_schema", {}).values(),
        )
        assert (generator.num_computed, generator.probe() > 0) == (80, True)


def test_a_unix_socket_serves_as_well(tmp_path: Path) -> None:
    with serving(socket=tmp_path / "model.sock") as server:
        assert json.loads(opened(server).generate("Which?", COLOUR, 32)) == {"colour": "red"}


def test_proxies_of_the_environment_are_not_asked(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:1")
    assert opened(server).generate("Which?", COLOUR, 32)


def test_answers_are_named_after_what_the_server_says_of_its_model(server: ModelServer) -> None:
    address = parse_address(server.address)
    first = Endpoint(address, "", PATIENT_S)
    assert Endpoint(address, "tiny", 1.0).digest == first.digest, "neither a time nor the patience belongs to it"
    assert first.name == f"tiny@{first.digest[:12]}"
    server.models[0]["meta"] = {"n_params": 134_515_008}
    assert Endpoint(address, "", PATIENT_S).digest != first.digest


def test_of_several_models_one_has_to_be_named(server: ModelServer) -> None:
    server.models.append({"id": "other"})
    address = parse_address(server.address)
    assert Endpoint(address, "other", PATIENT_S).model == "other"
    with pytest.raises(ModelMissing, match=r"has 2 models \(other, tiny\); set model\.endpoint_model"):
        Endpoint(address, "", PATIENT_S)
    with pytest.raises(ModelMissing, match="has no model 'third', only other, tiny"):
        Endpoint(address, "third", PATIENT_S)
    server.models.clear()
    with pytest.raises(ModelMissing, match="has 0 models"):
        Endpoint(address, "", PATIENT_S)


@pytest.mark.parametrize("fault", ["lies", "beyond", "cut"])
def test_one_that_holds_to_no_schema_is_refused_before_it_is_asked(fault: str, server: ModelServer) -> None:
    server.fault = fault
    with pytest.raises(Unsupported, match=r"does not hold its answers to a JSON schema.*llama\.cpp") as refused:
        opened(server)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("cut", Unfinished, "not complete after 32 tokens"),
        ("wordless", RuntimeFault, "a reply without a text in it"),
        ("empty", RuntimeFault, "a reply without an answer in it"),
        ("broken", RuntimeFault, r"status 500\): out of memory"),
        ("refuses", Refusal, r"status 400\): the prompt exceeds the context"),
        ("redirects", RuntimeFault, "redirects to elsewhere .* not followed"),
        ("no JSON", RuntimeFault, "no JSON: <html> hello</html>"),
        ("huge", RuntimeFault, "more than 1 MiB"),
        ("hangs", RuntimeFault, r"no answer within 0\.5 s"),
    ],
)
def test_each_fault_is_one_line_and_the_next_question_is_answered(
    fault: str, error: type[EngineError], says: str, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = opened(server)
    monkeypatch.setattr(generator, "_timeout_s", SHORT_S)
    monkeypatch.setattr(endpoint, "LOOK_S", SHORT_S)
    server.fault = fault
    with pytest.raises(error, match=says) as failed:
        generator.generate("Which?", COLOUR, 32)
    assert "\n" not in str(failed.value)
    server.fault = None
    monkeypatch.setattr(generator, "_timeout_s", PATIENT_S)
    monkeypatch.setattr(endpoint, "LOOK_S", PATIENT_S)
    assert generator.generate("Which?", COLOUR, 32)


def test_one_that_is_down_is_said_to_be(server: ModelServer) -> None:
    with serving() as gone:
        generator = opened(gone)
    with pytest.raises(RuntimeFault, match=r"no answer: Connection refused; does the server run\?"):
        generator.generate("Which?", COLOUR, 32)
    with pytest.raises(RuntimeFault, match="does the server run"):
        Endpoint(parse_address(gone.address), "", PATIENT_S)
    with pytest.raises(RuntimeFault, match="No such file"):
        Endpoint(parse_address("unix:/nonexistent/model.sock"), "", PATIENT_S)


def test_one_that_fails_again_and_again_is_left_alone_for_a_while(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    generator = opened(server)
    monkeypatch.setattr(generator, "_clock", lambda: now[0])
    for fault in (*["refuses"] * 9, *["broken"] * endpoint.FAILURES):
        server.fault = fault
        with pytest.raises(RuntimeFault):
            generator.generate("Which?", COLOUR, 32)
    server.fault, asked = None, len(server.asked)
    with pytest.raises(RuntimeFault, match="failed 3 times in a row, and is not asked for 60 s"):
        generator.generate("Which?", COLOUR, 32)
    assert len(server.asked) == asked
    now[0] += endpoint.REST_S
    assert generator.generate("Which?", COLOUR, 32)


def test_another_model_behind_the_address_does_not_answer_under_the_old_name(server: ModelServer) -> None:
    generator = opened(server)
    asked = len(server.asked)
    server.models[0]["owned_by"] = "somebody else"
    with pytest.raises(ModelDamaged, match="not what it was when this program began; reload the daemon"):
        generator.generate("Which?", COLOUR, 32)
    assert len(server.asked) == asked
