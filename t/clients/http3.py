"""An HTTP/3 client for tests: http3.py PORT, requests on standard input, what came on standard output.

The input is one line of JSON, a list of {"method", "path", "headers", "body"}. Headers are a list of
[name, value]. A body is a text, or a list of pieces, of which each is sent when the server has
acknowledged the one before. Each request has a connection of its own, on which /next is asked
afterwards. The output is a list of {"sees", "next", "headers", "body", "trailers"}: "sees" is a status,
"whole" for 200, "none" for a stream without a response, "cut" for one that ends early.

http3.py PORT leave: sends all requests on one connection, prints "waiting", and resets all their
streams when the next line comes. Then it asks for /next, too, and prints its body.
"""

import asyncio
import json
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

TIMEOUT = 20


class Stream:
    def __init__(self):
        self.status, self.body, self.complete = None, b"", False
        self.headers, self.trailers = [], []
        self.over = asyncio.Event()

    def sees(self):
        if not self.over.is_set():
            return "nothing in time"
        if not self.complete:
            return "cut" if self.status else "none"
        return "whole" if self.status == 200 else self.status


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.streams = {}

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            self.streams[event.stream_id].over.set()
        if isinstance(event, ConnectionTerminated):
            for stream in self.streams.values():
                stream.over.set()
        for part in self.http.handle_event(event):
            stream = self.streams.get(getattr(part, "stream_id", None))
            if stream is None:
                continue
            if isinstance(part, HeadersReceived):
                status = dict(part.headers).get(b":status")
                fields = [[name.decode(), value.decode("latin-1")] for name, value in part.headers]
                if status:
                    stream.status, stream.headers = int(status), fields
                else:
                    stream.trailers = fields
            if isinstance(part, DataReceived):
                stream.body += part.data
            if part.stream_ended:
                stream.complete = True
                stream.over.set()

    def start(self, method, path, body=None, fields=()):
        stream_id = self._quic.get_next_available_stream_id()
        self.streams[stream_id] = Stream()
        headers = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        encoded = [(name.encode(), value.encode()) for name, value in [*headers.items(), *fields]]
        self.http.send_headers(stream_id, encoded, end_stream=body is None)
        if isinstance(body, str):
            self.http.send_data(stream_id, body.encode(), end_stream=True)
        self.transmit()
        return stream_id

    async def send_pieces(self, stream_id, pieces):
        for piece in pieces:
            self.http.send_data(stream_id, piece.encode(), end_stream=False)
            self.transmit()
            await self.ping()
        self.http.send_data(stream_id, b"", end_stream=True)
        self.transmit()

    async def get(self, method, path, body=None, fields=()):
        stream_id = self.start(method, path, body, fields)
        stream = self.streams[stream_id]
        if isinstance(body, list):
            await self.send_pieces(stream_id, body)
        try:
            await asyncio.wait_for(stream.over.wait(), TIMEOUT)
        except asyncio.TimeoutError:
            pass
        return stream


def connection(port):
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, verify_mode=ssl.CERT_NONE)
    return connect("127.0.0.1", port, configuration=configuration, create_protocol=Client)


def parts(request):
    return request["method"], request["path"], request.get("body"), request.get("headers", ())


async def ask(port, request):
    async with connection(port) as client:
        stream = await client.get(*parts(request))
        after = await client.get("GET", "/next")
        return {
            "sees": stream.sees(),
            "next": after.body.decode("latin-1") if after.complete else after.sees(),
            "headers": stream.headers,
            "body": stream.body.decode("latin-1"),
            "trailers": stream.trailers,
        }


async def leave(port, requests):
    async with connection(port) as client:
        ids = [client.start(*parts(request)) for request in requests]
        print("waiting", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for stream_id in ids:
            client._quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        client.transmit()
        print((await client.get("GET", "/next")).body.decode(), flush=True)


async def main():
    port, requests = int(sys.argv[1]), json.loads(sys.stdin.readline())
    if sys.argv[2:] == ["leave"]:
        return await leave(port, requests)
    few = asyncio.Semaphore(4)

    async def ask_in_turn(request):
        async with few:
            return await ask(port, request)

    print(json.dumps(await asyncio.gather(*map(ask_in_turn, requests))))


asyncio.run(main())
