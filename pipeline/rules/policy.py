"""The operator's policy: profile, severity overrides, and allow-list."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pipeline.errors import ConfigError
from pipeline.finding import Classified, Level
from pipeline.keys import canonical, digest_bytes
from pipeline.knowledge.schema import Knowledge

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Selector(_Entry):
    """Which findings an entry applies to: those for which all given fields match.

    `class`, `host` and the values of `slots` are case-sensitive patterns with ``*`` and ``?``; no other character is
    special. `fingerprint` is a prefix.
    """

    class_: Text | None = Field(default=None, alias="class")
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,32}$")] | None = None
    host: Text | None = None
    slots: dict[str, str] = {}

    def selects(self, host: str, finding: Classified) -> bool:
        """Return whether the entry applies to a finding."""
        return (
            (self.class_ is None or _fits(finding.class_id, self.class_))
            and (self.fingerprint is None or finding.fingerprint.startswith(self.fingerprint))
            and (self.host is None or _fits(host, self.host))
            and all(
                name in finding.slots and _fits(finding.slots[name], pattern) for name, pattern in self.slots.items()
            )
        )


class Allow(Selector):
    """One entry of the allow-list: who is responsible, why, and until which day (inclusive, UTC)."""

    owner: Text
    reason: Text
    expires: date
    status: Literal["accepted", "false_positive"] = "accepted"


class Override(Selector):
    """A severity that the operator sets, with the reason."""

    severity: Level
    reason: Text


class Policy(_Entry):
    """The whole policy. `digest` identifies it in every output record."""

    profile: str = "default"
    allow: list[Allow] = []
    overrides: list[Override] = []
    digest: str = ""

    def suppression(self, host: str, finding: Classified, as_of: str) -> Allow | None:
        """Return the first entry of the allow-list that is valid at `as_of` (RFC 3339) and applies to the finding."""
        for entry in self.allow:
            if entry.expires.isoformat() >= as_of[:10] and entry.selects(host, finding):
                return entry
        return None

    def override(self, host: str, finding: Classified) -> Override | None:
        """Return the first severity override that applies to the finding."""
        return next((entry for entry in self.overrides if entry.selects(host, finding)), None)

    def expired(self, as_of: str) -> list[Allow]:
        """Return the entries of the allow-list that have expired."""
        return [entry for entry in self.allow if entry.expires.isoformat() < as_of[:10]]


def load_policy(paths: Sequence[Path], knowledge: Knowledge) -> Policy:
    """Read policy files in the given order; lists are concatenated, and a later profile replaces an earlier one.

    Raises:
        ConfigError: names file, line and reason.
    """
    policy = Policy()
    for path in paths:
        read = _read_policy(path, knowledge)
        policy = Policy(
            profile=read.profile if "profile" in read.model_fields_set else policy.profile,
            allow=[*policy.allow, *read.allow],
            overrides=[*policy.overrides, *read.overrides],
        )
    body = canonical(policy.model_dump(mode="json", by_alias=True))
    return policy.model_copy(update={"digest": digest_bytes(body)})


def _read_policy(path: Path, knowledge: Knowledge) -> Policy:
    # PyYAML takes 15 ms of each start, and only a host with a policy needs it.
    from pipeline.yaml_file import Places, read_mapping, refusal

    places: Places = {}
    content = read_mapping(path, places)
    try:
        policy = Policy.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        loc = tuple(str(part) for part in first["loc"])
        raise refusal(ConfigError, places, loc, f"{'.'.join(loc)}: {first['msg']}", path) from error
    for loc, reason in _problems(policy, knowledge):
        raise refusal(ConfigError, places, loc, f"{'.'.join(loc)}: {reason}", path)
    return policy


def profiles(knowledge: Knowledge) -> list[str]:
    """Return the profiles that the knowledge has values for."""
    names: set[str] = {"default"}
    for entry in knowledge.expected.values():
        names.update(entry.accepted, entry.preferred)
    return sorted(names)


def _problems(policy: Policy, knowledge: Knowledge) -> Iterable[tuple[tuple[str, ...], str]]:
    if policy.profile not in profiles(knowledge):
        yield ("profile",), f"no such profile: {policy.profile} (there are: {', '.join(profiles(knowledge))})"
    lists: Mapping[str, Sequence[Selector]] = {"allow": policy.allow, "overrides": policy.overrides}
    for name, entries in lists.items():
        for number, entry in enumerate(entries):
            for loc, reason in _selector_problems(entry, knowledge):
                yield (name, str(number), *loc), reason


def _selector_problems(entry: Selector, knowledge: Knowledge) -> Iterable[tuple[tuple[str, ...], str]]:
    if entry.class_ is None and entry.fingerprint is None:
        yield (), "needs a class or a fingerprint"
        return
    if entry.class_ is None or entry.class_.startswith(("unknown.", "ambiguous")):
        return
    if not entry.class_.strip("*") and not (entry.fingerprint or entry.host or entry.slots):
        yield ("class",), "means every finding of every host; name a class, a host or a slot"
    meant = [spec for class_id, spec in knowledge.classes.items() if _fits(class_id, entry.class_)]
    if not meant:
        yield ("class",), f"no such class: {entry.class_}"
    for slot in entry.slots:
        if meant and not any(slot in spec.slots for spec in meant):
            names = sorted({name for spec in meant for name in spec.slots})
            yield ("slots", slot), f"{entry.class_} has no such slot (there are: {', '.join(names) or 'none'})"


def _fits(value: str, pattern: str) -> bool:
    # A path may contain brackets, which `fnmatch` would read as a set of characters.
    return fnmatchcase(value, pattern.replace("[", "[[]"))
