# SPDX-License-Identifier: Apache-2.0
"""What a kubelet says to containerd, without a kubelet: CRI calls over gRPC. Messages are written by field number, as in
k8s.io/cri-api/pkg/apis/runtime/v1/api.proto; so neither its generated code nor protoc is needed.

Run as a program it makes one call: cri.py SOCKET METHOD, the request on standard input, the response on standard output.
"""

import sys


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def encode(message):
    """{field: value}: numbers, strings, messages (dict), and lists for repeated fields."""
    out = b""
    for field, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                out += varint(field << 3) + varint(item)
            else:
                data = encode(item) if isinstance(item, dict) else item.encode()
                out += varint(field << 3 | 2) + varint(len(data)) + data
    return out


def decode(data):
    """{field: [values]}: numbers, or bytes that the caller knows to be a string or a message."""
    out, at = {}, 0

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
        key = number()
        if key & 7 == 0:
            value = number()
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size = number()
            value, at = data[at:at + size], at + size
        out.setdefault(key >> 3, []).append(value)
    return out


def main():
    import grpc

    _, address, method = sys.argv
    channel = grpc.insecure_channel(f"unix://{address}")
    call = channel.unary_unary(f"/runtime.v1.{method}")
    try:
        sys.stdout.buffer.write(call(sys.stdin.buffer.read(), timeout=60))
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
