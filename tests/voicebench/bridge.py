"""A WebSocket server that puts each connection through to a SIP agent: a call by pjsua2, PCM both ways in real time.

Usage: bridge.py TARGET [--port PORT] [--api http://HOST:PORT]
TARGET is the SIP URI to call. With --api, lines of the call's transcript become voicebench's `transcript` messages: the
gateway is expected to have no other call. Prints `listening PORT`, and when a connection ends a line of JSON: how late
frames were on their way to the phone. It judges nothing, and never smooths: a frame that is late is a gap.
"""
import argparse
import asyncio
import collections
import json
import signal
import urllib.error
import urllib.request

import pjsua2 as pj
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

RATE = 8000
FRAME_MS = 20
FRAME_BYTES = RATE * FRAME_MS // 1000 * 2
SILENCE = bytes(FRAME_BYTES)
# What a session sends ahead or catches up with, 200 ms; the oldest goes.
QUEUE_FRAMES = 10
# Samples at or below this are the noise of G.711 around zero.
QUIET = 16
POLL_S = 0.1


def is_quiet(pcm):
    samples = memoryview(pcm).cast("h")
    return max(samples, default=0) <= QUIET and min(samples, default=0) >= -QUIET


class Port(pj.AudioMediaPort):
    """Where the call's frames come and go, in step with the phone's own clock (a thread of pjmedia)."""

    def __init__(self, received):
        super().__init__()
        self.received = received
        self.queue = collections.deque(maxlen=QUEUE_FRAMES)
        self.is_speaking = False
        self.counts = collections.Counter()
        form = pj.MediaFormatAudio()
        form.type = pj.PJMEDIA_TYPE_AUDIO
        form.clockRate, form.channelCount, form.bitsPerSample = RATE, 1, 16
        form.frameTimeUsec = FRAME_MS * 1000
        self.createPort("bridge", form)

    def push(self, pcm):
        """A frame of the caller's."""
        if len(self.queue) == QUEUE_FRAMES:
            self.counts["overruns"] += 1
        self.queue.append(pcm)

    def onFrameRequested(self, frame):
        # In silence nothing but the newest frame waits, or a session that once caught up would be late for ever.
        while len(self.queue) > 1 and is_quiet(self.queue[0]):
            self.queue.popleft()
            self.counts["silence_skipped"] += 1
        pcm = self.queue.popleft() if self.queue else None
        if pcm is None:
            self.counts["gaps_in_speech"] += self.is_speaking
            pcm = SILENCE
        else:
            self.is_speaking = not is_quiet(pcm)
        self.counts["frames_out"] += 1
        self.counts["frames_waiting"] += len(self.queue)
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        frame.buf = pj.ByteVector(pcm)
        frame.size = len(pcm)

    def onFrameReceived(self, frame):
        if frame.type != pj.PJMEDIA_FRAME_TYPE_AUDIO or not frame.size:
            return
        pcm = bytes(frame.buf)
        # An agent on a WebSocket sends no silence either; what is sent is placed where it arrived.
        if not is_quiet(pcm):
            self.counts["frames_in"] += 1
            self.received(pcm)


class Call(pj.Call):
    """One call, from the INVITE to the BYE. Its callbacks come from a thread of pjsua's."""

    def __init__(self, account, port, ended):
        super().__init__(account)
        self.port, self.ended = port, ended
        self.is_up = self.is_over = False

    def onCallState(self, _):
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.is_over = True
            self.ended(info.lastStatusCode)

    def onCallMediaState(self, _):
        info = self.getInfo()
        if info.media[0].status == pj.PJSUA_CALL_MEDIA_ACTIVE:
            audio = self.getAudioMedia(0)
            self.port.startTransmit(audio)
            audio.startTransmit(self.port)
            self.is_up = True


class Phone:
    """The SIP stack."""

    def __init__(self):
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.logConfig.level = config.logConfig.consoleLevel = 0
        media = config.medConfig
        media.clockRate = media.sndClockRate = RATE
        media.audioFramePtime = FRAME_MS
        media.noVad = True
        # Loopback delivers on time: nothing is held back before it is played.
        media.jbInit, media.jbMinPre, media.jbMaxPre = 0, 0, 1
        media.ecTailLen = 0
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        transport = pj.TransportConfig()
        transport.boundAddress = "127.0.0.1"
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.libStart()
        for known in self.endpoint.codecEnum2():
            self.endpoint.codecSetPriority(known.codecId, 255 if known.codecId.startswith("PCMU/8000") else 0)
        account = pj.AccountConfig()
        account.idUri = "sip:voicebench@127.0.0.1"
        account.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
        self.account = pj.Account()
        self.account.create(account)
        # Objects that pjsua may still call back live as long as it does.
        self.keep = []

    def call(self, target, received, ended):
        port = Port(received)
        call = Call(self.account, port, ended)
        self.keep.append((call, port))
        call.makeCall(target, pj.CallOpParam(True))
        return call, port

    def close(self):
        self.endpoint.hangupAllCalls()
        # Calls and their account go before the library.
        self.keep.clear()
        self.account.shutdown()
        del self.account
        self.endpoint.libDestroy()


def get(url):
    """A JSON document, or nothing where there is none yet."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        return None


async def report_lines(api, send):
    """What the agent understood, as soon as it is in the transcript."""
    told = 0
    while True:
        await asyncio.sleep(POLL_S)
        calls = await asyncio.to_thread(get, f"{api}/api/v1/calls?limit=1")
        active = [call for call in (calls or {"calls": []})["calls"] if call["state"] == "active"]
        if not active:
            continue
        transcript = await asyncio.to_thread(get, f"{api}/api/v1/calls/{active[0]['id']}/transcript")
        lines = [line for line in (transcript or {"lines": []})["lines"] if line.get("speaker") == "caller"]
        for line in lines[told:]:
            await send(json.dumps({"type": "transcript", "role": "user", "text": line["text"], "final": True}))
        told = len(lines)


async def connection(socket, phone, options):
    loop = asyncio.get_running_loop()
    out = asyncio.Queue(maxsize=50)
    over = asyncio.Event()

    def received(pcm):
        loop.call_soon_threadsafe(lambda: out.full() or out.put_nowait(pcm))

    codes = []

    def ended(code):
        codes.append(code)
        loop.call_soon_threadsafe(over.set)

    call, port = phone.call(options.target, received, ended)

    async def upwards():
        while True:
            await socket.send(await out.get())

    async def refused():
        # An agent that hangs up leaves silence; one that never answered is no agent.
        await over.wait()
        if not call.is_up:
            await socket.close(1011, f"the call failed with {codes[0]}")

    tasks = [asyncio.create_task(upwards()), asyncio.create_task(refused())]
    if options.api:
        tasks.append(asyncio.create_task(report_lines(options.api, socket.send)))
    try:
        async for message in socket:
            if call.is_up and not call.is_over and isinstance(message, bytes):
                port.push(message)
    except ConnectionClosed:
        pass
    finally:
        for task in tasks:
            task.cancel()
        if not over.is_set():
            call.hangup(pj.CallOpParam(True))
            await asyncio.wait_for(over.wait(), 5)
        counts = dict(port.counts)
        waiting = counts.pop("frames_waiting", 0) * FRAME_MS / max(1, counts.get("frames_out", 0))
        print(json.dumps({**counts, "mean_wait_ms": round(waiting, 1), "code": codes[0]}), flush=True)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api")
    options = parser.parse_args()
    phone = Phone()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with serve(lambda socket: connection(socket, phone, options), "127.0.0.1", options.port) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
    phone.close()


asyncio.run(main())
