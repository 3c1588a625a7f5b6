"""Where a record comes from: the host that was scanned, and what made the record."""

from dataclasses import dataclass, field
from typing import Annotated

from pipeline.contract import Digest, Doc, Hash, Positive
from pipeline.finding import ScanHeader


@dataclass(slots=True, frozen=True)
class HostFacts:
    """What the report claims about the host; what it does not say is left out."""

    arch: Annotated[str | None, Doc("Machine architecture.")] = None
    kernel: Annotated[str | None, Doc("Kernel release.")] = None
    os: Annotated[str | None, Doc("Operating system, for people.")] = None

    @classmethod
    def of(cls, header: ScanHeader) -> "HostFacts":
        """Take them from the header of a report."""
        return cls(header.arch or None, header.kernel or None, header.os_pretty or header.os_id or None)


@dataclass(slots=True, frozen=True)
class VerdictsInUse:
    """Up to where the log of verdicts was in use."""

    seq: Annotated[Positive, Doc("Number of the last of them; one with a higher number changes what the line says.")]
    head: Annotated[Hash, Doc("Hash of the chain there; it names all of them.")]


@dataclass(slots=True, frozen=True)
class Provenance:
    """What made the output, beside the report."""

    agent: Annotated[str, Doc("Version of sysscan-agent.")]
    knowledge: Annotated[Digest, Doc("Digest of the knowledge in use, an operator's entries included.")]
    policy: Annotated[Digest, Doc("Digest of the policy in use.")]
    intel: Annotated[str | None, Doc("Digest of the local threat intelligence, or null where there is none.")]
    runtime: Annotated[str, Doc("What analysed: the rules' version, or the digest of model and runtime.")]
    verdicts: Annotated[
        VerdictsInUse | None, Doc("The verdicts of reviewers that were in use. Left out where there are none.")
    ] = field(default=None, kw_only=True)
