"""Apache Kafka itself for the tests: brokers as processes of ours, on loopback, on free ports.

Each broker has two ways in: ``plain`` (no password, may do all) and ``secured`` (TLS and SCRAM-SHA-512, where the user
`USER` may do all and `STRANGER` nothing). ``python -m tests.kafka.broker LIBS [PORT]`` runs one until it is stopped.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import TopicPartition

from daemon.sinks.kafka.administrator import Administrator
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import wanted_topics

PATIENCE_S = 90.0  # a broker starts in five seconds, on a busy machine in thirty
USER, STRANGER = "agent", "stranger"
PASSWORD = "open-sesame"

_JVM = (
    "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)  # fmt: skip
# Small everywhere: the tests have two cores, and the cleaner alone takes 128 MB by default.
_COMMON = """
process.roles=broker,controller
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
num.partitions=4
offsets.topic.num.partitions=3
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
log.cleaner.dedupe.buffer.size=2097152
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
share.coordinator.state.topic.num.partitions=1
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:agent
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.password=changeit
ssl.key.password=changeit
"""


class Broker:
    """One process.

    Attributes:
        plain: HOST:PORT without a password.
        secured: HOST:PORT with TLS and a password.
    """

    def __init__(self, libs: Path, base: Path, node: int, ports: Sequence[int], voters: str, size: int) -> None:
        self.node = node
        self.plain, self.secured = (f"127.0.0.1:{port}" for port in ports[:2])
        self.data = base / f"data-{node}"
        self.log = base / f"broker-{node}.log"
        self._libs = libs
        self._properties = base / f"server-{node}.properties"
        self._process: subprocess.Popen[bytes] | None = None
        inter = min(2, size)
        self._properties.write_text(
            _COMMON
            + f"node.id={node}\nlog.dirs={self.data}\ncontroller.quorum.voters={voters}\n"
            + f"listeners=PLAIN://{self.plain},SECURED://{self.secured},CONTROLLER://127.0.0.1:{ports[2]}\n"
            + f"advertised.listeners=PLAIN://{self.plain},SECURED://{self.secured}\n"
            + f"ssl.keystore.location={base / 'keystore.p12'}\n"
            + f"offsets.topic.replication.factor={size}\ntransaction.state.log.replication.factor={size}\n"
            + f"share.coordinator.state.topic.replication.factor={size}\n"
            + f"transaction.state.log.min.isr={inter}\nmin.insync.replicas={inter}\ndefault.replication.factor={size}\n"
        )

    def format(self, cluster_id: str) -> None:
        """Make its data directory, with the users."""
        users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD},iterations=4096]" for name in (USER, STRANGER)]
        self._java(
            "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties),
            *(word for user in users for word in ("--add-scram", user)),
        )  # fmt: skip

    def start(self) -> None:
        """Start it, without waiting for it to be ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["java", *_JVM, "-cp", f"{self._libs}/*", "kafka.Kafka", str(self._properties)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def stop(self) -> None:
        """End it in order, or at once when it takes too long."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it at once, as a power cut of the machine would, but for what the kernel has not written yet."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it where it is: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Say whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def allow(self, user: str, *arguments: str) -> None:
        """Give rights, in the words of Kafka's own tool."""
        self._java(
            "org.apache.kafka.tools.AclCommand", "--bootstrap-server", self.plain, "--add", "--force",
            "--allow-principal", f"User:{user}", *arguments,
        )  # fmt: skip

    def _java(self, *arguments: str) -> None:
        done = subprocess.run(
            ["java", *_JVM, "-cp", f"{self._libs}/*", *arguments], capture_output=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[0]}: {done.stdout.decode()}{done.stderr.decode()}")


class Cluster:
    """One broker, or three; a context in which they run.

    Attributes:
        certificate: PEM file of the authority that the brokers' certificates come from.
    """

    def __init__(self, libs: Path, base: Path, size: int = 1, port: int | None = None) -> None:
        self.certificate = base / "ca.pem"
        self._base = base
        free = _free_ports(3 * size)
        if port is not None:
            free[0] = port
        ports = [free[3 * at : 3 * at + 3] for at in range(size)]
        voters = ",".join(f"{at + 1}@127.0.0.1:{ports[at][2]}" for at in range(size))
        self.brokers = [Broker(libs, base, at + 1, ports[at], voters, size) for at in range(size)]

    @property
    def plain(self) -> list[str]:
        """List the brokers as clients without a password name them."""
        return [broker.plain for broker in self.brokers]

    @property
    def secured(self) -> list[str]:
        """List the brokers as clients with TLS and a password name them."""
        return [broker.secured for broker in self.brokers]

    def __enter__(self) -> "Cluster":
        self._make_certificate()
        cluster_id = "k" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        try:
            for broker in self.brokers:
                broker.format(cluster_id)
                broker.start()
            self.wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all of them."""
        for broker in self.brokers:
            broker.stop()

    def wait(self) -> None:
        """Wait until the brokers answer."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for broker in self.brokers:
                if not broker.running:
                    raise RuntimeError(f"broker {broker.node} has ended: {broker.log.read_text()[-2000:]}")
            try:
                asyncio.run(asyncio.wait_for(self._all_there(), 10))
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Lend a client for what administrators do."""
        client = AIOKafkaAdminClient(bootstrap_servers=self.plain)
        await client.start()
        try:
            yield client
        finally:
            await client.close()

    async def create(self, *names: str, partitions: int = 1, **config: str) -> None:
        """Create topics and wait until every broker knows their leaders."""
        settings = {name.replace("_", "."): value for name, value in config.items()}
        async with self.admin() as admin:
            topics = [
                NewTopic(name, partitions, len(self.brokers), topic_configs=settings)
                for name in names
            ]  # fmt: skip
            await admin.create_topics(topics)
            await until_true(lambda: _led(admin, names, partitions), f"leaders of {names}")

    async def leader(self, topic: str) -> "Broker":
        """Give the broker that leads a topic's first partition."""
        async with self.admin() as admin:
            (described,) = await admin.describe_topics([topic])
        return self._broker(next(one["leader"] for one in described["partitions"] if one["partition"] == 0))

    async def coordinator(self, name: str, kind: int) -> "Broker":
        """Give the broker that coordinates a group (0) or a transactional id (1)."""
        client = AIOKafkaClient(bootstrap_servers=self.plain)
        await client.bootstrap()
        try:
            return self._broker(await client.coordinator_lookup(kind, name))
        finally:
            await client.close()

    def _broker(self, node: int) -> "Broker":
        return next(broker for broker in self.brokers if broker.node == node)

    async def committed(self, group: str) -> Mapping[TopicPartition, Any]:
        """Give the committed offsets of a group, with their metadata."""
        async with self.admin() as admin:
            offsets: Mapping[TopicPartition, Any] = await admin.list_consumer_group_offsets(group)
            return offsets

    async def _all_there(self) -> None:
        async with self.admin() as admin:
            there = await admin.describe_cluster()
            if len(there["brokers"]) < len(self.brokers):
                raise RuntimeError(f"only {there['brokers']}")
        # The topics that offsets and transactions are kept in are made at their first use, which takes seconds.
        producer = AIOKafkaProducer(bootstrap_servers=self.plain, transactional_id="warm", request_timeout_ms=9000)
        await producer.start()
        try:
            async with producer.transaction():
                pass
        finally:
            await producer.stop()
        async with self.admin() as admin:
            await admin.list_consumer_group_offsets("warm")

    def _make_certificate(self) -> None:
        store = str(self._base / "keystore.p12")
        access = ["-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit", "-alias", "broker"]
        for arguments in (
            ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=127.0.0.1", "-validity", "30",
             "-ext", "san=ip:127.0.0.1,dns:localhost", "-ext", "bc:c=ca:true"],
            ["-exportcert", "-rfc", "-file", str(self.certificate)],
        ):  # fmt: skip
            subprocess.run(["keytool", *arguments, *access], check=True, capture_output=True, timeout=PATIENCE_S)


async def until_true(condition: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
    """Poll; only a hang makes it fail."""
    deadline = time.monotonic() + PATIENCE_S
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        await asyncio.sleep(0.05)


async def _led(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int) -> bool:
    described = await admin.describe_topics(list(names))
    return all(
        len(topic["partitions"]) == partitions and all(one["leader"] >= 0 for one in topic["partitions"])
        for topic in described
    )


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in sockets]


async def _create_topics(cluster: Cluster) -> None:
    settings = KafkaSettings(brokers=tuple(cluster.plain))
    async with Administrator.connected(settings) as administrator:
        await administrator.create(wanted_topics(settings, 1), partitions=4, replication=1)


def _main(libs: str, port: str = "9092") -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it is asked before it is there
    base = Path(tempfile.mkdtemp(prefix="sysscan-kafka-"))
    try:
        with Cluster(Path(libs), base, port=int(port)) as cluster:
            asyncio.run(_create_topics(cluster))
            sys.stdout.write(f"broker at {cluster.plain[0]}, with the topics of the default settings; ^C ends it\n")
            sys.stdout.flush()
            with contextlib.suppress(KeyboardInterrupt):
                signal.signal(signal.SIGTERM, signal.default_int_handler)
                signal.pause()
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    _main(*sys.argv[1:])
