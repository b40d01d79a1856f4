#include "codecs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

image_codecs_format image_codecs_detect(const uint8_t *bytes, size_t length) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  if (length >= 8 && memcmp(bytes, png, 8) == 0) return IMAGE_CODECS_PNG;
  if (length >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) return IMAGE_CODECS_JPEG;
  if (length >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0) return IMAGE_CODECS_WEBP;
  return IMAGE_CODECS_UNKNOWN;
}

int codecs_fail(char message[200], const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, 200, format, arguments);
  va_end(arguments);
  // Libraries put what they found in the file into their messages: keep it to one plain line.
  for (char *c = message; *c != 0; c++) {
    if ((unsigned char)*c < 32 || (unsigned char)*c > 126) *c = '?';
  }
  return 0;
}

int codecs_make_pixels(image_codecs_picture *picture, size_t width, size_t height, size_t pixel_limit) {
  if (width == 0 || height == 0) return codecs_fail(picture->message, "it has no pixels");
  if (width > 0x7FFFFFFF / 3 || height > 0x7FFFFFFF / 3 || width > pixel_limit / height) {
    return codecs_fail(picture->message, "%zu x %zu pixels are over the limit of %zu million", width, height,
                       pixel_limit / 1000000);
  }
  picture->width = (int)width;
  picture->height = (int)height;
  picture->pixels = malloc(width * height * 3);
  if (picture->pixels == NULL) return codecs_fail(picture->message, "no memory for %zu x %zu pixels", width, height);
  return 1;
}

int codecs_split_alpha(image_codecs_picture *picture, const uint8_t *rgba) {
  size_t count = (size_t)picture->width * (size_t)picture->height;
  int is_transparent = 0;
  for (size_t pixel = 0; pixel < count; pixel++) {
    memcpy(picture->pixels + 3 * pixel, rgba + 4 * pixel, 3);
    if (rgba[4 * pixel + 3] < 250) is_transparent = 1;
  }
  if (!is_transparent) return 1;
  picture->alpha = malloc(count);
  if (picture->alpha == NULL) return codecs_fail(picture->message, "no memory for its alpha channel");
  for (size_t pixel = 0; pixel < count; pixel++) picture->alpha[pixel] = rgba[4 * pixel + 3];
  return 1;
}

int codecs_keep_exif(image_codecs_picture *picture, const uint8_t *bytes, size_t length) {
  // Some writers put JPEG's introduction before the structure in the other formats, too.
  if (length >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0) {
    bytes += 6;
    length -= 6;
  }
  if (picture->exif != NULL || length == 0) return 1;
  picture->exif = malloc(length);
  if (picture->exif == NULL) return codecs_fail(picture->message, "no memory for the EXIF data");
  memcpy(picture->exif, bytes, length);
  picture->exif_length = length;
  return 1;
}

int image_codecs_decode(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture) {
  memset(picture, 0, sizeof *picture);
  int done = 0;
  switch (image_codecs_detect(bytes, length)) {
    case IMAGE_CODECS_PNG:
      done = codecs_decode_png(bytes, length, pixel_limit, picture);
      break;
    case IMAGE_CODECS_JPEG:
      done = codecs_decode_jpeg(bytes, length, pixel_limit, picture);
      break;
    case IMAGE_CODECS_WEBP:
      done = codecs_decode_webp(bytes, length, pixel_limit, picture);
      break;
    case IMAGE_CODECS_UNKNOWN:
      codecs_fail(picture->message, "not a PNG, JPEG or WebP picture");
      break;
  }
  if (!done) image_codecs_free(picture);
  return done;
}

void image_codecs_free(image_codecs_picture *picture) {
  free(picture->pixels);
  free(picture->alpha);
  free(picture->exif);
  picture->pixels = NULL;
  picture->alpha = NULL;
  picture->exif = NULL;
  picture->exif_length = 0;
}

void image_codecs_free_bytes(image_codecs_bytes *result) {
  free(result->bytes);
  result->bytes = NULL;
  result->length = 0;
}
