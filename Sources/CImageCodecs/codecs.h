// What the formats' files share. Each decoder returns 1, or 0 with the message set; the caller frees what was made by
// then.
#pragma once

#include "image_codecs.h"

int codecs_decode_png(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture);
int codecs_decode_jpeg(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture);
int codecs_decode_webp(const uint8_t *bytes, size_t length, size_t pixel_limit, image_codecs_picture *picture);

// Sets the message and returns 0.
__attribute__((format(printf, 2, 3))) int codecs_fail(char message[200], const char *format, ...);

// Checks the size against the limit, then sets it and makes room for the pixels.
int codecs_make_pixels(image_codecs_picture *picture, size_t width, size_t height, size_t pixel_limit);

// Takes the colours of all pixels out of RGBA, and their alpha where any of them can be seen through: more than rounding does.
int codecs_split_alpha(image_codecs_picture *picture, const uint8_t *rgba);

// Keeps a copy of the first EXIF data seen.
int codecs_keep_exif(image_codecs_picture *picture, const uint8_t *bytes, size_t length);
