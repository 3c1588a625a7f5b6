"""The model in a process of its own: answers to whoever asked, and one line for whatever happens to it."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

import daemon.supervisor
from daemon.child import Child
from daemon.inference import ModelProcess
from daemon.patience import Patience
from pipeline.engine.errors import EngineError, ModelDamaged, NotEnoughMemory, RuntimeFault, TooLong, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.manifest import relist
from pipeline.engine.messages import MAX_BYTES
from pipeline.engine.model import Model
from pipeline.engine.shipped import answer_key, write_answers
from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.shortage import is_shortage
from tests.pipeline.engine.directories import lay_out

GRAMMAR = Grammar("{}")
COLOUR = Grammar.of(
    {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
)
# Nothing here takes as long; a fault is seen at once.
QUICK = Patience(load_s=20.0, answer_s=0.5, factor=0.0, back_off_s=(0.0, 0.01), deaths=8, rest_s=60.0)
LIMIT_S = 60.0

Make = Callable[..., ModelProcess]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Give a model without weights that brings one answer along."""
    place = tmp_path / "model"
    weights = lay_out(place).part_digest("onnx")
    write_answers(place, weights, {answer_key("known", GRAMMAR): "said before"})
    relist(place, {})
    return place


@pytest.fixture
def make(directory: Path, tmp_path: Path) -> Iterator[Make]:
    """Give a maker of processes with a fault; all are ended afterwards."""
    made: list[ModelProcess] = []

    def new(mode: str = "well", patience: Patience = QUICK, **more: Any) -> ModelProcess:
        program = [sys.executable, "-P", str(Path(__file__).with_name("faulty_model.py")), mode, str(tmp_path)]
        made.append(ModelProcess(Model(directory), patience, command=more.pop("command", program), **more))
        return made[-1]

    yield new
    for one in made:
        one.close()


@pytest.fixture
def shipped() -> Iterator[ModelProcess]:
    """Give the model that comes along, asked everything."""
    process = ModelProcess(Model(EMBEDDED_MODEL, shipped=False))
    yield process
    process.close()


def starts(tmp_path: Path) -> int:
    path = tmp_path / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def ask(process: ModelProcess, prompt: str) -> str:
    return process.submit(prompt, GRAMMAR, 16).result(LIMIT_S)


def refusal(process: ModelProcess, prompt: str = "x") -> EngineError:
    with pytest.raises(EngineError) as caught:
        ask(process, prompt)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
    return caught.value


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Answers


def test_no_process_is_started_for_an_answer_that_was_shipped(make: Make, tmp_path: Path) -> None:
    process = make()
    assert ask(process, "known") == "said before"
    assert (process.pid, starts(tmp_path), process.num_shipped, process.num_fresh) == (None, 0, 1, 0)
    assert ask(process, "new") == "new!"
    assert (starts(tmp_path), process.num_fresh, process.health.deaths) == (1, 1, 0)


def test_askers_on_several_threads_get_their_own_answers_from_one_process(make: Make, tmp_path: Path) -> None:
    process = make()
    answers: dict[str, list[str]] = {}

    def work(name: str) -> None:
        futures = [process.submit(f"{name}{number}", GRAMMAR, 16) for number in range(40)]
        answers[name] = [future.result(LIMIT_S) for future in futures]

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {name: [f"{name}{number}!" for number in range(40)] for name in ("a", "b")}
    assert starts(tmp_path) == 1


def test_one_asker_s_faulty_question_leaves_the_other_s_alone(make: Make) -> None:
    process = make()
    faulty = process.submit("die/x", GRAMMAR, 16)
    others = [process.submit(f"{number}", GRAMMAR, 16) for number in range(20)]
    assert [future.result(LIMIT_S) for future in others] == [f"{number}!" for number in range(20)]
    assert isinstance(faulty.exception(LIMIT_S), RuntimeFault)


def test_questions_that_kill_are_found_among_those_that_were_asked_with_them(make: Make, tmp_path: Path) -> None:
    process = make()
    prompts = ["1", "die/a", "2", "die/b", *map(str, range(3, 20))]
    futures = {prompt: process.submit(prompt, GRAMMAR, 16) for prompt in prompts}
    wait(futures.values(), LIMIT_S)
    killers = [prompt for prompt, future in futures.items() if future.exception() is not None]
    assert killers == ["die/a", "die/b"]
    assert starts(tmp_path) <= 2 + 2 * QUICK.deaths_of_one
    assert process.health.refused is None


def test_an_engine_s_error_comes_back_as_what_it_was(make: Make) -> None:
    assert isinstance(refusal(make(), "/error: too long"), TooLong)


def test_a_question_that_is_too_long_for_a_message_is_refused_without_a_process(make: Make, tmp_path: Path) -> None:
    process = make()
    assert isinstance(refusal(process, "é" * (MAX_BYTES // 4)), TooLong)
    assert starts(tmp_path) == 0
    assert ask(process, "x" * (MAX_BYTES // 2)).endswith("!"), "more than the socket takes at once"


# Deaths


@pytest.mark.parametrize("fault", ["die", "leave", "memory", "stop", "hang", "rubbish", "unasked", "ready", "flood"])
def test_a_question_is_asked_again_after_a_death_and_gets_its_answer(fault: str, make: Make, tmp_path: Path) -> None:
    process = make()
    futures = [process.submit(prompt, GRAMMAR, 16) for prompt in ("first", f"once-{fault}/second", "third")]
    assert [future.result(LIMIT_S) for future in futures] == ["first!", "second!", "third!"]
    assert (process.health.deaths, process.health.refused, starts(tmp_path)) == (1, None, 2)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("die", "killed by signal 9 (SIGKILL)"),
        ("leave", "exit status 1; it said: ImportError: libgone.so"),
        ("memory", "it said: MemoryError"),
        ("hang", "no answer came in time, so it was ended"),
        ("rubbish", "does not speak as agreed"),
    ],
)
def test_a_question_that_kills_is_refused_in_one_line_and_remembered(
    fault: str, reason: str, make: Make, tmp_path: Path
) -> None:
    process = make()
    assert reason in str(refusal(process, f"{fault}/x"))
    assert starts(tmp_path) == QUICK.deaths_of_one
    assert reason in str(refusal(process, f"{fault}/x"))
    assert starts(tmp_path) == QUICK.deaths_of_one, "not asked again"
    assert ask(process, "well") == "well!"
    assert process.health.refused is None


@pytest.mark.parametrize("mode", ["die", "leave", "rubbish", "memory", "unasked"])
def test_a_process_that_never_loads_is_given_up_after_so_many_deaths(mode: str, make: Make, tmp_path: Path) -> None:
    process = make(mode)
    futures = [process.submit(f"{number}", GRAMMAR, 16) for number in range(5)]
    wait(futures, LIMIT_S)
    for future in futures:
        assert isinstance(future.exception(), RuntimeFault)
        assert f"died {QUICK.deaths} times in a row" in str(future.exception())
    assert len({id(future.exception()) for future in futures}) == 5, "raising one adds to it"
    assert starts(tmp_path) == QUICK.deaths
    refusal(process)
    assert starts(tmp_path) == QUICK.deaths, "left alone"
    assert process.health.refused is not None and "\n" not in process.health.refused
    assert ask(process, "known") == "said before"


def test_a_model_that_was_given_up_is_tried_again_after_a_rest(make: Make, tmp_path: Path) -> None:
    ahead = [0.0]
    process = make("leave", clock=lambda: time.monotonic() + ahead[0])
    refusal(process)
    ahead[0] = QUICK.rest_s + 1
    assert process.health.refused is None
    refusal(process)
    assert starts(tmp_path) == QUICK.deaths + 1, "one more death is enough"


def test_a_process_that_does_not_load_in_time_is_ended(make: Make) -> None:
    patience = Patience(load_s=0.3, load_bytes_per_s=1e12, back_off_s=(0.0,), deaths=2)
    assert "it was not loaded in time" in str(refusal(make("hang", patience)))


def test_a_command_that_is_not_there_is_one_line(make: Make) -> None:
    assert "cannot be started: No such file" in str(refusal(make(command=["/nowhere/python"])))


def test_a_host_that_has_run_out_of_something_is_not_the_models_fault(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asker is told what is wrong, however often, and the process is as new when there is more."""

    def no_descriptors(command: Sequence[str], unpacker: object) -> Child[object]:
        raise OSError(errno.EMFILE, "Too many open files")

    process = make()
    with monkeypatch.context() as patched:
        patched.setattr(daemon.supervisor, "Child", no_descriptors)
        for _ in range(2 * QUICK.deaths):
            with pytest.raises(OSError, match="Too many open files") as caught:
                process.submit("question", GRAMMAR, 8).result(LIMIT_S)
            assert is_shortage(caught.value)
    assert (process.health.deaths, process.health.refused) == (0, None)
    assert process.submit("question", GRAMMAR, 8).result(LIMIT_S)


@pytest.mark.parametrize("kind", ["Unsupported", "ModelDamaged", "NotEnoughMemory"])
def test_a_model_that_cannot_be_loaded_is_not_tried_again_and_again(kind: str, make: Make, tmp_path: Path) -> None:
    process = make(f"failed-{kind}")
    for _ in range(3):
        error = refusal(process)
        assert (type(error).__name__, str(error)) == (kind, "as it was told")
    assert (starts(tmp_path), process.health.deaths) == (1, 0)


def test_too_little_memory_is_looked_at_again_after_a_rest_and_a_damaged_model_is_not(
    make: Make, tmp_path: Path
) -> None:
    ahead = [0.0]
    for kind, more in (("NotEnoughMemory", 1), ("ModelDamaged", 0)):
        process = make(f"failed-{kind}", clock=lambda: time.monotonic() + ahead[0])
        refusal(process)
        before = starts(tmp_path)
        ahead[0] += QUICK.rest_s + 1
        refusal(process)
        assert starts(tmp_path) - before == more


def test_an_answer_may_take_in_proportion_to_the_speed(make: Make) -> None:
    """At 1,000 tokens/s, 16 tokens and a prompt of 2 letters take 17 ms; so 0.5 s are allowed, or 3 s."""
    for factor, least, most in ((0.0, 0.5, 2.5), (180.0, 3.0, 8.0)):
        patience = Patience(answer_s=0.5, factor=factor, back_off_s=(0.0,), deaths_of_one=1)
        process = make(patience=patience)
        ask(process, "well")
        begin = time.monotonic()
        refusal(process, "hang/x")
        assert least <= time.monotonic() - begin
        assert time.monotonic() - begin < most + 10


def test_deaths_are_told_of_in_one_line_each(make: Make) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    refusal(make("die", tell=lambda event, **details: told.append((event, details))))
    assert [event for event, _ in told] == ["model.died"] * QUICK.deaths + ["model.refused"]
    assert [details["in_a_row"] for _, details in told[:-1]] == list(range(1, QUICK.deaths + 1))
    assert all("\n" not in str(details["reason"]) for _, details in told)


# The process before the first question


def test_a_process_that_is_begun_loads_while_nothing_is_asked_and_answers_what_is_asked_later(
    make: Make, tmp_path: Path
) -> None:
    process = make()
    process.begin()
    process.begin()
    assert process.health.running and process.num_fresh == 0
    until(lambda: starts(tmp_path) == 1)
    assert ask(process, "new") == "new!"
    process.begin()
    assert ask(process, "newer") == "newer!"
    assert (starts(tmp_path), process.health.deaths) == (1, 0)


def test_a_process_that_dies_before_anything_is_asked_is_started_again_by_the_first_question(
    make: Make, tmp_path: Path
) -> None:
    told: list[str] = []
    process = make("leave", tell=lambda event, **details: told.append(event))
    process.begin()
    until(lambda: process.health.deaths == 1)
    until(lambda: not process.health.running)
    assert (starts(tmp_path), told) == (1, ["model.died"]), "nobody asks, so it is not tried again and again"
    refusal(process)
    assert starts(tmp_path) == QUICK.deaths


def test_a_model_that_cannot_be_loaded_ahead_is_refused_to_whoever_asks(make: Make, tmp_path: Path) -> None:
    process = make("failed-Unsupported")
    process.begin()
    until(lambda: process.health.refused is not None)
    assert isinstance(refusal(process), Unsupported)
    process.begin()
    assert isinstance(refusal(process), Unsupported)
    assert starts(tmp_path) == 1


def test_closing_ends_a_process_that_was_only_begun_and_nothing_begins_afterwards(make: Make, tmp_path: Path) -> None:
    process = make("hang", Patience())
    process.begin()
    pid = process.pid
    assert pid is not None and is_alive(pid)
    process.close()
    assert not is_alive(pid)
    before = starts(tmp_path)
    process.begin()
    assert (process.pid, starts(tmp_path)) == (None, before)


# The end


def test_closing_ends_the_process_at_once_and_answers_whoever_waits(make: Make) -> None:
    process = make(patience=Patience())
    waiting = [process.submit(prompt, GRAMMAR, 16) for prompt in ("well", "hang/x", "later")]
    assert waiting[0].result(LIMIT_S) == "well!"
    pid = process.pid
    assert pid is not None and is_alive(pid)
    process.close()
    assert not is_alive(pid)
    assert all(isinstance(future.exception(LIMIT_S), RuntimeFault) for future in waiting[1:])
    refusal(process)
    process.close()


HOLD = """
import sys, time
from pathlib import Path
from daemon.inference import ModelProcess
from pipeline.engine.generator import Grammar
from pipeline.engine.model import Model
from daemon.ledger import Ledger
with Ledger.open(Path(sys.argv[2]), clock=time.time) as ledger:
    process = ModelProcess(Model(Path(sys.argv[1]), shipped=False))
    process.load()
    print(process.pid, flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["tuple[int, int]"]:
    """Give the ids of a process that holds a ledger and the shipped model's process, and of the latter."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(EMBEDDED_MODEL), str(tmp_path / "state")],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())
        parent.kill()
        parent.wait()


def test_it_dies_with_its_parent_also_when_it_is_stopped(holder: "tuple[int, int]") -> None:
    parent, child = holder
    os.kill(child, signal.SIGSTOP)
    assert is_alive(child)
    os.kill(parent, signal.SIGKILL)
    until(lambda: not is_alive(child))


def test_it_holds_nothing_of_its_parent_but_its_socket_and_outlives_no_signal_to_the_group(
    holder: "tuple[int, int]",
) -> None:
    parent, child = holder
    ours = {str(path.readlink()) for path in Path(f"/proc/{parent}/fd").iterdir()}
    assert any("ledger" in name or ".db" in name for name in ours), "the parent holds a ledger"
    theirs = {int(path.name): str(path.readlink()) for path in Path(f"/proc/{child}/fd").iterdir()}
    assert theirs[0] == "/dev/null" and theirs[1] == theirs[2] and theirs[1].startswith("pipe:")
    others = [name for number, name in theirs.items() if number > 2]
    assert sum(name.startswith("socket:") for name in others) == 1
    assert not any(name.endswith((".db", ".db-wal", ".db-shm", "lock")) for name in others), others
    assert os.getpgid(child) != os.getpgid(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(child, number)
    assert is_alive(child)


# The shipped model


def test_the_process_has_only_the_engine_s_libraries(shipped: ModelProcess) -> None:
    shipped.load()
    maps = Path(f"/proc/{shipped.pid}/maps").read_text()
    assert "onnxruntime" in maps
    for name in ("_pydantic_core", "orjson", "ormsgpack", "_sqlite3", "watchdog", "/_ssl."):
        assert name not in maps, name


def test_the_shipped_model_answers_alike_after_it_was_killed_and_after_it_was_stopped(shipped: ModelProcess) -> None:
    prompts = [f"Question {number}: which colour?" for number in range(4)]
    expected = [shipped.generate(prompt, COLOUR, 64) for prompt in prompts]
    assert all(text in ('{"colour":"red"}', '{"colour":"green"}') for text in expected)
    for number, prompt in enumerate(prompts):
        assert shipped.pid is not None
        os.kill(shipped.pid, signal.SIGKILL)
        assert shipped.generate(prompt, COLOUR, 64) == expected[number]
    assert shipped.health.deaths == len(prompts)


def test_it_is_measured_without_harm_to_what_follows(shipped: ModelProcess) -> None:
    before = shipped.generate("Which colour?", COLOUR, 64)
    speed = shipped.measure()
    assert speed.prefill > 0 and speed.decode > 0
    assert shipped.load() > 0
    assert shipped.generate("Which colour?", COLOUR, 64) == before
    assert shipped.health.deaths == 0


def test_a_grammar_that_cannot_be_compiled_and_a_prompt_that_does_not_fit_are_errors_and_no_deaths(
    shipped: ModelProcess,
) -> None:
    with pytest.raises(Unsupported):
        shipped.generate("x", Grammar('{"type":"nothing"}'), 16)
    with pytest.raises(TooLong):
        shipped.generate("word " * 5_000, COLOUR, 16)
    assert shipped.generate("Which colour?", COLOUR, 64)
    assert shipped.health.deaths == 0


def test_weights_that_are_none_are_an_error_in_words(directory: Path) -> None:
    process = ModelProcess(Model(directory))
    assert isinstance(refusal(process), ModelDamaged | Unsupported)
    process.close()


def test_what_was_replaced_since_the_start_is_not_loaded_under_the_old_name(directory: Path) -> None:
    process = ModelProcess(Model(directory))
    lay_out(directory, "newer")
    (directory / "onnx" / "model.onnx").write_bytes(b"other weights")
    relist(directory, {})
    assert "start it again" in str(refusal(process))
    assert ask(process, "known") == "said before"
    process.close()


def test_too_little_address_space_is_one_line() -> None:
    limited = ["/bin/sh", "-c", 'ulimit -v 300000; exec "$0" -P -m pipeline.engine.serve "$@"', sys.executable]
    process = ModelProcess(Model(EMBEDDED_MODEL, shipped=False), QUICK, command=limited)
    assert isinstance(refusal(process), NotEnoughMemory | RuntimeFault | Unsupported | ModelDamaged)
    process.close()


def test_a_missing_library_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "llguidance.py").write_text("raise ImportError('libgone.so: cannot open shared object file')")
    hidden = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[0] = ''; "
              "from pipeline.engine.serve import main; main()"]  # fmt: skip
    process = ModelProcess(Model(EMBEDDED_MODEL, shipped=False), QUICK, command=hidden)
    error = refusal(process)
    assert isinstance(error, Unsupported) and "libgone.so" in str(error) and "install sysscan-agent" in str(error)
    assert process.health.deaths == 0
    process.close()
