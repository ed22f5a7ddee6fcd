/* Plays a coded file, sound or video, with GStreamer's playbin. The plugin must be installed or on GST_PLUGIN_PATH.
 *
 *   cc examples/c/player.c -o player $(pkg-config --cflags --libs gstreamer-1.0)
 *   ./player FILE [SINK]
 *
 * SINK is an element that takes the sound and the frames instead of the system's sinks, such as fakesink. */
#include <gst/gst.h>

static int fail(const char *what, GError *error)
{
    g_printerr("%s: %s\n", what, error ? error->message : "unknown");
    g_clear_error(&error);
    return 1;
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    if (!gst_init_check(&argc, &argv, &error))
        return fail("GStreamer cannot be started", error);
    if (argc < 2) {
        g_printerr("usage: player FILE [SINK]\n");
        return 2;
    }
    gchar *path = g_canonicalize_filename(argv[1], NULL);
    gchar *uri = g_filename_to_uri(path, NULL, &error);
    g_free(path);
    if (!uri)
        return fail(argv[1], error);

    GstElement *player = gst_element_factory_make("playbin", NULL);
    if (!player) {
        g_printerr("GStreamer's base plugins are not installed\n");
        return 1;
    }
    g_object_set(player, "uri", uri, NULL);
    g_free(uri);
    if (argc > 2) {
        g_object_set(player, "audio-sink", gst_element_factory_make(argv[2], NULL), NULL);
        g_object_set(player, "video-sink", gst_element_factory_make(argv[2], NULL), NULL);
    }

    GstBus *bus = gst_element_get_bus(player);
    gst_element_set_state(player, GST_STATE_PLAYING);
    GstMessage *end = gst_bus_timed_pop_filtered(bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    int status = 0;
    if (GST_MESSAGE_TYPE(end) == GST_MESSAGE_ERROR) {
        gst_message_parse_error(end, &error, NULL);
        status = fail(GST_OBJECT_NAME(GST_MESSAGE_SRC(end)), error);
    } else {
        gint64 position = 0;
        if (gst_element_query_position(player, GST_FORMAT_TIME, &position))
            g_print("played %" GST_TIME_FORMAT "\n", GST_TIME_ARGS(position));
    }
    gst_message_unref(end);
    gst_object_unref(bus);
    gst_element_set_state(player, GST_STATE_NULL);
    gst_object_unref(player);
    return status;
}
