"""What `critique` refuses of true sentences, and what it catches of sentences that were made false.

    python benchmarks/false_sentences.py --data DATA

DATA is a data set of `sysscan-train synth`: cases with answers in the teacher's words, which are taken to be true. Each
is made false in one thing at a time: a word of the phrase book for another of its kind (role, place, family, program,
runtime), a value for another one, a directive or option for another one, a state for its contrary, a name of a unit and
a count that the case does not have. The words come from the phrase book, not from the checks.
"""

import argparse
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from common import machine

from pipeline.analysis.claims import unsupported
from pipeline.analysis.prompt import BadResponse, Case, parse_response
from trainer.data.dataset import SPLITS, read_cases
from trainer.data.phrases import Material, load_material

KINDS = {"role": "role", "place": "place", "family": "family", "program": "program", "runtime": "runtime"}
CONTRARIES = (
    (re.compile(r"\b(SELinux|AppArmor) is on\b"), r"\1 is off"),
    (re.compile(r"\b(SELinux|AppArmor) is (?:off|not active|absent)\b"), r"\1 is on"),
    (re.compile(r"\bSELinux is absent\b"), "AppArmor is absent"),
    (re.compile(r"^(ASLR|SYN cookies|IPv4 forwarding) (is|are) (?:fully )?on\b"), r"\1 \2 off"),
    (re.compile(r"^(ASLR|SYN cookies|IPv4 forwarding) (is|are) off\b"), r"\1 \2 on"),
    (re.compile(r"^(\{unit\}) sets (\w+=\w+)"), r"\1 does not set \2"),
    (re.compile(r"^(\{unit\}) does not set (\w+=\S+)"), r"\1 sets \2"),
)
DIRECTIVES = ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictRealtime", "LockPersonality")
OPTIONS = ("nosuid", "nodev", "noexec")


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--missed", action="store_true", help="print what was not caught")
    given = arguments.parse_args()
    print(machine())
    total = refused = 0
    made: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    for split in SPLITS:
        for taught in read_cases(given.data, split):
            try:
                answer = parse_response(taught.response, taught.case)
            except BadResponse:
                continue
            text = f"{answer.assessment} {answer.impact}"
            total += 1
            wrong = unsupported(taught.case, text)
            if wrong is not None:
                refused += 1
                print(f"refused, {wrong}: {taught.class_id} {taught.case.features}: {text}")
                continue
            for kind, false in falsified(taught.case, text, random.Random(taught.prompt)):
                made[kind] += 1
                if unsupported(taught.case, false) is not None:
                    caught[kind] += 1
                elif given.missed:
                    print(f"missed, {kind}: {taught.class_id} {taught.case.features}: {false}")
    print(f"\ntrue texts: {total}, of which refused {refused} ({refused / total:.2%})")
    print("made false:", *(f"\n  {kind:<10}{caught[kind]:>6} of {made[kind]:>6} caught" for kind in sorted(made)))
    print(f"  all       {caught.total():>6} of {made.total():>6} ({caught.total() / made.total():.1%})")


def falsified(case: Case, text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Make a text false in one thing at a time; gives what, and the text."""
    for kind, feature in KINDS.items():
        words = book().words[kind]
        right = words.get(case.features.get(feature, ""))
        if right is not None and right in text:
            other = rng.choice(sorted({word for word in words.values() if word not in right and right not in word}))
            yield kind, text.replace(right, other)
    value = case.features.get("value", "")
    if value.isdigit():
        other = rng.choice([digit for digit in "012" if digit != value])
        for form in (rf"(\bvalue ){value}\b", rf"(\b(?:kernel|net)\.[a-z0-9_.]+ (?:is|at) ){value}\b"):
            if re.search(form, text):
                yield "value", re.sub(form, rf"\g<1>{other}", text)
    for name in DIRECTIVES:
        if f"{name}=" in text:
            yield "setting", text.replace(name, rng.choice([one for one in DIRECTIVES if one != name]))
    if case.class_id.startswith("mounts.") and case.status == "open":
        first, _, rest = text.partition(". ")
        missing = case.features.get("missing", "").split("+")
        wrong = [one for one in OPTIONS if one not in missing and one not in case.class_id]
        for option in missing:
            if option and wrong and option in first:
                yield "setting", f"{first.replace(option, rng.choice(wrong))}. {rest}"
    for pattern, contrary in CONTRARIES:
        if re.search(pattern, text) and case.class_id != "mac.none":
            yield "state", re.sub(pattern, contrary, text)
    if "{unit}" in text:
        yield "unit", text.replace("{unit}", "nginx.service", 1)
    if "{pid}" in text or "{path}" in text:
        yield "count", f"{text[:-1]}, in {rng.choice(('two', 'three', '12'))} {rng.choice(('processes', 'files'))}."


@cache
def book() -> Material:
    """Read the phrase book."""
    return load_material()


if __name__ == "__main__":
    main()
