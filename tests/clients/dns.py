"""Runs a command in a network of its own, where 127.0.0.1:53 knows one name: `database.test` is 127.0.0.1.

    unshare --net python dns.py COMMAND...
"""

import fcntl
import socket
import struct
import subprocess
import sys
import threading

NAME = b"\x08database\x04test\x00"
TYPE_A = 1


def bring_up_loopback():
    set_flags, up = 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up))


def answer(server):
    while True:
        query, peer = server.recvfrom(512)
        identity, question = query[:2], query[12:]
        name = question[: question.index(b"\x00") + 1]
        (kind,) = struct.unpack_from("!H", question, len(name))
        question = question[: len(name) + 4]
        if name.lower() != NAME:
            server.sendto(identity + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + question, peer)
        elif kind != TYPE_A:
            server.sendto(identity + struct.pack("!HHHHH", 0x8180, 1, 0, 0, 0) + question, peer)
        else:
            record = struct.pack("!HHHIH4B", 0xC00C, TYPE_A, 1, 60, 4, 127, 0, 0, 1)
            server.sendto(identity + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + record, peer)


def main(command):
    bring_up_loopback()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        threading.Thread(target=answer, args=[server], daemon=True).start()
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
