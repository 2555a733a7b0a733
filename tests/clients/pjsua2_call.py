"""One call with pjsua2, a SIP stack that shares nothing with the gateway.

Usage: pjsua2_call.py SIP_URI PLAY.wav RECORD.wav SECONDS
Prints `answered` and `ended CODE`; plays the file once and records what comes back.
"""
import sys
import time

import pjsua2 as pj

uri, play, record, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
state = {"media": False, "ended": False, "keep": []}


class Call(pj.Call):
    def onCallState(self, prm):
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            print("answered", flush=True)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            print("ended", info.lastStatusCode, flush=True)
            state["ended"] = True

    def onCallMediaState(self, prm):
        info = self.getInfo()
        if state["media"] or info.media[0].status != pj.PJSUA_CALL_MEDIA_ACTIVE:
            return
        state["media"] = True
        audio = self.getAudioMedia(0)
        player, recorder = pj.AudioMediaPlayer(), pj.AudioMediaRecorder()
        player.createPlayer(play, pj.PJMEDIA_FILE_NO_LOOP)
        recorder.createRecorder(record)
        player.startTransmit(audio)
        audio.startTransmit(recorder)
        state["keep"] += [player, recorder]


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
endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
endpoint.libStart()
account_config = pj.AccountConfig()
account_config.idUri = "sip:pjsua2@127.0.0.1"
account_config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
account = pj.Account()
account.create(account_config)
call = Call(account)
call.makeCall(uri, pj.CallOpParam(True))
end = time.time() + seconds
while time.time() < end and not state["ended"]:
    endpoint.libHandleEvents(20)
if not state["ended"]:
    call.hangup(pj.CallOpParam(True))
    end = time.time() + 3
    while time.time() < end and not state["ended"]:
        endpoint.libHandleEvents(20)
# Recorders write their headers when they go; calls and accounts go before the library.
state["keep"].clear()
del call
account.shutdown()
del account
endpoint.libDestroy()
