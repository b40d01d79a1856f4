#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "codecs.h"

int image_codecs_inflate(const uint8_t *bytes, size_t length, size_t limit, image_codecs_bytes *result) {
  memset(result, 0, sizeof *result);
  if (length > UINT_MAX || limit > UINT_MAX / 2) return codecs_fail(result->message, "it is too large");
  z_stream stream = {.next_in = (Bytef *)bytes, .avail_in = (uInt)length};
  if (inflateInit(&stream) != Z_OK) return codecs_fail(result->message, "zlib can't start");
  size_t capacity = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    if (result->length == capacity) {
      if (capacity > limit) break;
      capacity = capacity == 0 ? 1 << 14 : capacity * 2;
      if (capacity > limit) capacity = limit + 1;
      uint8_t *larger = realloc(result->bytes, capacity);
      if (larger == NULL) {
        status = Z_MEM_ERROR;
        break;
      }
      result->bytes = larger;
    }
    stream.next_out = result->bytes + result->length;
    stream.avail_out = (uInt)(capacity - result->length);
    status = inflate(&stream, Z_NO_FLUSH);
    result->length = capacity - stream.avail_out;
  }
  inflateEnd(&stream);
  if (status == Z_STREAM_END && result->length <= limit) return 1;
  image_codecs_free_bytes(result);
  if (status == Z_MEM_ERROR) return codecs_fail(result->message, "no memory");
  if (status == Z_OK || status == Z_STREAM_END) {
    return codecs_fail(result->message, "it holds more than %zu bytes", limit);
  }
  return codecs_fail(result->message, status == Z_BUF_ERROR ? "it ends too early" : "it is no zlib data");
}

int image_codecs_deflate(const uint8_t *bytes, size_t length, image_codecs_bytes *result) {
  memset(result, 0, sizeof *result);
  if (length > UINT_MAX) return codecs_fail(result->message, "it is too large");
  uLongf capacity = compressBound(length);
  result->bytes = malloc(capacity);
  if (result->bytes == NULL) return codecs_fail(result->message, "no memory");
  if (compress2(result->bytes, &capacity, bytes, length, Z_BEST_COMPRESSION) != Z_OK) {
    image_codecs_free_bytes(result);
    return codecs_fail(result->message, "zlib failed");
  }
  result->length = capacity;
  return 1;
}
