"""A slow link: relays TCP connections and holds every byte back for a fixed time, in each direction.

    relay.py DELAY_MS LOG PORT=ADDRESS:PORT...

The delay is latency only: what is sent together arrives together, and the next bytes do not wait for the last ones. The TCP
handshake, which a local relay would hide, is paid for too. LOG gets one line per finished connection: the port it came in at,
round trips, bytes up, bytes down. A round trip is counted whenever the client sends after the server has: it waited for an
answer; the TCP handshake counts as one.
"""

import asyncio
import socket
import sys


class Link:
    """One relayed connection."""

    def __init__(self, delay):
        self.delay = delay
        self.opened = asyncio.get_running_loop().time()
        self.round_trips = 1
        self.last = None
        self.bytes = {"up": 0, "down": 0}

    def due(self, direction):
        """When bytes that were read now may arrive. The server sees the connection after SYN, SYN+ACK, ACK: three ways."""
        now = asyncio.get_running_loop().time()
        return max(now + self.delay, self.opened + 3 * self.delay) if direction == "up" else now + self.delay

    def arrived(self, direction, count):
        if direction == "up" and self.last == "down":
            self.round_trips += 1
        self.last = direction
        self.bytes[direction] += count

    async def carry(self, direction, reader, writer):
        """Reads at once, writes when it is due."""
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue()

        async def read():
            data = b"-"
            while data:
                try:
                    data = await reader.read(65536)
                except ConnectionError:
                    data = b""
                queue.put_nowait((self.due(direction), data))

        reading = asyncio.create_task(read())
        try:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - loop.time()))
                if not data:
                    break
                self.arrived(direction, len(data))
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except (ConnectionError, OSError):
            pass
        finally:
            reading.cancel()


def quick(writer):
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def relay(delay, log, port, address, target, reader, writer):
    link = Link(delay)
    quick(writer)
    await asyncio.sleep(3 * delay)
    try:
        far_reader, far_writer = await asyncio.open_connection(address, target)
    except OSError:
        writer.close()
        return
    quick(far_writer)
    up = asyncio.create_task(link.carry("up", reader, far_writer))
    down = asyncio.create_task(link.carry("down", far_reader, writer))
    # When one side is done the other has nobody to talk to: what is under way still arrives, then both are closed.
    await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait([up, down], timeout=1)
    for end in (writer, far_writer):
        end.close()
    for task in (up, down):
        task.cancel()
    log.write(f"{port} {link.round_trips} {link.bytes['up']} {link.bytes['down']}\n")
    log.flush()


async def main(delay, log, pairs):
    servers = []
    for pair in pairs:
        port, _, target = pair.partition("=")
        address, _, target_port = target.rpartition(":")

        def accept(reader, writer, fixed=(delay, log, int(port), address, int(target_port))):
            return relay(*fixed, reader, writer)

        servers.append(await asyncio.start_server(accept, "127.0.0.1", int(port)))
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    with open(sys.argv[2], "a", encoding="utf-8") as log_file:
        asyncio.run(main(float(sys.argv[1]) / 1000, log_file, sys.argv[3:]))
