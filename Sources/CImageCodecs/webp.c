#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>

#include "codecs.h"

// The EXIF chunk of the container: four letters, a length of four bytes, the data, a byte to make it even.
static int keep_exif(const uint8_t *bytes, size_t length, image_codecs_picture *picture) {
  size_t position = 12;
  while (length - position >= 8) {
    const uint8_t *chunk = bytes + position;
    size_t size = (size_t)chunk[4] | (size_t)chunk[5] << 8 | (size_t)chunk[6] << 16 | (size_t)chunk[7] << 24;
    if (size > length - position - 8) break;
    if (memcmp(chunk, "EXIF", 4) == 0) return codecs_keep_exif(picture, chunk + 8, size);
    size_t step = 8 + size + (size & 1);
    if (step > length - position) break;
    position += step;
  }
  return 1;
}

int codecs_decode_webp(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture) {
  WebPBitstreamFeatures features;
  VP8StatusCode status = WebPGetFeatures(bytes, length, &features);
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) return codecs_fail(picture->message, "it ends too early");
  if (status != VP8_STATUS_OK) return codecs_fail(picture->message, "it is no sound WebP picture");
  if (features.has_animation) return codecs_fail(picture->message, "it is an animation; save one picture of it");
  if (features.width < 0 || features.height < 0) return codecs_fail(picture->message, "it has no pixels");
  if (!codecs_make_pixels(picture, (size_t)features.width, (size_t)features.height, pixel_limit)) return 0;
  size_t count = (size_t)picture->width * (size_t)picture->height;
  uint8_t *decoded;
  if (features.has_alpha) {
    uint8_t *rgba = malloc(count * 4);
    if (rgba == NULL) return codecs_fail(picture->message, "no memory for its pixels");
    decoded = WebPDecodeRGBAInto(bytes, length, rgba, count * 4, picture->width * 4);
    int done = decoded == NULL || codecs_split_alpha(picture, rgba);
    free(rgba);
    if (!done) return 0;
  } else {
    decoded = WebPDecodeRGBInto(bytes, length, picture->pixels, count * 3, picture->width * 3);
  }
  if (decoded == NULL) return codecs_fail(picture->message, "it is damaged or ends too early");
  return keep_exif(bytes, length, picture);
}
