"""Apache Kafka's jars: fetched once by Maven into a cache that all clones share."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import MissingPrerequisite, ServerFailed

VERSION = "4.3.1"
POM = Path(__file__).with_name("pom.xml")


def kafka_jars(environment: Mapping[str, str]) -> Path:
    """The directory of the jars, downloading them if no clone has done so yet."""
    jars = cache_directory(environment) / f"kafka-{VERSION}"
    if not jars.is_dir():
        _download(jars, environment)
    return jars


def cache_directory(environment: Mapping[str, str]) -> Path:
    if named := environment.get("AFFLUX_CACHE"):
        return Path(named).absolute()
    shared = environment.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "afflux"


def java(environment: Mapping[str, str]) -> str:
    """The `java` to run: 17 or newer, or a complaint that says what to install."""
    home = environment.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java", path=environment.get("PATH", ""))
    if found is None or _major_version(found) < 17:
        raise MissingPrerequisite(
            "The local Kafka needs Java 17 or newer: "
            "install it (Debian, Ubuntu: apt install openjdk-17-jre-headless)."
        )
    return found


def _major_version(found: str) -> int:
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    # openjdk version "17.0.15" …; before Java 9 it was "1.8.0…".
    _, _, quoted = said.stderr.partition('"')
    leading = quoted.split(".")[0].rstrip('"').split("-")[0].split('"')[0]
    return int(leading) if leading.isdigit() else 0


def _download(jars: Path, environment: Mapping[str, str]) -> None:
    """Into a directory of its own, then renamed: whoever comes first wins, and both are right."""
    maven = shutil.which("mvn", path=environment.get("PATH", ""))
    if maven is None:
        raise MissingPrerequisite(
            "Kafka's jars are not cached yet and Maven fetches them: "
            "install it (Debian, Ubuntu: apt install maven)."
        )
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="download-") as scratch:
        _copy_dependencies(maven, Path(scratch), environment)
        fresh = Path(scratch) / "jars"
        try:
            fresh.rename(jars)
        except OSError:
            if not jars.is_dir():
                raise


def _copy_dependencies(maven: str, scratch: Path, environment: Mapping[str, str]) -> None:
    shutil.copy(POM, scratch / "pom.xml")
    ran = subprocess.run(  # noqa: S603 (our own command line)
        [
            maven,
            "-q",
            "-B",
            "-Dstyle.color=never",
            "dependency:copy-dependencies",
            f"-DoutputDirectory={scratch / 'jars'}",
        ],
        cwd=scratch,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        errors = [line for line in ran.stdout.splitlines() if "ERROR" in line]
        said = errors[0] if errors else ran.stderr.strip()
        raise ServerFailed(f"Maven could not fetch Kafka's jars: {said}")
