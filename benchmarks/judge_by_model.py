"""What a pretrained language model adds to the learnt search for topics: its judgement of each topic that was found.

    sysscan-train base --output base --layers 0 --tokens 49152 --positions 512
    .venv-trainer/bin/python benchmarks/judge_by_model.py base [--layers 12] [--passes 3] [--threads 1]

The first blocks of SmolLM2-135M read a finding and one topic after the other (none of which sees another), and learn to
correct the number that the ranking gives each topic: LoRA on all projections, Lion, and a linear head. They see the
words of the closed list in the order of the text, and the kinds of everything else. Trained on the findings that the
ranking learns from (`trainer/data/unknown/written_*.json`; each author's are searched without their own phrases and
ranked by what was learnt from the others), measured on the written findings of the scorecard, beside the ranking alone.

Lion: Chen and others, Symbolic discovery of optimization algorithms, 2023. LoRA: Hu and others, ICLR 2022.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from common import ROOT, machine
from torch import nn
from transformers import AutoModel, PreTrainedTokenizerFast

from pipeline.features import load_features
from pipeline.finding import RawFinding
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.retrieval.filter import MAX_TEXT, WordFilter
from pipeline.retrieval.ranking import RANKED, Ranking, measures
from pipeline.retrieval.retriever import Retriever
from pipeline.retrieval.vocabulary import Vocabulary
from pipeline.scorecard.hidden import bootstrap
from trainer.data.ranking import WRITTEN, learn, measure, without

MEASURED = ("sixty", "eighty", "hundred_twenty")
RANK, RATE, BATCH, WITHOUT_RIGHT = 16, 1e-4, 8, 0.35
_WORDS, _FINDING, _TOPIC = 70, 90, 28  # of a finding; tokens of a finding and of a topic


@dataclass(frozen=True)
class Item:
    """A finding: what a model reads of it, the topics that were found with their numbers, and which are right."""

    text: str
    topics: tuple[str, ...]
    numbers: tuple[float, ...]
    right: frozenset[str]


def main() -> None:
    """Train and measure."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("base", type=Path)
    arguments.add_argument("--layers", type=int, default=12)
    arguments.add_argument("--passes", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    knowledge = load_knowledge(load_features)
    train = list(training_items(knowledge))
    judge = Judge(given.base, given.layers, knowledge)
    print(machine(), f"\n{len(train)} findings to learn from", flush=True)
    start = time.monotonic()
    teach(judge, train, given.passes)
    print(f"trained in {(time.monotonic() - start) / 60:.0f} min\n")
    shipped = Ranking.read()
    for name in MEASURED:
        items = list(items_of(knowledge, ROOT / f"pipeline/scorecard/data/unknown_{name}.json", shipped))
        start = time.monotonic()
        judged = [judge.numbers(item).tolist() for item in items]
        seconds = (time.monotonic() - start) / len(items)
        report(name, items, judged, seconds)


def report(name: str, items: list[Item], judged: list[list[float]], seconds: float) -> None:
    """Print the shares of both, and by how much they differ."""
    print(f"{name}: {len(items)} findings, {seconds * 1e3:.0f} ms each with the model")
    for measured, has_topic in (("first", True), ("three", True), ("silent", False)):
        chosen = [number for number, item in enumerate(items) if bool(item.right) == has_topic]
        alone = [is_right(items[number], list(items[number].numbers), measured) for number in chosen]
        model = [is_right(items[number], judged[number], measured) for number in chosen]
        more = bootstrap([b - a for a, b in zip(alone, model, strict=True)])
        print(
            f"  {measured:<8} ranking {np.mean(alone):.3f}, with the model {np.mean(model):.3f}, "
            f"difference {more.mean:+.3f} ({more.low:+.3f} to {more.high:+.3f})"
        )


def is_right(item: Item, numbers: list[float], measured: str) -> float:
    """Say whether what is named is right; none is named where no number is above 0."""
    order = sorted(range(len(numbers)), key=lambda number: -numbers[number])
    if not order or numbers[order[0]] <= 0:
        return float(measured == "silent")
    named = {item.topics[number] for number in order[: 1 if measured == "first" else 3]}
    return float(measured != "silent" and bool(named & item.right))


def training_items(knowledge: Knowledge) -> Iterator[Item]:
    """Give the findings of each author as one sees them who knows the others' phrases alone."""
    lists, authors = measure(knowledge, WRITTEN)
    for author, file in enumerate(WRITTEN):
        network = learn(lists.part(authors != author))
        ranking = Ranking(tuple(map(tuple, network.hidden.tolist())), tuple(network.out.tolist()))
        titles = {entry["title"] for entry in orjson.loads(file.read_bytes())}
        yield from items_of(without(knowledge, titles), file, ranking)


def items_of(knowledge: Knowledge, file: Path, ranking: Ranking) -> Iterator[Item]:
    """Search the findings of a file."""
    retriever, words = Retriever(knowledge), WordFilter(Vocabulary.load(knowledge))
    for entry in orjson.loads(file.read_bytes()):
        raw = RawFinding(entry["scanner"], entry["id"], entry["severity"], entry["title"], entry["description"])
        bag = retriever.words(raw)
        assert bag is not None
        found = retriever.found(bag, RANKED)
        yield Item(
            read_as(words, entry),
            tuple(match.topic for match in found.matches),
            tuple(ranking.value(measures(found, number)) for number in range(len(found.matches))),
            frozenset(entry["expected"]),
        )


def read_as(words: WordFilter, entry: dict[str, Any]) -> str:
    """Give what a model reads: words of the closed list in their order, the kinds of all else."""
    parts = (
        " ".join(token for _, token in words.filter_ours([entry[of][:MAX_TEXT]])) for of in ("title", "description")
    )
    return " ".join(". ".join(parts).split()[:_WORDS])


def adapt(projection: nn.Linear) -> tuple[nn.Parameter, nn.Parameter]:
    """Add a LoRA to a projection, and give its weights."""
    down = nn.Parameter(torch.randn(RANK, projection.in_features) / math.sqrt(projection.in_features))
    up = nn.Parameter(torch.zeros(projection.out_features, RANK))

    def add(_: nn.Linear, given: tuple[torch.Tensor], result: torch.Tensor) -> torch.Tensor:
        return result + 2 * (given[0] @ down.T) @ up.T

    projection.register_forward_hook(add)
    return down, up


class Judge:
    """The first blocks of the base with LoRA, and a head."""

    def __init__(self, base: Path, layers: int, knowledge: Knowledge) -> None:
        torch.manual_seed(1)
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(base / "tokenizer.json"))
        self.model = AutoModel.from_pretrained(base, dtype=torch.float32)
        self.model.layers = self.model.layers[:layers]
        self.model.config.num_hidden_layers = layers
        for parameter in self.model.parameters():
            parameter.requires_grad = False
        self.adapters: list[nn.Parameter] = []
        for block in self.model.layers:
            for part, names in (
                (block.self_attn, ("q_proj", "k_proj", "v_proj", "o_proj")),
                (block.mlp, ("gate_proj", "up_proj", "down_proj")),
            ):
                for name in names:
                    self.adapters += adapt(getattr(part, name))
        self.is_learning = False
        self.head = nn.Linear(self.model.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.said = {
            key: f" {topic.title} ({'; '.join(', '.join(knowledge.aliases.get(key, ())).split(', '))})"
            for key, topic in knowledge.topics.items()
        }

    def tokens(self, text: str) -> list[int]:
        """Encode."""
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return found

    def numbers(self, item: Item) -> torch.Tensor:
        """Give the corrected numbers of the topics; that of none is 0."""
        if not item.topics:
            return torch.zeros(0)
        first = self.tokens(f"Finding: {item.text}")[:_FINDING] + self.tokens("\nAbout:")
        ids, places, parts, ends = list(first), list(range(len(first))), [0] * len(first), []
        for number, topic in enumerate(item.topics, start=1):
            branch = self.tokens(self.said[topic])[:_TOPIC] + self.tokens(" ?")
            ids += branch
            places += range(len(first), len(first) + len(branch))
            parts += [number] * len(branch)
            ends.append(len(ids) - 1)
        part = torch.tensor(parts)
        sees = torch.tril(torch.ones(len(ids), len(ids), dtype=torch.bool))
        sees &= (part[None] == part[:, None]) | (part[None] == 0)
        mask = torch.zeros(len(ids), len(ids)).masked_fill(~sees, torch.finfo(torch.float32).min)
        with torch.set_grad_enabled(self.is_learning):
            hidden = self.model(
                input_ids=torch.tensor([ids]), position_ids=torch.tensor([places]), attention_mask=mask[None, None],
                use_cache=False,
            ).last_hidden_state  # fmt: skip
            result: torch.Tensor = self.head(hidden[0, ends])[:, 0] + torch.tensor(item.numbers)
        return result


def teach(judge: Judge, train: list[Item], passes: int) -> None:
    """Train; the right topics are left out now and then, so that none is right."""
    rng = random.Random(1)
    head = list(judge.head.parameters())
    moments = [torch.zeros_like(one) for one in judge.adapters]
    of_head = torch.optim.AdamW(head, lr=1e-3, weight_decay=0.01)
    steps, done, lost = passes * len(train) // BATCH, 0, 0.0
    judge.is_learning = True
    for _ in range(passes):
        rng.shuffle(train)
        for number in range(0, len(train) - BATCH + 1, BATCH):
            for item in train[number : number + BATCH]:
                kept = item
                if item.right and rng.random() < WITHOUT_RIGHT:
                    left = [at for at, topic in enumerate(item.topics) if topic not in item.right]
                    kept = Item(
                        item.text, tuple(item.topics[at] for at in left), tuple(item.numbers[at] for at in left),
                        frozenset(),
                    )  # fmt: skip
                if not kept.topics:
                    continue
                values = torch.cat([judge.numbers(kept), torch.zeros(1)])
                right = [at for at, topic in enumerate(kept.topics) if topic in kept.right] or [len(kept.topics)]
                loss = torch.logsumexp(values, 0) - torch.logsumexp(values[right], 0)
                (loss / BATCH).backward()
                lost += loss.item()
            done += 1
            rate = RATE * min(1, done / 20) * max(0.05, 1 - done / steps)
            with torch.no_grad():
                for one, moment in zip(judge.adapters, moments, strict=True):
                    if one.grad is not None:
                        one.add_((0.9 * moment + 0.1 * one.grad).sign_(), alpha=-rate)
                        moment.mul_(0.99).add_(one.grad, alpha=0.01)
                        one.grad = None
            of_head.step()
            of_head.zero_grad()
            if done % 20 == 0:
                sys.stderr.write(f"step {done} of {steps}, loss {lost / 20 / BATCH:.3f}\n")
                lost = 0.0
    judge.is_learning = False


if __name__ == "__main__":
    main()
