// Encodes raw samples (mono, 24 kHz, 16 bits) to Matroska and decodes that again: round_trip OUT.mka < in.s16 > out.s16
// cc round_trip.c $(pkg-config --cflags --libs siskin)

#include <siskin.h>
#include <stdio.h>
#include <stdlib.h>

// Every function tells how it went; the reason is there in words.
static void check(SiskinStatus status) {
  if (status == SISKIN_OK || status == SISKIN_END) return;
  fprintf(stderr, "%s: %s\n", siskin_status_name(status), siskin_last_error());
  exit(1);
}

static void encode(SiskinModel *model, FILE *in, const char *path) {
  // A second in a packet, 6 kb/s on average; what is not named is 0, the default.
  SiskinEncoderConfig config = {.bitrate = 6000, .frames_per_packet = 50};
  SiskinEncoder *encoder;
  SiskinWriter *writer;
  SiskinPacket packet;
  int16_t pcm[1000];
  float samples[1000];
  size_t count;
  check(siskin_encoder_new(model, &config, &encoder));
  check(siskin_writer_open(path, encoder, &writer));
  do {
    // Any number of samples at a time: the packets are the same.
    count = fread(pcm, sizeof pcm[0], 1000, in);
    for (size_t i = 0; i < count; i++) samples[i] = pcm[i] / 32768.0f;
    check(count > 0 ? siskin_encoder_push(encoder, samples, count) : siskin_encoder_finish(encoder));
    while (siskin_encoder_pull(encoder, &packet) == SISKIN_OK) check(siskin_writer_write(writer, &packet));
  } while (count > 0);
  check(siskin_writer_close(writer));
  siskin_encoder_free(encoder);
}

static void decode(SiskinModel *model, const char *path, FILE *out) {
  SiskinReader *reader;
  SiskinDecoder *decoder;
  SiskinTrack track;
  SiskinBlock block;
  const float *samples;
  size_t count;
  check(siskin_reader_open(path, &reader));
  for (size_t i = 0; siskin_reader_track(reader, i, &track) == SISKIN_OK; i++)
    if (track.kind == SISKIN_TRACK_AUDIO) break;
  check(siskin_decoder_new(model, track.header, track.header_length, &decoder));
  while (siskin_reader_next(reader, &block) == SISKIN_OK) {
    if (block.track != track.number) continue;
    check(siskin_decoder_decode(decoder, block.data, block.length, &samples, &count));
    for (size_t i = 0; i < count; i++) {
      int16_t pcm = (int16_t)(samples[i] * 32767.0f);
      fwrite(&pcm, sizeof pcm, 1, out);
    }
  }
  siskin_decoder_free(decoder);
  siskin_reader_close(reader);
}

int main(int argc, char **argv) {
  SiskinModel *model;
  if (argc != 2 || siskin_abi_version() != SISKIN_ABI_VERSION) return 2;
  // The model that ships, and a thread for its network.
  check(siskin_model_open(NULL, 0, &model));
  encode(model, stdin, argv[1]);
  decode(model, argv[1], stdout);
  siskin_model_close(model);
  return fclose(stdout) != 0;
}
