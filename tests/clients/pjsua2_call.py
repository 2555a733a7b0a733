"""One call with pjsua2, a SIP stack that shares nothing with the gateway.

Usage: pjsua2_call.py TARGET PLAY.wav RECORD.wav SECONDS [ACTIONS]
TARGET is a SIP URI to call (its `transport` parameter counts), or `answer:udp:PORT` (tcp, tls) to take one call.
ACTIONS: comma-separated `AT:WHAT`, AT in seconds after the answer; WHAT is hold, resume, dtmf=DIGITS, info=DIGITS,
refer=URI, codec=NAME (another codec from now on, by a re-INVITE) or bye. Plays the file once, records what comes back, prints a line an event and `ended CODE`.
A call that a REFER of ours brings back here is answered too, recorded in RECORD.wav with `-2` before the ending, and
the first one hung up. attend=URI calls URI and, 2 s after its answer, has it replace the first call (Replaces).
Environment: PJSUA2_CA says whose certificates count over TLS (unset: everybody's); PJSUA2_CERT and PJSUA2_KEY are ours. PJSUA2_CODEC is the only codec to speak (`G722/16000`; unset: all);
PJSUA2_SRTP is `optional` or `mandatory` (unset: plain RTP only), with keys in the signalling.
"""
import os
import sys
import time

import pjsua2 as pj

target, play, record, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
actions = sorted((float(a.split(":", 1)[0]), a.split(":", 1)[1]) for a in sys.argv[5].split(",")) if len(sys.argv) > 5 else []
state = {"ended": False, "keep": [], "since": None, "call": None, "calls": []}


class Call(pj.Call):
    tools = None
    held = False
    # What to do once it is answered, and whether its end is ours.
    then = None
    first = True

    def onCallState(self, prm):
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            if state["since"] is None:
                state["since"] = time.time()
            print("answered", flush=True)
            if self.then:
                actions.append((time.time() - state["since"] + 2, self.then))
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            print("ended" if self.first else "ended-other", info.lastStatusCode, flush=True)
            state["ended"] = state["ended"] or state["call"] is self

    def onCallMediaState(self, prm):
        info = self.getInfo()
        status = info.media[0].status
        if status == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD:
            self.held = True
            print("held", flush=True)
        if status != pj.PJSUA_CALL_MEDIA_ACTIVE:
            return
        if self.held:
            self.held = False
            print("resumed", flush=True)
        audio = self.getAudioMedia(0)
        if self.tools is None:
            player, recorder = pj.AudioMediaPlayer(), pj.AudioMediaRecorder()
            player.createPlayer(play, pj.PJMEDIA_FILE_NO_LOOP)
            recorder.createRecorder(record if not state["keep"] else record.replace(".wav", "-2.wav"))
            self.tools = (player, recorder)
            state["keep"].append(self.tools)
        player, recorder = self.tools
        player.startTransmit(audio)
        audio.startTransmit(recorder)

    def onCallTransferStatus(self, prm):
        print("transfer", prm.statusCode, flush=True)
        if prm.finalNotify and prm.statusCode == 200 and self is not state["call"]:
            actions.append((0, "leave"))

    def onCallTransferRequest(self, prm):
        # Somebody sends us elsewhere: the call that comes of it is ours to follow.
        prm.newCall = follow(Call(account))


def follow(call):
    """From now on this is the call that counts."""
    state["calls"].append(call)
    state["call"] = call
    return call


class Account(pj.Account):
    def onIncomingCall(self, prm):
        call = Call(self, prm.callId)
        if state["calls"]:
            call.first = False
        follow(call)
        answer = pj.CallOpParam()
        answer.statusCode = 200
        call.answer(answer)


def speak_only(codec):
    for known in endpoint.codecEnum2():
        endpoint.codecSetPriority(known.codecId, 255 if known.codecId.startswith(codec) else 0)


def perform(call, what):
    name, _, value = what.partition("=")
    options = pj.CallOpParam(True)
    if name == "hold":
        call.setHold(pj.CallOpParam())
    elif name == "resume":
        options.opt.flag = pj.PJSUA_CALL_UNHOLD
        call.reinvite(options)
    elif name == "codec":
        speak_only(value)
        call.reinvite(options)
    elif name == "dtmf":
        call.dialDtmf(value)
    elif name == "info":
        digits = pj.CallSendDtmfParam()
        digits.method, digits.digits = pj.PJSUA_DTMF_METHOD_SIP_INFO, value
        call.sendDtmf(digits)
    elif name == "refer":
        call.xfer(value, pj.CallOpParam())
    elif name == "attend":
        other = Call(account)
        other.first, other.then = False, "replace"
        state["calls"].append(other)
        other.makeCall(value, pj.CallOpParam(True))
    elif name == "replace":
        state["calls"][1].xferReplaces(state["calls"][0], pj.CallOpParam())
    elif name == "leave":
        for old in state["calls"]:
            if old is not call and old.isActive():
                old.hangup(pj.CallOpParam())
    elif name == "bye":
        call.hangup(pj.CallOpParam())


TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
is_answering = target.startswith("answer:")
kind = target.split(":")[1] if is_answering else target.rpartition("transport=")[2] if "transport=" in target else "udp"
endpoint = pj.Endpoint()
endpoint.libCreate()
config = pj.EpConfig()
config.logConfig.level = 0
config.logConfig.consoleLevel = 0
config.medConfig.noVad = True
config.uaConfig.threadCnt = 0
config.uaConfig.mainThreadOnly = True
endpoint.libInit(config)
endpoint.audDevManager().setNullDev()
transport = pj.TransportConfig()
transport.boundAddress = "127.0.0.1"
if is_answering:
    transport.port = int(target.split(":")[2])
tls = {n: os.environ.get("PJSUA2_" + n, "") for n in ("CA", "CERT", "KEY")}
transport.tlsConfig.CaListFile, transport.tlsConfig.verifyServer = tls["CA"], bool(tls["CA"])
transport.tlsConfig.certFile, transport.tlsConfig.privKeyFile = tls["CERT"], tls["KEY"]
endpoint.transportCreate(TRANSPORTS[kind], transport)
endpoint.libStart()
if "PJSUA2_CODEC" in os.environ:
    speak_only(os.environ["PJSUA2_CODEC"])
account_config = pj.AccountConfig()
account_config.idUri = "sip:pjsua2@127.0.0.1"
account_config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
SRTP = {"": pj.PJMEDIA_SRTP_DISABLED, "optional": pj.PJMEDIA_SRTP_OPTIONAL, "mandatory": pj.PJMEDIA_SRTP_MANDATORY}
account_config.mediaConfig.srtpUse = SRTP[os.environ.get("PJSUA2_SRTP", "")]
account_config.mediaConfig.srtpSecureSignaling = 0
account = Account()
account.create(account_config)
if is_answering:
    print("listening", flush=True)
else:
    follow(Call(account)).makeCall(target, pj.CallOpParam(True))
end = time.time() + seconds
while time.time() < end and not state["ended"]:
    endpoint.libHandleEvents(20)
    actions.sort()
    while actions and state["since"] and time.time() - state["since"] >= actions[0][0]:
        perform(state["call"], actions.pop(0)[1])
if state["call"] and not state["ended"]:
    state["call"].hangup(pj.CallOpParam(True))
    end = time.time() + 3
    while time.time() < end and not state["ended"]:
        endpoint.libHandleEvents(20)
# Recorders write their headers when they go; calls and accounts go before the library.
state["keep"].clear()
state["call"] = None
state["calls"].clear()
account.shutdown()
del account
endpoint.libDestroy()
