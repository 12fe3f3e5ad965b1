"""A worker for poolproof's protocol that knows docs/protocol.md, Python's standard library, and nothing of poolproof.

Its handler echoes, and raises for a map with the key `raise`. With the name of a mistake in the
environment variable MISTAKE it makes that mistake.
"""

# mypy: ignore-errors
# ruff: noqa

import os
import socket
import struct
import sys
import time

HEADER = struct.Struct(">2sBBII")
HELLO, ASSIGN, REQUESTS, CANCEL, PING, TERMINATE = 1, 2, 3, 4, 5, 6
READY, REPLIES, PONG, BYE, VIOLATION = 17, 19, 20, 21, 32
SLACK = 262_144
MISTAKE = os.environ.get("MISTAKE", "")


class Violation(Exception):
    pass


def pack(value):
    if value is None or value is True or value is False:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return pack_int(value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        data = value.encode()
        return size(len(data), (0xA0, 31), (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, bytes):
        return size(len(value), None, (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, list):
        return size(len(value), (0x90, 15), (None, 0xDC, 0xDD)) + b"".join(map(pack, value))
    items = b"".join(pack(key) + pack(item) for key, item in value.items())
    return size(len(value), (0x80, 15), (None, 0xDE, 0xDF)) + items


def pack_int(value):
    if -32 <= value < 128:
        return struct.pack("b" if value < 0 else "B", value)
    forms = "BHIQ" if value > 0 else "bhiq"
    for at, form in enumerate(forms):
        try:
            return struct.pack(f">B{form}", (0xCC if value > 0 else 0xD0) + at, value)
        except struct.error:
            continue
    raise OverflowError(value)


def size(length, small, codes):
    if small and length <= small[1]:
        return bytes([small[0] | length])
    for code, form, most in zip(codes, "BHI", (0xFF, 0xFFFF, 0xFFFFFFFF)):
        if code is not None and length <= most:
            return struct.pack(f">B{form}", code, length)
    raise OverflowError(length)


class Unpacker:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(f">{form}", self.data, self.at)
        self.at += struct.calcsize(f">{form}")
        return values[0]

    def bytes(self, length):
        if self.at + length > len(self.data):
            raise Violation("a body that ends early")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def value(self):
        code = self.take("B")
        if code < 0x80 or code >= 0xE0:
            return code if code < 0x80 else code - 256
        if code < 0x90:
            return self.map(code & 15)
        if code < 0xA0:
            return self.list(code & 15)
        if code < 0xC0:
            return self.bytes(code & 31).decode()
        return self.long(code)

    def long(self, code):
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if 0xC4 <= code <= 0xC6:
            return self.bytes(self.take("BHI"[code - 0xC4]))
        if code in (0xCA, 0xCB):
            return self.take("fd"[code - 0xCA])
        if 0xCC <= code <= 0xD3:
            return self.take("BHIQbhiq"[code - 0xCC])
        if 0xD9 <= code <= 0xDB:
            return self.bytes(self.take("BHI"[code - 0xD9])).decode()
        if code in (0xDC, 0xDD):
            return self.list(self.take("HI"[code - 0xDC]))
        if code in (0xDE, 0xDF):
            return self.map(self.take("HI"[code - 0xDE]))
        raise Violation(f"the code {code:#x}")

    def list(self, length):
        return [self.value() for _ in range(length)]

    def map(self, length):
        return dict((self.value(), self.value()) for _ in range(length))


class Worker:
    def __init__(self, sock):
        self.sock, self.held = sock, b""
        self.came, self.sent = 0, 0
        self.most, self.epoch = 16_777_216, 0
        self.cancelled = set()

    def frame(self):
        while True:
            if len(self.held) >= HEADER.size:
                magic, version, kind, sequence, length = HEADER.unpack_from(self.held)
                self.check(magic, version, kind, length)
                if len(self.held) >= HEADER.size + length:
                    body = self.held[HEADER.size : HEADER.size + length]
                    self.held = self.held[HEADER.size + length :]
                    if self.in_turn(sequence):
                        return kind, body
                    continue
            data = self.sock.recv(1 << 20)
            if not data:
                if MISTAKE == "outlives its connection":
                    time.sleep(60)
                sys.exit(0)
            if MISTAKE == "expects whole frames" and len(data) < HEADER.size:
                continue
            self.held += data

    def check(self, magic, version, kind, length):
        if magic != b"pf" and MISTAKE != "believes any magic":
            raise Violation(f"the magic {magic!r}")
        if version != 1 and MISTAKE != "believes any version":
            raise Violation(f"version {version}")
        if kind not in (HELLO, ASSIGN, REQUESTS, CANCEL, PING, TERMINATE, VIOLATION):
            raise Violation(f"a frame of kind {kind}")
        if length > self.most + SLACK and MISTAKE != "waits for any length":
            raise Violation(f"a frame of {length} bytes")

    def in_turn(self, sequence):
        if sequence == self.came or MISTAKE == "ignores the sequence":
            self.came += 1
            return True
        if sequence < self.came:
            return False
        raise Violation(f"frame {sequence} instead of {self.came}")

    def send(self, kind, message):
        body = pack(message)
        number = 0 if MISTAKE == "does not count its frames" else self.sent
        self.sock.sendall(HEADER.pack(b"pf", 1, kind, number, len(body)) + body)
        self.sent += 1

    def serve(self):
        try:
            while True:
                kind, body = self.frame()
                try:
                    message = Unpacker(body).value()
                    self.obey(kind, message)
                except (
                    struct.error,
                    ValueError,
                    TypeError,
                    IndexError,
                    UnicodeDecodeError,
                ) as error:
                    raise Violation(f"a body that is not of its shape: {error}") from error
        except Violation as problem:
            if MISTAKE != "ends without a word":
                self.send(VIOLATION, [f"found {problem}"])
            sys.exit(76)

    def obey(self, kind, message):
        if kind == HELLO:
            self.most = message[0]
            self.send(READY, [os.getpid(), MISTAKE == "claims to mark"])
        elif kind == ASSIGN:
            if self.epoch == 0 or MISTAKE != "keeps its first epoch":
                self.epoch = message[1]
        elif kind == REQUESTS:
            replies = [self.reply(*request) for request in message]
            if MISTAKE == "answers the last first":
                replies.reverse()
            if MISTAKE == "forgets every seventh":
                replies = [reply for reply in replies if reply[0] % 7]
            self.send(REPLIES, [self.epoch, 0, replies])
        elif kind == PING:
            self.send(PONG, [0 if MISTAKE == "forgets the nonce" else message[0], None])
        elif kind == TERMINATE:
            self.send(BYE, [None])
            sys.exit(1 if MISTAKE == "leaves with a bad status" else 0)
        elif kind == VIOLATION:
            sys.exit(76)

    def reply(self, request_id, payload, deadline, _attempt, epoch, _session):
        if epoch != self.epoch and MISTAKE != "does stale requests":
            return self.error(request_id, "refused", f"epoch {epoch}", False)
        if deadline and time.monotonic_ns() > deadline and MISTAKE != "does expired requests":
            return self.error(request_id, "expired", "too late", False)
        if isinstance(payload, dict) and "raise" in payload:
            if MISTAKE == "dies of an error":
                sys.exit(1)
            return self.error(request_id, "raised", payload["raise"], True)
        if MISTAKE == "rounds" and isinstance(payload, float):
            payload = int(payload)
        return [request_id, True, payload]

    def error(self, request_id, kind, text, happened):
        if MISTAKE == "sends short errors":
            return [request_id, False, [kind, text]]
        category = "timeout" if kind == "expired" else "python"
        return [request_id, False, [kind, "Error", text, category, "", happened]]


if __name__ == "__main__":
    Worker(socket.socket(fileno=0)).serve()
