"""The relay delays what it should, and does not make bytes queue up behind each other. Run by `bench/peers/run` before it measures."""

import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RELAY = Path(__file__).resolve().parent / "relay.py"


def echo(server):
    while True:
        try:
            peer, _ = server.accept()
        except OSError:
            return
        with peer:
            while data := peer.recv(65536):
                peer.sendall(data)


def receive(sock, count):
    data = b""
    while len(data) < count:
        data += sock.recv(65536) or exit("the relay closed the connection")
    return data


def main():
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=echo, args=(server,), daemon=True).start()
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with tempfile.NamedTemporaryFile("r") as log:
        command = [sys.executable, RELAY, "25", log.name, f"{port}=127.0.0.1:{server.getsockname()[1]}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
            assert relay.stdout.readline() == "ready\n"
            started = time.monotonic()
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.sendall(b"x")
                receive(sock, 1)
                first = time.monotonic() - started
                trips = []
                for _ in range(10):
                    started = time.monotonic()
                    sock.sendall(b"x")
                    receive(sock, 1)
                    trips.append(time.monotonic() - started)
                started = time.monotonic()
                for _ in range(200):
                    sock.sendall(b"y" * 100)
                    time.sleep(0.0005)
                receive(sock, 20000)
                many = time.monotonic() - started
            time.sleep(0.5)
            relay.terminate()
        counted = [line.split() for line in log.read().splitlines()]
    trip = sorted(trips)[5]
    # TCP handshake and one more round trip; an answer; 200 messages in 0.1 s and one round trip.
    assert 0.100 <= first < 0.2, f"the first answer came after {first:.3f} s"
    assert 0.050 <= trip < 0.1, f"one round trip takes {trip:.3f} s"
    assert many < 1, f"200 messages without waiting took {many:.3f} s: the relay serialises"
    # The handshake, 1 + 10 answers (the first one is part of no earlier wait), and the burst, in which answers overlap.
    assert len(counted) == 1 and int(counted[0][1]) >= 12, f"the relay counted {counted}"
    print(f"the slow link: round trip {trip * 1000:.1f} ms; 200 messages without waiting {many * 1000:.0f} ms")


if __name__ == "__main__":
    main()
