// The Siskin audio codec for C. docs/c-api.md says how to use it. Made by cbindgen; do not edit.

#ifndef SISKIN_H
#define SISKIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Version of the interface that this header describes. A library with another number in `siskin_abi_version` does not fit.
#define SISKIN_ABI_VERSION 1

// What a function came to. Errors are negative.
typedef enum SiskinStatus {
  // It worked.
  SISKIN_OK = 0,
  // Nothing more: no packet is ready yet, or the file is at its end.
  SISKIN_END = 1,
  // An argument is not allowed: a null pointer, a number out of its range, a call out of order.
  SISKIN_ERROR_PARAMETER = -1,
  // The model bundle was not found, is damaged, or is another than the stream needs.
  SISKIN_ERROR_MODEL = -2,
  // ONNX Runtime was not found, or a network failed in it.
  SISKIN_ERROR_RUNTIME = -3,
  // A packet, header or file is damaged, or no stream of Siskin.
  SISKIN_ERROR_DATA = -4,
  // A file cannot be opened, read or written.
  SISKIN_ERROR_IO = -5,
  // A fault of the library. The object is not to be used any more, only freed.
  SISKIN_ERROR_INTERNAL = -6,
} SiskinStatus;

// What a track holds.
typedef enum SiskinTrackKind {
  // Audio of Siskin.
  SISKIN_TRACK_AUDIO = 0,
  // Video of Siskin.
  SISKIN_TRACK_VIDEO = 1,
  // Something else, which `codec_id` names.
  SISKIN_TRACK_OTHER = 2,
} SiskinTrackKind;

// A decoder of one stream.
typedef struct SiskinDecoder SiskinDecoder;

// An encoder of one stream.
typedef struct SiskinEncoder SiskinEncoder;

// A model bundle, open. Encoders and decoders of it share its weights.
typedef struct SiskinModel SiskinModel;

// A file that is read.
typedef struct SiskinReader SiskinReader;

// A tokenizer of one stream.
typedef struct SiskinTokenizer SiskinTokenizer;

// A file that is written. What has been written plays at any time, also if the program ends there.
typedef struct SiskinWriter SiskinWriter;

// How to encode. Zero in a field takes what it says there, so `SiskinEncoderConfig config = {0};` is a good start.
typedef struct SiskinEncoderConfig {
  // Bits per second on average, packet heads included; 0 for the same stages in every frame.
  uint32_t bitrate;
  // Residual stages, at most those of the model; 0 for the model's default.
  uint32_t stages;
  // Frames of a packet, at most 500; 0 for 1, which suits live streams. 50 suit files. A model that codes segments makes a
  // packet of each and ignores it.
  uint32_t frames_per_packet;
  // Earlier frames that each packet repeats, so that the next packet restores them after a loss; 0 for none.
  uint32_t redundancy;
  // Discontinuous transmission: background noise is described in few packets.
  bool dtx;
} SiskinEncoderConfig;

// A packet. Its bytes are the encoder's, until the next call with it.
typedef struct SiskinPacket {
  // The packet's bytes.
  const uint8_t *data;
  // How many.
  size_t length;
  // Place of its first sample in the input, in samples per channel.
  uint64_t first_sample;
  // Samples per channel that it decodes to.
  uint64_t sample_count;
  // Whether decoding may begin here.
  bool is_random_access;
} SiskinPacket;

// What a model works with.
typedef struct SiskinModelInfo {
  // Samples per second and channel.
  uint32_t sample_rate;
  // Samples per channel of a frame.
  uint32_t frame_samples;
  // Samples per channel by which the decoder lags; the first packet of a stream drops them by itself.
  uint32_t delay_samples;
  // Residual stages there are.
  uint32_t stages;
  // Stages that an encoder uses if it is not told.
  uint32_t default_stages;
  // Codes of a stage in each frame.
  uint32_t codes_per_stage;
  // Codes lie below this.
  uint32_t codebook_size;
} SiskinModelInfo;

// A track of a file. Pointers are the reader's, as long as it lives.
typedef struct SiskinTrack {
  // What it holds.
  enum SiskinTrackKind kind;
  // The number that blocks carry.
  uint64_t number;
  // Matroska's codec id, such as "A_SISKIN".
  const char *codec_id;
  // The stream header, for `siskin_decoder_new`.
  const uint8_t *header;
  // Bytes of the header.
  size_t header_length;
} SiskinTrack;

// A packet of a track. Its bytes are the reader's, until the next call with it.
typedef struct SiskinBlock {
  // The track's number.
  uint64_t track;
  // Presentation time in nanoseconds, to whole milliseconds.
  uint64_t time_ns;
  // How long it lasts in nanoseconds; 0 where the file does not say.
  uint64_t duration_ns;
  // Whether decoding may begin here.
  bool is_random_access;
  // The packet's bytes.
  const uint8_t *data;
  // How many.
  size_t length;
} SiskinBlock;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a decoder. `header` is the stream's, from its container or encoder; without it (null, 0) packets that carry it are waited
// for, and others are `SISKIN_ERROR_DATA`.
//
// # Safety
// `model` is null or open; `header` has `length` bytes; `decoder` can be written to.
enum SiskinStatus siskin_decoder_new(const struct SiskinModel *model,
                                     const uint8_t *header,
                                     size_t length,
                                     struct SiskinDecoder **decoder);

// Decodes a packet. The samples, -1 to 1 and of two channels interleaved, are the decoder's until the next call with it; `count`
// is the number of values, of all channels. After an error there are none, and `siskin_decoder_conceal` fills the gap.
//
// # Safety
// `decoder` is null or made by `siskin_decoder_new`; `packet` has `length` bytes; `samples` and `count` can be written to.
enum SiskinStatus siskin_decoder_decode(struct SiskinDecoder *decoder,
                                        const uint8_t *packet,
                                        size_t length,
                                        const float **samples,
                                        size_t *count);

// Conceals `frames` lost frames (1 to 500) before the packet that came next (null, 0: none has). Frames that it repeats are
// restored; it is decoded after, as ever. The samples are as those of `siskin_decoder_decode`, `frame_samples` of each channel for
// each frame.
//
// # Safety
// As for `siskin_decoder_decode`; `next` has `length` bytes.
enum SiskinStatus siskin_decoder_conceal(struct SiskinDecoder *decoder,
                                         uint32_t frames,
                                         const uint8_t *next,
                                         size_t length,
                                         const float **samples,
                                         size_t *count);

// Decodes the codes of one frame, stage by stage, without a packet: fewer stages than the model has are a lower rate. Nothing is
// dropped for the decoder's delay. The samples are as those of `siskin_decoder_decode`. A model that codes segments has packets
// only: `SISKIN_ERROR_PARAMETER`.
//
// # Safety
// As for `siskin_decoder_decode`; `codes` has `code_count` values.
enum SiskinStatus siskin_decoder_decode_codes(struct SiskinDecoder *decoder,
                                              const uint16_t *codes,
                                              size_t code_count,
                                              const float **samples,
                                              size_t *count);

// Back to the state of a new decoder, for another stream with the same header.
//
// # Safety
// `decoder` is null or made by `siskin_decoder_new`.
enum SiskinStatus siskin_decoder_reset(struct SiskinDecoder *decoder);

// Frees a decoder. A null pointer is nothing.
//
// # Safety
// `decoder` comes from `siskin_decoder_new` and is not used after.
void siskin_decoder_free(struct SiskinDecoder *decoder);

// Makes an encoder. A null `config` takes the default of everything.
//
// # Safety
// `model` is null or open, `config` null or readable; `encoder` can be written to.
enum SiskinStatus siskin_encoder_new(const struct SiskinModel *model,
                                     const struct SiskinEncoderConfig *config,
                                     struct SiskinEncoder **encoder);

// The header of the stream, which a decoder needs before a packet without it; containers keep it. The bytes are the encoder's, as
// long as it lives.
//
// # Safety
// `encoder` is null or made by `siskin_encoder_new`; `data` and `length` can be written to.
enum SiskinStatus siskin_encoder_header(const struct SiskinEncoder *encoder,
                                        const uint8_t **data,
                                        size_t *length);

// Encodes any number of samples, -1 to 1, at the model's rate, those of two channels interleaved. Packets are the same however
// they are cut.
//
// # Safety
// `encoder` is null or made by `siskin_encoder_new`; `samples` has `count` values, of all channels.
enum SiskinStatus siskin_encoder_push(struct SiskinEncoder *encoder,
                                      const float *samples,
                                      size_t count);

// Ends the stream: the last packets become ready. The next samples begin a new one.
//
// # Safety
// `encoder` is null or made by `siskin_encoder_new`.
enum SiskinStatus siskin_encoder_finish(struct SiskinEncoder *encoder);

// Takes the next packet that is ready; `SISKIN_END` if none is.
//
// # Safety
// `encoder` is null or made by `siskin_encoder_new`; `packet` can be written to.
enum SiskinStatus siskin_encoder_pull(struct SiskinEncoder *encoder, struct SiskinPacket *packet);

// Frees an encoder. A null pointer is nothing.
//
// # Safety
// `encoder` comes from `siskin_encoder_new` and is not used after.
void siskin_encoder_free(struct SiskinEncoder *encoder);

// Opens a bundle by its name or folder; a null pointer takes "speech-24k", the shipped one. Bundles and ONNX Runtime are searched
// where SECURITY.md says, never in the working directory. `threads` is that of one network, 0 for one, which is best for
// a stream, 256 at most.
//
// # Safety
// `name_or_path` is null or a text that ends with a zero byte; `model` can be written to.
enum SiskinStatus siskin_model_open(const char *name_or_path,
                                    uint32_t threads,
                                    struct SiskinModel **model);

// Tells what a model works with.
//
// # Safety
// `model` is null or open; `info` can be written to.
enum SiskinStatus siskin_model_info(const struct SiskinModel *model, struct SiskinModelInfo *info);

// Tells how many channels a model has, 1 or 2. Samples of two are interleaved, and functions that take or give an array of samples
// count its values: two for each sample of both channels.
//
// # Safety
// `model` is null or open; `channels` can be written to.
enum SiskinStatus siskin_model_channels(const struct SiskinModel *model,
                                        uint32_t *channels);

// Closes a model. Encoders, decoders and tokenizers that were made with it go on. A null pointer is nothing.
//
// # Safety
// `model` comes from `siskin_model_open` and is not used after.
void siskin_model_close(struct SiskinModel *model);

// Opens a Matroska file by its path in UTF-8.
//
// # Safety
// `path` is null or a text that ends with a zero byte; `reader` can be written to.
enum SiskinStatus siskin_reader_open(const char *path, struct SiskinReader **reader);

// Opens a Matroska file in memory, which is copied.
//
// # Safety
// `data` has `length` bytes; `reader` can be written to.
enum SiskinStatus siskin_reader_open_memory(const uint8_t *data,
                                            size_t length,
                                            struct SiskinReader **reader);

// Describes track `index`, counted from 0; `SISKIN_END` behind the last one.
//
// # Safety
// `reader` is null or open; `track` can be written to.
enum SiskinStatus siskin_reader_track(const struct SiskinReader *reader,
                                      size_t index,
                                      struct SiskinTrack *track);

// Reads the next packet of any track; `SISKIN_END` at the end of the file, also where it was cut off.
//
// # Safety
// `reader` is null or open; `block` can be written to.
enum SiskinStatus siskin_reader_next(struct SiskinReader *reader,
                                     struct SiskinBlock *block);

// Goes to the last packet at or before a time of those that begin a block of the file (of a laced block the first), which is read next.
//
// # Safety
// `reader` is null or open.
enum SiskinStatus siskin_reader_seek(struct SiskinReader *reader,
                                     uint64_t time_ns);

// Closes a file. A null pointer is nothing.
//
// # Safety
// `reader` comes from `siskin_reader_open` or `siskin_reader_open_memory` and is not used after.
void siskin_reader_close(struct SiskinReader *reader);

// The reason of the last error of this thread in UTF-8, empty if there was none. Valid until the next error of this thread.
const char *siskin_last_error(void);

// The name of a status, such as "SISKIN_ERROR_DATA", for logs; "unknown" for a number that is none.
const char *siskin_status_name(int32_t status);

// Makes a tokenizer of `stages` residual stages; 0 for the model's default. A model that codes segments is refused with
// `SISKIN_ERROR_PARAMETER`: its codes mean nothing without each segment's loudness, which packets carry.
//
// # Safety
// `model` is null or open; `tokenizer` can be written to.
enum SiskinStatus siskin_tokenizer_new(const struct SiskinModel *model,
                                       uint32_t stages,
                                       struct SiskinTokenizer **tokenizer);

// Encodes any number of samples, those of two channels interleaved, and gives the codes of the frames that are complete: frame by
// frame, within a frame stage by stage. They are the tokenizer's until the next call with it.
//
// # Safety
// `tokenizer` is null or made by `siskin_tokenizer_new`; `samples` has `sample_count` values, of all channels; `codes` and `count`
// can be written to.
enum SiskinStatus siskin_tokenizer_push(struct SiskinTokenizer *tokenizer,
                                        const float *samples,
                                        size_t sample_count,
                                        const uint16_t **codes,
                                        size_t *count);

// Ends the stream and gives the codes of the rest. The next samples begin a new stream.
//
// # Safety
// As for `siskin_tokenizer_push`.
enum SiskinStatus siskin_tokenizer_finish(struct SiskinTokenizer *tokenizer,
                                          const uint16_t **codes,
                                          size_t *count);

// Frees a tokenizer. A null pointer is nothing.
//
// # Safety
// `tokenizer` comes from `siskin_tokenizer_new` and is not used after.
void siskin_tokenizer_free(struct SiskinTokenizer *tokenizer);

// The interface that the library has: to be compared with `SISKIN_ABI_VERSION`.
uint32_t siskin_abi_version(void);

// The library's version as text, such as "0.3.0".
const char *siskin_version(void);

// Creates a Matroska file for an encoder's packets, by its path in UTF-8. A file of that name is written over.
//
// # Safety
// `path` is null or a text that ends with a zero byte; `encoder` is null or made by `siskin_encoder_new`; `writer` can be written
// to.
enum SiskinStatus siskin_writer_open(const char *path,
                                     const struct SiskinEncoder *encoder,
                                     struct SiskinWriter **writer);

// Writes a packet; packets come in the order of the encoder.
//
// # Safety
// `writer` is null or made by `siskin_writer_open`; `packet` is null or as `siskin_encoder_pull` filled it.
enum SiskinStatus siskin_writer_write(struct SiskinWriter *writer,
                                      const struct SiskinPacket *packet);

// Ends the file, with its length and index, and frees the writer, also after an error. A null pointer is nothing.
//
// # Safety
// `writer` comes from `siskin_writer_open` and is not used after.
enum SiskinStatus siskin_writer_close(struct SiskinWriter *writer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SISKIN_H */
