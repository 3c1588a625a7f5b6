"""Container runtimes, by control group."""

from pipeline.features.registry import FeatureContext, feature

_RUNTIMES = frozenset({"docker", "containerd", "podman", "crio"})


@feature
def container_runtime(context: FeatureContext, runtime: str | None, cgroup: str | None) -> str | None:
    """Return ``docker | containerd | podman | crio | kubernetes | unknown``, or None where the report has none.

    The scanner reports an unknown runtime for a pod if the path contains only ``kubepods``.
    """
    if runtime is None:
        return None
    if runtime in _RUNTIMES:
        return runtime
    return "kubernetes" if cgroup is not None and "kubepods" in cgroup else "unknown"
