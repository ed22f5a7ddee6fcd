"""What the tests have in common: GStreamer with the elements of the build, and a main loop to wait in.

`./x test` runs them with `GST_PLUGIN_PATH` on what cargo built. They stay in one process and on the loopback device.
"""

import time

import gi
import pytest

gi.require_version("Gst", "1.0")

from gi.repository import GLib, Gst  # noqa: E402

Gst.init(None)

# Long enough for a machine that builds something else meanwhile: nothing here is judged by its time.
PATIENCE = 60.0


def wait_for(condition, what, seconds=PATIENCE):
    """Runs the main loop until `condition()` holds."""
    context = GLib.MainContext.default()
    # The loop sleeps until something happens; without a timer it would miss what streaming threads count.
    timer = GLib.timeout_add(20, lambda: True)
    end = time.monotonic() + seconds
    try:
        while not condition():
            assert time.monotonic() < end, f"{what} did not come within {seconds:.0f} s"
            context.iteration(True)
    finally:
        GLib.source_remove(timer)


class Player:
    """A pipeline whose errors fail the test, and the buffers that its sinks get."""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.errors = []
        self.buffers = {}
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self._note)

    def _note(self, _bus, message):
        if message.type == Gst.MessageType.ERROR:
            self.errors.append(str(message.parse_error()))
        elif message.type == Gst.MessageType.LATENCY:
            self.pipeline.recalculate_latency()

    def count(self, kind):
        """Buffers that came to a sink made by `sink`."""
        assert not self.errors, self.errors
        return len(self.buffers.get(kind, []))

    def sink(self, kind):
        """A sink that keeps the durations of what it gets, which is played at its time."""
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("sync", True)
        sink.set_property("signal-handoffs", True)
        kept = self.buffers.setdefault(kind, [])
        sink.connect("handoff", lambda _sink, buffer, _pad: kept.append(buffer.duration))
        return sink

    def stop(self):
        self.pipeline.set_state(Gst.State.NULL)
        self.pipeline.get_bus().remove_signal_watch()


@pytest.fixture
def players():
    """Makes players, and stops them at the end of the test in any case."""
    made = []

    def make(pipeline):
        made.append(Player(pipeline))
        return made[-1]

    yield make
    for player in made:
        player.stop()


def require(*elements):
    """Fails where an element is missing: `./x test` installs them all."""
    missing = [name for name in elements if Gst.ElementFactory.find(name) is None]
    assert not missing, f"no element {missing}: GST_PLUGIN_PATH must name the build"
