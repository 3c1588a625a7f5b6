"""A model that another program on this machine runs, behind OpenAI's interface: llama.cpp's server, vLLM, Ollama.

What the server says of its model, and what is sent with each question, is the name that answers are kept under. Whether
two answers to one question are the same is the server's to keep.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.engine.address import Address, parse_address
from pipeline.engine.errors import ModelDamaged, ModelMissing, Refusal, RuntimeFault, Unfinished, Unsupported
from pipeline.engine.exchange import exchange
from pipeline.engine.generator import Grammar
from pipeline.engine.messages import Start
from pipeline.engine.probe import Speed
from pipeline.engine.runtimes import ENDPOINT

LOOK_S = 5.0  # for what a server knows without computing
FAILURES = 3  # in a row, and the server is left alone for `REST_S`
REST_S = 60.0

_MODELS, _CHAT = "/v1/models", "/v1/chat/completions"
_SYSTEM = "You analyse security findings. Answer with one JSON object of the form that is asked for, in plain English."
# llama.cpp's server rounds otherwise where it finds a part of the prompt in its cache; others do not know the key.
_SENT = {"temperature": 0, "top_p": 1, "seed": 1, "n": 1, "stream": False, "cache_prompt": False}
# Of what a server says of its model; the rest are times and permissions, which change from call to call.
_TELLING = ("id", "owned_by", "root", "max_model_len", "meta")
_TRIAL = Grammar.of(  # what no model would say by itself
    {
        "type": "object",
        "properties": {"word": {"enum": ["quarfeld-7"]}},
        "required": ["word"],
        "additionalProperties": False,
    }
)
_TRIAL_TOKENS = 32


class Endpoint:
    """A model behind an address, as whoever asks it sees it: `Weights`."""

    weight_bytes = 0
    num_shipped = 0

    def __init__(self, address: Address, model: str, timeout_s: float) -> None:
        """Ask the server which models it has.

        Args:
            model: its name there; empty for the only one.
            timeout_s: for an answer.

        Raises:
            ModelMissing: if the server does not have it, or several and none is named.
            RuntimeFault: if there is no server, or none that answers as agreed.
        """
        self.address = address
        self.timeout_s = timeout_s
        self.model, self.generator_digest = look(address, model)

    @property
    def name(self) -> str:
        """The name of the model at the server without the directory that many put before it, and its digest."""
        return f"{self.model.rstrip('/').rpartition('/')[2]}@{self.generator_digest[:12]}"

    @property
    def digest(self) -> str:
        """A digest of everything that is known of what answers depend on, besides prompt, grammar and limit."""
        return self.generator_digest

    def start(self) -> Start:
        """Tell the process that asks it what to ask."""
        return Start(self.address.text, False, ENDPOINT, 0, "", self.generator_digest, self.model, self.timeout_s)

    def shipped_answer(self, prompt: str, grammar: Grammar) -> str | None:
        """Return None: it brings no answers along."""
        return None


class EndpointGenerator:
    """A `Generator` that asks the server."""

    def __init__(
        self,
        address: Address,
        model: str,
        digest: str,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find out how the server takes a schema.

        Raises:
            ModelDamaged: if it has another model than the one with this digest.
            Unsupported: if it holds answers to no schema.
            RuntimeFault: if it cannot be asked.
        """
        self._address = address
        self._model = model
        self._digest = digest
        self._timeout_s = timeout_s
        self._clock = clock
        self._failures = 0
        self._rest_until = -math.inf
        self.num_computed = 0
        self._form = 0
        self._require_same()
        self.tokens_per_s = self._try_forms()

    @property
    def digest(self) -> str:
        """A digest of everything that is known of what answers depend on, besides prompt, grammar and limit."""
        return self._digest

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer a prompt; see `Generator`.

        Raises:
            Unfinished: if the answer is not complete after `max_tokens`.
            ModelDamaged: if another model is behind the address by now.
            RuntimeFault: if there is no answer; at once for a while, when that happened several times in a row.
        """
        if self._clock() < self._rest_until:
            raise RuntimeFault(
                f"{self._address.text}: failed {FAILURES} times in a row, and is not asked for {REST_S:g} s"
            )
        try:
            self._require_same()  # before each: it costs nothing beside an answer
            text = self._ask(prompt, grammar, max_tokens)
        except Refusal:
            raise  # of this one question
        except RuntimeFault:
            self._failures += 1
            if self._failures >= FAILURES:
                self._failures, self._rest_until = 0, self._clock() + REST_S
            raise
        self._failures = 0
        return text

    def measure(self, rounds: int) -> Speed:
        """Tell how fast the trial was answered; asking more would cost somebody else's time."""
        return Speed(self.tokens_per_s, self.tokens_per_s)

    def probe(self) -> float:
        """Return tokens a second, about."""
        return self.tokens_per_s

    def close(self) -> None:
        """Nothing to give back."""

    def _require_same(self) -> None:
        _, digest = look(self._address, self._model)
        if digest != self._digest:
            raise ModelDamaged(
                f"{self._address.text}: {self._model} is not what it was when this program began; reload the daemon"
            )

    def _try_forms(self) -> float:
        """Ask for a word that only the schema names, in each form of asking, until one is held; tokens a second."""
        said = "nothing"
        for self._form in range(len(_FORMS)):
            begin, computed = time.perf_counter(), self.num_computed
            try:
                said = self._ask("Say hello.", _TRIAL, _TRIAL_TOKENS)
                if json.loads(said) == {"word": "quarfeld-7"}:
                    return max(1, self.num_computed - computed) / (time.perf_counter() - begin)
            except Refusal as error:
                said = str(error)
            except (ValueError, Unfinished, RecursionError):
                continue
        raise Unsupported(
            f"{self._address.text}: does not hold its answers to a JSON schema, but said "
            f"{' '.join(said.split())[:200]!r}; use a server that does, such as llama.cpp's, vLLM or Ollama"
        )

    def _ask(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        body = {
            **_SENT,
            "model": self._model,
            "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "response_format": _FORMS[self._form](json.loads(grammar.schema)),
        }
        reply = exchange(self._address, _CHAT, body, timeout_s=self._timeout_s)
        try:
            choice = reply["choices"][0]
            text, reason = choice["message"]["content"], choice.get("finish_reason")
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise RuntimeFault(f"{self._address.text}: a reply without an answer in it") from error
        usage = reply.get("usage")
        if isinstance(usage, dict) and isinstance(usage.get("total_tokens"), int):
            self.num_computed += max(0, usage["total_tokens"])
        if reason == "length":
            raise Unfinished(f"the answer is not complete after {max_tokens} tokens")
        if not isinstance(text, str):
            raise RuntimeFault(f"{self._address.text}: a reply without a text in it")
        return text


def open_endpoint(start: Start) -> EndpointGenerator:
    """Make the generator that `Endpoint.start` describes.

    Raises:
        EngineError: as `EndpointGenerator`.
    """
    return EndpointGenerator(parse_address(start.directory), start.model, start.digest, start.timeout_s)


def look(address: Address, model: str) -> tuple[str, str]:
    """Ask a server which models it has; return the name of the one that is meant, and its digest.

    Raises:
        ModelMissing: if it does not have it, or several and none is named.
        RuntimeFault: if it does not answer as agreed.
    """
    reply = exchange(address, _MODELS, timeout_s=LOOK_S)
    listed = reply.get("data") if isinstance(reply, dict) else None
    found: dict[str, Mapping[str, Any]] = {
        one["id"]: one
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict) and isinstance(one.get("id"), str) and one["id"].isprintable()
    }
    shown = ", ".join(sorted(found))[:300] or "none"
    if model and model not in found:
        raise ModelMissing(
            f"{address.text}: has no model {model!r}, only {shown}; set model.endpoint_model to one of them"
        )
    if not model and len(found) != 1:
        raise ModelMissing(
            f"{address.text}: has {len(found)} models ({shown}); set model.endpoint_model to one of them"
        )
    name = model or next(iter(found))
    said = {key: found[name][key] for key in _TELLING if key in found[name]}
    body = json.dumps({"said": said, "sent": _SENT, "system": _SYSTEM}, sort_keys=True)
    return name, hashlib.sha256(body.encode()).hexdigest()


def _as_json_schema(schema: object) -> dict[str, Any]:
    """OpenAI's own form, which llama.cpp's server, vLLM and Ollama take."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def _as_json_object(schema: object) -> dict[str, Any]:
    """The form of llama-cpp-python's server."""
    return {"type": "json_object", "schema": schema}


_FORMS = (_as_json_schema, _as_json_object)
