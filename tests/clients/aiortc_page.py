"""A web page's call made with aiortc, a WebRTC stack that shares nothing with the gateway: WHIP, ICE, DTLS-SRTP, Opus, a
data channel. What a browser's network does to it is done by a relay of this file: another source port, or TCP frames.

Usage: aiortc_page.py http://HOST:PORT AGENT RECORD.wav [--token T] [--origin O] [--relay udp|tcp] STEP...
Steps, one after the other:
  until:TEXT     a message of the call holds TEXT (those before count once)
  say:JSON       a message to the call
  key:DIGIT      a key as telephone events (RFC 4733)
  play:FILE.wav  plays it, mono of any rate
  sleep:S
  move           the relay goes on from another port, as after a change of networks
  restart        ICE restart by PATCH
  reload         a new session for the same call, as after a reload of the page
  end            DELETE
Prints `answered`, each message of the call as it came, each step as `step ...`, and `ended`; records what it hears.
"""
import asyncio
import fractions
import random
import re
import struct
import sys
import time
import urllib.error
import urllib.request
import wave

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

RATE = 16000
EVENT = 101
PATIENCE = 40


def say(*words):
    print(*words, flush=True)


class Voice(MediaStreamTrack):
    """Silence, and what is played in frames of 20 ms."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.waiting, self.at, self.since = b"", 0, None

    def play(self, path):
        with wave.open(path) as file:
            rate, samples = file.getframerate(), file.readframes(file.getnframes())
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
        frame.planes[0].update(samples)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        frames = [*resampler.resample(frame), *resampler.resample(None)]
        self.waiting += b"".join(bytes(f.planes[0])[: 2 * f.samples] for f in frames)

    async def recv(self):
        count = RATE // 50
        self.since = self.since or time.time()
        await asyncio.sleep(max(0, self.since + self.at / RATE - time.time()))
        sound, self.waiting = self.waiting[: 2 * count].ljust(2 * count, b"\0"), self.waiting[2 * count :]
        frame = av.AudioFrame(format="s16", layout="mono", samples=count)
        frame.planes[0].update(sound)
        frame.pts, frame.sample_rate, frame.time_base = self.at, RATE, fractions.Fraction(1, RATE)
        self.at += count
        return frame


class Relay(asyncio.DatagramProtocol):
    """Between aiortc and the gateway: its datagrams over another UDP port, or as frames of TCP (RFC 4571)."""

    def __init__(self, kind, target):
        self.kind, self.target, self.inside, self.upstream = kind, target, None, None

    async def open(self):
        loop = asyncio.get_running_loop()
        self.near, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        await self.move()
        return self.near.get_extra_info("sockname")

    async def move(self):
        if self.kind == "tcp":
            reader, self.upstream = await asyncio.open_connection(*self.target)
            self.reading = asyncio.ensure_future(self.frames(reader))
            return
        relay = self

        class Far(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                relay.near.sendto(data, relay.inside)

        loop = asyncio.get_running_loop()
        before, (self.upstream, _) = self.upstream, await loop.create_datagram_endpoint(Far, remote_addr=self.target)
        if before:
            before.close()

    async def frames(self, reader):
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            self.near.sendto(await reader.readexactly(length), self.inside)

    def datagram_received(self, data, address):
        self.inside = address
        if self.kind == "tcp":
            self.upstream.write(struct.pack("!H", len(data)) + data)
        else:
            self.upstream.sendto(data)


class Keys:
    """Puts telephone events in the place of audio packets, number by number."""

    def __init__(self, transport):
        self.send, self.packets = transport._send_rtp, []
        transport._send_rtp = self.replace

    def press(self, digit):
        code = "0123456789*#".index(digit)
        self.packets = [(code, 960 * (n + 1), n >= 8) for n in range(11)]
        self.start = None

    async def replace(self, data):
        if self.packets and data[1] & 0x7F not in range(64, 96):
            code, duration, end = self.packets.pop(0)
            packet = RtpPacket.parse(data)
            first = self.start is None
            self.start = packet.timestamp if first else self.start
            # The end is told three times, with the same duration.
            payload = struct.pack("!BBH", code, 10 | (0x80 if end else 0), min(duration, 960 * 9))
            event = RtpPacket(EVENT, int(first), packet.sequence_number, self.start, packet.ssrc, payload)
            data = event.serialize()
        await self.send(data)


class Page:
    def __init__(self, options):
        self.options, self.messages, self.seen = options, [], 0
        self.media, self.location, self.relay, self.tasks = None, None, None, []
        self.file = wave.open(options["record"], "wb")
        self.file.setnchannels(1)
        self.file.setsampwidth(2)
        self.file.setframerate(RATE)

    async def ask(self, method, path, body=None, kind=None, **more):
        headers = {k.replace("_", "-"): v for k, v in more.items()}
        if kind:
            headers["Content-Type"] = kind
        for name, key in (("Authorization", "token"), ("Origin", "origin")):
            if self.options.get(key):
                headers[name] = {"token": "Bearer "}.get(key, "") + self.options[key]
        url = self.options["base"] + path
        request = urllib.request.Request(url, body and body.encode(), headers, method=method)

        def run():
            try:
                return urllib.request.urlopen(request, timeout=15)
            except urllib.error.HTTPError as refused:
                raise SystemExit(f"refused {refused.code} {refused.read().decode()}")

        response = await asyncio.to_thread(run)
        return response.status, response.headers, response.read().decode()

    async def connect(self, resume=""):
        media = RTCPeerConnection()
        self.voice = Voice()
        sender = media.addTrack(self.voice)
        self.channel = media.createDataChannel("dauys")
        self.channel.on("message", self.message)
        media.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self.listen(track))))
        media.on("connectionstatechange", lambda: say(media.connectionState))
        await media.setLocalDescription(await media.createOffer())
        offer = re.sub(r"(m=audio .*)\r\n", rf"\1 {EVENT}\r\n", media.localDescription.sdp)
        offer = offer.replace("a=rtcp-mux\r\n", f"a=rtcp-mux\r\na=rtpmap:{EVENT} telephone-event/48000\r\n", 1)
        path = f"/whip/{self.options['agent']}" + (f"?resume={resume}" if resume else "")
        status, headers, answer = await self.ask("POST", path, offer, "application/sdp")
        self.location, self.etag = headers["Location"], headers["ETag"]
        say("answered", status, "etag" if self.etag else "")
        for line in answer.splitlines():
            if re.match(r"m=|a=(candidate|ice-lite|end-of|sctp-port|group|setup)", line):
                say("answer", line)
        if self.options.get("relay"):
            answer = await self.through_relay(answer)
        await media.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        before, self.media = self.media, media
        self.keys = Keys(sender.transport)
        if before:
            await before.close()

    async def through_relay(self, answer):
        kind = self.options["relay"]
        host, port = re.search(rf"candidate:\d+ 1 {kind} \d+ (\S+) (\d+) typ host", answer, re.I).groups()
        self.relay = Relay(kind, (host, int(port)))
        own = await self.relay.open()
        answer = re.sub(r"a=candidate:.* tcptype passive\r\n", "", answer)
        return re.sub(r"(candidate:\d+ 1 UDP \d+) \S+ \d+", rf"\1 {own[0]} {own[1]}", answer)

    def message(self, text):
        say(text)
        self.messages.append(text)

    async def listen(self, track):
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        while True:
            for frame in resampler.resample(await track.recv()):
                self.file.writeframes(bytes(frame.planes[0])[: 2 * frame.samples])

    async def until(self, text):
        give_up = time.time() + PATIENCE
        while True:
            while self.seen < len(self.messages):
                self.seen += 1
                if text.lower() in self.messages[self.seen - 1].lower():
                    return
            if time.time() > give_up:
                raise SystemExit(f"waited for {text}")
            await asyncio.sleep(0.01)

    def ice(self):
        return self.media.getTransceivers()[0].sender.transport.transport._connection

    async def restart(self):
        ice, chance = self.ice(), random.SystemRandom()
        text = lambda n: "".join(chance.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(n))
        name, password = text(8), text(24)
        body = f"a=ice-ufrag:{name}\r\na=ice-pwd:{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"
        path, kind = self.location, "application/trickle-ice-sdpfrag"
        status, headers, ours = await self.ask("PATCH", path, body, kind, If_Match="*")
        if status != 200 or headers["ETag"] in (None, self.etag):
            raise SystemExit(f"restart gave {status} {headers['ETag']}")
        self.etag = headers["ETag"]
        ice._local_username, ice._local_password = name, password
        ice.remote_username = re.search(r"a=ice-ufrag:(\S+)", ours)[1]
        ice.remote_password = re.search(r"a=ice-pwd:(\S+)", ours)[1]
        # A candidate more changes nothing, and needs the ETag.
        status, _, _ = await self.ask("PATCH", path, body, kind, If_Match=self.etag)
        if status != 204:
            raise SystemExit(f"candidates gave {status}")
        for pair in ice._nominated.values():
            request = ice.build_request(pair, nominate=True)
            await pair.protocol.request(request, pair.remote_addr, integrity_key=ice.remote_password.encode())

    async def step(self, step):
        name, _, rest = step.partition(":")
        if name == "until":
            await self.until(rest)
        elif name == "say":
            self.channel.send(rest)
        elif name == "key":
            self.keys.press(rest)
        elif name == "play":
            self.voice.play(rest)
            while self.voice.waiting:
                await asyncio.sleep(0.02)
        elif name == "sleep":
            await asyncio.sleep(float(rest))
        elif name == "move":
            await self.relay.move()
        elif name == "restart":
            await self.restart()
        elif name == "reload":
            await self.connect(self.location.rsplit("/", 1)[1])
        elif name == "end":
            status, _, _ = await self.ask("DELETE", self.location)
            say("deleted", status)
        else:
            raise SystemExit(f"no such step: {step}")
        say("step", step)


async def main():
    base, agent, record, *rest = sys.argv[1:]
    options = {"base": base, "agent": agent, "record": record}
    while rest and rest[0].startswith("--"):
        options[rest[0][2:]], rest = rest[1], rest[2:]
    page = Page(options)
    await page.connect()
    try:
        for step in rest:
            await page.step(step)
    finally:
        for task in page.tasks:
            task.cancel()
        await asyncio.gather(*page.tasks, return_exceptions=True)
        page.file.close()
        await page.media.close()
    say("ended")


asyncio.run(main())
