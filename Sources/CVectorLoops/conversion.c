// float16 and bfloat16 to float32 and back. Arithmetic on bits, so that every processor gets the same result; float16 has
// instructions of its own where the processor has them.
#include "loops.h"

LOOP(void, widen_bfloat16, (float *y, const uint16_t *x, size_t count), (y, x, count)) {
  for (size_t i = 0; i < count; ++i) y[i] = bits_to_float((uint32_t)x[i] << 16);
}

LOOP(void, narrow_bfloat16, (uint16_t *y, const float *x, size_t count), (y, x, count)) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = float_to_bits(x[i]);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const uint32_t quiet = bits >> 16 | 0x40u;  // a NaN stays one
    y[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  }
}

STATIC_LOOP(void, widen_float16_loop, (float *y, const uint16_t *x, size_t count), (y, x, count)) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t sign = (uint32_t)(x[i] & 0x8000u) << 16, magnitude = x[i] & 0x7fffu;
    // A multiplication by 2^112 moves the exponent, subnormal numbers included; what was infinite or NaN gets its exponent back.
    const uint32_t scaled = float_to_bits(bits_to_float(magnitude << 13) * 0x1p112f);
    y[i] = bits_to_float(sign | (magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : scaled));
  }
}

STATIC_LOOP(void, narrow_float16_loop, (uint16_t *y, const float *x, size_t count), (y, x, count)) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = float_to_bits(x[i]), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    // Below 2^-14 an addition to 1/2 rounds to the steps of subnormal numbers.
    const uint32_t small = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t result = magnitude < 0x38800000u ? small : normal;
    result = magnitude >= 0x477ff000u ? 0x7c00u : result;
    result = magnitude > 0x7f800000u ? 0x7e00u : result;
    y[i] = (uint16_t)(sign | result);
  }
}

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("avx,f16c"))) static size_t widen_float16_f16c(float *y, const uint16_t *x, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
  return i;
}

__attribute__((target("avx,f16c"))) static size_t narrow_float16_f16c(uint16_t *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  return i;
}

static bool has_f16c(void) { return chosen_set >= 1; }
#else
static bool has_f16c(void) { return false; }
static size_t widen_float16_f16c(float *y, const uint16_t *x, size_t count) { return 0; }
static size_t narrow_float16_f16c(uint16_t *y, const float *x, size_t count) { return 0; }
#endif

void widen_float16(float *y, const uint16_t *x, size_t count) {
  const size_t done = has_f16c() ? widen_float16_f16c(y, x, count) : 0;
  widen_float16_loop(y + done, x + done, count - done);
}

void narrow_float16(uint16_t *y, const float *x, size_t count) {
  const size_t done = has_f16c() ? narrow_float16_f16c(y, x, count) : 0;
  narrow_float16_loop(y + done, x + done, count - done);
}
