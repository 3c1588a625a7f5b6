"""What all entries of the knowledge are made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@:/+-]*$")]
Framework = Literal["nist_800_53_r5", "nist_csf_2_0", "pci_dss_4_0", "hipaa"]
Basis = Literal["sourced", "derived", "inferred"]
Degree = Literal["certain", "likely", "cannot_tell"]


class Fact(BaseModel):
    """Base of all entries: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Predicate(Fact):
    """One test on a finding; a list of predicates holds when all of them do.

    `what` names the subject: ``slot.NAME``, ``feature.NAME``, ``metadata.NAME``, ``header.NAME`` (a field
    of `ScanHeader`), ``status``, ``severity``, ``class``, ``title``, ``description``, ``format``. A subject that
    the finding does not have is absent: for it, only `present: false` and `not_in` hold.
    `accepted` names an entry of `expected`, and holds when the policy's profile accepts the value.
    """

    what: str = Field(
        pattern=r"^((slot|feature|metadata|header)\.[A-Za-z0-9_]+|status|severity|class|title|description|format)$"
    )
    is_: str | None = Field(default=None, alias="is")
    in_: list[str] | None = Field(default=None, alias="in")
    not_in: list[str] | None = None
    matches: str | None = None  # regular expression, searched
    present: bool | None = None
    at_least: float | None = None  # numeric comparison
    at_most: float | None = None
    accepted: str | None = None
    not_accepted: str | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "Predicate":
        tests = [
            self.is_, self.in_, self.not_in, self.matches, self.present, self.at_least, self.at_most,
            self.accepted, self.not_accepted,
        ]  # fmt: skip
        if sum(test is not None for test in tests) != 1:
            raise ValueError("a predicate has exactly one test")
        return self
