"""The few calls of etcd's API that the scripts need beside `pine bench`. Needs grpcio, which .venv has."""

import threading

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(fields):
    """A protobuf message of numbered fields: bytes, numbers, or lists of messages. What is zero or empty is left out."""
    out = b""
    for number, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bytes):
                if one or isinstance(value, list):
                    out += varint(number << 3 | 2) + varint(len(one)) + one
            elif one:
                out += varint(number << 3) + varint(int(one))
    return out


def fields(data):
    """A message's fields: number -> list of numbers or bytes."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            value = number()
        else:
            length = number()
            value = data[at:at + length]
            at += length
        found.setdefault(tag >> 3, []).append(value)
    return found


class KeyValue:
    def __init__(self, data):
        parts = fields(data)
        self.key, self.value = parts.get(1, [b""])[0], parts.get(5, [b""])[0]
        self.mod_revision, self.version = parts.get(3, [0])[0], parts.get(4, [0])[0]


class Etcd:
    def __init__(self, endpoint):
        self.channel = grpc.insecure_channel(endpoint.removeprefix("http://"), options=OPTIONS)

    def call(self, name, request, seconds=60):
        return fields(self.channel.unary_unary(f"/etcdserverpb.KV/{name}")(message(request), timeout=seconds))

    def put(self, key, value, prev_kv=False):
        """The revision, and what was before where that is asked for."""
        answer = self.call("Put", {1: key, 2: value, 4: prev_kv})
        return fields(answer[1][0])[3][0], KeyValue(answer[2][0]) if 2 in answer else None

    def range(self, key, end=b"", revision=0, limit=0):
        return [KeyValue(data) for data in self.call("Range", {1: key, 2: end, 3: limit, 4: revision}).get(2, [])]

    def put_if_value(self, key, expected, value):
        """A transaction that puts where the value is as expected."""
        compare = message({2: 3, 3: key, 7: expected})
        return bool(self.call("Txn", {1: [compare], 2: [message({2: message({1: key, 2: value})})]}).get(2, [0])[0])

    def revision(self):
        return fields(self.call("Range", {1: b"\0"})[1][0])[3][0]

    def compact(self, revision, physical=False):
        self.call("Compact", {1: revision, 2: physical}, 600)

    def watch(self, key, end, revision, prev_kv=False):
        """Gives (type, key and value, those before) of each event from `revision` on, for as long as the caller goes on."""
        ended = threading.Event()

        def requests():
            yield message({1: message({1: key, 2: end, 3: revision, 6: prev_kv})})
            ended.wait()

        stream = self.channel.stream_stream("/etcdserverpb.Watch/Watch")(requests())
        try:
            for data in stream:
                for event in fields(data).get(11, []):
                    parts = fields(event)
                    yield parts.get(1, [0])[0], KeyValue(parts[2][0]), KeyValue(parts[3][0]) if 3 in parts else None
        finally:
            ended.set()
            stream.cancel()
