// PNG, JPEG and WebP behind one face: bytes in, 8-bit RGB out, and never an exit, an abort or a jump past the caller.
//
// Alpha stands by itself and is not blended; palettes, grey, 16 bits, CMYK and YCCK become RGB. A file that ends before its last
// pixel is an error. Colour profiles and gamma are left alone.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum {
  IMAGE_CODECS_UNKNOWN = 0,
  IMAGE_CODECS_PNG,
  IMAGE_CODECS_JPEG,
  IMAGE_CODECS_WEBP,
} image_codecs_format;

// What the first bytes say the file is.
image_codecs_format image_codecs_detect(const uint8_t *bytes, size_t length);

typedef struct {
  int width;
  int height;
  uint8_t *pixels;  // height x width x 3, to be freed by image_codecs_free
  uint8_t *alpha;   // height x width, or NULL where nothing can be seen through; freed with the pixels
  uint8_t *exif;    // the TIFF structure of the EXIF data, or NULL; freed with the pixels
  size_t exif_length;
  int is_cmyk;        // whether it was in inks
  int is_deep;        // whether it had 16 bits a channel
  char message[200];  // why it failed
} image_codecs_picture;

// Decodes a picture of at most `pixel_limit` pixels. Returns 1, or 0 with `message` set and nothing to free.
int image_codecs_decode(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture);

void image_codecs_free(image_codecs_picture *picture);

// A text chunk: Latin-1 goes to tEXt, UTF-8 to iTXt. The keyword is Latin-1, 1 to 79 bytes.
typedef struct {
  const char *keyword;
  const char *text;
  int is_utf8;
} image_codecs_text;

typedef struct {
  uint8_t *bytes;  // to be freed by image_codecs_free_bytes
  size_t length;
  char message[200];
} image_codecs_bytes;

// Encodes height x width x 3 bytes of RGB as PNG. Returns 1, or 0 with `message` set and nothing to free.
int image_codecs_encode_png(const uint8_t *pixels, int width, int height, const image_codecs_text *texts,
                            int text_count, image_codecs_bytes *result);

// Unpacks a zlib stream of at most `limit` bytes when unpacked; what follows it is left alone. Returns 1, or 0 with `message` set
// and nothing to free.
int image_codecs_inflate(const uint8_t *bytes, size_t length, size_t limit, image_codecs_bytes *result);

// Packs bytes into a zlib stream. Returns 1, or 0 with `message` set and nothing to free.
int image_codecs_deflate(const uint8_t *bytes, size_t length, image_codecs_bytes *result);

void image_codecs_free_bytes(image_codecs_bytes *result);
