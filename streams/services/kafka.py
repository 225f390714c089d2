"""A single-node Apache Kafka broker in KRaft mode, from the jars that Maven fetches."""

import base64
import re
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.services.errors import MissingProgram, ServiceFailed
from streams.services.ports import accepts_connections, free_port

VERSION = "4.1.0"
JAVA = 17
CACHE = Path.home() / ".cache" / "headrace" / f"kafka-{VERSION}"

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>headrace</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=33554432
replica.fetch.max.bytes=33554432
log.retention.ms=-1
"""
OWN_PROPERTIES = "own.properties"
"""A file in the broker's folder whose lines, where there is one, come last and win; they may name {port}, {controller}
and {logs} too."""


def command(folder: Path, port: int) -> list[str]:
    """Return the broker's command line, with its properties written and its log formatted in `folder`.

    Raises `MissingProgram` without Java 17 or, when the jars are not cached yet, without Maven.
    """
    java = _java()
    classpath = f"{fetch_jars(CACHE)}/*"
    logs, properties = folder / "log", folder / "server.properties"
    controller = free_port(avoid=port)
    own = folder / OWN_PROPERTIES
    lines = _PROPERTIES + (own.read_text() if own.exists() else "")
    properties.write_text(lines.format(port=port, controller=controller, logs=logs))
    if not (logs / "meta.properties").exists():
        # A leading hyphen would be read as an option.
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        format_log = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
        _run([java, "-cp", classpath, *format_log], "the format of the broker's log")
    heap = ["-Xmx1g", "-Xms256m", "-Djava.awt.headless=true"]
    return [java, *heap, "-cp", classpath, "kafka.Kafka", str(properties)]


def is_ready(port: int) -> bool:
    """Return whether the broker on `port` answers an admin client."""
    # librdkafka complains on stderr about a port that refuses, so the port is tried first.
    if not accepts_connections(port):
        return False
    try:
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
        return bool(client.list_topics(timeout=5).brokers)
    except KafkaException:
        return False


def missing_programs(cache: Path = CACHE) -> str | None:
    """Return why no broker can be started on this machine, or None when one can."""
    try:
        _java()
        if not cache.is_dir():
            _maven()
    except MissingProgram as missing:
        return str(missing)
    return None


def fetch_jars(cache: Path) -> Path:
    """Return the folder of the broker's jars, fetched by Maven when it is not there yet."""
    if cache.is_dir():
        return cache
    maven = _maven()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        pom, jars = Path(scratch) / "pom.xml", Path(scratch) / "jars"
        pom.write_text(_POM)
        fetch = [maven, "-B", "-q", "-f", str(pom), _COPY, f"-DoutputDirectory={jars}"]
        _run([*fetch, "-DincludeScope=runtime"], "the download of the broker's jars")
        try:
            jars.rename(cache)
        except OSError:
            if not cache.is_dir():  # otherwise another process was faster, with the same jars
                raise
    return cache


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise MissingProgram(f"Java {JAVA} or newer (`java`)")
    banner = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', banner)
    if version is None or int(version[1]) < JAVA:
        raise MissingProgram(f"Java {JAVA} or newer (`{java}` is {version[1] if version else 'unusable'})")
    return java


def _maven() -> str:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingProgram("Apache Maven (`mvn`), which fetches the broker's jars")
    return maven


def _run(step: list[str], what: str) -> None:
    done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise ServiceFailed(f"kafka: {what} ended with status {done.returncode}:\n{done.stdout[-2000:]}")
