#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "codecs.h"

typedef struct {
  struct jpeg_error_mgr errors;  // first: the library hands its address back
  jmp_buf escape;
  char *message;
  struct jpeg_decompress_struct decoder;
  struct jpeg_progress_mgr progress;
  uint8_t *row;  // of CMYK
} jpeg_state;

static void on_error(j_common_ptr common) {
  jpeg_state *state = (jpeg_state *)common->err;
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  codecs_fail(state->message, "%s", text);
  longjmp(state->escape, 1);
}

// The library would fill what is missing with grey and go on. Warnings of other kinds are common in sound pictures.
static void on_message(j_common_ptr common, int level) {
  if (level >= 0) return;
  int code = common->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER) on_error(common);
}

// A small file can have as many passes over a large picture as it likes; real ones have about ten.
static void on_progress(j_common_ptr common) {
  jpeg_state *state = (jpeg_state *)common->err;
  if (state->decoder.input_scan_number <= 100) return;
  codecs_fail(state->message, "it has over 100 passes");
  longjmp(state->escape, 1);
}

static void on_output(j_common_ptr common) { (void)common; }

// Adobe's programs store CMYK inverted and all others follow: 255 is no ink.
static void rgb_of_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t width) {
  for (size_t x = 0; x < width; x++) {
    unsigned light = cmyk[4 * x + 3];
    for (int channel = 0; channel < 3; channel++) {
      unsigned ink = 255u - cmyk[4 * x + channel];
      unsigned product = ink * light + 128;
      rgb[3 * x + channel] = (uint8_t)(light - ((product + (product >> 8)) >> 8));
    }
  }
}

static int decode(jpeg_state *state, const uint8_t *bytes, size_t length, size_t pixel_limit,
                  image_codecs_picture *picture) {
  if (setjmp(state->escape)) return 0;
  struct jpeg_decompress_struct *decoder = &state->decoder;
  jpeg_create_decompress(decoder);
  decoder->progress = &state->progress;
  jpeg_mem_src(decoder, (unsigned char *)bytes, (unsigned long)length);
  jpeg_save_markers(decoder, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(decoder, TRUE);
  if (!codecs_make_pixels(picture, decoder->image_width, decoder->image_height, pixel_limit)) return 0;
  for (jpeg_saved_marker_ptr marker = decoder->marker_list; marker != NULL; marker = marker->next) {
    if (marker->data_length > 6 && memcmp(marker->data, "Exif\0\0", 6) == 0 &&
        !codecs_keep_exif(picture, marker->data, marker->data_length)) {
      return 0;
    }
  }

  int inks = decoder->jpeg_color_space == JCS_CMYK || decoder->jpeg_color_space == JCS_YCCK;
  picture->is_cmyk = inks;
  decoder->out_color_space = inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(decoder);
  size_t width = (size_t)picture->width;
  if (decoder->output_components != (inks ? 4 : 3)) return codecs_fail(state->message, "it can't be made RGB");
  if (inks) {
    state->row = malloc(width * 4);
    if (state->row == NULL) return codecs_fail(state->message, "no memory");
  }
  while (decoder->output_scanline < decoder->output_height) {
    uint8_t *target = picture->pixels + decoder->output_scanline * width * 3;
    JSAMPROW row = inks ? state->row : target;
    if (jpeg_read_scanlines(decoder, &row, 1) == 1 && inks) rgb_of_cmyk(state->row, target, width);
  }
  jpeg_finish_decompress(decoder);
  return 1;
}

int codecs_decode_jpeg(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture) {
  jpeg_state state = {.message = picture->message};
  state.decoder.err = jpeg_std_error(&state.errors);
  state.errors.error_exit = on_error;
  state.errors.emit_message = on_message;
  state.errors.output_message = on_output;
  state.progress.progress_monitor = on_progress;
  int done = decode(&state, bytes, length, pixel_limit, picture);
  jpeg_destroy_decompress(&state.decoder);
  free(state.row);
  return done;
}
