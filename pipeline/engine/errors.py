"""What can go wrong on purpose in an engine.

EngineError
    ModelMissing      no model there: go on with the rules, and say so
    ModelDamaged      not the model that its manifest describes: the same
    NotEnoughMemory   the same
    Unsupported       nothing here can run this model or grammar: the same
    TooLong           this prompt does not fit: the rules answer this one
    Unfinished        the model did not come to an end: the rules answer this one
    RuntimeFault      what runs the model failed: the rules answer this one
        Refusal       a server that runs it does not want this question: the same
"""


class EngineError(Exception):
    """Base of all errors that are raised on purpose."""


class ModelMissing(EngineError):
    """Raised when a model directory, or a part of it that is needed, is not there."""


class ModelDamaged(EngineError):
    """Raised when a model's files are not those of its manifest, or cannot be read as what they claim to be."""


class NotEnoughMemory(EngineError):
    """Raised before loading, when a model would need more memory than this process can get."""


class Unsupported(EngineError):
    """Raised when a model, a grammar or a runtime is none that can be used here."""


class TooLong(EngineError):
    """Raised when a prompt and its answer do not fit in the model's context."""


class Unfinished(EngineError):
    """Raised when an answer is not complete within the tokens that it was given."""


class RuntimeFault(EngineError):
    """Raised when the library that runs a model fails in the middle of an answer."""


class Refusal(RuntimeFault):
    """Raised when a model server understood a request and does not want to answer it."""
