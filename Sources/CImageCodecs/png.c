#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "codecs.h"

// Everything that must outlive a jump lies here, in the caller's frame, not in that of the function that calls setjmp.
typedef struct {
  jmp_buf escape;
  char *message;
  png_structp png;
  png_infop info;
  png_bytepp rows;
  uint8_t *rgba;   // of a picture with alpha
  int has_pixels;  // whether the last of them was read when the file ended
  const uint8_t *bytes;
  size_t length;
  size_t position;
  image_codecs_bytes *result;
  size_t capacity;
  png_textp texts;
} png_state;

static void on_error(png_structp png, png_const_charp message) {
  png_state *state = png_get_error_ptr(png);
  codecs_fail(state->message, "%s", message);
  longjmp(state->escape, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

// What a file lacks behind its last pixel, such as its last chunk, Pillow does not miss.
static int is_past_pixels(png_state *state) {
  if (state->rows == NULL) return 0;
  if (png_get_interlace_type(state->png, state->info) != PNG_INTERLACE_NONE) {
    return png_get_current_pass_number(state->png) >= PNG_INTERLACE_ADAM7_PASSES;
  }
  return png_get_current_row_number(state->png) >= png_get_image_height(state->png, state->info);
}

static void read_bytes(png_structp png, png_bytep target, size_t count) {
  png_state *state = png_get_io_ptr(png);
  if (count > state->length - state->position) {
    state->has_pixels = is_past_pixels(state);
    png_error(png, "it ends too early");
  }
  memcpy(target, state->bytes + state->position, count);
  state->position += count;
}

static int decode(png_state *state, size_t pixel_limit, image_codecs_picture *picture) {
  if (setjmp(state->escape)) return 0;
  state->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, state, on_error, on_warning);
  if (state->png == NULL) return codecs_fail(state->message, "libpng can't start");
  png_structp png = state->png;
  state->info = png_create_info_struct(png);
  if (state->info == NULL) return codecs_fail(state->message, "no memory");
  png_set_read_fn(png, state, read_bytes);
  png_set_user_limits(png, 0x7FFFFFFF, 0x7FFFFFFF);  // the limit is on their product, below
  png_set_chunk_malloc_max(png, 16 << 20);
  // What has no say in the pixels and is compressed could be as large as it likes, a thousand times over.
  static const png_byte passed_over[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, passed_over, sizeof passed_over / 5);
  png_read_info(png, state->info);

  png_uint_32 width = 0, height = 0;
  int depth = 0, color = 0;
  png_get_IHDR(png, state->info, &width, &height, &depth, &color, NULL, NULL, NULL);
  if (!codecs_make_pixels(picture, width, height, pixel_limit)) return 0;
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  picture->is_deep = depth == 16;
  if (depth == 16) png_set_strip_16(png);
  if (!(color & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
  if (png_get_valid(png, state->info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, state->info);
  size_t channels = png_get_channels(png, state->info);
  if ((channels != 3 && channels != 4) || png_get_rowbytes(png, state->info) != (size_t)width * channels) {
    return codecs_fail(state->message, "it can't be made RGB");
  }

  uint8_t *target = picture->pixels;
  if (channels == 4) {
    target = state->rgba = malloc((size_t)width * height * 4);
    if (target == NULL) return codecs_fail(state->message, "no memory for its pixels");
  }
  state->rows = malloc(height * sizeof *state->rows);
  if (state->rows == NULL) return codecs_fail(state->message, "no memory");
  for (size_t row = 0; row < height; row++) state->rows[row] = target + row * width * channels;
  png_read_image(png, state->rows);
  png_read_end(png, state->info);
  return 1;
}

static int keep_exif(png_state *state, image_codecs_picture *picture) {
#ifdef PNG_eXIf_SUPPORTED
  if (setjmp(state->escape)) return 0;
  png_uint_32 exif_length = 0;
  png_bytep exif = NULL;
  if (png_get_eXIf_1(state->png, state->info, &exif_length, &exif) != 0) {
    return codecs_keep_exif(picture, exif, exif_length);
  }
#endif
  return 1;
}

int codecs_decode_png(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture) {
  png_state state = {.message = picture->message, .bytes = bytes, .length = length};
  int done = decode(&state, pixel_limit, picture) || state.has_pixels;
  if (done && state.rgba != NULL) done = codecs_split_alpha(picture, state.rgba);
  done = done && keep_exif(&state, picture);
  png_destroy_read_struct(&state.png, &state.info, NULL);
  free(state.rows);
  free(state.rgba);
  return done;
}

static void write_bytes(png_structp png, png_bytep source, size_t count) {
  png_state *state = png_get_io_ptr(png);
  image_codecs_bytes *result = state->result;
  if (count > state->capacity - result->length) {
    size_t capacity = (state->capacity + count) * 2;
    uint8_t *bytes = realloc(result->bytes, capacity);
    if (bytes == NULL) png_error(png, "no memory");
    result->bytes = bytes;
    state->capacity = capacity;
  }
  memcpy(result->bytes + result->length, source, count);
  result->length += count;
}

static void flush_bytes(png_structp png) { (void)png; }

static int encode(png_state *state, const uint8_t *pixels, int width, int height, const image_codecs_text *texts,
                  int text_count) {
  if (setjmp(state->escape)) return 0;
  state->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, state, on_error, on_warning);
  if (state->png == NULL) return codecs_fail(state->message, "libpng can't start");
  png_structp png = state->png;
  state->info = png_create_info_struct(png);
  if (state->info == NULL) return codecs_fail(state->message, "no memory");
  png_set_write_fn(png, state, write_bytes, flush_bytes);
  png_set_user_limits(png, 0x7FFFFFFF, 0x7FFFFFFF);
  png_set_IHDR(png, state->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (text_count > 0) {
    state->texts = calloc((size_t)text_count, sizeof *state->texts);
    if (state->texts == NULL) return codecs_fail(state->message, "no memory");
    for (int index = 0; index < text_count; index++) {
      // libpng copies both; it wants them mutable all the same.
      state->texts[index].key = (png_charp)texts[index].keyword;
      state->texts[index].text = (png_charp)texts[index].text;
      state->texts[index].compression = texts[index].is_utf8 ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE;
    }
    png_set_text(png, state->info, state->texts, text_count);
  }
  png_write_info(png, state->info);
  for (size_t row = 0; row < (size_t)height; row++) png_write_row(png, pixels + row * (size_t)width * 3);
  png_write_end(png, NULL);
  return 1;
}

int image_codecs_encode_png(const uint8_t *pixels, int width, int height, const image_codecs_text *texts,
                            int text_count, image_codecs_bytes *result) {
  memset(result, 0, sizeof *result);
  png_state state = {.message = result->message, .result = result};
  int done = encode(&state, pixels, width, height, texts, text_count);
  png_destroy_write_struct(&state.png, &state.info);
  free(state.texts);
  if (!done) image_codecs_free_bytes(result);
  return done;
}
