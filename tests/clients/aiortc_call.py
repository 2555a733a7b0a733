"""One call with aiortc, a WebRTC stack that shares nothing with the gateway: ICE, DTLS-SRTP with an ECDSA certificate,
Opus (or PCMU, PCMA, G722). Its SIP is written here by hand, over UDP: an INVITE, an ACK, a BYE.

Usage: aiortc_call.py HOST:PORT USER PLAY.wav RECORD.wav SECONDS [CODEC]
Plays the file (any rate, mono) once, then silence; records what it hears; hangs up SECONDS after the answer. Prints
`answered`, `connected`, `ended`, and as its last line the answer's media line and what it says of protection.
"""
import asyncio
import fractions
import random
import re
import sys
import time
import wave

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

server, user, play, record, seconds = sys.argv[1:6]
codec = (sys.argv[6] if len(sys.argv) > 6 else "opus").lower()
host, port = server.split(":")


class Recording(MediaStreamTrack):
    """The file in frames of 20 ms, then silence."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        with wave.open(play) as file:
            self.rate, self.samples = file.getframerate(), file.readframes(file.getnframes())
        self.at, self.since = 0, None

    async def recv(self):
        count = self.rate // 50
        self.since = self.since or time.time()
        await asyncio.sleep(max(0, self.since + self.at / self.rate - time.time()))
        sound = self.samples[2 * self.at : 2 * (self.at + count)].ljust(2 * count, b"\0")
        frame = av.AudioFrame(format="s16", layout="mono", samples=count)
        frame.planes[0].update(sound)
        frame.pts, frame.sample_rate, frame.time_base = self.at, self.rate, fractions.Fraction(1, self.rate)
        self.at += count
        return frame


class Phone(asyncio.DatagramProtocol):
    """As much SIP as one call needs on a network that loses nothing."""

    def __init__(self):
        self.messages = asyncio.Queue()
        self.tag, self.call_id = random.randbytes(4).hex(), random.randbytes(8).hex()
        self.target, self.to = f"sip:{user}@{server}", f"<sip:{user}@{server}>"

    def connection_made(self, transport):
        self.transport = transport
        self.own = "%s:%d" % transport.get_extra_info("sockname")

    def datagram_received(self, data, address):
        head, _, body = data.decode().partition("\r\n\r\n")
        if not head.startswith("SIP/2.0"):
            self.answer(head)
        self.messages.put_nowait((head, body))

    def answer(self, head):
        """A request in the call: it is fine, whatever it is."""
        kept = [line for line in head.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line, re.I)]
        self.transport.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode())

    def send(self, method, number, body=""):
        lines = [
            f"{method} {self.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.own};rport;branch=z9hG4bK{random.randbytes(8).hex()}",
            "Max-Forwards: 70",
            f"From: <sip:aiortc@{self.own}>;tag={self.tag}",
            f"To: {self.to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:aiortc@{self.own}>",
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        self.transport.sendto("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode())

    async def final(self, method):
        """The final answer to a request of ours: status, body."""
        while True:
            head, body = await asyncio.wait_for(self.messages.get(), 15)
            status = re.match(r"SIP/2.0 (\d+)", head)
            if status and re.search(rf"^CSeq: *\d+ +{method}", head, re.M | re.I) and int(status[1]) >= 200:
                self.to = re.search(r"^To: *(.*?)\r?$", head, re.M | re.I)[1]
                if contact := re.search(r"^Contact: *<(.*?)>", head, re.M | re.I):
                    self.target = contact[1]
                return int(status[1]), body

    async def ended_by_them(self):
        while True:
            head, _ = await self.messages.get()
            if head.startswith("BYE "):
                return


async def listen(track):
    """Writes what comes, at 16 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16000)
    with wave.open(record, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        while True:
            for frame in resampler.resample(await track.recv()):
                file.writeframes(bytes(frame.planes[0])[: 2 * frame.samples])


async def main():
    media, listening = RTCPeerConnection(), []
    sender = media.addTransceiver(Recording())
    all_codecs = RTCRtpSender.getCapabilities("audio").codecs
    sender.setCodecPreferences([c for c in all_codecs if c.mimeType.lower() == f"audio/{codec}"])
    media.on("track", lambda track: listening.append(asyncio.ensure_future(listen(track))))
    media.on("connectionstatechange", lambda: print(media.connectionState, flush=True))
    await media.setLocalDescription(await media.createOffer())
    _, phone = await asyncio.get_running_loop().create_datagram_endpoint(Phone, remote_addr=(host, int(port)))
    phone.send("INVITE", 1, media.localDescription.sdp)
    status, answer = await phone.final("INVITE")
    phone.send("ACK", 1)
    if status != 200:
        raise SystemExit(f"refused {status}")
    print("answered", flush=True)
    await media.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    try:
        await asyncio.wait_for(phone.ended_by_them(), float(seconds))
    except asyncio.TimeoutError:
        phone.send("BYE", 2)
        await phone.final("BYE")
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    await media.close()
    print("ended", flush=True)
    print(*(line for line in answer.splitlines() if re.match(r"m=|a=(rtpmap|fingerprint|setup|ice-lite)", line)))


asyncio.run(main())
