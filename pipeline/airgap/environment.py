"""Nothing leaves the host, whatever the environment says."""

from collections.abc import MutableMapping

# LangGraph's stack posts traces when these are set, to an address that they name; setting them to false is not enough.
_TRACING = ("LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_API", "LANGFUSE_", "OTEL_")


def seal(environment: MutableMapping[str, str]) -> None:
    """Remove what switches tracing on, and let checkpoints hold plain values only.

    Must run before LangGraph or ONNX Runtime is imported: they read these at import.
    """
    for name in [name for name in environment if name.startswith(_TRACING)]:
        del environment[name]
    environment["LANGGRAPH_STRICT_MSGPACK"] = "true"
    environment["ORT_DISABLE_TELEMETRY"] = "1"  # since 1.29 ONNX Runtime reports to its makers on Linux, too
