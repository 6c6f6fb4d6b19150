#!/usr/bin/env python3
"""Asks a service, in its own protocol, whether it really answers: `ping.py URL [--wait SECONDS] [--pid PID]`.

Prints what answered ("RabbitMQ 3.10.8") and exits 0, or prints why it does not and exits 1. With --wait it asks
again until then, and gives up at once where the process PID is gone. Standard library only, no TLS: it is for
servers on this machine. An open port proves little (a booting server has one), so it logs in, opens the virtual
host, and asks every master of a cluster.
"""

import argparse
import os
import re
import socket
import struct
import sys
import time
from urllib.parse import unquote, urlsplit

TIMEOUT_S = 3.0
DEFAULT_PORTS = {"amqp": 5672, "redis": 6379, "redis-cluster": 6379, "mongodb": 27017}


class Refused(Exception):
    """The service is there and says no, or says something else than its protocol does."""


def connect(url):
    host, port = url.hostname or "127.0.0.1", url.port or DEFAULT_PORTS[url.scheme]
    return socket.create_connection((host, port), timeout=TIMEOUT_S)


def read(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise Refused("closed the connection")
        data += part
    return data


# AMQP 0-9-1: the whole handshake, as only a broker that has finished booting lets a user open a virtual host.


def amqp_read(sock, class_method):
    kind, _channel, size = struct.unpack(">BHI", read(sock, 7))
    payload = read(sock, size)
    read(sock, 1)
    if kind != 1 or struct.unpack(">HH", payload[:4]) != class_method:
        text = re.search(rb"[ -~]{8,}", payload)
        raise Refused(f"refused: {text.group().decode() if text else payload[:4].hex()}")
    return payload[4:]


def amqp_send(sock, class_method, payload):
    payload = struct.pack(">HH", *class_method) + payload
    sock.sendall(struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce")


def short(text):
    return struct.pack(">B", len(text)) + text


def long(text):
    return struct.pack(">I", len(text)) + text


def amqp(url):
    with connect(url) as sock:
        sock.sendall(b"AMQP\x00\x00\x09\x01")
        start = amqp_read(sock, (10, 10))
        user, password = unquote(url.username or "guest"), unquote(url.password or "guest")
        login = f"\0{user}\0{password}".encode()
        amqp_send(sock, (10, 11), long(b"") + short(b"PLAIN") + long(login) + short(b"en_US"))
        amqp_send(sock, (10, 31), amqp_read(sock, (10, 30)))
        vhost = unquote(url.path[1:]) if len(url.path) > 1 else "/"
        amqp_send(sock, (10, 40), short(vhost.encode()) + short(b"") + b"\x00")
        amqp_read(sock, (10, 41))
        amqp_send(sock, (10, 50), struct.pack(">H", 200) + short(b"") + struct.pack(">HH", 0, 0))
        amqp_read(sock, (10, 51))
    version = re.search(rb"\x07versionS....([0-9A-Za-z.+-]+)", start, re.S)
    return f"RabbitMQ {version.group(1).decode() if version else '(no version)'}"


# Redis


def redis_call(sock, *words):
    sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in map(str.encode, words)))
    line = b""
    while not line.endswith(b"\r\n"):
        line += read(sock, 1)
    if line[:1] == b"-":
        raise Refused(line[1:].decode().strip())
    return read(sock, int(line[1:]) + 2).decode() if line[:1] == b"$" else line[1:].decode().strip()


def redis_open(url):
    sock = connect(url)
    if url.password:
        user = [unquote(url.username)] if url.username else []
        redis_call(sock, "AUTH", *user, unquote(url.password))
    if redis_call(sock, "PING") != "PONG":
        raise Refused("does not say PONG")
    return sock


def redis_version(sock):
    version = re.search(r"redis_version:(\S+)", redis_call(sock, "INFO", "server"))
    return version.group(1) if version else "(no version)"


def redis(url):
    with redis_open(url) as sock:
        return f"Redis {redis_version(sock)}"


def redis_cluster(url):
    with redis_open(url) as sock:
        state = re.search(r"cluster_state:(\S+)", redis_call(sock, "CLUSTER", "INFO"))
        if not state or state.group(1) != "ok":
            raise Refused("the cluster is not whole")
        version, nodes = redis_version(sock), redis_call(sock, "CLUSTER", "NODES").strip()
    nodes = [line.split() for line in nodes.splitlines()]
    masters = [node[1].split("@")[0].rpartition(":") for node in nodes if "master" in node[2]]
    for host, _, port in masters:
        address = f"{host or url.hostname}:{port}"
        try:
            redis_open(url._replace(netloc=url.netloc.rpartition("@")[0] + "@" * ("@" in url.netloc) + address)).close()
        except OSError as error:
            raise Refused(f"master {address}: {error}") from error
    return f"Redis Cluster {version} of {len(masters)} masters"


# MongoDB: OP_MSG with the one-field documents {hello: 1} and {buildInfo: 1}


def mongo_call(sock, command):
    fields = b"\x10" + command + b"\0\x01\0\0\0" + b"\x02$db\0\x06\0\0\0admin\0"
    body = struct.pack("<I", 0) + b"\0" + struct.pack("<I", len(fields) + 5) + fields + b"\0"
    sock.sendall(struct.pack("<IIII", 16 + len(body), 1, 0, 2013) + body)
    size, _, answer_to, opcode = struct.unpack("<IIII", read(sock, 16))
    answer = read(sock, size - 16)
    if (answer_to, opcode) != (1, 2013):
        raise Refused("does not answer OP_MSG")
    if b"\x01ok\0" + struct.pack("<d", 1.0) not in answer and b"\x10ok\0\x01\0\0\0" not in answer:
        raise Refused(f"{command.decode()} is not ok")
    return answer


def mongo_text(answer, name):
    found = re.search(rb"\x02" + name + rb"\0....([^\0]*)\0", answer, re.S)
    return found.group(1).decode(errors="replace") if found else ""


def mongodb(url):
    with connect(url) as sock:
        mongo_call(sock, b"hello")
        info = mongo_call(sock, b"buildInfo")
    # Those that only speak the protocol say so in fields of their own. FerretDB as a package knows no version of its own.
    program = "FerretDB" if b"ferretdbVersion" in info else mongo_text(info, b"process").replace("_", "-")
    version = f"MongoDB {mongo_text(info, b'version') or '(no version)'}"
    return version if program in ("", "mongod", "mongos") else f"{program} (as {version})"


PINGS = {"amqp": amqp, "redis": redis, "redis-cluster": redis_cluster, "mongodb": mongodb}


def gone(pid):
    """Whether that process has ended (a child that nobody waited for yet has, too). 0 is one that has."""
    if pid == 0:
        return True
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except OSError:
        return False


def main():
    args = argparse.ArgumentParser(description="does a service really answer?")
    args.add_argument("url")
    args.add_argument("--wait", type=float, default=0.0, metavar="SECONDS")
    args.add_argument("--pid", type=int)
    args = args.parse_args()
    url = urlsplit(args.url)
    if url.scheme not in PINGS:
        print(f"not asked: {url.scheme}:// is beyond this check")
        return 1
    end = time.monotonic() + args.wait
    while True:
        try:
            print(PINGS[url.scheme](url))
            return 0
        except (OSError, Refused, ValueError, struct.error) as error:
            why = f"no answer: {error}"
        if args.pid is not None and gone(args.pid):
            why = "its process has ended"
        elif time.monotonic() < end:
            time.sleep(0.1)
            continue
        print(why)
        return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
