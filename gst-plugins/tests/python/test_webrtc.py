"""Two webrtcbin on loopback: one sends sound and video, the other takes them."""

import os

import gi
import pytest

gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstVideo", "1.0")

from conftest import require, wait_for  # noqa: E402
from gi.repository import Gst, GstSdp, GstVideo, GstWebRTC  # noqa: E402, F401

RUNS = range(int(os.environ.get("SISKIN_NETWORK_RUNS", "2")))
SENDER = (
    "webrtcbin name=rtc bundle-policy=max-bundle "
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=96,height=64,framerate=25/1 "
    "! siskinvideoenc name=encoder keyframe-interval=4096 ! rtpsiskinvideopay pt=96 "
    "! application/x-rtp,media=video,encoding-name=SISKIN,payload=96,rtcp-fb-nack-pli=true ! queue ! rtc. "
    "audiotestsrc is-live=true samplesperbuffer=480 ! audio/x-raw,rate=24000,channels=1 ! siskinaudioenc "
    "! rtpsiskinaudiopay pt=97 ! application/x-rtp,media=audio,encoding-name=SISKIN,payload=97 ! queue ! rtc. "
)


def exchange(sender, receiver, described):
    """Offer, answer and candidates from one to the other."""

    def on_candidate(other):
        return lambda _rtc, line, candidate: other.emit("add-ice-candidate", line, candidate)

    sender.connect("on-ice-candidate", on_candidate(receiver))
    receiver.connect("on-ice-candidate", on_candidate(sender))

    # As text from one to the other, as between two machines. A description belongs to the structure that brings it, which has to
    # have a name of its own to stay.
    def describe(kind, text):
        _result, message = GstSdp.SDPMessage.new_from_text(text)
        return GstWebRTC.WebRTCSessionDescription.new(kind, message)

    def set_description(rtc, which, description):
        promise = Gst.Promise.new()
        rtc.emit(f"set-{which}-description", description, promise)
        promise.interrupt()

    def on_answer(promise):
        promise.wait()
        reply = promise.get_reply()
        answer = reply.get_value("answer")
        described.append(answer.sdp.as_text())
        set_description(receiver, "local", answer)
        set_description(sender, "remote", describe(GstWebRTC.WebRTCSDPType.ANSWER, described[-1]))

    def on_offer(promise):
        promise.wait()
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        described.append(offer.sdp.as_text())
        set_description(sender, "local", offer)
        set_description(receiver, "remote", describe(GstWebRTC.WebRTCSDPType.OFFER, described[-1]))
        receiver.emit("create-answer", None, Gst.Promise.new_with_change_func(on_answer))

    def on_needed(rtc):
        rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(on_offer))

    sender.connect("on-negotiation-needed", on_needed)


@pytest.mark.parametrize("run", RUNS)
def test_sound_and_video_arrive_and_a_request_is_answered(players, run):
    require("webrtcbin", "nicesrc", "dtlsdec", "srtpdec", "siskinvideoenc", "siskinaudioenc")
    sending, receiving = Gst.parse_launch(SENDER), Gst.Pipeline()
    taker = Gst.ElementFactory.make("webrtcbin")
    taker.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
    receiving.add(taker)
    _sender, receiver = players(sending), players(receiving)
    described, sinks = [], {}
    exchange(sending.get_by_name("rtc"), taker, described)

    def on_pad(_rtc, pad):
        media = pad.get_current_caps().get_structure(0).get_string("media")
        kinds = {"audio": "rtpsiskinaudiodepay ! siskinaudiodec", "video": "rtpsiskinvideodepay ! siskinvideodec"}
        chain = Gst.parse_bin_from_description(f"queue ! {kinds[media]}", True)
        sink = sinks[media] = receiver.sink(media)
        receiving.add(chain)
        receiving.add(sink)
        chain.link(sink)
        sink.sync_state_with_parent()
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    taker.connect("pad-added", on_pad)
    receiving.set_state(Gst.State.PLAYING)
    sending.set_state(Gst.State.PLAYING)
    wait_for(lambda: receiver.count("audio") >= 50 and receiver.count("video") >= 25, "sound and video")
    assert all("SISKIN/90000" in text and "config=" in text for text in described), described
    # What a player asks for goes through RTCP to the encoder, which answers with the next frame.
    encoder = sending.get_by_name("encoder")
    before = receiver.count("video")
    event = GstVideo.video_event_new_upstream_force_key_unit(Gst.CLOCK_TIME_NONE, True, 0)
    assert sinks["video"].get_static_pad("sink").push_event(event)
    wait_for(lambda: encoder.get_property("stats").get_value("keyframe-requests") >= 1, "the request")
    wait_for(lambda: encoder.get_property("stats").get_value("key-groups") >= 2, "the keyframe")
    wait_for(lambda: receiver.count("video") >= before + 5, "more video")
