"""What can keep the local stack from running, each said in one sentence to the person at hand."""


class LocalStackError(RuntimeError):
    """The local stack cannot do what it was asked; the text says what to do about it."""


class MissingPrerequisite(LocalStackError):
    """Something must be installed first."""


class PortTaken(LocalStackError):
    """A port that a setting names is in use."""

    def __init__(self, port: int, setting: str) -> None:
        super().__init__(
            f"port {port} is taken; set {setting} to a free port, or unset it to have one chosen"
        )


class DirectoryInUse(LocalStackError):
    """Another process runs its server on the same data directory."""


class ServerFailed(LocalStackError):
    """A server ended, or did not answer in time."""
